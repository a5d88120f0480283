"""The network phase of a link: IPCP and IPV6CP, and CCP where encryption is demanded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ppp import protocols
from vpndiag.protocols.ppp.auth import RandomBytes
from vpndiag.protocols.ppp.config import (
    AddressRefusal,
    Assignment,
    ClientConfig,
    NoAddress,
    ServerConfig,
)
from vpndiag.protocols.ppp.control import ControlProtocol
from vpndiag.protocols.ppp.control_terms import OptionPolicy, Upcall
from vpndiag.protocols.ppp.events import AddressRefused, CcpDemanded
from vpndiag.protocols.ppp.network_policies import (
    CcpDemandPolicy,
    IpcpClientPolicy,
    IpcpServerPolicy,
    Ipv6cpPolicy,
)
from vpndiag.protocols.ppp.options import Options
from vpndiag.protocols.ppp.packet import Code, Configure, decode_packet
from vpndiag.protocols.ppp.results import ipcp_result, ipv6cp_result
from vpndiag.protocols.ppp.wire import Wire

_MOST_CCP = 16
_AHEAD = 0xFF
"""Identifier of an IPCP request that is sent before the login is known to be over."""


class NetworkPhase:
    """The network control protocols that are open or negotiated, in the order they were begun.

    ``terminate`` ends the link: it is called with ``now`` and the reason to send to the peer.
    """

    def __init__(
        self,
        config: ClientConfig | ServerConfig,
        random_bytes: RandomBytes,
        wire: Wire,
        terminate: Callable[[float, bytes], None],
    ) -> None:
        self._config = config
        self._random = random_bytes
        self._wire = wire
        self._terminate = terminate
        self._ncps: dict[int, ControlProtocol] = {}
        self._ccp_told: set[Options] = set()
        self._assignment: Assignment | NoAddress | None = None

    @property
    def controls(self) -> tuple[ControlProtocol, ...]:
        return tuple(self._ncps.values())

    def get(self, protocol: int) -> ControlProtocol | None:
        return self._ncps.get(protocol)

    def begin(self, user: bytes, now: float) -> None:
        """Open what is wanted; ``user`` has logged in (empty without a login)."""
        config = self._config
        if isinstance(config, ServerConfig) and config.require_mppe:
            self._open(protocols.CCP, CcpDemandPolicy(), now)
            return
        if isinstance(config, ClientConfig):
            self._open(protocols.IPCP, IpcpClientPolicy(config.address), now)
        else:
            given = config.policy.assign(user)
            self._assignment = given
            if isinstance(given, Assignment) or given.how is AddressRefusal.REJECT_OPTION:
                self._open(protocols.IPCP, IpcpServerPolicy(given), now)
        if config.want_ipv6:
            self._open(protocols.IPV6CP, Ipv6cpPolicy(self._random), now)

    def _open(self, protocol: int, policy: OptionPolicy, now: float) -> None:
        ncp = ControlProtocol(protocol, policy, self._config.timers.control)
        self._ncps[protocol] = ncp
        ncp.open(now)
        ncp.up(now)

    def leave(self) -> None:
        """The link goes down: all of them are gone."""
        self._ncps = {}

    def ask_ahead(self) -> None:
        """Ask for an address although no Success came. It may be lost: a server that has let us in
        answers this, and any other drops it silently (RFC 1661 section 3.5)."""
        if isinstance(self._config, ClientConfig):
            wanted = IpcpClientPolicy(self._config.address).request()
            ask = Configure(Code.CONFIGURE_REQUEST, _AHEAD, wanted)
            self._wire.send_packet(protocols.IPCP, ask)

    # IP packets

    def is_open(self, version: Literal[4, 6]) -> bool:
        """Whether packets of that IP version may flow."""
        ncp = self._ncps.get(_ncp_of(version))
        return ncp is not None and ncp.opened

    def send_ip(self, packet: bytes, version: Literal[4, 6]) -> None:
        """:raises LocalProtocolError: that protocol is not up."""
        if not self.is_open(version):
            raise LocalProtocolError(f"{protocols.protocol_name(_ncp_of(version))} is not up")
        self._wire.send_ip(protocols.IP if version == 4 else protocols.IPV6, packet)

    # Packets of the peer

    def receive(self, protocol: int, payload: bytes, now: float) -> bool:
        """A packet of a network control protocol, or of something unknown; False: it is to be
        answered with a Protocol-Reject.

        :raises RemoteProtocolError: it does not decode.
        """
        ncp = self._ncps.get(protocol)
        if protocol == protocols.CCP and ncp is None:
            self._note_ccp(payload)
        if protocol == protocols.IPCP and payload[:1] == b"\x01" and self._no_address is not None:
            return self._refuse_address(self._no_address, now)
        if ncp is not None:
            ncp.receive(decode_packet(protocol, payload), now)
        elif protocol == protocols.IPCP:
            self._wire.drop("IPCP packet before encryption was agreed on")
        else:
            return False
        return True

    def _note_ccp(self, payload: bytes) -> None:
        packet = decode_packet(protocols.CCP, payload)
        if not isinstance(packet, Configure) or packet.code != Code.CONFIGURE_REQUEST:
            return
        if packet.options not in self._ccp_told and len(self._ccp_told) < _MOST_CCP:
            self._ccp_told.add(packet.options)
            self._wire.tell(CcpDemanded(packet.options))

    @property
    def _no_address(self) -> NoAddress | None:
        """How a server is to say that it has no address, where IPCP itself is not to say it."""
        given = self._assignment
        if isinstance(given, NoAddress) and given.how is not AddressRefusal.REJECT_OPTION:
            return given
        return None

    def _refuse_address(self, refusal: NoAddress, now: float) -> bool:
        if refusal.how is AddressRefusal.TERMINATE:
            self._terminate(now, refusal.message)
        return refusal.how is not AddressRefusal.PROTOCOL_REJECT

    def rejected(self, protocol: int, now: float) -> bool:
        """The peer does not speak ``protocol``; False: it is none of these."""
        ncp = self._ncps.get(protocol)
        if ncp is None:
            return False
        client = isinstance(self._config, ClientConfig)
        if protocol == protocols.IPCP and client and not ncp.opened:
            self._wire.tell(AddressRefused("protocol-rejected"))
        ncp.protocol_rejected(now)
        return True

    # What the automata say

    def upcall(self, ncp: ControlProtocol, notice: Upcall, now: float) -> bool:
        """True: IP may flow from now on."""
        if self._ncps.get(ncp.protocol) is not ncp:
            return False
        if ncp.protocol == protocols.CCP:
            self._terminate(now, b"MPPE required but peer negotiation failed")
        elif notice is Upcall.UP:
            if ncp.protocol == protocols.IPCP:
                return self._ipcp_up(ncp, now)
            self._wire.tell(ipv6cp_result(ncp.our_options))
        elif notice is Upcall.FINISHED and not any(n.opened for n in self._ncps.values()):
            others = [n for n in self._ncps.values() if n is not ncp and n.state >= 6]
            if not others:
                self._terminate(now, b"No network protocols running")
        return False

    def _ipcp_up(self, ncp: ControlProtocol, now: float) -> bool:
        client = isinstance(self._config, ClientConfig)
        result = ipcp_result(client, ncp.our_options, ncp.peer_options)
        self._wire.tell(result)
        if isinstance(result, AddressRefused):
            self._terminate(now, b"No IP address was assigned")
            return False
        return True


def _ncp_of(version: Literal[4, 6]) -> int:
    return protocols.IPCP if version == 4 else protocols.IPV6CP

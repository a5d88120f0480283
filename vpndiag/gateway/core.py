"""The gateway, sans-IO: datagrams and the time in, datagrams and the next deadline out.

Several clients at once, also behind one NAT: IKE SAs are told apart by their cookies, ESP by SPI,
L2TP tunnels by the SAs that they came in and by tunnel ID. Whoever sends nothing for a while, or
is one too many, is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict

from vpndiag.gateway import oddities
from vpndiag.gateway.association import Association
from vpndiag.gateway.config import IKE_PORT, L2TP_PORT, NATT_PORT, GatewayConfig
from vpndiag.gateway.lns import Carrier, Lns
from vpndiag.gateway.path import Path
from vpndiag.gateway.site import Address, Outgoing, RandomBytes, Site
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.esp.sa import read_header
from vpndiag.protocols.esp.udp import Kind, demultiplex
from vpndiag.protocols.l2tp.constants import AvpType
from vpndiag.protocols.l2tp.message import ControlMessage, decode, peek_tunnel_id
from vpndiag.records import record

_HEADER = 28
_MAX_TUNNELS = 4
"""Per client and carrier."""


@record(slots=True)
class _Clear:
    """A client that speaks L2TP outside of IPsec."""

    site: Site
    remote: Address

    def hang_up(self, now: float) -> None:
        """There are no SAs."""

    def send_l2tp(self, datagram: bytes) -> None:
        self.site.send(L2TP_PORT, self.remote, datagram)


class Gateway:
    """``random_bytes`` gives keys, cookies and identifiers: the same bytes and datagrams give the
    same answers."""

    def __init__(self, config: GatewayConfig, random_bytes: RandomBytes) -> None:
        self.config = config
        self._site = Site(config, random_bytes)
        self._path = Path(config.faults, self._site)
        self._associations: OrderedDict[bytes, Association] = OrderedDict()
        self._tunnels: dict[int, Lns] = {}
        self._plain: OrderedDict[Address, _Clear] = OrderedDict()

    # --- the owner's side -----------------------------------------------------------------------

    @property
    def clients(self) -> int:
        """IKE SAs and clients without IPsec."""
        return len(self._associations) + len(self._plain)

    @property
    def tunnels(self) -> int:
        return len(self._tunnels)

    def receive(self, port: int, data: bytes, source: Address, now: float) -> None:
        """A datagram to our ``port``, by its standard number. Never raises."""
        if not self._path.comes_in(port, data):
            return
        if port == IKE_PORT:
            self._receive_ike(data, False, source, now)
        elif port == NATT_PORT:
            found = demultiplex(data)
            if found.kind is Kind.IKE:
                self._receive_ike(found.body, True, source, now)
            elif found.kind is Kind.ESP:
                self._receive_esp(found.body, source, now)
        elif port == L2TP_PORT and self.config.plain_l2tp:
            self._receive_clear(data, source, now)

    def packets_to_send(self, now: float) -> list[Outgoing]:
        """Everything that is to be sent now, in order."""
        out, self._site.out = self._site.out, []
        return [kept for packet in out for kept in self._path.goes_out(packet)]

    def get_timer(self) -> float | None:
        """When to call :meth:`handle_timer`."""
        times = [a.get_timer() for a in self._associations.values()]
        times += [t.get_timer() for t in self._tunnels.values()]
        if self._associations:
            oldest = min(a.heard for a in self._associations.values())
            times.append(oldest + self.config.idle_seconds)
        return min((t for t in times if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for association in list(self._associations.values()):
            association.handle_timer(now)
            if now >= association.heard + self.config.idle_seconds:
                association.hang_up(now)
        for tunnel in list(self._tunnels.values()):
            due = tunnel.get_timer()
            if due is not None and due <= now:
                tunnel.handle_timer(now)
        self._tidy(now)

    # --- IKE and ESP ----------------------------------------------------------------------------

    def _receive_ike(self, message: bytes, natt: bool, source: Address, now: float) -> None:
        if len(message) < _HEADER:
            return
        known = self._associations.get(message[:8])
        if known is None:
            if oddities.answer(self._site, message, natt, source):
                return
            if message[8:16] != bytes(8):
                return  # of an SA that is gone
            renewal = self._renews(source)
            if renewal and self.config.faults.renewal == "ike-ignored":
                return
            refused = renewal and self.config.faults.renewal == "ike-refused"
            known = Association(self._site, source, self._deliver, now, refused=refused)
            known.receive_ike(message, natt, source, now)
            if known.alive:
                self._make_room(now)
                self._associations[message[:8]] = known
            return
        known.receive_ike(message, natt, source, now)
        if known.initial_contact:
            known.initial_contact = False
            self._drop_others(known)
        self._tidy(now)

    def _renews(self, source: Address) -> bool:
        """A new IKE SA of a client whose session is up."""
        return any(a.remote == source and a.pairs for a in self._associations.values())

    def _make_room(self, now: float) -> None:
        while len(self._associations) >= self.config.max_clients:
            half_open = [c for c, a in self._associations.items() if not a.established]
            cookie = half_open[0] if half_open else next(iter(self._associations))
            gone = self._associations.pop(cookie)
            gone.hang_up(now)
        self._tidy(now)

    def _drop_others(self, new: Association) -> None:
        """INITIAL-CONTACT (RFC 2407 section 4.6.3.3): older SAs with this client are stale. A
        client is an address and port here, since several may share a NAT."""
        for cookie, other in list(self._associations.items()):
            if other is not new and other.established and other.remote == new.remote:
                del self._associations[cookie]
                other.pairs.clear()

    def _receive_esp(self, packet: bytes, source: Address, now: float) -> None:
        spi = read_header(packet).spi
        for association in self._associations.values():
            if spi in association.pairs:
                association.receive_esp(packet, source, now)
                if self._site.leaving:
                    self._site.leaving = False
                    association.ike.delete(now)
                    association.pump(now)
                self._tidy(now)
                return

    # --- L2TP -----------------------------------------------------------------------------------

    def _receive_clear(self, data: bytes, source: Address, now: float) -> None:
        carrier = self._plain.get(source)
        if carrier is None:
            if len(self._plain) >= self.config.max_clients:
                self._plain.popitem(last=False)
            carrier = self._plain[source] = _Clear(self._site, source)
        self._deliver(carrier, data, now)
        self._tidy(now)

    def _deliver(self, carrier: Carrier, datagram: bytes, now: float) -> None:
        """An L2TP datagram to the tunnel that it belongs to, or to a new one."""
        if self._site.faults.l2tp_v3:
            # SCCRQ of L2TPv3: a ZLB with a 32-bit connection ID (RFC 3931 section 3.2.1).
            carrier.send_l2tp(b"\xc8\x03\x00\x0c" + self._site.random(4) + bytes(4))
            return
        number = peek_tunnel_id(datagram)
        if number is None:
            return
        if number:
            tunnel = self._tunnels.get(number)
            if tunnel is not None and self._same_client(tunnel.carrier, carrier):
                tunnel.carrier = carrier
                tunnel.receive(datagram, now)
            return
        mine = [t for t in self._tunnels.values() if t.carrier is carrier]
        assigned = _assigned_id(datagram)
        for tunnel in mine:
            if tunnel.key == (carrier, assigned):
                tunnel.receive(datagram, now)
                return
        if len(mine) >= _MAX_TUNNELS:
            return
        tunnel = Lns(self._site, carrier, self._site.random)
        if tunnel.tunnel.local_id in self._tunnels:
            return  # the client will ask again, and the ID be another one
        tunnel.key = (carrier, assigned)
        tunnel.receive(datagram, now)
        if not tunnel.idle and not tunnel.closed:
            self._tunnels[tunnel.tunnel.local_id] = tunnel

    @staticmethod
    def _same_client(one: Carrier, other: Carrier) -> bool:
        """A client that renews its SAs keeps its tunnel."""
        if one is other:
            return True
        return (
            isinstance(one, Association)
            and isinstance(other, Association)
            and one.remote[0] == other.remote[0]
        )

    # --- tidying up -----------------------------------------------------------------------------

    def _tidy(self, now: float) -> None:
        for cookie, association in list(self._associations.items()):
            if not association.alive:
                del self._associations[cookie]
        living = {id(a) for a in self._associations.values()}
        for number, tunnel in list(self._tunnels.items()):
            carrier = tunnel.carrier
            cut_off = isinstance(carrier, Association) and (
                id(carrier) not in living or not carrier.pairs
            )
            if tunnel.closed or cut_off:
                tunnel.close(now)
                del self._tunnels[number]
        for address, clear in list(self._plain.items()):
            if not any(t.carrier is clear for t in self._tunnels.values()):
                del self._plain[address]


def _assigned_id(datagram: bytes) -> int:
    """The Assigned Tunnel ID of an SCCRQ; 0 when it has none."""
    try:
        message = decode(datagram)
    except ProtocolError:
        return 0
    if not isinstance(message, ControlMessage):
        return 0
    return message.number(AvpType.ASSIGNED_TUNNEL_ID) or 0


__all__ = ["Gateway", "Outgoing"]

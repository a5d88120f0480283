"""The option policies of IPCP, IPV6CP and CCP: what each side asks for, and how it answers."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from ipaddress import IPv4Address

from vpndiag.protocols.ppp import ccp_options, ipcp_options, ipv6cp_options
from vpndiag.protocols.ppp.auth import RandomBytes
from vpndiag.protocols.ppp.control_terms import Answer, answer
from vpndiag.protocols.ppp.options import Option, Options, find
from vpndiag.protocols.ppp.packet import Code
from vpndiag.records import record


class AddressRefusal(Enum):
    """How a server says that there is no address."""

    REJECT_OPTION = "reject-option"
    PROTOCOL_REJECT = "protocol-reject"
    TERMINATE = "terminate"
    SILENT = "silent"


@record(frozen=True, slots=True)
class NoAddress:
    how: AddressRefusal = AddressRefusal.REJECT_OPTION
    message: bytes = b""


@record(frozen=True, slots=True)
class Assignment:
    """What a server gives a client. A None in ``dns`` or ``nbns``: that option is rejected."""

    address: IPv4Address
    server_address: IPv4Address
    dns: tuple[IPv4Address | None, IPv4Address | None] = (None, None)
    nbns: tuple[IPv4Address | None, IPv4Address | None] = (None, None)


class IpcpClientPolicy:
    """Asks for an address and name servers; takes what it is given."""

    def __init__(self, address: IPv4Address | None) -> None:
        self._start = {
            ipcp_options.IP_ADDRESS: address or ipcp_options.UNSPECIFIED,
            ipcp_options.PRIMARY_DNS: ipcp_options.UNSPECIFIED,
            ipcp_options.SECONDARY_DNS: ipcp_options.UNSPECIFIED,
        }
        self._wanted = dict(self._start)

    def reset(self) -> None:
        self._wanted = dict(self._start)

    def request(self) -> Options:
        return tuple(ipcp_options.address(kind, value) for kind, value in self._wanted.items())

    def naked(self, options: Options) -> None:
        for option in options:
            value = ipcp_options.read_address(option)
            if option.type in self._wanted and value is not None:
                self._wanted[option.type] = value

    def rejected(self, options: Options) -> None:
        for option in options:
            self._wanted.pop(option.type, None)

    def judge(self, options: Options, exhausted: bool) -> Answer:
        rejects = [
            option
            for option in options
            if option.type != ipcp_options.IP_ADDRESS
            or ipcp_options.read_address(option) in (None, ipcp_options.UNSPECIFIED)
        ]
        return answer(options, [], rejects)


class IpcpServerPolicy:
    """Gives out one :class:`Assignment`, or none."""

    def __init__(self, assignment: Assignment | NoAddress) -> None:
        self._give = assignment
        self._own_address = True
        self._asked_for_address = False

    def reset(self) -> None:
        self._own_address = True
        self._asked_for_address = False

    def request(self) -> Options:
        if isinstance(self._give, NoAddress) or not self._own_address:
            return ()
        return (ipcp_options.address(ipcp_options.IP_ADDRESS, self._give.server_address),)

    def naked(self, options: Options) -> None:
        """Our address is not the client's to choose."""

    def rejected(self, options: Options) -> None:
        self._own_address = False

    def _values(self) -> dict[int, IPv4Address | None]:
        if isinstance(self._give, NoAddress):
            return {}
        return {
            ipcp_options.IP_ADDRESS: self._give.address,
            ipcp_options.PRIMARY_DNS: self._give.dns[0],
            ipcp_options.SECONDARY_DNS: self._give.dns[1],
            ipcp_options.PRIMARY_NBNS: self._give.nbns[0],
            ipcp_options.SECONDARY_NBNS: self._give.nbns[1],
        }

    def judge(self, options: Options, exhausted: bool) -> Answer:
        values = self._values()
        naks: list[Option] = []
        rejects: list[Option] = []
        for option in options:
            value = values.get(option.type)
            if value is None or len(option.data) != 4:
                rejects.append(option)
            elif ipcp_options.address(option.type, value) != option:
                (rejects if exhausted else naks).append(ipcp_options.address(option.type, value))
        if exhausted and rejects:
            rejects = [option for option in options if option.type in {r.type for r in rejects}]
        given = values.get(ipcp_options.IP_ADDRESS)
        absent = find(options, ipcp_options.IP_ADDRESS) is None
        if given is not None and absent and not self._asked_for_address:
            self._asked_for_address = True
            naks.append(ipcp_options.address(ipcp_options.IP_ADDRESS, given))
        return answer(options, naks, rejects)


class Ipv6cpPolicy:
    """An interface identifier for each side (RFC 5072 section 4.1)."""

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random = random_bytes
        self.identifier = bytes(8)
        self._rejected = False

    def _new(self) -> bytes:
        value = bytearray(self._random(8))
        value[0] &= 0xFD  # not globally unique
        value[7] |= 1  # not zero
        return bytes(value)

    def reset(self) -> None:
        self.identifier = self._new()
        self._rejected = False

    def request(self) -> Options:
        return () if self._rejected else (ipv6cp_options.interface_id(self.identifier),)

    def naked(self, options: Options) -> None:
        option = find(options, ipv6cp_options.INTERFACE_ID)
        if option is not None:
            good = len(option.data) == 8 and any(option.data)
            self.identifier = option.data if good else self._new()

    def rejected(self, options: Options) -> None:
        self._rejected = True

    def judge(self, options: Options, exhausted: bool) -> Answer:
        naks: list[Option] = []
        rejects: list[Option] = []
        for option in options:
            if option.type != ipv6cp_options.INTERFACE_ID or len(option.data) != 8:
                rejects.append(option)
            elif not any(option.data) or option.data == self.identifier:
                if exhausted:
                    rejects.append(option)
                else:
                    naks.append(ipv6cp_options.interface_id(self._new()))
        return answer(options, naks, rejects)


@record(slots=True)
class CcpDemandPolicy:
    """A server that demands MPPE. The answers of a client that has it are never reached here: no
    payload is ever encrypted, the demand is all there is."""

    bits: int = ccp_options.MPPE_128 | ccp_options.MPPE_STATELESS
    refused: bool = field(default=False, init=False)

    def reset(self) -> None:
        self.refused = False

    def request(self) -> Options:
        return () if self.refused else (ccp_options.mppe(self.bits),)

    def naked(self, options: Options) -> None:
        option = find(options, ccp_options.MPPE)
        if option is None or not ccp_options.demands_encryption(option):
            self.refused = True

    def rejected(self, options: Options) -> None:
        self.refused = True

    def judge(self, options: Options, exhausted: bool) -> Answer:
        wanted = ccp_options.mppe(self.bits)
        rejects = [option for option in options if option.type != ccp_options.MPPE]
        if rejects:
            return Code.CONFIGURE_REJECT, tuple(rejects)
        if not options or (options[0] != wanted and not exhausted):
            return Code.CONFIGURE_NAK, (wanted,)
        return answer(options, [], [option for option in options if option != wanted])

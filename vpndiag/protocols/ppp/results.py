"""What the agreed options of a network control protocol mean, as an event."""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.protocols.ppp import ipcp_options, ipv6cp_options
from vpndiag.protocols.ppp.events import AddressRefused, IpcpUp, Ipv6cpUp
from vpndiag.protocols.ppp.options import Options, find


def _addresses(options: Options) -> dict[int, IPv4Address | None]:
    return {option.type: ipcp_options.read_address(option) for option in options}


def _specified(values: dict[int, IPv4Address | None], *kinds: int) -> tuple[IPv4Address, ...]:
    found = (values.get(kind) for kind in kinds)
    return tuple(v for v in found if v is not None and v != ipcp_options.UNSPECIFIED)


def ipcp_result(client: bool, ours: Options, theirs: Options) -> IpcpUp | AddressRefused:
    """IPCP has opened with these options; a client without an address has not got through."""
    own, peer = _addresses(ours), _addresses(theirs)
    address = own.get(ipcp_options.IP_ADDRESS)
    if client and address is None:
        return AddressRefused("rejected")
    if client and address == ipcp_options.UNSPECIFIED:
        return AddressRefused("unspecified")
    asked = own if client else peer
    return IpcpUp(
        address,
        peer.get(ipcp_options.IP_ADDRESS),
        _specified(asked, ipcp_options.PRIMARY_DNS, ipcp_options.SECONDARY_DNS),
        _specified(asked, ipcp_options.PRIMARY_NBNS, ipcp_options.SECONDARY_NBNS),
    )


def ipv6cp_result(ours: Options) -> Ipv6cpUp:
    """IPV6CP has opened; these options of ours were acknowledged."""
    own = find(ours, ipv6cp_options.INTERFACE_ID)
    return Ipv6cpUp(own.data if own else None)

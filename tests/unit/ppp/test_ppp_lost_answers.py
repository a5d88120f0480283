"""What lost packets must not be taken for."""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.protocols.ppp import ipcp_options, protocols
from vpndiag.protocols.ppp.config import Assignment
from vpndiag.protocols.ppp.control import ControlProtocol, ControlTimers
from vpndiag.protocols.ppp.negotiation import IpcpServerPolicy
from vpndiag.protocols.ppp.packet import Code, Configure


def test_a_request_repeated_since_our_nak_was_lost_is_not_another_failure_to_agree() -> None:
    """Max-Failure (RFC 1661 section 4.6) counts disagreements, not lost packets: the server goes
    on with Naks, and does not turn to rejecting the address it was about to give."""
    options = (ipcp_options.address(ipcp_options.IP_ADDRESS, IPv4Address("0.0.0.0")),)
    policy = IpcpServerPolicy(Assignment(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")))
    server = ControlProtocol(protocols.IPCP, policy, ControlTimers(max_failure=5))
    server.open(0.0)
    server.up(0.0)
    server.take_output()
    request = Configure(Code.CONFIGURE_REQUEST, 2, options)
    for n in range(12):
        server.receive(request, float(n))
        answers = [p for p in server.take_output() if isinstance(p, Configure)]
        assert answers[-1].code == Code.CONFIGURE_NAK

"""Round trips that are longer than the restart timer."""

from __future__ import annotations

from ipaddress import IPv4Address

from vpndiag.protocols.ppp import ipcp_options, protocols
from vpndiag.protocols.ppp.control import ControlProtocol
from vpndiag.protocols.ppp.control_terms import Answer, ControlTimers, StuckNotice
from vpndiag.protocols.ppp.options import Options
from vpndiag.protocols.ppp.packet import Code, Configure
from vpndiag.tunnel.options import TunnelOptions
from vpndiag.tunnel.ppp_settings import ppp_settings


class AgreesToAll:
    """A side with no wishes of its own."""

    def reset(self) -> None: ...

    def request(self) -> Options:
        return ()

    def judge(self, options: Options, exhausted: bool) -> Answer:
        return Code.CONFIGURE_ACK, options

    def naked(self, options: Options) -> None: ...

    def rejected(self, options: Options) -> None: ...


def client(timers: ControlTimers) -> ControlProtocol:
    control = ControlProtocol(protocols.IPCP, AgreesToAll(), timers)
    control.open(0.0)
    control.up(0.0)
    return control


class Pppd:
    """A peer that asks for something else each time it starts over, as pppd does with its magic
    number, and starts over for every request that comes while it is open (RFC 1661 4.1)."""

    def __init__(self) -> None:
        self.opened = self.acknowledged = False
        self.starts = 0

    def _request(self) -> Configure:
        self.starts += 1
        address = IPv4Address(0x0A000100 + self.starts)
        option = ipcp_options.address(ipcp_options.IP_ADDRESS, address)
        return Configure(Code.CONFIGURE_REQUEST, self.starts, (option,))

    def receive(self, packet: Configure) -> list[Configure]:
        if packet.code == Code.CONFIGURE_ACK:
            self.opened = packet.identifier == self.starts and self.acknowledged
            return []
        ack = Configure(Code.CONFIGURE_ACK, packet.identifier, packet.options)
        begin = self.opened or not self.starts
        self.opened, self.acknowledged = False, True
        return [self._request(), ack] if begin else [ack]


def talk(control: ControlProtocol, peer: Pppd, one_way: float, until: float) -> None:
    """Both on a virtual clock of hundredths of a second; after five a late copy of the client's
    first request gets to the peer."""
    to_peer: list[tuple[float, Configure]] = []
    to_us: list[tuple[float, Configure]] = []
    for step in range(int(until * 100)):
        now = step / 100
        timer = control.get_timer()
        if timer is not None and timer <= now:
            control.handle_timer(now)
        for due, packet in [p for p in to_us if p[0] <= now]:
            to_us.remove((due, packet))
            control.receive(packet, now)
        if step == 500:
            to_peer.append((now, Configure(Code.CONFIGURE_REQUEST, 1, ())))
        out = [p for p in control.take_output() if isinstance(p, Configure)]
        to_peer += [(now + one_way, p) for p in out]
        for due, packet in [p for p in to_peer if p[0] <= now]:
            to_peer.remove((due, packet))
            to_us += [(now + one_way, answer) for answer in peer.receive(packet)]


def test_repeats_that_come_too_early_do_not_start_a_peer_over_for_ever() -> None:
    control, peer = client(ControlTimers(restart=0.7)), Pppd()
    talk(control, peer, one_way=0.6, until=30)
    assert control.opened and peer.opened
    assert 2 <= peer.starts <= 4


def test_a_peer_that_starts_over_again_and_again_is_given_up() -> None:
    control = client(ControlTimers(max_starts=12))
    stuck: list[object] = []
    for n in range(1, 48):
        option = ipcp_options.address(ipcp_options.IP_ADDRESS, IPv4Address(0x0A000100 + n))
        control.receive(Configure(Code.CONFIGURE_REQUEST, n, (option,)), float(n))
        asked = [p for p in control.take_output() if p.code == Code.CONFIGURE_REQUEST]
        for packet in asked:
            assert isinstance(packet, Configure)
            ack = Configure(Code.CONFIGURE_ACK, packet.identifier, packet.options)
            control.receive(ack, float(n))
        assert control.opened or n > 12
        stuck += [x for x in control.take_notices() if isinstance(x, StuckNotice)]
    assert len(stuck) == 1
    assert not control.opened


def test_what_l2tp_took_is_what_ppp_waits_for() -> None:
    options = TunnelOptions(gateway="198.51.100.1", local="192.0.2.1", user="alice")
    quick, slow = (ppp_settings(options, False, trip) for trip in (0.02, 1.2))
    assert quick is not None and slow is not None
    assert quick.timers.control.restart == 0.7
    assert slow.timers.control.restart > 1.2 and slow.timers.auth.response > 1.2
    endless = ppp_settings(options, False, 60.0)
    assert endless is not None and endless.timers.control.restart == 3.0

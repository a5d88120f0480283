"""One L2TP tunnel of a client, with the PPP links in it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Protocol

from vpndiag.gateway.config import GatewayConfig
from vpndiag.gateway.site import Site
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.l2tp.config import (
    Accept,
    CallRequest,
    Decision,
    L2tpConfig,
    Role,
    TunnelRequest,
)
from vpndiag.protocols.l2tp.reliable import RetransmitConfig
from vpndiag.protocols.l2tp.states import TunnelState
from vpndiag.protocols.l2tp.tunnel import L2tpTunnel
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp import protocols
from vpndiag.protocols.ppp.auth import AuthMethod, AuthTimers
from vpndiag.protocols.ppp.auth_server import CheckPassword, LoginAnswer, Refuse, StaySilent
from vpndiag.protocols.ppp.config import (
    AddressRefusal,
    Assignment,
    Conduct,
    NoAddress,
    Point,
    ServerConfig,
    ServerPolicy,
    Timers,
)
from vpndiag.protocols.ppp.control_terms import ControlTimers
from vpndiag.protocols.ppp.events import Phase
from vpndiag.protocols.ppp.frame import decode_frame, encode_frame
from vpndiag.protocols.ppp.link import PppLink

CDN_CARRIER_LOST, CDN_ADMINISTRATIVE, CDN_NO_FACILITIES = 1, 3, 4
STOPCCN_SHUTDOWN = 6
IDLE = b"Idle timeout"
_LEAVE_AFTER = 3
"""Packets of a client's data, before a gateway that is to leave at once does so."""
NO_ADDRESS = b"No free IP address in the pool"
PPP_TIMERS = Timers(
    control=ControlTimers(restart=0.8, max_configure=25, max_terminate=3, max_rounds=80),
    auth=AuthTimers(request=1.0, response=1.0, tries=30),
    refusal_grace=20.0,
)


class Carrier(Protocol):
    """How a tunnel's datagrams get to the client."""

    def send_l2tp(self, datagram: bytes) -> None: ...

    def hang_up(self, now: float) -> None: ...


class Policy(ServerPolicy):
    """The accounts, the pool and the faults of one link."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.address: IPv4Address | None = None
        self.asked = False
        """A login was judged."""
        self.no_address = False

    def login(self, name: bytes, method: AuthMethod) -> LoginAnswer:
        self.asked = True
        faults, config = self._site.faults, self._site.config
        if faults.hang_up == "login":
            return StaySilent()
        if faults.login_answer is not None:
            return faults.login_answer
        password = config.users.get(name.decode("utf-8", "surrogateescape"))
        if password is None:
            return Refuse(691, False, b"Access denied")
        if faults.other_passwords:
            password += " of yesterday"
        denied = Refuse(691, False, b"Access denied")
        return CheckPassword(password, denied)

    def assign(self, user: bytes) -> Assignment | NoAddress:
        site, config = self._site, self._site.config
        if site.faults.address_answer is not None:
            return site.faults.address_answer
        if config.same_address:
            self.address = None
            return Assignment(config.gateway_inside, config.gateway_inside)
        if self.address is None:
            self.address = site.pool.take()
        if self.address is None:
            self.no_address = True
            return NoAddress(AddressRefusal.TERMINATE, NO_ADDRESS)
        dns = (*config.dns, None, None)[:2]
        return Assignment(self.address, config.gateway_inside, (dns[0], dns[1]))

    def at(self, point: Point) -> Conduct:
        return self._site.faults.conduct.get(point)

    def release(self) -> None:
        if self.address is not None:
            self._site.pool.release(self.address)
            self.address = None


class Link:
    """The PPP link of one call."""

    def __init__(self, site: Site, now: float) -> None:
        self._site = site
        self.policy = Policy(site)
        config = site.config
        self.ppp = PppLink(
            "server",
            ServerConfig(
                policy=self.policy,
                auth=config.ppp_methods,
                eap_methods=config.eap_methods,
                name=config.host_name.encode(),
                mru=config.mru,
                require_mppe=config.require_mppe,
                timers=PPP_TIMERS,
            ),
            site.random,
        )
        self.up = False
        """An address is agreed."""
        self.finished = False
        self.reason = b""
        self.no_address = False
        self._extra: list[bytes] = []
        self._frames_taken = 0
        self._packets_taken = 0
        self.leaves = False
        """The whole tunnel is to be ended."""
        if site.faults.wire not in ("terminate", "loopback"):
            self.ppp.start(now)

    def receive(self, frame: bytes, now: float) -> None:
        wire = self._site.faults.wire
        if wire == "loopback":
            self._extra.append(frame)
            return
        if wire == "terminate":
            self._refuse_to_talk(frame)
            return
        self.ppp.receive(frame, now)
        if self._site.faults.hang_up == "login" and self.policy.asked:
            self.ppp.terminate(now)

    def _refuse_to_talk(self, frame: bytes) -> None:
        """LCP Terminate-Request without having negotiated anything, until it is acknowledged."""
        payload = frame[4:] if frame[:2] == b"\xff\x03" else frame[2:]
        self._frames_taken += 1
        if payload[:1] == b"\x06" or self._frames_taken > 20:
            self.finished = True
        else:
            self._extra.append(encode_frame(protocols.LCP, b"\x05\x01\x00\x04"))

    def frames(self, now: float) -> list[bytes]:
        """What is to be sent, and what happened on the way."""
        while (event := self.ppp.next_event()) is not None:
            match event:
                case ppp_events.IpPacket(version=4) if self._leaves():
                    self.leave(now)
                case ppp_events.IpPacket(version=4):
                    for packet in self._site.inside.answer(event.data, self.policy.address):
                        self.send_ip(packet)
                case ppp_events.IpcpUp():
                    self.up = True
                case ppp_events.Terminated(by="us"):
                    self.reason = event.message
                case ppp_events.Finished():
                    self.finished = True
        frames, self._extra = self._extra, []
        frames += self.ppp.frames_to_send(now)
        if self._site.faults.wire == "nak-for-ever":
            frames = [nak for frame in frames for nak in _always_nak(frame)]
        return frames

    def _leaves(self) -> bool:
        self._packets_taken += 1
        faults = self._site.faults
        return bool(faults.leave) and not faults.leave_after and self._packets_taken >= _LEAVE_AFTER

    def leave(self, now: float) -> None:
        """End a session that is up (``Faults.leave``)."""
        match self._site.faults.leave:
            case "lcp":
                self.ppp.terminate(now, IDLE)
            case "cdn":
                self.finished = True
            case "stopccn":
                self.leaves = True
            case "delete":
                self._site.leaving = True
            case "silence":
                self._site.deaf = True

    def send_ip(self, packet: bytes) -> None:
        with contextlib.suppress(LocalProtocolError):  # IPCP is not up
            self.ppp.send_ip(packet, 4)

    def close(self, now: float) -> None:
        """The call is gone."""
        if self.ppp.phase is not Phase.DEAD:
            self.ppp.lower_down(now)
        self.policy.release()


def _always_nak(frame: bytes) -> list[bytes]:
    """A server that is never content: its LCP Configure-Acks become Naks of the MRU, and it never
    gets further."""
    decoded = decode_frame(frame)
    if decoded.protocol != protocols.LCP:
        return []
    if decoded.payload[:1] != b"\x02":
        return [frame] if decoded.payload[:1] in (b"\x01", b"\x03", b"\x04") else []
    identifier = decoded.payload[1]
    mru = 1300 + identifier % 64
    return [
        encode_frame(protocols.LCP, bytes((3, identifier, 0, 8, 1, 4)) + mru.to_bytes(2, "big"))
    ]


class Lns:
    """One control connection. ``carrier`` may change when the client renews its SAs."""

    def __init__(self, site: Site, carrier: Carrier, pick_id: Callable[[int], bytes]) -> None:
        self._site = site
        self.carrier = carrier
        self.tunnel = L2tpTunnel(Role.LNS, _config(site.config, self._decide), pick_id)
        self.links: dict[int, Link] = {}
        self._leave_at: float | None = None
        self.key: tuple[object, int] | None = None
        """Where the SCCRQ came from, to know its repeats."""

    @property
    def closed(self) -> bool:
        return self.tunnel.state is TunnelState.CLOSED

    @property
    def idle(self) -> bool:
        """Nothing came of it."""
        return self.tunnel.state is TunnelState.IDLE

    def _decide(self, request: TunnelRequest | CallRequest) -> Decision:
        faults = self._site.faults
        answer = faults.call if isinstance(request, CallRequest) else faults.tunnel
        return answer or Accept()

    def receive(self, datagram: bytes, now: float) -> None:
        self.tunnel.receive(datagram, now)
        self.pump(now)

    def get_timer(self) -> float | None:
        times = [
            self._leave_at,
            self.tunnel.get_timer(),
            *(link.ppp.get_timer() for link in self.links.values()),
        ]
        return min((t for t in times if t is not None and t < math.inf), default=None)

    def handle_timer(self, now: float) -> None:
        due = self.tunnel.get_timer()
        if due is not None and due <= now:
            self.tunnel.handle_timer(now)
        for link in self.links.values():
            due = link.ppp.get_timer()
            if due is not None and due <= now:
                link.ppp.handle_timer(now)
        if self._leave_at is not None and now >= self._leave_at:
            self._leave_at = math.inf
            for link in self.links.values():
                link.leave(now)
            if self._site.leaving:
                self._site.leaving = False
                self.carrier.hang_up(now)
        self.pump(now)

    def pump(self, now: float) -> None:
        """Let what happened take effect, and send."""
        for _ in range(64):
            busy = self._take_events(now)
            for session_id, link in list(self.links.items()):
                if link.up and self._leave_at is None and self._site.faults.leave_after:
                    self._leave_at = now + self._site.faults.leave_after
                for frame in link.frames(now):
                    busy = True
                    try:
                        self.tunnel.send_ppp(session_id, frame, now)
                    except LocalProtocolError:
                        break
                if link.leaves:
                    self.tunnel.close(now, STOPCCN_SHUTDOWN)
                if link.finished:
                    busy = True
                    self._hang_up(session_id, link, now)
            for datagram in self.tunnel.datagrams_to_send(now):
                busy = True
                self.carrier.send_l2tp(datagram)
            if not busy:
                return

    def _take_events(self, now: float) -> bool:
        busy = False
        while (event := self.tunnel.next_event()) is not None:
            match event:
                case l2tp_events.SessionEstablished():
                    busy = True
                    if self._site.faults.hang_up == "call":
                        self.tunnel.close_session(
                            event.session_id, CDN_ADMINISTRATIVE, None, b"", now
                        )
                    else:
                        self.links[event.session_id] = Link(self._site, now)
                case l2tp_events.PppFrame():
                    busy = True
                    link = self.links.get(event.session_id)
                    if link is not None:
                        link.receive(event.data, now)
                case l2tp_events.SessionClosed():
                    busy = True
                    gone = self.links.pop(event.session_id, None)
                    if gone is not None:
                        gone.close(now)
        return busy

    def _hang_up(self, session_id: int, link: Link, now: float) -> None:
        """The link is over: so is the call. The reason goes along, since LCP's may be lost."""
        result = CDN_NO_FACILITIES if link.policy.no_address else CDN_CARRIER_LOST
        error = 0 if link.reason else None
        self.tunnel.close_session(session_id, result, error, link.reason, now)

    def close(self, now: float) -> None:
        """Without a word: the way to the client is gone."""
        for link in self.links.values():
            link.close(now)
        self.links.clear()


def _config(
    config: GatewayConfig, policy: Callable[[TunnelRequest | CallRequest], Decision]
) -> L2tpConfig:
    return L2tpConfig(
        host_name=config.host_name.encode(),
        vendor_name=config.vendor_name.encode(),
        firmware=0x0100,
        secret=config.l2tp_secret,
        challenge=config.l2tp_secret is not None,
        require_secret=config.l2tp_secret is not None,
        retransmit=RetransmitConfig(first=0.7, cap=1.0, tries=20),
        hello_interval=60.0,
        policy=policy,
    )

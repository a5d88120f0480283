"""One application inside: connect, ask the first question, and tell how it fails."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from vpndiag.observations.inside import InsideApp
from vpndiag.probes.inside.check import Check, Link
from vpndiag.probes.inside.exchange import App, Exchange, Tls, certificate_facts, exchange_for
from vpndiag.probes.inside.tcp import TcpClient
from vpndiag.protocols.inner.ip import IcmpFault, IpPacket
from vpndiag.report.text import visible

ANSWER_SECONDS = 3.0
"""Without any progress of the answer, before it counts as stalled."""

_Outcome = Literal[
    "connected", "answered", "refused", "silent", "reset", "closed", "stalled", "unreachable",
    "unexpected", "no-address", "interrupted",
]  # fmt: skip


class AppCheck(Check):
    """``host`` may be a name: then :meth:`resolved` or :meth:`unresolved` must be called."""

    def __init__(self, link: Link, app: App) -> None:
        super().__init__(link)
        self.app = app
        self._tcp: TcpClient | None = None
        self._exchange: Exchange | None = None
        self._address: IPv4Address | None = None
        self._now = 0.0
        self._asked: float | None = None
        self._progress: float | None = None
        """When the answer last grew, or when the request was sent."""
        self._seen = 0

    def start(self, now: float) -> None:
        self._now = now

    def resolved(self, address: IPv4Address, now: float) -> None:
        """The host's address: connect."""
        if self._tcp is not None or self.done:
            return
        self._address = address
        self._tcp = TcpClient(self.link, address, self.app.port)
        self._tcp.open(now)

    def unresolved(self, now: float) -> None:
        """No server knows an address of the host."""
        if self._tcp is None and not self.done:
            self._now = now
            self._conclude("no-address")

    @property
    def unanswered(self) -> IPv4Address | None:
        """The address whose answer to repeated connection requests is still missing."""
        tcp = self._tcp
        if self.done or tcp is None or tcp.established or tcp.end or not tcp.retransmissions:
            return None
        return self._address

    def receive(self, packet: IpPacket, now: float) -> None:
        if self._tcp is not None and not self.done:
            self._tcp.receive(packet, now)
            self._advance(now)

    def fault(self, fault: IcmpFault, now: float) -> None:
        if self._tcp is not None and not self.done:
            self._tcp.fault(fault, now)
            self._advance(now)

    @property
    def _patience(self) -> float:
        return ANSWER_SECONDS * (4 if self.link.lossy else 1)

    def get_timer(self) -> float | None:
        if self.done or self._tcp is None:
            return None
        timers = [self._tcp.get_timer()]
        if self._progress is not None:
            timers.append(self._progress + self._patience)
        return min((t for t in timers if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        if self.done or self._tcp is None:
            return
        self._tcp.handle_timer(now)
        self._advance(now)
        if self.done or self._progress is None:
            return
        if now >= self._progress + self._patience:
            self._conclude("reset" if self._tcp.doubtful_reset else "stalled")

    def finish(self, now: float) -> None:
        self._now = now
        if not self.done:
            self._conclude("interrupted")

    def packets(self) -> list[bytes]:
        return self._tcp.packets() if self._tcp is not None else []

    # --- the exchange ----------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        tcp = self._tcp
        assert tcp is not None
        self._now = now
        if tcp.established and self._asked is None and not tcp.end:
            self._asked = now
            self._exchange = exchange_for(self.app, self.link.random)
            if self._exchange is None:
                self._conclude("connected")
                return
            self._progress = now
            tcp.request(self._exchange.outgoing(), now)
        if self._exchange is not None and len(tcp.answer) > self._seen:
            self._seen = len(tcp.answer)
            self._progress = now
            state = self._exchange.feed(bytes(tcp.answer))
            if state != "more":
                self._conclude("answered" if state == "answered" else "unexpected")
                return
            if more := self._exchange.outgoing():
                tcp.request(more, now)
        if tcp.end:
            outcomes: dict[str, _Outcome] = {"lost": "stalled", "refused": "refused",
                "silent": "silent", "reset": "reset", "unreachable": "unreachable"}  # fmt: skip
            self._conclude(outcomes[tcp.end])
        elif tcp.peer_closed:
            self._conclude("closed")

    def _conclude(self, outcome: _Outcome) -> None:
        self.done = True
        tcp, exchange = self._tcp, self._exchange
        end = tcp.end if tcp is not None else ""
        if tcp is not None:
            tcp.abort()
        facts = None
        if isinstance(exchange, Tls) and exchange.certificate is not None:
            facts = certificate_facts(exchange.certificate, self.app.host, self.link.verify_time)
        detail = exchange.detail if exchange is not None else ""
        if tcp is not None and end == "unreachable":
            detail = tcp.what
        answered = outcome in ("answered", "unexpected") and self._asked is not None
        self.link.emit(
            InsideApp(
                t=self.link.t(self._now),
                app=visible(self.app.text, 120),
                host=visible(self.app.host, 120),
                address=str(self._address or ""),
                port=self.app.port,
                protocol=self.app.protocol,
                outcome=outcome,
                connect_seconds=_rounded(tcp.connect_seconds) if tcp is not None else None,
                answer_seconds=_rounded(self._now - (self._asked or 0.0)) if answered else None,
                retransmissions=tcp.retransmissions if tcp is not None else 0,
                mss=tcp.mss if tcp is not None else None,
                received=len(tcp.answer) if tcp is not None else 0,
                gap=tcp.gap if tcp is not None else False,
                detail=visible(detail, 120),
                reporter=tcp.reporter if tcp is not None else "",
                certificate_names=facts.names if facts else (),
                certificate_not_after=facts.not_after if facts else "",
                certificate_expired=facts.expired if facts else None,
                certificate_matches=facts.matches if facts else None,
            )
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)

"""Questions that rules ask of one session's observations.

A :class:`View` only sorts and counts; every judgement is in the layer files. It never looks at
anything but the observations, so a report read back from a file is judged like a live run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from vpndiag.diagnosis import renewals, unrecorded
from vpndiag.diagnosis.ike_sa import IkeSa
from vpndiag.diagnosis.once import once
from vpndiag.diagnosis.renewals import Renewal
from vpndiag.diagnosis.silence import Unanswered
from vpndiag.diagnosis.sorting import by_key, last_of
from vpndiag.observations import (
    CertificateSeen,
    ControlCheck,
    DataFlow,
    Direction,
    Ended,
    EspFlow,
    FragmentsLost,
    IcmpError,
    IkeEstablished,
    IkeMessage,
    IpsecSa,
    L2tpMessage,
    LargeLost,
    LocalEnd,
    NameAnswer,
    Observation,
    OtherTraffic,
    PathTrace,
    PppMessage,
    Rekey,
    Scope,
    SendError,
    ServerProof,
    Soak,
)
from vpndiag.observations.goodbyes import ends

_T = TypeVar("_T", bound=Observation)
_BY_TIME, _BY_PROTOCOL = attrgetter("t"), attrgetter("protocol")
_BY_PORT, _BY_MESSAGE = attrgetter("direction", "port"), attrgetter("direction", "message")
_BY_CODE = attrgetter("protocol", "direction", "code")


_ONLY_ASKED = {"SCCRQ", "SCCCN", "StopCCN", "ZLB"}
"""What a client says in L2TP that wants no call."""
ANSWERED = 0.5
"""Seconds that an answer may take."""


class View:
    """One session's observations, sorted by kind."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self.all: Sequence[Observation] = sorted(observations, key=_BY_TIME)
        self._kinds: dict[type, list[Any]] = defaultdict(list)
        for o in self.all:
            self._kinds[type(o)].append(o)
        of, none = self._kinds.get, list[Any]()
        self.icmp: list[IcmpError] = of(IcmpError, none)
        self.controls: list[ControlCheck] = of(ControlCheck, none)
        self.send_errors: list[SendError] = of(SendError, none)
        self.other: list[OtherTraffic] = of(OtherTraffic, none)
        self.ike: list[IkeMessage] = of(IkeMessage, none)
        self.certificates: list[CertificateSeen] = of(CertificateSeen, none)
        self.established: list[IkeEstablished] = of(IkeEstablished, none)
        self.ipsec_sas: list[IpsecSa] = of(IpsecSa, none)
        self.esp: list[EspFlow] = of(EspFlow, none)
        self.data: list[DataFlow] = of(DataFlow, none)
        """Users' packets, counted."""
        self.fragments_lost: list[FragmentsLost] = of(FragmentsLost, none)
        self.large_lost: list[LargeLost] = of(LargeLost, none)
        self.rekeys: list[Rekey] = of(Rekey, none)
        self.proofs: list[ServerProof] = of(ServerProof, none)
        self.l2tp_all: list[L2tpMessage] = of(L2tpMessage, none)
        self.ppp: list[PppMessage] = of(PppMessage, none)
        scopes = self.of(Scope)
        self.scope: Scope | None = scopes[-1] if scopes else None
        """None: a capture."""
        self.live = self.scope is not None

    def of(self, kind: type[_T]) -> list[_T]:
        """In order; not to be changed."""
        return self._kinds.get(kind) or []

    @once
    def ended(self) -> Ended | None:
        found = self.of(Ended)
        return found[-1] if found else None

    @property
    def end(self) -> float:
        """Time at which the material ends."""
        if self.ended is not None:
            return self.ended.t
        return self.all[-1].t if self.all else 0.0

    @property
    def interrupted(self) -> bool:
        return self.ended is not None and self.ended.why == "interrupted"

    @property
    def running(self) -> bool:
        """The material is not complete yet: a live run in progress."""
        return self.live and self.ended is None

    @once
    def local(self) -> LocalEnd | None:
        found = self.of(LocalEnd)
        return found[-1] if found else None

    @once
    def names(self) -> list[NameAnswer]:
        """The look-ups that led to the gateway's address."""
        return [a for a in self.of(NameAnswer) if a.role == "gateway"]

    def names_beside(self, role: str) -> list[NameAnswer]:
        """What was asked beside the run: ``compared``, ``nonexistent`` or ``internal``."""
        return [a for a in self.of(NameAnswer) if a.role == role]

    @once
    def traces(self) -> dict[str, PathTrace]:
        """By what was sent: ``ike``, ``ike-natt``, ``udp``."""
        return {trace.what: trace for trace in self.of(PathTrace)}

    @once
    def carried(self) -> float | None:
        """When the first packet of users' data is seen that the gateway sent, while the client
        sends some as well: the network phase of PPP was open (RFC 1661 section 3.5)."""
        users = [d for d in self.data if d.packets > d.echoes]
        untold = [d.t for d in users if d.direction is None]
        back = [d.t for d in users if d.direction == "in"]
        if untold:
            return min(untold)
        return min(back) if back and any(d.direction == "out" for d in users) else None

    @once
    def esp_out(self) -> list[EspFlow]:
        """ESP of the client."""
        return [f for f in self.esp if f.direction == "out" and f.packets]

    @once
    def esp_back(self) -> list[EspFlow]:
        """ESP of the gateway."""
        return [f for f in self.esp if f.direction == "in" and f.packets]

    @once
    def half_inside(self) -> Direction | None:
        """The one direction of which a capture shows what is inside ESP, where ESP went both ways:
        keys of one SA were given, or its packets were recorded unwrapped."""
        if self.live or not self.esp_back:
            return None
        return unrecorded.readable(self.esp, (*self.l2tp, *self.ppp, *self.data), self.other)

    @once
    def only_ikev2(self) -> bool:
        """A capture of another kind of VPN: all its IKE is version 2."""
        return (
            not self.live
            and bool(self.ike_sas)
            and all(sa.version == 2 for sa in self.ike_sas)
            and not self.l2tp_all
        )

    @property
    def other_ipsec(self) -> bool:
        """IKEv1 of a kind that L2TP clients do not use: what travels in its ESP is not L2TP."""
        sa = self.primary
        if self.live or sa is None:
            return False
        tunnel = any(p.mode == "tunnel" for p in self.ipsec_sas)
        return sa.aggressive or tunnel or any(m.step == "CONFIG" for m in sa.messages)

    @once
    def soak(self) -> Soak | None:
        """The session was kept and measured."""
        found = self.of(Soak)
        return found[-1] if found else None

    @once
    def ike_sas(self) -> list[IkeSa]:
        """By initiator cookie, in order of their first message."""
        found: dict[str, IkeSa] = {}
        for m in self.ike:
            if m.other_source:
                continue
            sa = found.get(m.initiator_cookie)
            if sa is None:
                sa = found[m.initiator_cookie] = IkeSa(m.initiator_cookie)
            sa.messages.append(m)
        return list(found.values())

    @once
    def primary(self) -> IkeSa | None:
        """The IKE SA that the session is about: the one that went furthest beyond message 2 (later
        ones win: a retry that succeeds), else the first that the client began."""
        sas = [sa for sa in self.ike_sas if sa.version == 1]
        # In a live run aggressive mode is only ever a question asked on the side, and so it is in
        # a capture of one: main mode is tried as well, and message 3 never follows.
        asked = self.live or any(not sa.aggressive and sa.by_client for sa in sas)
        deep = [
            sa for sa in sas if sa.reached >= 3 and not (asked and sa.aggressive and sa.reached < 6)
        ]
        if deep:
            return max(enumerate(deep), key=lambda e: (min(e[1].reached, 7), e[0]))[1]
        for sa in sas:
            if sa.by_client:
                return sa
        return sas[0] if sas else None

    @once
    def others(self) -> list[IkeSa]:
        """The other attempts and probes."""
        return [sa for sa in self.ike_sas if sa is not self.primary]

    def answered(self, port: int) -> list[IkeMessage]:
        """IKE messages that came from this gateway port."""
        return [m for m in self._ports.get(("in", port), ()) if not m.other_source]

    @once
    def from_elsewhere(self) -> list[IkeMessage | L2tpMessage]:
        """Messages that came from another address or port than was asked."""
        found: list[IkeMessage | L2tpMessage] = [
            m for m in self.ike if m.direction == "in" and m.other_source
        ]
        return found + [m for m in self.l2tp_all if m.direction == "in" and m.other_source]

    def asked(self, port: int) -> list[IkeMessage]:
        """IKE messages sent to this gateway port."""
        return self._ports.get(("out", port)) or []

    @once
    def _ports(self) -> dict[tuple[Direction, int], list[IkeMessage]]:
        return by_key(self.ike, _BY_PORT)

    def gone_since(self, t: float) -> list[IkeMessage]:
        """Fresh questions to UDP 500 after ``t`` when none of them was answered: the gateway says
        nothing any more."""
        fresh = [sa for sa in self.others if sa.by_client and sa.port == 500 and sa.first.t > t]
        if any(sa.answers for sa in fresh) or any(m.t > t for m in self.answered(500)):
            return []
        return [m for sa in fresh for m in sa.messages]

    @property
    def plain(self) -> bool:
        """L2TP without IPsec is what this session is about."""
        if self.scope is not None:
            return self.scope.plain_l2tp
        return not self.ike_sas and not self.esp

    @once
    def bare(self) -> str:
        """A PPP link that was captured without what carried it, in words; empty: it is none."""
        if not self.plain or self.l2tp_all or not self.ppp:
            return ""
        carrier = self.ppp[0].session
        if carrier.startswith("PPPoE"):
            return f"PPP over Ethernet (session {carrier[6:]}), no L2TP/IPsec"
        return "a PPP link, recorded without the packets around it" if carrier == "PPP link" else ""

    @property
    def without_ipsec(self) -> str:
        """Why there is nothing to judge of IPsec, where ``plain``."""
        return self.bare or "L2TP without IPsec"

    @once
    def l2tp(self) -> list[L2tpMessage]:
        """The messages of the tunnel itself; the probe in the clear is in :attr:`clear_probe`, what
        came from elsewhere in :attr:`from_elsewhere`."""
        return [m for m in self._tunnel if not m.other_source]

    @once
    def _tunnel(self) -> list[L2tpMessage]:
        if self.plain:
            return self.l2tp_all
        inside = [m for m in self.l2tp_all if m.inside == "esp"]
        if inside or self.live:
            return inside
        clear = [m for m in self.l2tp_all if m.inside == "clear"]
        asked = {m.message for m in clear if m.direction == "out"}
        unanswered = all(m.direction == "out" for m in clear)
        before = bool(clear) and bool(self.esp) and clear[0].t < min([f.t for f in self.esp])
        if (asked <= {"SCCRQ"} and unanswered) or (asked <= _ONLY_ASKED and before):
            return []  # a question whether the gateway answers outside IPsec as well
        # A capture on the inside of IPsec shows L2TP in the clear beside ESP.
        return clear

    @once
    def clear_probe(self) -> list[L2tpMessage]:
        """L2TP in the clear beside an IPsec attempt."""
        if self.plain:
            return []
        return [m for m in self.l2tp_all if m.inside == "clear"]

    def l2tp_of(self, direction: Direction, *messages: str) -> list[L2tpMessage]:
        """In order."""
        named = self._messages
        if len(messages) == 1:
            return named.get((direction, messages[0])) or []
        found = [named[direction, name] for name in messages if (direction, name) in named]
        if len(found) > 1:
            return [m for m in self.l2tp if m.direction == direction and m.message in messages]
        return found[0] if found else []

    @once
    def _messages(self) -> dict[tuple[Direction, str], list[L2tpMessage]]:
        return by_key(self.l2tp, _BY_MESSAGE)

    def ppp_of(
        self, protocol: str, direction: Direction | None = None, *codes: str
    ) -> list[PppMessage]:
        """In order."""
        of_protocol = self._protocols.get(protocol)
        if of_protocol is None or direction is None:
            return of_protocol or []
        if len(codes) == 1:
            return self._packets.get((protocol, direction, codes[0])) or []
        return [
            m for m in of_protocol if m.direction == direction and (not codes or m.code in codes)
        ]

    @once
    def _protocols(self) -> dict[str, list[PppMessage]]:
        return by_key(self.ppp, _BY_PROTOCOL)

    @once
    def _packets(self) -> dict[tuple[str, Direction, str], list[PppMessage]]:
        return by_key(self.ppp, _BY_CODE)

    @once
    def acknowledged(self) -> dict[str, dict[Direction, float]]:
        """When each side last acknowledged a Configure-Request, by protocol of PPP."""
        found: dict[str, dict[Direction, float]] = {}
        for m in self.ppp:
            if m.code == "Configure-Ack" and not m.repeat:
                found.setdefault(m.protocol, {})[m.direction] = m.t
        return found

    @once
    def goodbyes(self) -> list[IkeMessage | L2tpMessage | PppMessage]:
        """Messages of either side that end something."""
        return [m for m in self.all if ends(m)]

    @once
    def unrecorded(self) -> list[Observation]:
        """Messages of the client that answer something which a capture lacks: its silences prove
        nothing then."""
        return [] if self.live else unrecorded.answers(self.ike, self.l2tp_all, self.ppp)

    def unanswered(self, tries: Sequence[Observation]) -> Unanswered | None:
        """``tries`` as one unanswered question, or None when there are none."""
        if not tries:
            return None
        return Unanswered(tries[0], tries[-1], len(tries), self.end - tries[0].t)

    def conclusive(self, silence: Unanswered) -> bool:
        """Whether the wait was long enough to call it silence: the run itself gave up on it, or
        it was asked again and four seconds passed (a single lost packet proves nothing)."""
        if self.interrupted or self.running:
            return False
        if self.ended is not None and self.ended.one_sided:
            return False  # the answers are not in the capture
        if isinstance(silence.last, L2tpMessage | PppMessage) and self.half_inside is not None:
            return False
        if self.ended is not None and self.ended.why == "stopped":
            once = not self.live and silence.asked_again
            often = silence.tries >= 2 and (self.live or silence.seconds >= ANSWERED)
            return often or (silence.seconds >= 4.0 and not once)
        if not self.live:
            # What is not answered is sent again: one try alone may be all that was recorded. One
            # that the capture ends with had no time to be answered.
            settled = silence.tries - (self.end - silence.last.t < ANSWERED)
            lost = unrecorded.explains(self.unrecorded, silence.first.t, silence.tries)
            return settled >= 2 and silence.seconds >= 4.0 and not lost
        return silence.seconds >= 4.0 and (silence.tries >= 2 or silence.seconds >= 10.0)

    @once
    def renewals(self) -> list[Renewal]:
        """Keys that were renewed, or were to be."""
        return renewals.renewals(self)

    @once
    def retransmissions(self) -> tuple[int, int]:
        """(messages of ours sent again and answered in the end, all messages of ours)."""
        # L2TP in the clear is asked beside the run.
        messages: list[IkeMessage | L2tpMessage] = [*self.ike, *self.l2tp]
        ours = [m.repeat for m in messages if m.direction == "out"]
        return sum(ours), len(ours)

    @once
    def last_seen(self) -> dict[Direction, float]:
        """When the last packet of each direction was seen; below zero: never."""
        last: dict[Direction, float] = {
            way: max(last_of(way, self.ike), last_of(way, self.l2tp_all), last_of(way, self.ppp))
            for way in ("out", "in")
        }
        flows: list[DataFlow | EspFlow] = [*self.data, *self.esp]
        for f in flows:
            if f.direction is not None:
                last[f.direction] = max(last[f.direction], f.last_t)
        return last

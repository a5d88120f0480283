"""The observations of one attempt: packets through the same observers as a live run's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from vpndiag.capture.attempt import SECOND, Attempt
from vpndiag.capture.certificates import certificate, judge_dates
from vpndiag.capture.children import Children
from vpndiag.capture.decrypt import IkeDecryptor
from vpndiag.capture.ending import ended
from vpndiag.capture.flow_seen import flow_seen
from vpndiag.capture.inside import inside
from vpndiag.capture.inside_log import InsideIndex
from vpndiag.capture.keys import Keys
from vpndiag.capture.material import FlowTrack, Material, hosts
from vpndiag.capture.outer_mtu import outer_mtu
from vpndiag.capture.packets import End, IcmpError, Incomplete, Message
from vpndiag.capture.ppp_sides import LCP
from vpndiag.capture.sizes import large_lost
from vpndiag.capture.sketch import Sketch
from vpndiag.capture.traces import traces
from vpndiag.observations import (
    CertificateSeen,
    DataFlow,
    EspFlow,
    FragmentsLost,
    IkeEstablished,
    IkeMessage,
    NameAnswer,
    Observation,
    OtherTraffic,
    PppMessage,
)
from vpndiag.observations import IcmpError as IcmpObservation
from vpndiag.observations.ike import CUT_SHORT
from vpndiag.observe.icmp import icmp_what
from vpndiag.observe.ike import IkeObserver
from vpndiag.observe.l2tp import L2tpObserver
from vpndiag.observe.ppp import PppObserver
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.protocols.ike.message import Message as IkeWire
from vpndiag.protocols.ike.message import decode
from vpndiag.protocols.ike.payloads import IdPayload, Payload
from vpndiag.protocols.ppp.frame import encode_frame
from vpndiag.report.text import visible

if TYPE_CHECKING:
    from vpndiag.capture.trust import Trust

MAX_OBSERVATIONS = 5_000
_BEGIN = (2, 4, 34)
"""Exchange types of an SA's first messages."""
_AGGRESSIVE = b"\x04"


class Observer:
    """Observes attempts of one capture; times are seconds since its first packet."""

    def __init__(
        self, material: Material, keys: Keys | None = None, trust: Trust | None = None
    ) -> None:
        self._material = material
        self._start = material.first_ns or 0
        self._keys = keys or Keys()
        self._index: InsideIndex | None = None
        self._trust = trust

    def t(self, time_ns: int) -> float:
        since = time_ns - self._start
        return since / SECOND if since > 0 else 0.0

    def observe(self, attempt: Attempt) -> list[Observation]:
        """All observations of ``attempt`` in time order, with how it ended."""
        found: list[Observation] = []
        for s in attempt.ike:
            found += self._ike(attempt, s)
        found.sort(key=attrgetter("t"))
        found += self._l2tp(attempt, attempt.clear, "clear")
        found += self._l2tp(attempt, attempt.inside, "esp")
        found += self._ppp(attempt)
        found += [self._flow(attempt, f) for f in attempt.flows]
        found += self._authenticated(attempt)
        found += [self._icmp(attempt, e) for e in attempt.icmp]
        found += traces(attempt, self.t)
        sizes = outer_mtu(attempt.sized, attempt.icmp, self.t)
        found += [sizes] if sizes is not None else []
        found += [self._fragments(attempt, lost) for lost in attempt.incomplete]
        found += self._data(attempt)
        found += self._inside(attempt, found)
        found += self._names(attempt)
        found.sort(key=attrgetter("t"))
        if len(found) > MAX_OBSERVATIONS:
            del found[MAX_OBSERVATIONS - 1 : -1]
        if any(type(o) is CertificateSeen for o in found):
            judge_dates(found, self._start)
        found.append(ended(attempt, found, self.t(attempt.end_ns)))
        return found

    # IKE

    def _ike(self, attempt: Attempt, s: Sketch) -> Iterator[Observation]:
        observer = IkeObserver()
        key = self._keys.ike.get(s.track.cookie, [])
        decryptor = IkeDecryptor(key)
        children = Children()
        proof: dict[bool, Payload] = {}
        client = attempt.is_client(s)
        asked: set[End] = set()
        if not s.opening:
            observer.begun(s.track.cookie.hex(), client)
        for m, from_initiator in zip(s.track.messages, s.sent, strict=True):
            payloads, protection = None, None
            wire: IkeWire | None = None
            data = m.data
            if m.missing and len(data) >= 28 and data[19] & 1:
                data += bytes(m.missing)  # a header says enough of what is encrypted
            # Without a key only a certificate in aggressive mode would be news to the observer.
            if key or m.missing or data[18:19] == _AGGRESSIVE:
                try:
                    wire = decode(data)
                except ProtocolError:
                    pass
                else:
                    if not m.missing:
                        payloads, protection = decryptor.open(wire, from_initiator)
            out = from_initiator == client
            other_source = m.other_source
            if out:
                asked.add(m.dst)
            elif asked and m.src not in asked and not other_source and _strange(s, m, asked):
                other_source = f"{m.src[0]}:{m.src[1]}"
            seen = observer.observe(
                data,
                t=self.t(m.time_ns),
                direction="out" if out else "in",
                other_source=other_source,
                source=m.src,
                destination=m.dst,
                marker=m.marker,
                frames=m.frames,
                payloads=payloads,
                protection=protection,
            )
            if seen.port not in (500, 4500):
                # Behind a forwarded port a gateway's ports have other numbers.
                seen = replace(seen, port=4500 if seen.marker else 500)
            if m.missing and wire is None:
                seen = _cut_short(seen)
            yield seen
            if wire is None or seen.repeat:
                continue
            clear = wire.payloads if payloads is None else payloads
            yield from self._certificates(seen, clear)
            if seen.step in ("MM5", "MM6", "AM2", "AM3") and protection != "undecryptable":
                for p in clear:
                    if isinstance(p, IdPayload):
                        proof.setdefault(seen.direction == "in", p)
            if seen.step == "MM6" and protection == "decrypted" and _proven(clear):
                identity = proof.get(True)
                yield IkeEstablished(
                    t=seen.t,
                    frames=seen.frames,
                    initiator_cookie=seen.initiator_cookie,
                    peer_identity=visible(identity.text, 120)
                    if isinstance(identity, IdPayload)
                    else "",
                )
            if seen.step.startswith("QM"):
                sa = children.take(seen, clear)
                if sa is not None:
                    yield sa

    def _certificates(
        self, seen: IkeMessage, payloads: tuple[Payload, ...]
    ) -> Iterator[Observation]:
        bodies = [p.body for p in payloads if p.payload_type == PayloadType.CERT]
        for body in bodies[:1]:
            found = certificate(seen, body[1:] if body[:1] == b"\x04" else b"")
            if found is not None and self._trust is not None and found.direction == "in":
                moment = self._start / SECOND + found.t
                found = replace(found, problem=self._trust.problem(bodies, moment))
            if found is not None:
                yield found

    # L2TP and PPP

    def _l2tp(
        self, attempt: Attempt, messages: list[Message], inside: Literal["esp", "clear"]
    ) -> Iterator[Observation]:
        if not messages:
            return
        observer, t = L2tpObserver(), self.t
        outward = {f.spi for f in attempt.flows if attempt.sent(f)}
        sent = [_by_client(attempt, m, messages[0], outward) for m in messages]
        strange = _not_asked(messages, sent)
        for m, mine in zip(messages, sent, strict=True):
            elsewhere = not mine and m.src in strange and _is_control(m)
            seen = observer.observe(
                m.data + bytes(m.missing) if m.missing else m.data,
                t=t(m.time_ns),
                direction="out" if mine else "in",
                inside=inside,
                other_source=m.other_source or (f"{m.src[0]}:{m.src[1]}" if elsewhere else ""),
                source=m.src,
                destination=m.dst,
                frames=m.frames,
            )
            if seen is not None:
                yield seen

    def _ppp(self, attempt: Attempt) -> Iterator[Observation]:
        if attempt.ppp is None:
            return
        number = attempt.ppp.packets[0].session
        observer = PppObserver(f"PPPoE {number}" if number else "PPP link")
        for p, sent in zip(attempt.ppp.packets, attempt.ppp.sent, strict=True):
            seen = observer.observe(
                encode_frame(p.protocol, p.payload),
                t=self.t(p.time_ns),
                direction="out" if sent else "in",
                frames=(p.frame,),
            )
            if seen is not None:
                yield seen

    # ESP and the rest

    def _flow(self, attempt: Attempt, flow: FlowTrack) -> EspFlow:
        return flow_seen(flow, "out" if attempt.sent(flow) else "in", self.t)

    def _authenticated(self, attempt: Attempt) -> list[OtherTraffic]:
        """AH between the two hosts; whatever it carries can be read."""
        tally = self._material.tallies.get("ah")
        if tally is None or not any(hosts(e[0], e[2]) == attempt.key[0] for e in tally.ends):
            return []
        return [
            OtherTraffic(
                t=self.t(tally.first_ns),
                frames=(tally.first_frame,),
                what="AH",
                packets=tally.packets,
            )
        ]

    def _icmp(self, attempt: Attempt, error: IcmpError) -> IcmpObservation:
        quote = error.quote
        by_client = quote.src == attempt.client
        port = quote.dport if by_client else quote.sport
        return IcmpObservation(
            t=self.t(error.time_ns),
            frames=(error.frame,),
            what=icmp_what(error.type, error.code, ipv6=error.version == 6),
            icmp_type=error.type,
            icmp_code=error.code,
            reporter=error.src,
            from_gateway=error.src == attempt.gateway,
            port=port,
            mtu=error.mtu or None,
            direction="in" if by_client else "out",
        )

    def _fragments(self, attempt: Attempt, lost: Incomplete) -> FragmentsLost:
        out = lost.src == attempt.client
        port = lost.dport if out else lost.sport
        return FragmentsLost(
            t=self.t(lost.first_ns),
            frames=lost.frames[:8],
            direction="out" if out else "in",
            protocol=lost.protocol,
            port=port or 0,
            seen=len(lost.frames),
        )

    def _data(self, attempt: Attempt) -> Iterator[Observation]:
        """Users' data, counted, and large packets lost."""
        for count in attempt.data:
            yield DataFlow(
                t=self.t(count.first_ns),
                frames=(count.first_frame,),
                direction="out" if count.src == attempt.client else "in",
                inside="esp" if count.inside_esp else "clear",
                packets=count.packets,
                bytes=count.bytes,
                last_t=self.t(count.last_ns),
                echoes=count.echoes,
            )
        if attempt.ppp is not None:
            yield from self._ppp_data(attempt)
        kept = self._material.inner.get(attempt.key[0])
        if not kept:
            return
        first_ns, last_ns = attempt.first_ns, attempt.last_ns
        packets = [m for m in kept if first_ns <= m.time_ns <= last_ns]
        outward = {f.spi for f in attempt.flows if attempt.sent(f)}
        if packets:
            lost = large_lost(
                packets,
                lambda m: _by_client(attempt, m, packets[0], outward),
                self.t,
                attempt.end_ns,
            )
            asked = self._material.asked
            if asked is not None and asked.own:  # its echo requests about sizes are judged as such
                lost = [o for o in lost if o.how != "echo"]
            yield from lost

    def _inside(self, attempt: Attempt, found: list[Observation]) -> list[Observation]:
        """What users' packets, or a run's questions, show of the network inside."""
        ppp = [o for o in found if type(o) is PppMessage]
        if not ppp:
            return []
        if self._index is None:
            self._index = InsideIndex(self._material.inside)
        return inside(attempt, self._index, self._material.asked, ppp, self.t)

    def _ppp_data(self, attempt: Attempt) -> Iterator[DataFlow]:
        """Echoes of a bare PPP link by direction; its data, whose sender is not told."""
        part = attempt.ppp
        assert part is not None
        for out in (True, False):
            echoes = [
                p
                for p, sent in zip(part.packets, part.sent, strict=True)
                if sent == out and p.protocol == LCP and p.payload[:1] in (b"\x09", b"\x0a")
            ]
            if echoes:
                yield DataFlow(
                    t=self.t(echoes[0].time_ns),
                    frames=(echoes[0].frame,),
                    direction="out" if out else "in",
                    inside="ppp",
                    packets=len(echoes),
                    bytes=sum(len(p.payload) for p in echoes),
                    last_t=self.t(echoes[-1].time_ns),
                    echoes=len(echoes),
                )
        tally = self._material.tallies.get("ppp-data")
        if tally is not None and tally.packets > 1:
            yield DataFlow(
                t=self.t(tally.first_ns),
                frames=(tally.first_frame,),
                direction=None,
                inside="ppp",
                packets=tally.packets,
                bytes=tally.bytes,
                last_t=self.t(tally.last_ns),
            )

    def _names(self, attempt: Attempt) -> list[Observation]:
        if not self._material.dns:
            return []
        from vpndiag.capture.names import answers_for

        until = attempt.first_ns + SECOND
        found: list[Observation] = []
        for d in answers_for(self._material.dns, attempt, until):
            found += _name_answers(d[0], self.t(d[0].time_ns), d[1])
        return found


def _strange(s: Sketch, m: Message, asked: set[End]) -> bool:
    """Whether an answer from an end that was not asked is one, or the question was not recorded: of
    an SA whose beginning is missing, or behind the change of port (RFC 3947 section 4)."""
    if m.src[0] not in {host for host, _ in asked}:
        return True
    beyond = m.data[19] & 1 or m.data[18] not in _BEGIN
    return s.opening and not (m.marker and beyond)


def _by_client(attempt: Attempt, m: Message, first: Message, outward: set[int]) -> bool:
    if m.spi:
        return m.spi in outward
    if attempt.client != attempt.gateway:
        return m.src[0] == attempt.client
    # Both have one address: told by ports, and by who began.
    return m.src == first.src


def _not_asked(messages: list[Message], sent: list[bool]) -> set[End]:
    """Ends that answer, and that the client never sent to. An LNS may answer from another port
    (RFC 2661 section 8.1): who takes that goes on with it, or has nothing more to say."""
    both = list(zip(messages, sent, strict=True))
    asked = {m.dst for m, mine in both if mine}
    strange = {m.src for m, mine in both if not mine} - asked
    if not strange or not asked:
        return set()
    at_home = {address for address, _ in asked}
    last = max(m.time_ns for m, mine in both if mine)
    early = {m.src for m, mine in both if not mine and m.time_ns < last}
    return {end for end in strange if end[0] not in at_home or end in early}


def _is_control(m: Message) -> bool:
    return bool(m.data) and m.data[0] & 0x80 != 0


def _name_answers(d: Message, t: float, answers: list[NameAnswer]) -> list[NameAnswer]:
    return [replace(a, t=t, frames=d.frames) for a in answers]


def _cut_short(seen: IkeMessage) -> IkeMessage:
    """A clear message of which the capture kept only the beginning (snap length)."""
    zero = seen.responder_cookie == "00" * 8
    step = {2: "MM1", 4: "AM1"}.get(seen.exchange, "?") if zero else "?"
    return replace(seen, step=step, payloads=(CUT_SHORT,))


def _proven(payloads: tuple[Payload, ...]) -> bool:
    kinds = {p.payload_type for p in payloads}
    return PayloadType.ID in kinds and bool(kinds & {PayloadType.HASH, PayloadType.SIG})

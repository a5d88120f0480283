"""The observations of one attempt: packets through the same observers as a live run's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from vpndiag.capture.attempt import SECOND, Attempt
from vpndiag.capture.certificates import certificate, judge_dates
from vpndiag.capture.ending import ended
from vpndiag.capture.flow_seen import flow_seen
from vpndiag.capture.ike_seen import ike_seen
from vpndiag.capture.inside import inside
from vpndiag.capture.inside_log import InsideIndex
from vpndiag.capture.keys import Keys
from vpndiag.capture.l2tp_seen import by_client, l2tp_seen, ppp_seen
from vpndiag.capture.material import Material, hosts
from vpndiag.capture.outer_mtu import outer_mtu
from vpndiag.capture.packets import Message
from vpndiag.capture.ppp_sides import LCP
from vpndiag.capture.sizes import large_lost
from vpndiag.capture.sketch import Sketch
from vpndiag.capture.traces import traces
from vpndiag.observations import (
    CertificateSeen,
    DataFlow,
    EspFlow,
    FragmentsLost,
    IkeMessage,
    NameAnswer,
    Observation,
    OtherTraffic,
    PppMessage,
)
from vpndiag.observations import IcmpError as IcmpObservation
from vpndiag.observe.icmp import icmp_what
from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.protocols.ike.payloads import Payload

if TYPE_CHECKING:
    from vpndiag.capture.trust import Trust

MAX_OBSERVATIONS = 5_000


def _in_step(parts: Iterable[Iterator[Observation]]) -> Iterator[list[Observation]]:
    """What each gives: the first of each, then the second of each, and so on."""
    found: list[list[Observation]] = []
    going = []
    for part in parts:
        mine: list[Observation] = []
        found.append(mine)
        going.append((mine, part))
    while going:
        left = []
        for one in going:
            mine, part = one
            for o in part:
                mine.append(o)
                left.append(one)
                break
        going = left
    return iter(found)


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

    def observe(self, attempts: Sequence[Attempt]) -> list[list[Observation]]:
        """All observations of each of ``attempts`` in time order, with how it ended. In step, thing
        by thing: what reads the first message of one is still in a processor's cache for those of
        the others (a fifth of the time)."""
        found: list[list[Observation]] = [[] for _ in attempts]
        each = list(zip(attempts, found, strict=True))
        ike = _in_step([self._ike(a, s) for a in attempts for s in a.ike])
        for attempt, mine in each:
            for seen in islice(ike, len(attempt.ike)):
                mine += seen
            mine.sort(key=attrgetter("t"))
        for l2tp in (self._clear, self._inside_esp):
            for (_, mine), seen in zip(each, _in_step(map(l2tp, attempts)), strict=True):
                mine += seen
        for beside in (
            self._ppp,
            self._flows,
            self._authenticated,
            self._icmp,
            self._sizes,
            self._fragments,
            self._data,
        ):
            for attempt, mine in each:
                mine += beside(attempt)
        for attempt, mine in each:
            mine += self._inside(attempt, mine)
            mine += self._names(attempt)
            mine.sort(key=attrgetter("t"))
            if len(mine) > MAX_OBSERVATIONS:
                del mine[MAX_OBSERVATIONS - 1 : -1]
            if any(type(o) is CertificateSeen for o in mine):
                judge_dates(mine, self._start)
        for attempt, mine in each:
            mine.append(ended(attempt, mine, self.t(attempt.end_ns)))
        return found

    def _ike(self, attempt: Attempt, s: Sketch) -> Iterator[Observation]:
        key = self._keys.ike.get(s.track.cookie, [])
        return ike_seen(attempt, s, key, self.t, self._certificates)

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

    def _clear(self, attempt: Attempt) -> Iterator[Observation]:
        return l2tp_seen(attempt, attempt.clear, "clear", self.t)

    def _inside_esp(self, attempt: Attempt) -> Iterator[Observation]:
        return l2tp_seen(attempt, attempt.inside, "esp", self.t)

    def _ppp(self, attempt: Attempt) -> Iterator[Observation]:
        return ppp_seen(attempt, self.t)

    def _flows(self, attempt: Attempt) -> list[EspFlow]:
        return [flow_seen(f, "out" if attempt.sent(f) else "in", self.t) for f in attempt.flows]

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

    def _icmp(self, attempt: Attempt) -> list[Observation]:
        """ICMP errors, and the traces that were made with them."""
        found: list[Observation] = [
            IcmpObservation(
                t=self.t(error.time_ns),
                frames=(error.frame,),
                what=icmp_what(error.type, error.code, ipv6=error.version == 6),
                icmp_type=error.type,
                icmp_code=error.code,
                reporter=error.src,
                from_gateway=error.src == attempt.gateway,
                port=error.quote.dport if error.quote.src == attempt.client else error.quote.sport,
                mtu=error.mtu or None,
                direction="in" if error.quote.src == attempt.client else "out",
            )
            for error in attempt.icmp
        ]
        return found + traces(attempt, self.t)

    def _sizes(self, attempt: Attempt) -> list[Observation]:
        sizes = outer_mtu(attempt.sized, attempt.icmp, self.t)
        return [sizes] if sizes is not None else []

    def _fragments(self, attempt: Attempt) -> list[Observation]:
        return [
            FragmentsLost(
                t=self.t(lost.first_ns),
                frames=lost.frames[:8],
                direction="out" if lost.src == attempt.client else "in",
                protocol=lost.protocol,
                port=(lost.dport if lost.src == attempt.client else lost.sport) or 0,
                seen=len(lost.frames),
            )
            for lost in attempt.incomplete
        ]

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
                lambda m: by_client(attempt, m, packets[0], outward),
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


def _name_answers(d: Message, t: float, answers: list[NameAnswer]) -> list[NameAnswer]:
    return [replace(a, t=t, frames=d.frames) for a in answers]

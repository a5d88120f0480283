"""Several calls in one L2TP tunnel: each is an attempt of its own.

A client that dials again may do so in the tunnel that it has, and the tunnel of an access
concentrator (LAC) carries many users' sessions at once (RFC 2661 sections 1.2 and 5.2). Each call
has a login and an address of its own, and one that fails says nothing of the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate

from vpndiag.capture.attempt import Attempt
from vpndiag.capture.carried import l2tp_data
from vpndiag.capture.l2tp_ids import (
    CALLING,
    PROXY_NAME,
    SESSION,
    TUNNEL,
    assigned,
    avp,
    header_ids,
)
from vpndiag.capture.material import DataCount, other_host
from vpndiag.capture.packets import End, Message
from vpndiag.observe.ppp import PppObserver
from vpndiag.protocols.l2tp.constants import MessageType
from vpndiag.report.text import visible

# As plain numbers: members of an enumeration are slow to compare.
_OPENS = (int(MessageType.ICRQ), int(MessageType.OCRQ))
_REPLIES = (int(MessageType.ICRP), int(MessageType.OCRP))
_SCCRP = int(MessageType.SCCRP)
_CDN, _ICCN = int(MessageType.CDN), int(MessageType.ICCN)
_LOGINS = ("Authenticate-Request", "Response")
"""What has the name of who logs in: of PAP, of CHAP and EAP."""


_Tunnel = tuple[object, int]
"""The receiver of a message, and the tunnel ID in its header."""


@dataclass(slots=True, eq=False)
class _Call:
    """``end_ns``: of its last packet, or of the first message that ends it; ``tunnel``: who was
    asked for it, and the tunnel's ID there; ``line``: who calls, as the LAC was told by the
    telephone network or its like."""

    number: int
    first_ns: int
    end_ns: int
    asked: tuple[object, ...]
    tunnel: _Tunnel
    clear: list[Message] = field(default_factory=list)
    inside: list[Message] = field(default_factory=list)
    data: list[DataCount] = field(default_factory=list)
    closed: bool = False
    user: str = ""
    line: str = ""

    @property
    def last_ns(self) -> int:
        times = [m.time_ns for m in (*self.clear[-1:], *self.inside[-1:])]
        return max([self.first_ns, *times, *(d.last_ns for d in self.data)])


def by_call(attempt: Attempt) -> list[Attempt]:
    """``attempt``, or one for each call in its tunnel. The first has what was before any call; of
    the tunnel's end each has its part that was still up. IPsec is shared by all."""
    calls: list[_Call] = []
    if _several(attempt.clear) or _several(attempt.inside):
        merged = sorted((*attempt.clear, *attempt.inside), key=lambda m: m.time_ns)
        calls = _Calls(attempt).read(merged)
    if len(calls) < 2:
        attempt.data = _joined(attempt.data)
        return [attempt]
    callers = _callers(calls)
    return [replace(
        attempt,
        clear=call.clear,
        inside=call.inside,
        data=_joined(call.data),
        begun=attempt.begun or call.number > 0,
        span=(attempt.first_ns if call.number == 0 else call.first_ns, call.last_ns),
        caller=callers[call.number],
    ) for call in calls]  # fmt: skip


def _several(messages: list[Message]) -> bool:
    kinds = [m.control for m in messages]
    return sum(map(kinds.count, _OPENS)) > 1


def _joined(counts: list[DataCount]) -> list[DataCount]:
    """Counts of one sender together, whatever session they are of."""
    if len(counts) < 3:
        return counts
    found: dict[tuple[str, int, bool], DataCount] = {}
    for count in sorted(counts, key=lambda d: d.first_ns):
        key = count.src, count.tunnel, bool(count.echoes)
        known = found.get(key)
        if known is None:
            found[key] = replace(count)
            continue
        known.packets += count.packets
        known.bytes += count.bytes
        known.echoes += count.echoes
        known.last_ns = max(known.last_ns, count.last_ns)
    return list(found.values())


class _Calls:
    """Which messages are of which call. A message's header has the session ID that its receiver
    assigned (RFC 2661 section 3.1)."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._one_host = attempt.client == attempt.gateway
        self._calls: list[_Call] = []
        self._by_id: dict[tuple[object, int], _Call] = {}
        self._tunnels: dict[_Tunnel, _Tunnel] = {}
        """The same tunnel on the other side."""
        self._before: list[Message] = []

    def read(self, messages: list[Message]) -> list[_Call]:
        """Empty where calls cannot be told apart."""
        for m in messages:
            kind = m.control
            if kind in _OPENS:
                if not self._opened(m, kind):
                    return []
                continue
            if kind == _SCCRP:
                there = self._side(m.src), assigned(m.data, TUNNEL)
                self._tunnels[there] = self._side(m.dst), header_ids(m.data)[0]
            call = self._of(m, kind)
            if kind in _REPLIES and call is not None:
                self._by_id[self._side(m.src), assigned(m.data, SESSION)] = call
            homes = [call] if call is not None else self._all(m)
            for home in homes:
                self._put(home, m)
                if kind == _CDN and not home.closed:
                    home.closed, home.end_ns = True, m.time_ns
            if not homes:
                self._before.append(m)
        for early in reversed(self._before):
            self._put(self._calls[0], early, first=True)
        for count in self._attempt.data:
            self._count(count)
        return self._calls

    def _side(self, end: End) -> object:
        return end if self._one_host else end[0]

    def _opened(self, m: Message, kind: int) -> bool:
        number = assigned(m.data, SESSION)
        if not number:
            return False
        side = self._side(m.src)
        asked = side, kind, number, m.data[8:10]
        known = self._by_id.get((side, number))
        if known is None or known.asked != asked:
            tunnel = self._side(m.dst), header_ids(m.data)[0]
            known = _Call(len(self._calls), m.time_ns, m.time_ns, asked, tunnel)
            known.line = visible(avp(m.data, CALLING), 64)
            self._calls.append(known)
            self._by_id[side, number] = known
        self._put(known, m)
        return True

    def _of(self, m: Message, kind: int) -> _Call | None:
        session = header_ids(m.data)[1]
        if not session and kind == _CDN:  # its sender has not been told the ID
            return self._by_id.get((self._side(m.src), assigned(m.data, SESSION)))
        return self._by_id.get((self._side(m.dst), session)) if session else None

    def _all(self, m: Message) -> list[_Call]:
        """The calls that a message of the tunnel itself, or of an unknown session, concerns."""
        number, session = header_ids(m.data)
        if session:
            return self._calls[:1]
        tunnel = self._side(m.dst), number
        here = [c for c in self._calls if tunnel in (c.tunnel, self._tunnels.get(c.tunnel))]
        here = here or self._calls
        return [c for c in here if not c.closed] or here[-1:]

    def _put(self, call: _Call, m: Message, first: bool = False) -> None:
        home = call.inside if m.spi else call.clear
        home.insert(0 if first else len(home), m)
        if not call.closed:
            call.end_ns = max(call.end_ns, m.time_ns)
        call.user = call.user or _user(m)

    def _count(self, count: DataCount) -> None:
        other = other_host((self._attempt.client, self._attempt.gateway), count.src)
        call = self._by_id.get((other, count.session)) or self._calls[0]
        call.data.append(count)
        if not call.closed:
            call.end_ns = max(call.end_ns, count.last_ns)


def _callers(calls: list[_Call]) -> list[str]:
    """Whose each call is; empty names: all of one client, which has one call at a time and one line
    to call from."""
    latest = accumulate((c.end_ns for c in calls), max)
    together = any(end > c.first_ns for end, c in zip(latest, calls[1:], strict=False))
    if not together and len({c.line for c in calls if c.line}) < 2:
        return [""] * len(calls)
    # A call that fails before the login is of the user who logs in from there another time.
    users = {c.line: c.user for c in calls if c.line and c.user}
    return [c.user or users.get(c.line) or c.line or f"call {c.number + 1}" for c in calls]


def _user(m: Message) -> str:
    """The user name in a login packet, or in what the LAC knows of a login that it began itself
    (RFC 2661 section 4.4.5)."""
    if m.control == _ICCN:
        return visible(avp(m.data, PROXY_NAME))
    carried = l2tp_data(m.data)
    seen = PppObserver().observe(carried[2], t=0.0, direction="out") if carried else None
    return seen.name if seen is not None and seen.code in _LOGINS else ""

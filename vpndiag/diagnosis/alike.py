"""How other clients of the same gateway fare: whether it is one user's trouble or everybody's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from vpndiag.diagnosis.judged import Judged
from vpndiag.records import record
from vpndiag.report.model import Cause, Evidence

ALL = 3
"""Addresses of clients that fail alike, and none that is served, from which on it is the gateway's
trouble."""


SHOWN, MANY = 3, 100
"""Clients whose frames are shown, and whose addresses are looked at."""


@record(frozen=True, slots=True)
class Fate:
    """Of one gateway's clients: who fails with which finding, each by its first attempt that does,
    and who is served."""

    alike: dict[str, dict[object, Judged]]
    served: dict[object, Judged]


def commonest(attempts: Sequence[Judged], failed: Sequence[int]) -> int:
    """Of attempts that failed, the last one of those whose finding most clients have."""
    codes = dict.fromkeys((attempts[i].diagnosis.verdict.finding, attempts[i].key) for i in failed)
    clients = Counter(code for code, _ in codes)
    return max(failed, key=lambda i: (clients[attempts[i].diagnosis.verdict.finding], i))


def fates(attempts: Sequence[Judged], served: Callable[[Judged], bool]) -> dict[str, Fate]:
    """By gateway. A client that is served has not failed, whatever its other attempts came to."""
    found: dict[str, Fate] = defaultdict(lambda: Fate({}, {}))
    for a in attempts:
        if not a.scan and served(a):
            found[a.gateway].served.setdefault(a.key, a)
    for a in attempts:
        code = a.diagnosis.verdict.finding
        fate = found[a.gateway]
        if a.diagnosis.verdict.outcome == "failed" and code and not a.scan and (
            a.key not in fate.served
        ):  # fmt: skip
            fate.alike.setdefault(code, {}).setdefault(a.key, a)
    return found


def compared(one: Judged, fate: Fate) -> Judged:
    """``one`` with what became of the gateway's other clients, if it failed and there are any.
    Where many fail alike and nobody is served, causes at the gateway are the likely ones."""
    code = one.diagnosis.verdict.finding
    alike = fate.alike.get(code or "", {})
    if one.key not in alike:
        return one
    others = len(alike) - 1
    if not others and not fate.served:
        return one
    # There may be thousands, and each of them is compared.
    first = islice(alike.values(), SHOWN + 1) if others else islice(fate.served.values(), SHOWN)
    shown = [a for a in first if a.key != one.key][:SHOWN]
    frames = tuple(f for a in shown for f in a.frames[:1])
    seen = Evidence(_told(others, len(fate.served)), None, frames)
    some = {a.client for a in islice(alike.values(), MANY)}
    everybody = len(some) >= ALL and not fate.served
    findings = list(one.diagnosis.findings)
    for n, f in enumerate(findings):
        if f.code == code:
            more = replace(f, evidence=(*f.evidence, seen))
            if everybody and any(c.owner in ("gateway-admin", "network") for c in f.causes):
                causes = _gateways_first((*_LINE.get(f.code, ()), *f.causes))
                more = replace(more, causes=causes, owner=causes[0].owner)
            findings[n] = more
    return replace(one, diagnosis=replace(one.diagnosis, findings=tuple(findings)))


_LINE = {
    "path.dpd-timeout": (
        Cause("A line that several clients share was down, most likely the gateway's own",
              "gateway-admin",
              "Look at its line, and at what stands before it, at the time given", "likely"),
    )
}  # fmt: skip
"""By finding, a cause that only several clients show."""


def _told(alike: int, served: int) -> str:
    """Of other clients."""
    text = f"{_clients(alike)} of this gateway fail{'s' if alike == 1 else ''} alike"
    if not alike:
        return f"{_clients(served)} of this gateway {'is' if served == 1 else 'are'} served"
    return text + f", {served or 'none'} {'are' if served > 1 else 'is'} served"


def _clients(number: int) -> str:
    return "another client" if number == 1 else f"{number} other clients"


def _gateways_first(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """What one user or computer can have wrong is not what many have."""
    theirs = [c for c in causes if c.owner in ("user", "helpdesk")]
    rest = [c for c in causes if c.owner not in ("user", "helpdesk")]
    if rest[0].likelihood != "likely":
        rest[0] = replace(rest[0], likelihood="likely")
    return (*rest, *(replace(c, likelihood="unlikely") for c in theirs))

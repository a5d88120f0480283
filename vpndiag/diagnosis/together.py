"""All sessions of a capture together: which attempt matters, and what only several show."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from vpndiag import catalogue
from vpndiag.diagnosis import alike, neighbours, scans, shared_address, split
from vpndiag.diagnosis.judged import Judged
from vpndiag.diagnosis.ruling import finding
from vpndiag.report.model import LADDER, Cause, Diagnosis, Evidence, Finding


def choose(attempts: Sequence[Judged]) -> int | None:
    """Index of the attempt that the capture is about.

    Of those that failed without a later success of the same client and gateway the last one whose
    finding most clients have; else the longest healthy one; else the last of those that are not
    clear furthest up the ladder. A success came as far as what failed or is not clear: one that the
    capture cuts short is none; nor is that of another computer behind the same address. What failed
    is past as well where a later attempt is the first to get through that rung, whatever became of
    it.
    A client that fell silent and came back from another address has not failed. Scans, who asks
    many gateways in vain, and what a gateway that serves clients begins with yet others, are for
    when there is nothing else.
    """
    both = {a.client for a in attempts} & {a.gateway for a in attempts}
    served = {a.gateway for a in attempts if a.gateway in both and _served(a)}
    pairs = {(a.gateway, a.client) for a in attempts} if served else set()
    sweeping = scans.sweeping(attempts)
    clients = [
        i for i, a in enumerate(attempts)
        if not a.scan and a.client not in sweeping
        and not (a.client in served and (a.client, a.gateway) not in pairs)
    ]  # fmt: skip
    if 0 < len(clients) < len(attempts):
        chosen = choose([attempts[i] for i in clients])
        return None if chosen is None else clients[chosen]
    failed = _failed(attempts)
    if failed:
        return alike.commonest(attempts, failed)
    by_outcome: dict[str, list[int]] = defaultdict(list)
    unclear: dict[object, int] = {}
    for i, a in enumerate(attempts):
        by_outcome[a.diagnosis.verdict.outcome].append(i)
        if a.diagnosis.verdict.outcome == "inconclusive":
            unclear[a.key] = max(unclear.get(a.key, 0), min(_ESP, _place(a.diagnosis)))
    through = [
        i for i in by_outcome["healthy"]
        if not unclear
        or min(_ESP, _passed(attempts[i].diagnosis)) >= unclear.get(attempts[i].key, -1)
    ]  # fmt: skip
    if through:
        return max(through, key=lambda i: attempts[i].last - attempts[i].first)
    if by_outcome["inconclusive"]:
        return max(by_outcome["inconclusive"], key=lambda i: (_place(attempts[i].diagnosis), i))
    return by_outcome["not_applicable"][-1] if by_outcome["not_applicable"] else None


def _failed(attempts: Sequence[Judged]) -> list[int]:
    """Those that failed, without a later success of the same computer at the same gateway, or one
    that got through where these failed."""
    failed = [i for i, a in enumerate(attempts) if a.diagnosis.verdict.outcome == "failed"]
    if not failed:
        return []
    over = {*_moved(attempts), *split.halves(attempts).values(), *_past(attempts)}
    successes = _successes(attempts)
    return [
        i
        for i in failed
        if i not in over
        and not any(
            first >= attempts[i].first and _may_be_one(host, attempts[i].host)
            for came in range(_needed(attempts[i].diagnosis), _ESP + 1)
            for host, first in successes.get((attempts[i].key, came), {}).items()
        )
    ]


def _may_be_one(host: str, other: str) -> bool:
    """Whether these are names of one computer; empty: not known."""
    return not host or other in ("", host)


def _past(attempts: Sequence[Judged]) -> set[int]:
    """Failed attempts behind which one of the same client got through the rung that failed; what
    became of it in the end is not clear. Where it had been through before as well, what fails at
    times is not over."""
    through: dict[object, dict[str, int]] = defaultdict(dict)
    found: set[int] = set()
    worked: dict[object, list[int]] = defaultdict(list)
    for i, a in enumerate(attempts):
        if a.diagnosis.verdict.outcome == "healthy":
            worked[a.key].append(i)
    for i in range(len(attempts) - 1, -1, -1):
        a = attempts[i]
        if a.diagnosis.verdict.outcome == "inconclusive":
            hosts = through[a.key]
            hosts[a.host] = max(hosts.get(a.host, -1), _passed(a.diagnosis))
        elif a.diagnosis.verdict.outcome == "failed" and a.key in through:
            # A silence inside ESP is judged at l2tp, and its first rung that did not pass is esp.
            came = _passed(a.diagnosis)
            needed = came + 1 if came >= _PLACES["path"] else _place(a.diagnosis)
            if any(
                passed >= needed and _may_be_one(host, a.host)
                for host, passed in through[a.key].items()
            ) and not any(
                j < i
                and _passed(attempts[j].diagnosis) >= min(_ESP, needed)
                and _may_be_one(attempts[j].host, a.host)
                for j in worked[a.key][:MOST_IN_LOOP]
            ):
                found.add(i)
    return found


def _successes(attempts: Sequence[Judged]) -> dict[tuple[object, int], dict[str, float]]:
    """When the last healthy attempt of each client began that came to a certain rung, by the name
    of the computer."""
    found: dict[tuple[object, int], dict[str, float]] = defaultdict(dict)
    for a in attempts:
        if a.diagnosis.verdict.outcome == "healthy":
            hosts = found[a.key, min(_passed(a.diagnosis), _ESP)]
            hosts[a.host] = max(hosts.get(a.host, 0.0), a.first)
    return found


_PLACES = {one: place for place, one in enumerate(LADDER)}
_ESP = _PLACES["esp"]


def _passed(diagnosis: Diagnosis) -> int:
    """The place on the ladder of the last rung that passed; -1: none."""
    for layer in reversed(diagnosis.layers):
        if layer.status in ("passed", "warning"):
            return _PLACES[layer.id]
    return -1


def _place(diagnosis: Diagnosis) -> int:
    """Of the layer that the verdict names."""
    layer = diagnosis.verdict.layer
    return _PLACES[layer] if layer is not None else 0


def _needed(diagnosis: Diagnosis) -> int:
    """How far a later attempt must come to be a success beside this failed one. ESP both ways is
    the last that can be seen without keys."""
    return min(_ESP, max(_place(diagnosis), _passed(diagnosis) + 1))


def _moved(attempts: Sequence[Judged]) -> dict[int, Judged]:
    """Sessions whose client fell silent, while one that is served from another address came: by
    index, the session there. A laptop that changes its network says nothing from the old one."""
    gone = [
        i for i, a in enumerate(attempts)
        if a.diagnosis.verdict.finding == _GONE and _fact(a, "path", "silent") == "client"
    ]  # fmt: skip
    if not gone:
        return {}
    served: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for a in attempts:
        if _served(a):
            served[a.gateway, _agreed(a)].append(a)
    found: dict[int, Judged] = {}
    for i in gone:
        one = attempts[i]
        heard = next(f.evidence[0].t or 0.0 for f in one.diagnosis.findings if f.code == _GONE)
        there = served[one.gateway, _agreed(one)]
        at = bisect_left(there, heard - MOVES, key=lambda a: a.first)
        for other in there[at : at + MOST_IN_LOOP]:
            if other.first > min(one.last, heard + MOVED):
                break
            if other.client != one.client:
                found[i] = other
                break
    return found


def _served(a: Judged) -> bool:
    return a.diagnosis.verdict.outcome == "healthy" and _passed(a.diagnosis) >= _ESP


def _agreed(a: Judged) -> str:
    """What the gateway chose in phase 1: clients of one kind get the same."""
    return _fact(a, "ike", "transform")


def _fact(a: Judged, layer: str, name: str) -> str:
    return next((x.facts.get(name, "") for x in a.diagnosis.layers if x.id == layer), "")


MOVES, MOVED = 5.0, 120.0
"""Seconds before and after a client's last packet in which its session elsewhere begins."""
LOOP = 3
"""Attempts that end alike, from which on it is a loop."""
LOOP_PAUSE = 300.0
"""Seconds between two of them at most."""
MOST_IN_LOOP = 1_000
"""Attempts that are looked at for one finding."""


def _all_alone(attempts: Sequence[Judged]) -> bool:
    """Each is of another client, and has nothing wrong that others could shed light on."""
    if any(a.diagnosis.verdict.finding for a in attempts):
        return False
    ends = {(a.client, a.gateway) for a in attempts}
    return len(ends) == len({a.key for a in attempts}) == len(attempts)


def with_notes(attempts: Sequence[Judged]) -> list[Diagnosis]:
    """The diagnoses, with the findings added that only several attempts together show."""
    twins = shared_address.twins(attempts)
    if not twins and _all_alone(attempts):
        return [a.diagnosis for a in attempts]
    of_client: dict[object, list[Judged]] = defaultdict(list)
    same_ends: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for a in attempts:
        of_client[a.key].append(a)
        same_ends[a.client, a.gateway].append(a)
    found: list[Diagnosis] = []
    at: dict[object, int] = defaultdict(int)
    moved, halves = _moved(attempts), split.halves(attempts)
    failed = any(a.diagnosis.verdict.outcome == "failed" for a in attempts)
    fates = alike.fates(attempts, _served) if failed and len(attempts) > 1 else {}
    silent = failed and any(a.diagnosis.verdict.finding == _SILENT for a in attempts)
    heard = _heard(attempts) if silent else {}
    served: dict[str, list[Judged]] = defaultdict(list)
    for a in attempts if silent else ():
        if _served(a):
            served[a.client].append(a)
    rows = [neighbours.in_turns(group[:MOST_IN_LOOP]) for group in same_ends.values()]
    turns = {id(a): row for row in rows for a in row}
    for number, a in enumerate(attempts):
        alone = len(of_client[a.key]) == len(same_ends[a.client, a.gateway]) == 1
        if alone and number not in twins and a.diagnosis.verdict.finding is None:
            found.append(a.diagnosis)
            continue
        a = _silent_to_one(a, heard.get(a.gateway, ()))
        a = _served_elsewhere(a, served.get(a.client, ()))
        if number in halves:
            a = _began_elsewhere(a, attempts[halves[number]])
        if number in moved:
            a = _went_on_at(a, moved[number])
        if fates and a.diagnosis.verdict.outcome == "failed":
            a = alike.compared(a, fates[a.gateway])
        index = at[a.key]
        at[a.key] += 1
        others = neighbours.beside(a, same_ends[a.client, a.gateway][:MOST_IN_LOOP])
        if others and a.diagnosis.verdict.outcome == "failed":
            a = neighbours.blamed(a, others)
        row = turns.get(id(attempts[number]))
        notes = (
            _loop(index, of_client[a.key]),
            neighbours.thrown_out(row) if row else neighbours.note(a, others),
            shared_address.note(a, twins.get(number)),
        )
        extra = tuple(catalogue.complete(f) for f in notes if f is not None)
        found.append(
            replace(a.diagnosis, findings=a.diagnosis.findings + extra) if extra else a.diagnosis
        )
    return found


def _heard(attempts: Sequence[Judged]) -> dict[str, list[Judged]]:
    """By gateway, the first attempts of two clients that it answers."""
    found: dict[str, list[Judged]] = defaultdict(list)
    for a in attempts:
        known = found[a.gateway]
        if len(known) < 2 and all(k.client != a.client for k in known) and any(
            x.id == "ike" and x.status in ("passed", "warning") for x in a.diagnosis.layers
        ):  # fmt: skip
            known.append(a)
    return found


def _went_on_at(one: Judged, other: Judged) -> Judged:
    seen = Evidence(
        f"a client of the same kind begins a session from {other.client}: this one may have gone "
        "to another network",
        other.first,
        other.frames,
    )
    return _with_evidence(one, _GONE, seen)


def _began_elsewhere(one: Judged, other: Judged) -> Judged:
    verdict = one.diagnosis.verdict
    if verdict.finding not in split.CODES:
        return one
    seen = Evidence(split.TEXT.format(one.ends, other.client), other.first, other.frames)
    findings = tuple(
        replace(split.explained(f), evidence=(seen, *f.evidence[:1]))
        if f.code == verdict.finding
        else f
        for f in one.diagnosis.findings
    )
    verdict = replace(verdict, headline=split.DETAIL)
    return replace(one, diagnosis=replace(one.diagnosis, verdict=verdict, findings=findings))


def _served_elsewhere(one: Judged, served: Sequence[Judged]) -> Judged:
    """Silence of one gateway, where the client then turns to another: a name with several
    addresses, or a second entry."""
    if one.diagnosis.verdict.finding != _SILENT:
        return one
    at = bisect_left(served, one.last, key=lambda a: a.first)
    other = next((a for a in served[at : at + MOST_IN_LOOP] if a.gateway != one.gateway), None)
    if other is None:
        return one
    seen = Evidence(
        f"the same client then connects to another gateway, {other.gateway}, which serves it: the "
        "network of the client lets the VPN through",
        other.first,
        other.frames,
    )
    return _with_evidence(one, _SILENT, seen, _ONE_ADDRESS)


def _silent_to_one(one: Judged, heard: Sequence[Judged]) -> Judged:
    """Silence towards one client, of a gateway that answers another in the same capture."""
    others = [a for a in heard if a.client != one.client]
    if one.diagnosis.verdict.finding != _SILENT or not others:
        return one
    seen = Evidence(
        f"the gateway answers another client, {others[0].client}",
        others[0].first,
        others[0].frames,
    )
    return _with_evidence(one, _SILENT, seen, _IGNORED)


def _with_evidence(
    one: Judged, code: str, seen: Evidence, causes: tuple[Cause, ...] = ()
) -> Judged:
    """``one`` with more to show for its finding ``code``, and the ``causes`` that this leaves."""
    findings = list(one.diagnosis.findings)
    for n, f in enumerate(findings):
        if f.code == code:
            more = replace(f, evidence=(*f.evidence, seen))
            findings[n] = replace(more, causes=causes, owner=causes[0].owner) if causes else more
    return replace(one, diagnosis=replace(one.diagnosis, findings=tuple(findings)))


_SILENT, _GONE = "path.silent", "path.dpd-timeout"
_ONE_ADDRESS = (
    Cause("This gateway is down, or its address is an old one, that the server name still has "
          "beside the other", "gateway-admin",
          "Look whether it runs; take its address out of the name until it does", "likely"),
    Cause("The way to this one address is blocked", "network",
          "Compare the rules for the two addresses", "possible"),
)  # fmt: skip
_IGNORED = (
    Cause("The gateway is there, and drops without a word what this client offers, or this "
          "client's address (block list, country filter)", "gateway-admin",
          "Compare this client's proposals with those of the one that is answered; look for its "
          "address in the gateway's IKE log and firewall", "likely"),
    Cause("The network that this client is in, or the way back to it, lets no VPN through",
          "network", "Try from another network, for example a phone's hotspot", "likely"),
)  # fmt: skip


def _loop(index: int, attempts: Sequence[Judged]) -> Finding | None:
    """The same failure again and again; told at the last of the row."""
    last = attempts[index]
    code = last.diagnosis.verdict.finding
    if last.diagnosis.verdict.outcome != "failed" or code is None:
        return None
    row: list[Judged] = []
    for a in attempts[max(0, index - MOST_IN_LOOP) : index + 1]:
        alike = a.diagnosis.verdict.finding == code
        if not alike or (row and a.first - row[-1].last > LOOP_PAUSE):
            row = []
        if alike:
            row.append(a)
    following = attempts[index + 1] if index + 1 < len(attempts) else None
    goes_on = (
        following is not None
        and following.diagnosis.verdict.finding == code
        and following.first - last.last <= LOOP_PAUSE
    )
    if len(row) < LOOP or goes_on:
        return None
    span = last.last - row[0].first
    return finding(
        "path.reconnect-loop",
        Evidence(
            f"{len(row)} attempts in {span:.0f} s, all with {code}",
            row[0].first,
            tuple(f for a in row[:12] for f in a.frames[:1]),
        ),
        detail=f"The client tried {len(row)} times in {span:.0f} s and failed alike each time.",
        severity="warning",
        confidence="certain",
    )

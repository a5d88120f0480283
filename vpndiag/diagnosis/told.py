"""What routers and hosts say in ICMP errors about the packets of a session, and who says it."""

from __future__ import annotations

from vpndiag.diagnosis.ruling import evidence, finding, times
from vpndiag.diagnosis.view import View
from vpndiag.observations import IcmpError, OuterMtu
from vpndiag.report.model import Evidence, Finding

REFUSALS = {
    "port-unreachable": "path.port-unreachable",
    "protocol-unreachable": "path.port-unreachable",
    "prohibited": "path.prohibited",
    "host-unreachable": "path.host-unreachable",
    "net-unreachable": "path.net-unreachable",
}
"""ICMP errors that end an attempt, and their findings."""
KEEPS_ON = 2.0
"""Seconds for which a sender may be told, before it is one that does not adapt (RFC 1191 section
6.3: at once)."""
OFTEN = 3


def in_words(what: str) -> str:
    """``port-unreachable`` as people write it."""
    return what.replace("-", " ")


def is_closed(error: IcmpError) -> bool:
    """Whether the host itself is said to be there, and not to listen."""
    return error.what in ("port-unreachable", "protocol-unreachable")


def refusals(view: View, *ports: int, since: float = 0.0) -> list[IcmpError]:
    """Errors that came back to the client about packets to these UDP ports (0: plain ESP)."""
    return [
        e for e in view.icmp
        if e.what in REFUSALS and e.direction == "in" and e.port in ports and e.t >= since
    ]  # fmt: skip


def said(errors: list[IcmpError]) -> list[Evidence]:
    """One sentence for each kind and sender."""
    kinds = dict.fromkeys((e.what, e.reporter, e.port) for e in errors)
    found = []
    for what, reporter, port in list(kinds)[:3]:
        same = [e for e in errors if (e.what, e.reporter, e.port) == (what, reporter, port)]
        about = f"UDP {port}" if port else "ESP"
        who = reporter or "unknown"
        if same[0].from_gateway:
            who += ", the gateway itself,"
        found.append(
            evidence(f"ICMP {in_words(what)} from {who} for {about}, {times(len(same))}", *same)
        )
    return found


def reassembly(view: View) -> list[IcmpError]:
    """A side waited in vain for fragments of an IKE message (RFC 792, time exceeded, code 1). While
    there is ESP on these ports as well, it may be about that."""
    return (
        []
        if view.esp
        else [e for e in view.icmp if e.what == "reassembly-timeout" and e.port in (500, 4500)]
    )


def _deaf(errors: list[IcmpError]) -> list[IcmpError]:
    """Those of one direction whose sender does not adapt."""
    for way in ("in", "out"):
        same = [e for e in errors if e.direction == way]
        if len(same) >= OFTEN and same[-1].t - same[0].t >= KEEPS_ON:
            return same
    return []


def ike_too_big(view: View) -> list[IcmpError]:
    """An IKE message is too large for a link on the way, its sender is told so, and sends it again
    as it was."""
    if view.live or view.esp:
        return []
    if view.of(OuterMtu):
        return []
    errors = [e for e in view.icmp if e.what == "fragmentation-needed" and e.port in (500, 4500)]
    return _deaf(errors)


def too_big(view: View) -> Finding | None:
    """Packets too large for a link on the way: told by its router."""
    if view.live or view.of(OuterMtu):
        return None
    errors = [e for e in view.icmp if e.what == "fragmentation-needed"]
    if not errors:
        return None
    sizes = [e.mtu for e in errors if e.mtu]
    limit = f"{min(sizes)} bytes" if sizes else "less (how much is not told)"
    deaf = _deaf(errors)
    shown = deaf or errors
    reporters = ", ".join(dict.fromkeys(e.reporter or "unknown" for e in shown))
    detail = f"A link on the way carries packets of {limit} at most, as {reporters} says."
    if deaf:
        sender = "client" if shown[0].direction == "in" else "gateway"
        seconds = shown[-1].t - shown[0].t
        detail += (
            f" The {sender} is told {times(len(shown))} in {seconds:.0f} s and goes on sending "
            "larger ones: these are lost."
        )
    return finding(
        "path.small-mtu",
        evidence(f"ICMP fragmentation needed from {reporters}, {times(len(shown))}", *shown),
        detail=detail,
        severity="warning" if deaf else "info",
        confidence="high" if deaf else "certain",
    )

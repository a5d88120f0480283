"""Connections inside the tunnel to applications: those that were asked for, or all servers."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address

from vpndiag.capture.asked import AskedApp
from vpndiag.capture.inside_part import TRACED, Part, dotted
from vpndiag.capture.inside_tcp import TcpFlow
from vpndiag.observations import InsideApp, InsideName
from vpndiag.report.text import visible

MOST = 32
"""Servers that are told of one session of users' own traffic."""
FEW = 8
"""Of those that work."""
_GOOD = ("answered", "connected")
_PROTOCOLS = {80: "http", 443: "https", 445: "smb", 3389: "rdp"}


def apps(part: Part, flows: list[TcpFlow], names: list[InsideName]) -> list[InsideApp]:
    """What became of each application."""
    whole = [f for f in flows if f.ttl > TRACED and f.dport != 53]
    if part.asked is None:
        return _all(part, whole)
    found = [_asked(part, app, whole, names) for app in part.asked.apps]
    return [a for a in found if a is not None]


def addresses_of(host: str, names: list[InsideName]) -> list[str]:
    """The addresses of a host, given as one or found inside."""
    if is_address(host):
        return [host]
    return [a for n in names if n.name == host and n.rrtype == "A" for a in n.addresses]


def is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _asked(
    part: Part, app: AskedApp, flows: list[TcpFlow], names: list[InsideName]
) -> InsideApp | None:
    addresses = addresses_of(app.host, names)
    if not addresses:
        asked = [n for n in names if n.name == app.host]
        if part.scope.dns and not asked:
            return None  # nobody looked
        return InsideApp(
            t=max((n.t for n in asked), default=part.scope.t),
            frames=tuple(sorted({f for n in asked for f in n.frames}))[:8],
            app=visible(app.text, 120),
            host=visible(app.host, 120),
            port=app.port,
            protocol=app.protocol,
            outcome="no-address",
        )
    mine = [f for f in flows if f.dport == app.port and dotted(f.server) in addresses]
    flow = _telling(part, mine)
    return None if flow is None else _app(part, flow, app)


def _telling(part: Part, flows: list[TcpFlow]) -> TcpFlow | None:
    """The connection that tells most: one that worked, else the last that came to an end."""
    ended = [f for f in flows if f.outcome(part.until_ns)]
    good = [f for f in ended if f.outcome(part.until_ns) in _GOOD]
    return next(iter(reversed(good or ended)), None)


def _all(part: Part, flows: list[TcpFlow]) -> list[InsideApp]:
    """Each server and port once; what went wrong first."""
    by_server: dict[tuple[bytes, int], list[TcpFlow]] = defaultdict(list)
    for flow in flows:
        by_server[flow.server, flow.dport].append(flow)
    found: list[InsideApp] = []
    for (server, port), mine in by_server.items():
        telling = _telling(part, mine)
        if telling is None:
            continue
        host = dotted(server)
        app = AskedApp(f"{host}:{port}", host, port, _PROTOCOLS.get(port, ""))
        found.append(_app(part, telling, app, tries=len(mine)))
    found.sort(key=lambda a: a.outcome in _GOOD)
    bad = sum(a.outcome not in _GOOD for a in found)
    return found[: min(MOST, bad + FEW)]


def _app(part: Part, flow: TcpFlow, app: AskedApp, tries: int = 1) -> InsideApp:
    outcome = flow.outcome(part.until_ns)
    answered = outcome == "answered" and flow.asked_ns
    fault = flow.fault if outcome == "unreachable" else None
    frames = {flow.first_frame, flow.answered_frame, flow.refused_frame, flow.last_frame} - {0}
    return InsideApp(
        t=part.t(flow.last_ns),
        frames=tuple(sorted(frames)),
        app=visible(app.text, 120),
        host=visible(app.host, 120),
        address=dotted(flow.server),
        port=app.port,
        protocol=app.protocol,
        outcome=outcome,  # type: ignore[arg-type]
        connect_seconds=_between(flow.first_ns, flow.answered_ns),
        answer_seconds=_between(flow.asked_ns, flow.progress_ns) if answered else None,
        retransmissions=flow.repeats + tries - 1,
        mss=flow.mss,
        received=flow.received,
        gap=flow.gap,
        detail=fault[0] if fault else "",
        reporter=fault[1] if fault else "",
    )


def _between(first_ns: int, then_ns: int) -> float | None:
    return round((then_ns - first_ns) / 1e9, 6) if then_ns else None

"""``-v``: each message that passes, decoded, on a line (details below it, indented)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from rich.console import Console
from rich.text import Text

from vpndiag.observations import (
    ControlCheck,
    EspFlow,
    HostResolvers,
    HostRoutes,
    IcmpError,
    IkeMessage,
    L2tpMessage,
    NameAnswer,
    NatLifetime,
    Observation,
    OuterMtu,
    PathTrace,
    PppMessage,
    Scope,
)
from vpndiag.render.symbols import speaks_unicode
from vpndiag.report.text import visible

_SELF_EVIDENT = frozenset({"why", "outcome"})
_COMMON = frozenset({"t", "frames", "kind", "direction"})


def print_message(observation: Observation, console: Console) -> None:
    """Time, packet number, direction, what it is, and what it says."""
    line = Text(style="dim")
    frames = ",".join(str(frame) for frame in observation.frames[:3])
    line.append(f"{observation.t:9.3f} s  {'#' + frames if frames else '':<6} ")
    line.append(f"{_arrow(observation, console)} ")
    line.append(visible(_what(observation), 500), style="not dim")
    console.print(line, soft_wrap=True)
    for text in _details(observation):
        console.print(Text(f"{'':23}{visible(text, 1000)}", style="dim"), soft_wrap=True)


def _arrow(observation: Observation, console: Console) -> str:
    direction = getattr(observation, "direction", "")
    if speaks_unicode(console):
        return {"out": "→", "in": "←"}.get(direction, " ")
    return {"out": ">", "in": "<"}.get(direction, " ")


def _what(seen: Observation) -> str:
    match seen:
        case IkeMessage():
            again = " (repeated)" if seen.repeat else ""
            return f"IKE {seen.step} port {seen.port}, {seen.size} bytes, {seen.protection}{again}"
        case L2tpMessage():
            again = " (repeated)" if seen.repeat else ""
            where = "" if seen.inside == "esp" else " in clear"
            return f"L2TP {seen.message}{where} Ns={seen.ns} Nr={seen.nr}{again}"
        case PppMessage():
            again = " (repeated)" if seen.repeat else ""
            method = f" {seen.method}" if seen.method else ""
            return f"{seen.protocol} {seen.code}{method} id {seen.identifier}{again}"
        case Scope():
            far = "the login" if seen.user else "the key" if seen.credentials else "outside only"
            return f"to be tested: {far}{', L2TP without IPsec' if seen.plain_l2tp else ''}"
        case EspFlow():
            return f"ESP {seen.spi}: {seen.packets} packets, {seen.bytes} bytes"
        case NameAnswer():
            found = ", ".join(seen.addresses) or seen.outcome
            beside = "" if seen.role == "gateway" else f" ({seen.role})"
            return f"DNS {seen.name} {seen.rrtype} from {seen.resolver}: {found}{beside}"
        case IcmpError():
            return f"ICMP {seen.what} from {seen.reporter or 'unknown'} for port {seen.port}"
        case PathTrace():
            hops = " ".join(hop.address or "*" for hop in seen.hops) or "nobody"
            by = f" by {seen.end_by}" if seen.end_by else ""
            return f"trace of {seen.what} to UDP {seen.port}: {hops}; {seen.end}{by}"
        case OuterMtu():
            return (
                f"sizes to UDP {seen.port}: {seen.outcome}, up to {seen.largest} of {seen.tried} "
                f"bytes answered, fragments {seen.fragments}"
            )
        case NatLifetime():
            gone = f", gone after {seen.gone:.0f} s" if seen.gone else ""
            return f"NAT mapping: {seen.outcome}, survives {seen.survived:.0f} s{gone}"
        case ControlCheck():
            port = f" {seen.port}" if seen.port else ""
            return f"{seen.role} {seen.target}: {seen.what}{port} {seen.outcome}"
        case HostRoutes():
            routes = [f"{r.destination} {r.interface} {r.via}".rstrip() for r in seen.routes[:16]]
            return f"routes: {', '.join(routes) or 'none' if seen.known else 'cannot tell'}"
        case HostResolvers():
            servers = [f"{r.address} {r.interface}".rstrip() for r in seen.resolvers[:16]]
            return f"resolvers ({seen.source}): {', '.join(servers) or 'none'}"
        case _:
            kind = str(getattr(seen, "kind", type(seen).__name__)).replace("-", " ")
            said = ", ".join(_rest(seen))
            return f"{kind}: {said}" if said else kind


def _details(seen: Observation) -> Iterator[str]:
    match seen:
        case IkeMessage() | L2tpMessage() | PppMessage() if seen.repeat:
            return  # as above
        case IkeMessage():
            yield f"cookies {seen.initiator_cookie} {seen.responder_cookie}"
            if seen.payloads:
                yield f"payloads {', '.join(seen.payloads)}"
            yield from seen.transforms[:32]
            for notify in seen.notifies:
                yield f"notify {notify.type} {notify.name} {notify.data}".rstrip()
            for deleted in seen.deletes:
                yield f"delete {deleted}"
            if seen.identity:
                yield f"identity {seen.identity}"
        case L2tpMessage():
            said = [
                f"{name.replace('_', ' ')} {getattr(seen, name)}"
                for name in (
                    "assigned_tunnel_id",
                    "assigned_session_id",
                    "host_name",
                    "vendor_name",
                    "result_code",
                    "error_code",
                    "error_message",
                )
                if getattr(seen, name) not in (None, "")
            ]
            if said:
                yield ", ".join(said)
        case PppMessage():
            if seen.options:
                yield ", ".join(f"{name} {value}".rstrip() for name, value in seen.options)
            for name in ("name", "error_code", "message"):
                if getattr(seen, name) not in (None, ""):
                    yield f"{name.replace('_', ' ')} {getattr(seen, name)}"


def _rest(seen: Observation) -> Iterator[str]:
    for item in fields(seen):
        value = getattr(seen, item.name)
        if item.name in _COMMON or value in (None, "", (), False):
            continue
        name = item.name.replace("_", " ")
        if value is True:
            yield name
        elif item.name in _SELF_EVIDENT:
            yield str(value)
        else:
            yield f"{name} {_plain(value)}"


def _plain(value: object) -> str:
    """As people write it: ``0.912 0.913``, and not Python's tuple of floats with 17 digits."""
    if isinstance(value, tuple):
        return " ".join(_plain(item) for item in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)

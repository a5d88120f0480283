"""The diagnosis of ``vpndiag host``: all rungs of the system's own VPN, and the verdict.

Unlike a run, the rungs do not stand on each other: each says what this computer itself shows. A
rung in order is ``passed`` only when the connection is up, since nothing was sent to try it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vpndiag import catalogue
from vpndiag.diagnosis import own_client, own_inside
from vpndiag.diagnosis.own import OwnVpn
from vpndiag.diagnosis.ruling import Ruling, evidence, failed_verdict, finding, not_reached, rule
from vpndiag.observations import Ended, HostConnection, Observation
from vpndiag.report.model import LADDER, LAYER_TITLES, Diagnosis, Finding, Layer, Verdict

_CLIENT: dict[str, Callable[[OwnVpn], own_client.Judged]] = {
    "path": own_client.path,
    "ike": own_client.ike,
    "ipsec": own_client.ipsec,
    "l2tp": own_client.l2tp,
    "lcp": own_client.lcp,
}
_INSIDE: dict[str, Callable[[OwnVpn], Ruling]] = {
    "address": own_inside.address,
    "routes": own_inside.routes,
    "mtu": own_inside.mtu,
    "dns": own_inside.dns,
}
_MEANS = {
    "646": "login.restricted-hours",
    "647": "login.account-disabled",
    "648": "login.password-expired",
    "649": "login.no-dialin-right",
    "691": "login.wrong-password",
    "868": "name.not-found",
    "PPP error 19": "login.wrong-password",
}
"""Errors of the built-in clients that say what was wrong; all others have several causes."""

_NOT_LOOKED = "not looked at; vpndiag run tries it"
NONE_HERE = "No L2TP VPN is set up on this computer."


def diagnose(observations: Iterable[Observation]) -> Diagnosis:
    """Judge what a system said of its own VPN. Pure."""
    own = OwnVpn(observations)
    if own.of(Ended):
        layers = tuple(not_reached(i, "interrupted").layer for i in LADDER)
        verdict = Verdict("inconclusive", "Interrupted before the end.", confidence="certain")
        return Diagnosis(verdict, layers, ())
    if own.system == "other" or not own.applicable:
        reason = NONE_HERE if own.system != "other" else "this system is not known"
        layers = tuple(not_reached(i, reason.rstrip(".")).layer for i in LADDER)
        headline = NONE_HERE if own.system != "other" else "This system's own VPN cannot be told."
        return Diagnosis(Verdict("not_applicable", headline, confidence="high"), layers, ())
    rulings = {layer: _ruling(layer, own) for layer in LADDER}
    for last in _last_failure(own):
        layer = last.layer
        if rulings[layer].layer.status != "failed":
            rulings[layer] = rule(layer, "failed", last, *rulings[layer].findings,
                                  summary=last.detail.rstrip("."))  # fmt: skip
    layers = tuple(ruling.layer for ruling in rulings.values())
    findings = [catalogue.complete(f) for r in rulings.values() for f in r.findings]
    verdict = _verdict(own, layers, findings)
    order = ("error", "warning", "info")
    findings.sort(key=lambda f: (f.code != verdict.finding, order.index(f.severity)))
    return Diagnosis(verdict, layers, tuple(findings))


def _ruling(layer: str, own: OwnVpn) -> Ruling:
    if layer in _INSIDE:
        return _INSIDE[layer](own)
    if layer not in _CLIENT:
        return not_reached(layer, _NOT_LOOKED)
    found, said = _CLIENT[layer](own)
    if own.vpn is not None:
        return rule(layer, "passed", summary=said or "the connection is up")
    if any(f.severity == "error" for f in found):
        return rule(layer, "failed", *found, summary=found[0].detail.rstrip("."))
    if any(f.severity == "warning" for f in found):
        return rule(layer, "warning", *found, summary=found[0].detail.rstrip("."))
    reason = f"not tried; {said}" if said else _NOT_LOOKED
    return rule(layer, "not_reached", *found, reason=reason)


def _last_failure(own: OwnVpn) -> list[Finding]:
    """The error of the last attempt, where that says enough."""
    if own.vpn is not None:
        return []
    for connection in own.connections:
        code = _MEANS.get(connection.error)
        if code is not None:
            return [
                finding(
                    code,
                    evidence(_attempt(connection), connection),
                    detail=_attempt(connection),
                    confidence="medium",
                )
            ]
    return []


def _attempt(connection: HostConnection) -> str:
    at = f" ({connection.error_at})" if connection.error_at else ""
    number = connection.error
    text = catalogue.windows_error(number) if number.isdecimal() else ""
    number = f"error {number}" if number.isdecimal() else number
    said = f": {text}" if text else "."
    return f'The last attempt of "{connection.name}"{at} failed with {number}{said}'


def _verdict(own: OwnVpn, layers: tuple[Layer, ...], findings: list[Finding]) -> Verdict:
    failed = failed_verdict(layers, findings)
    if failed is not None:
        return failed
    vpn = own.vpn
    if vpn is not None and vpn.addresses:
        warned = [LAYER_TITLES[x.id] for x in layers if x.status == "warning"]
        rest = f"look at {', '.join(warned)}" if warned else "nothing on this computer is wrong"
        return Verdict(
            "healthy",
            f"The VPN of this system is up ({vpn.name}, {vpn.addresses[0].partition('/')[0]}); "
            f"{rest}.",
            confidence="high" if vpn.type == "l2tp" else "medium",
        )
    return Verdict("inconclusive", _idle(own), confidence="low")


def _idle(own: OwnVpn) -> str:
    if any(c.status == "connecting" for c in own.connections):
        return "The VPN of this system is just being connected; ask again when it is done."
    if own.vpn is not None:
        return f"{own.vpn.name} is there, without an address."
    tried = next((c for c in own.connections if c.error), None)
    if tried is not None:
        about = f" (vpndiag explain {tried.error})" if tried.error.isdecimal() else ""
        return f"{_attempt(tried)} What that means is not told by this computer alone{about}."
    return "The VPN is not up; nothing that was looked at on this computer stands in its way."

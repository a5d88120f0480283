"""All rungs together: the diagnosis of one session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from vpndiag import catalogue
from vpndiag.diagnosis import (
    address,
    app,
    auth,
    captured,
    dns,
    esp,
    gave_up,
    host,
    ike,
    inside,
    ipsec,
    l2tp,
    lcp,
    login,
    loss,
    mtu,
    name,
    nat,
    path,
    routes,
    session_end,
    unused,
    vantage,
)
from vpndiag.diagnosis.ruling import Ruling, failed_verdict, not_reached
from vpndiag.diagnosis.view import View
from vpndiag.observations import HostScope, Observation, Scope
from vpndiag.report.model import LADDER, LAYER_TITLES, Diagnosis, Finding, Layer, Verdict

RULES: dict[str, Callable[[View], Ruling]] = {
    "name": name.judge,
    "path": path.judge,
    "ike": ike.judge,
    "auth": auth.judge,
    "ipsec": ipsec.judge,
    "esp": esp.judge,
    "l2tp": l2tp.judge,
    "lcp": lcp.judge,
    "login": login.judge,
    "address": address.judge,
    "routes": routes.judge,
    "mtu": mtu.judge,
    "dns": dns.judge,
    "app": app.judge,
}
"""One judge a layer, in ladder order."""

_ENDED: dict[str, Callable[[View], Ruling | None]] = {
    "path": lambda view: session_end.cut_off(view) or session_end.gone(view),
    "lcp": session_end.begun_anew,
    "address": session_end.hung_up,
}
"""Asked first: a session that was up and is not any more."""

_IPSEC = ("ike", "auth", "ipsec", "esp")
_INSIDE = ("address", "routes", "mtu", "dns", "app")

_NOT_BUILT = "not tested by this version"
_OVER = ("failed", "inconclusive")


def diagnose(observations: Iterable[Observation]) -> Diagnosis:
    """Judge one session. Pure: the same observations give the same diagnosis."""
    observations = list(observations)
    everything = View(observations)
    if everything.of(HostScope):
        return host.diagnose(observations)
    view, lost = vantage.as_the_client_saw(everything)
    layers: dict[str, Layer] = {}
    findings: list[Finding] = []
    beside = _beside(view)
    for layer_id in RULES:
        known = layers.get(layer_id)
        if known is not None and known.status in _OVER:
            continue
        ruling = beside.get(layer_id) or _judged(layer_id, view)
        if layer_id == "auth":
            ruling = _proof(ruling, view, everything, lost)
        elif layer_id == "esp" and ruling.layer.status == "not_reached":
            ruling = unused.judge(view) or ruling
        layer = ruling.layer
        if layer.id != layer_id:
            own = ruling.own or not_reached(layer_id, "").layer
            layers.setdefault(layer_id, own)
        layers[layer.id] = layer
        findings += ruling.findings
    findings += captured.notes(view)
    ordered = _cut(layers)
    findings = [nat.fitted(view, catalogue.complete(f)) for f in _distinct(findings)]
    findings = loss.doubted(findings)
    failed = next((x for x in ordered if x.status == "failed"), None)
    if failed is not None:
        # What stands beyond the failing rung was judged on too little.
        passed = {x.id for x in ordered if x.status not in ("not_reached",)}
        findings = [f for f in findings if f.layer in passed or f.severity != "error"]
    verdict = _verdict(view, ordered, findings)
    if lost:
        findings = [
            vantage.explained(f, lost) if f.code == verdict.finding else f for f in findings
        ]
        verdict = _verdict(view, ordered, findings)
    findings.sort(key=lambda f: (f.code != verdict.finding, f.severity != "error"))
    return Diagnosis(verdict, tuple(ordered), tuple(findings))


def _beside(view: View) -> dict[str, Ruling]:
    """Rungs that this material has nothing to do with."""
    found: dict[str, Ruling] = {}
    if view.plain and not view.ike and not view.ipsec_sas:
        why = view.without_ipsec
        found = {layer_id: not_reached(layer_id, why) for layer_id in _IPSEC}
    if inside.scope(view) is None and not view.large_lost:
        found |= {layer_id: inside.untested(view, layer_id) for layer_id in _INSIDE[1:]}
    return found


def _judged(layer_id: str, view: View) -> Ruling:
    ended = _ENDED.get(layer_id)
    found = (ended and ended(view)) or captured.judge(layer_id, view)
    return found or RULES[layer_id](view)


def _proof(ruling: Ruling, view: View, everything: View, lost: Sequence[Observation]) -> Ruling:
    """The ruling of ``auth``, with what is known of where the capture was made."""
    if ruling.layer.status == "not_reached":
        ruling = vantage.client_gone(view) or ruling
    if not lost:
        return ruling
    if ruling.layer.status == "inconclusive":
        # Message 6 may have been heard and not believed as well.
        ruling = gave_up.judge("auth", everything) or ruling
    return vantage.proof_unheard(ruling, view, everything, lost) or ruling


def _distinct(findings: list[Finding]) -> list[Finding]:
    """One of each code: the first, or the one that is an error."""
    seen: dict[str, Finding] = {}
    for f in findings:
        known = seen.setdefault(f.code, f)
        if f.severity == "error" and known.severity != "error":
            seen[f.code] = f
    return list(seen.values())


def _cut(layers: dict[str, Layer]) -> list[Layer]:
    """In ladder order, with everything beyond the first failed rung marked as not reached."""
    ordered: list[Layer] = []
    stopped, failed = "", False
    for layer_id in LADDER:
        layer = layers.get(layer_id) or not_reached(layer_id, _NOT_BUILT).layer
        if stopped and not (layer_id in RULES and _stands(layer, failed)):
            layer = not_reached(layer_id, stopped).layer
        ordered.append(layer)
        failed = failed or layer.status == "failed"
        if layer.status == "failed" and not stopped:
            stopped = f"{LAYER_TITLES[layer_id]} failed"
        elif layer.status == "inconclusive" and not stopped:
            stopped = f"{LAYER_TITLES[layer_id]} could not be judged"
    return ordered


def _stands(layer: Layer, after_failure: bool) -> bool:
    """A rung beyond a failed one keeps what was really seen there; what fails there fails for the
    same reason."""
    return layer.status in ("passed", "warning") or (layer.status == "failed" and not after_failure)


def _verdict(view: View, layers: list[Layer], findings: list[Finding]) -> Verdict:
    failed = failed_verdict(layers, findings)
    if failed is not None:
        return failed
    if view.interrupted:
        last = next((x for x in reversed(layers) if x.status in ("passed", "warning")), None)
        so_far = f"; {LAYER_TITLES[last.id]} worked" if last else ""
        return Verdict("inconclusive", f"Interrupted before the end{so_far}.", confidence="certain")
    unknown = next((x for x in layers if x.status == "inconclusive"), None)
    if unknown is not None:
        return Verdict(
            outcome="inconclusive",
            headline=f"It cannot be told whether {LAYER_TITLES[unknown.id]} works: "
            f"{unknown.summary or 'not enough was seen'}.",
            layer=unknown.id,
            confidence="low",
        )
    if view.soak is not None and view.ended is not None and view.ended.why == "stopped":
        return Verdict(
            outcome="inconclusive",
            headline=f"The VPN came up and was lost after {view.soak.seconds:.0f} s; why cannot be "
            "told.",
            layer="path",
            confidence="low",
        )
    reached = [x for x in layers if x.status in ("passed", "warning")]
    if not reached:
        if view.other:
            packets: dict[str, int] = {}
            for o in view.other:
                packets[o.what] = packets.get(o.what, 0) + o.packets
            kinds = ", ".join(f"{what} ({count} packets)" for what, count in packets.items())
            return Verdict("not_applicable", f"No L2TP/IPsec here, but {kinds}.")
        if view.ended is not None and view.ended.keepalives:
            return Verdict(
                outcome="inconclusive",
                headline="An L2TP tunnel that was set up before the capture began is kept up "
                f"({view.ended.keepalives} packets of HELLO and acknowledgements); nothing else of "
                "it is seen.",
                layer="l2tp",
                confidence="low",
            )
        return Verdict("not_applicable", "Nothing of L2TP/IPsec is in this material.")
    return _healthy(view, reached)


def _works(reached: list[Layer]) -> str:
    inside = [x for x in reached if x.id in _INSIDE[1:]]
    names = [LAYER_TITLES[x.id] for x in inside if x.status == "passed"]
    if not names:
        return "The VPN works: an address was assigned."
    return f"The VPN works: an address was assigned; inside, all is well with {_and(names)}."


def _stayed(view: View) -> str:
    """What is to be added after a time of staying connected."""
    soak = view.soak
    if soak is None:
        return ""
    minutes = f"{soak.seconds / 60:.0f} min" if soak.seconds >= 120 else f"{soak.seconds:.0f} s"
    renewed = {r.what for r in view.rekeys if r.outcome == "renewed"}
    keys = {0: "", 1: "; its keys were renewed once", 2: "; its keys were renewed, both kinds"}
    return f" It stayed up for {minutes}{keys[len(renewed)]}."


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _asked_for(scope: Scope) -> str:
    """What a run without a user name has shown."""
    if scope.credentials:
        return "Everything up to the login works. The login was not tested: give --user for that."
    return (
        "What can be told from outside works: the gateway answers, and takes a proposal. Key and "
        "login were not tested: give --user for that."
    )


def _healthy(view: View, reached: list[Layer]) -> Verdict:
    last = reached[-1]
    if view.scope is not None:
        if last.id == "name":
            return Verdict(
                "inconclusive",
                "Only the server name was looked at; nothing was heard from the gateway.",
                layer="path",
                confidence="low",
            )
        if last.id in _INSIDE or view.ended is None:
            stayed = _stayed(view)
            return Verdict("healthy", _works(reached) + stayed, confidence="certain")
        if not view.scope.user or not view.scope.credentials:
            return Verdict("healthy", _asked_for(view.scope), confidence="certain")
        return Verdict(
            "inconclusive",
            f"The run ended after {LAYER_TITLES[last.id]} without a clear reason.",
            layer=last.id,
            confidence="low",
        )
    confident = "high" if last.id in ("esp", *_INSIDE) else "medium"
    return Verdict(
        "healthy",
        f"No failure is visible; {LAYER_TITLES[last.id]} is the last layer that can be seen.",
        confidence="high" if confident == "high" else "medium",
    )

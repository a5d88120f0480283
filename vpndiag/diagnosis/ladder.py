"""All rungs together: the diagnosis of one session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

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
from vpndiag.diagnosis.ruling import Ruling, not_reached
from vpndiag.diagnosis.verdict import verdict_of
from vpndiag.diagnosis.view import View
from vpndiag.observations import HostScope, Observation
from vpndiag.report.model import LADDER, LAYER_TITLES, Diagnosis, Finding, Layer

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

_NOT_BUILT = "not tested by this version"
_OVER = ("failed", "inconclusive")


def diagnose(observations: Iterable[Observation]) -> Diagnosis:
    """Judge one session. Pure: the same observations give the same diagnosis."""
    return diagnose_all([observations])[0]


def diagnose_all(sessions: Iterable[Iterable[Observation]]) -> list[Diagnosis]:
    """Judge many sessions, each by itself. Question by question: the rules of one fit a processor's
    cache, those of all would drive each other out for every session (a third of the time)."""
    cases = [_Case(view) for view in [View(observations) for observations in sessions]]
    for live in (True, False):
        alike = [case for case in cases if case.view.live == live]
        for layer_id in RULES if alike else ():
            _climb(layer_id, live, [case for case in alike if case.asks(layer_id)])
    return [case.diagnosis() for case in cases]


def _climb(layer_id: str, live: bool, cases: list[_Case]) -> None:
    """The next rung of each of these sessions: the ruling is the first answer."""
    questions: list[Callable[[View], Ruling | None]] = [
        partial(question, layer_id) for question in captured.questions(layer_id, live)
    ]
    if layer_id in _ENDED:
        questions.insert(0, _ENDED[layer_id])
    for question in (*questions, RULES[layer_id]):
        left = []
        for case in cases:
            ruling = question(case.view)
            if ruling is None:
                left.append(case)
            else:
                case.take(layer_id, ruling)
        cases = left


class _Case:
    """One session on its way up the ladder."""

    def __init__(self, everything: View) -> None:
        self._everything = everything
        self.view, self._lost = vantage.as_the_client_saw(everything)
        self._layers: dict[str, Layer] = {}
        self._findings: list[Finding] = []
        self._beside = _beside(self.view)
        self._machine = host.diagnose(everything.all) if everything.of(HostScope) else None
        """Where what was looked at is no session, but the machine itself."""

    def asks(self, layer_id: str) -> bool:
        """Whether the next rung, in ladder order, is still to be judged."""
        if self._machine is not None:
            return False
        known, beside = self._layers.get(layer_id), self._beside.get(layer_id)
        if known is not None and known.status in _OVER:
            return False
        if beside is not None:
            self.take(layer_id, beside)
        return beside is None

    def take(self, layer_id: str, ruling: Ruling) -> None:
        """The ruling of a rung."""
        layers = self._layers
        if layer_id == "auth":
            ruling = _proof(ruling, self.view, self._everything, self._lost)
        elif layer_id == "esp" and ruling.layer.status == "not_reached":
            ruling = unused.judge(self.view) or ruling
        layer = ruling.layer
        if layer.id != layer_id:
            own = ruling.own or not_reached(layer_id, "").layer
            layers.setdefault(layer_id, own)
        layers[layer.id] = layer
        self._findings += ruling.findings

    def diagnosis(self) -> Diagnosis:
        """What all rungs say together."""
        if self._machine is not None:
            return self._machine
        view, lost = self.view, self._lost
        ordered = _cut(self._layers)
        findings = _distinct(self._findings + captured.notes(view))
        findings = [nat.fitted(view, catalogue.complete(f)) for f in findings]
        findings = loss.doubted(findings)
        failed = next((x for x in ordered if x.status == "failed"), None)
        if failed is not None:
            # What stands beyond the failing rung was judged on too little.
            passed = {x.id for x in ordered if x.status not in ("not_reached",)}
            findings = [f for f in findings if f.layer in passed or f.severity != "error"]
        verdict = verdict_of(view, ordered, findings)
        if lost:
            findings = [
                vantage.explained(f, lost) if f.code == verdict.finding else f for f in findings
            ]
            verdict = verdict_of(view, ordered, findings)
        findings.sort(key=lambda f: (f.code != verdict.finding, f.severity != "error"))
        return Diagnosis(verdict, tuple(ordered), tuple(findings))


def _beside(view: View) -> dict[str, Ruling]:
    """Rungs that this material has nothing to do with."""
    found: dict[str, Ruling] = {}
    if view.plain and not view.ike and not view.ipsec_sas:
        why = view.without_ipsec
        found = {layer_id: not_reached(layer_id, why) for layer_id in _IPSEC}
    if inside.scope(view) is None and not view.large_lost:
        found |= {layer_id: inside.untested(view, layer_id) for layer_id in inside.LAYERS}
    return found


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

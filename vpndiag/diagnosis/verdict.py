"""The verdict of one session: its outcome, and the sentence that says it."""

from __future__ import annotations

from vpndiag.diagnosis import liveness
from vpndiag.diagnosis.inside import LAYERS
from vpndiag.diagnosis.ruling import failed_verdict, number
from vpndiag.diagnosis.view import View
from vpndiag.observations import Scope
from vpndiag.report.model import LAYER_TITLES, Finding, Layer, Verdict


def verdict_of(view: View, layers: list[Layer], findings: list[Finding]) -> Verdict:
    """What all rungs and findings of a session come to."""
    failed = failed_verdict(layers, findings)
    if failed is not None:
        return failed
    unknown = next((x for x in layers if x.status == "inconclusive"), None)
    if view.interrupted:
        last = next((x for x in reversed(layers) if x.status in ("passed", "warning")), None)
        so_far = f"; {LAYER_TITLES[last.id]} worked" if last else ""
        where = f"while waiting at {LAYER_TITLES[unknown.id]}" if unknown else "before the end"
        return Verdict(
            outcome="inconclusive",
            headline=f"Interrupted {where}{so_far}.",
            layer=unknown.id if unknown else None,
            confidence="certain",
        )
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
            kinds = ", ".join(
                f"{what} ({number(count, 'packet')})" for what, count in packets.items()
            )
            return Verdict("not_applicable", f"No L2TP/IPsec here, but {kinds}.")
        if view.ended is not None and view.ended.keepalives:
            return Verdict(
                outcome="inconclusive",
                headline="An L2TP tunnel that was set up before the capture began is kept up "
                f"({number(view.ended.keepalives, 'packet')} of HELLO and acknowledgements); "
                "nothing else of it is seen.",
                layer="l2tp",
                confidence="low",
            )
        return Verdict("not_applicable", "Nothing of L2TP/IPsec is in this material.")
    return _healthy(view, reached)


def _works(reached: list[Layer]) -> str:
    inside = [x for x in reached if x.id in LAYERS]
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
        return (
            "Everything up to the L2TP session works. The login and what comes after it were not "
            "tested: give --user for that."
        )
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
        if last.id in ("address", *LAYERS) or view.ended is None:
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
    if last.id in ("name", "path") and not liveness.all_checks(view):
        return Verdict(
            "inconclusive",
            "Something goes to and fro, but what is seen is no attempt to connect and no session.",
            layer="l2tp" if view.plain else "ike",
            confidence="low",
        )
    l2tp = last.id == "ipsec" and not (view.other_ipsec or view.only_ikev2)
    beyond = "; no ESP packet follows, so L2TP and the login cannot be judged" if l2tp else ""
    return Verdict(
        "healthy",
        f"No failure is visible; {LAYER_TITLES[last.id]} is the last layer that can be seen"
        f"{beyond}.",
        confidence="high" if last.id in ("esp", "address", *LAYERS) else "medium",
    )

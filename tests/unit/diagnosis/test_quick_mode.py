"""Quick mode: what is a refusal of its offer, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import (
    Ended,
    IkeEstablished,
    IkeMessage,
    IkeNotify,
    LocalEnd,
    Observation,
    Scope,
)

HEALTHY = simulate().observations
FIRST_SA = "0" * 15 + "1"


def given_up() -> list[Observation]:
    """An IKE SA of which the gateway says INVALID-COOKIE when quick mode comes: SoftEther keeps one
    without IPsec SA for 5 s, less than main mode takes on a long way."""
    ike = [o for o in HEALTHY if isinstance(o, IkeMessage)]
    ours = ike[0].initiator_cookie
    until = next(m for m in ike if m.step == "QM2")
    first = [
        replace(m, initiator_cookie=FIRST_SA, t=m.t - 100.0)
        for m in ike[: ike.index(until)]
        if m.initiator_cookie == ours
    ]
    said = replace(
        until, t=first[-1].t + 1.0, step="INFO", exchange=5, initiator_cookie=FIRST_SA,
        transforms=(), protection="clear", notifies=(IkeNotify(type=4, name="INVALID-COOKIE"),),
    )  # fmt: skip
    return [*first, said]


def test_an_ike_sa_that_the_gateway_has_given_up_is_no_refused_offer() -> None:
    """The run begins anew, and the same offer is accepted."""
    assert "QM1" in {m.step for m in given_up() if isinstance(m, IkeMessage)}
    verdict = diagnose([*given_up(), *HEALTHY]).verdict
    assert (verdict.outcome, verdict.finding) == ("healthy", None)


def test_where_it_stays_at_that_the_gateway_hung_up() -> None:
    begin = [o for o in HEALTHY if isinstance(o, Scope | LocalEnd)]
    end = Ended(t=given_up()[-1].t + 3.0, why="stopped")
    assert diagnose([*begin, *given_up(), end]).verdict.finding == "ipsec.hung-up"


@pytest.mark.parametrize(
    ("protection", "status", "why"),
    [
        ("decrypted", "failed", "does not fit what was offered"),
        ("bad-hash", "inconclusive", "its hash is wrong"),
    ],
)
def test_an_answer_that_is_not_taken_does_not_pass(protection: str, status: str, why: str) -> None:
    """A run that believed it would have sent message 3, and ESP. What is proven to be the
    gateway's is its fault; anybody can have sent the other."""
    answer = next(m for m in HEALTHY if isinstance(m, IkeMessage) and m.step == "QM2")
    kept = IkeMessage | IkeEstablished | Scope | LocalEnd
    seen = [o for o in HEALTHY if isinstance(o, kept) and o.t <= answer.t]
    seen = [
        replace(o, protection=protection) if o is answer else o  # type: ignore[arg-type]
        for o in seen
        if getattr(o, "step", "") != "QM3"
    ]
    found = diagnose([*seen, Ended(t=answer.t + 4.0, why="stopped")])
    assert found.verdict.outcome == status
    rung = next(layer for layer in found.layers if layer.id == "ipsec")
    assert rung.status == status and why in rung.summary

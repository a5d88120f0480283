"""What a long way makes of a recording, and what must not be read into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.sim.network import VERIFY_TIME, Line, Network, Result, client_options, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.observations import (
    Ended,
    EspFlow,
    IkeMessage,
    InsidePing,
    InsideScope,
    IpsecSa,
    L2tpMessage,
    LocalEnd,
    Observation,
    Scope,
)

ONE_WAY = 0.6
LINE = Line(delay=ONE_WAY)


def run(fault: str = "") -> Result:
    config, options = GatewayConfig(), client_options()
    if fault:
        config, options = BREAKS[fault].apply(config, options, VERIFY_TIME)
    return simulate(options, config, Network(up=LINE, down=LINE))


def at_the_gateway(observations: Sequence[Observation]) -> list[Observation]:
    """What a capture made there shows: the client's packets later, the gateway's sooner."""
    seen: list[Observation] = []
    for o in observations:
        if isinstance(o, Scope | LocalEnd):
            continue
        way = getattr(o, "direction", None)
        later = {"out": ONE_WAY, "in": -ONE_WAY}.get(way or "", 0.0)
        if isinstance(o, Ended):
            o = replace(o, why="capture-end", t=o.t + ONE_WAY)
        seen.append(replace(o, t=o.t + later))
    return seen


@pytest.mark.parametrize("fault", ["auth.psk-mismatch:mute", "l2tp.no-answer"])
def test_repeats_that_cross_an_answer_do_not_show_that_it_was_lost(fault: str) -> None:
    """A round trip long the client goes on asking, not for want of an answer."""
    live = run(fault)
    seen = at_the_gateway(live.observations)
    crossing = [
        m for m in seen
        if isinstance(m, IkeMessage) and m.step == "MM1" and m.repeat and m.t > ONE_WAY
    ]  # fmt: skip
    assert len(crossing) >= 2
    diagnosis = diagnose(seen)
    assert diagnosis.verdict.finding == live.finding
    told = [e.text for f in diagnosis.findings for e in f.evidence]
    assert not any("as if nothing had come" in text for text in told)


def test_a_gateway_that_answers_no_repeat_is_not_behind_a_line_that_loses_packets() -> None:
    """SoftEther answers message 3 once. All answers take as long as all others, and pings do."""
    healthy = run()
    seen = [o for o in healthy.observations if not (_repeated(o) and o.direction == "in")]  # type: ignore[attr-defined]
    asked_again = [o for o in seen if _repeated(o)]
    assert len(asked_again) >= 6
    assert "path.lossy" not in {f.code for f in diagnose(seen).findings}
    short = [
        replace(o, round_trips=(0.02,) * o.received) if isinstance(o, InsidePing) else o
        for o in seen
    ]
    assert "path.lossy" in {f.code for f in diagnose(short).findings}, "where pings take 20 ms"


def _repeated(o: Observation) -> bool:
    return isinstance(o, IkeMessage | L2tpMessage) and o.repeat


def test_an_sa_more_that_is_deleted_while_another_carries_on_is_no_end() -> None:
    """Repeats of quick mode that cross make two pairs at SoftEther; it deletes the one that is not
    used, perhaps the newer one."""
    seen = list(run().observations)
    up = next(o for o in seen if isinstance(o, InsideScope)).t
    pair = next(o for o in seen if isinstance(o, IpsecSa))
    model = next(o for o in seen if isinstance(o, IkeMessage) and o.direction == "in")
    other = replace(pair, t=pair.t + 0.01, spi_in="0x11111111", spi_out="0x22222222")
    gone = replace(
        model, t=up + 0.01, step="INFO", protection="decrypted", deletes=("ESP 0x22222222",)
    )
    assert any(isinstance(o, EspFlow) and o.last_t > up + 1 for o in seen)
    stopped = [replace(o, why="stopped") if isinstance(o, Ended) else o for o in seen]
    assert diagnose([*stopped, other, gone]).verdict.outcome == "healthy"
    silent = [
        replace(o, last_t=up) if isinstance(o, EspFlow) and o.direction == "in" else o
        for o in stopped
    ]
    assert diagnose([*silent, other, gone]).verdict.finding == "session.hung-up"

"""Long, restless and repeating ways, on which nothing is lost: no verdict depends on them, the
capture of the run says the same, and the way is not accused of what it does not do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.sim.network import GATEWAY, Line, Network, Simulation, client_options
from tests.sim.test_breaks import VERIFY_TIME, problem
from tests.unit.analyze.own_captures import recorded
from vpndiag.cli.analysis import analyze
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.observations import Observation, PppMessage
from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.tunnel.options import Flow

RESTLESS = {"esp.out-of-order"}
WAYS = {
    "1200 ms": (Line(delay=0.6), set()),
    "20% twice": (Line(duplicate=0.2), {"esp.replayed"}),
    "30% overtaken": (Line(reorder=0.3), RESTLESS),
    "300 ms, give or take 250": (Line(delay=0.025, jitter=0.25), RESTLESS),
    "all at once": (
        Line(delay=0.55, jitter=0.1, duplicate=0.2, reorder=0.3),
        {*RESTLESS, "esp.replayed"},
    ),
}
FAULTS = (
    *("", "path.silent", "path.float-blocked", "auth.psk-mismatch"),
    *("l2tp.no-answer", "login.wrong-password", "login.no-answer"),
)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", WAYS)
def test_neither_verdict_nor_capture_depends_on_the_way(
    way: str, fault: str, seed: int, tmp_path: Path
) -> None:
    line, told = WAYS[way]
    config, options, place = GatewayConfig(), client_options(), tmp_path / "run.pcapng"
    if fault:
        config, options = BREAKS[fault].apply(config, options, VERIFY_TIME)
    live, keys = recorded(place, options, config, Network(up=line, down=line), seed)
    if fault:
        assert problem(fault, live) == ""
    else:
        assert live.outcome == "healthy"
    report = analyze([place], keys or None)
    assert (report.verdict.outcome, report.verdict.finding) == (live.outcome, live.finding)
    blind = analyze([place]).verdict
    assert blind.finding in (live.finding, None)
    assert blind.outcome in (live.outcome, "inconclusive")
    codes = live.codes | {found.code for found in report.findings}
    assert codes <= {fault, "esp.forced-encapsulation", *told}


def test_a_refusal_that_its_farewell_overtakes_is_waited_for() -> None:
    """SoftEther and pppd send CHAP Failure and Terminate-Request one behind the other."""
    config, options = BREAKS["login.wrong-password"].apply(
        GatewayConfig(plain_l2tp=True), client_options(plain_l2tp=True), VERIFY_TIME
    )
    line = Line(delay=0.2)
    simulation = Simulation([options], config, Network(up=line, down=line))
    deliver = simulation.deliver
    overtaken: list[bytes] = []

    def late(client: int, flow: Flow, data: bytes, source: tuple[str, int]) -> None:
        if b"\xc2\x23\x04" in data and not overtaken:
            overtaken.append(failure := data)
            # The Failure takes 0.3 s longer, and the gateway hangs up at once behind it.
            simulation.at(simulation.now + 0.3, lambda _: deliver(client, flow, failure, source))
            at = data.index(b"\xc2\x23\x04")
            terminate = data[:at] + b"\xc0\x21\x05\x63\x00\x04"
            length = len(terminate).to_bytes(2, "big")
            data = terminate[:2] + length + terminate[4:] if data[0] & 0x40 else terminate
        deliver(client, flow, data, source)

    simulation.deliver = late  # type: ignore[method-assign]
    result = simulation.run()[0]
    assert overtaken
    assert any(m.code == "Terminate-Request" for m in _lcp(result.observations))
    assert result.finding == "login.wrong-password"


def _lcp(observations: Sequence[Observation]) -> list[PppMessage]:
    return [o for o in observations if isinstance(o, PppMessage) and o.protocol == "LCP"]


def test_a_gateway_that_repeats_message_4_by_itself_is_not_asked_anew_four_times() -> None:
    """Libreswan does so after 0.5, 1, 2, 4, 8 seconds, and is silent to a wrong key. On a way where
    every question has to be repeated its silence took more than a minute to be believed."""
    config, options = BREAKS["auth.psk-mismatch:mute"].apply(
        GatewayConfig(), client_options(), VERIFY_TIME
    )
    line = Line(delay=0.6)
    simulation = Simulation([options], config, Network(up=line, down=line))
    seen: set[bytes] = set()

    def libreswan(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        message_4 = flow is Flow.IKE and way == "down" and data[16] == PayloadType.KE
        if not message_4 or data in seen:
            return
        seen.add(data)
        for after in (0.5, 1.0, 2.0, 4.0, 8.0):
            sim.at(sim.now + after, lambda _: sim.deliver(client, flow, data, (GATEWAY, 500)))

    simulation.taps.append(libreswan)
    result = simulation.run()[0]
    assert problem("auth.psk-mismatch:mute", result) == ""
    assert len(seen) <= 2, "begun anew once at most"
    assert result.seconds < 25


@pytest.mark.parametrize("delay", [0.02, 0.3, 0.6])
def test_a_wholly_mute_gateway_takes_two_round_trips_longer_on_a_long_way(delay: float) -> None:
    """Two for messages 1 to 4; then silence is silence, as often as it was asked into."""
    config, options = BREAKS["auth.psk-mismatch:mute"].apply(
        GatewayConfig(), client_options(), VERIFY_TIME
    )
    line = Line(delay=delay)
    result = Simulation([options], config, Network(up=line, down=line)).run()[0]
    assert problem("auth.psk-mismatch:mute", result) == ""
    assert result.run.patience.begun == 1
    assert result.seconds < 11.0 + 2 * 2 * delay


def test_where_packets_are_lost_silence_is_asked_anew() -> None:
    config, options = BREAKS["auth.psk-mismatch:mute"].apply(
        GatewayConfig(), client_options(), VERIFY_TIME
    )
    line = Line(loss=0.4)
    network = Network(up=line, down=line)
    results = [Simulation([options], config, network, seed).run()[0] for seed in range(4)]
    assert {r.finding for r in results} == {"auth.psk-mismatch"}
    assert max(r.run.patience.begun for r in results) > 1

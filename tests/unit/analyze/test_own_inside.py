"""What a run finds inside the tunnel, its own capture shows as well."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz.variants import load, save
from tests.sim.network import client_options, rough
from tests.sim.test_inside import plan
from tests.unit.analyze import own_captures
from tests.unit.analyze.own_captures import recorded
from vpndiag.cli.analysis import analyze
from vpndiag.cli.analyze import asked_of_options
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks.inside import INSIDE_BREAKS
from vpndiag.observations import (
    InsideApp,
    InsideDhcp,
    InsideMtu,
    InsideName,
    InsidePing,
    InsideScope,
    InsideTrace,
    Observation,
)
from vpndiag.report.document import Report, to_dict
from vpndiag.report.redact import redact

KINDS = (InsideApp, InsideDhcp, InsideMtu, InsideName, InsidePing, InsideScope, InsideTrace)
ELSEWHERE = {"t", "frames", "round_trips", "seconds", "connect_seconds", "answer_seconds"}
"""Numbers that depend on when a run stops waiting, or (``frames``) on the capture."""
UNKNOWN = {"link_mtu", "overhead", "padded_to", "local_networks", "sent", "detail"}
"""What a capture does not tell: the arithmetic, other networks, and the words of an answer."""


def told(observations: tuple[Observation, ...]) -> set[tuple[object, ...]]:
    """What matters of the observations inside."""
    found = set()
    for o in observations:
        if isinstance(o, KINDS):
            names = [n for n in o.__slots__ if n not in ELSEWHERE | UNKNOWN]
            found.add((type(o).__name__, *((n, getattr(o, n)) for n in names)))
    return found


def codes(report: Report) -> set[tuple[str, str]]:
    return {(f.code, f.severity) for f in report.findings if not f.code.startswith("esp.")}


@pytest.mark.parametrize("code", INSIDE_BREAKS)
def test_a_break_inside_has_the_same_findings_in_its_capture(code: str, tmp_path: Path) -> None:
    wanted, place = INSIDE_BREAKS[code], tmp_path / "run.pcapng"
    config = wanted.apply(GatewayConfig())
    live, keys = recorded(place, config=config, inside=plan(**wanted.ask))
    report = analyze([place], keys)
    mine, its = live.diagnosis.verdict, report.verdict
    assert (its.outcome, its.layer, its.finding) == (mine.outcome, mine.layer, mine.finding)
    assert codes(report) == {
        (f.code, f.severity) for f in live.diagnosis.findings if not f.code.startswith("esp.")
    }
    assert told(report.sessions[0].observations) == told(tuple(live.observations))
    main = next(f for f in report.findings if f.code == code)
    if code != "app.no-address":  # there is no server to ask, so there is no packet
        assert any(e.frames for e in main.evidence), "frames prove it"


@pytest.mark.parametrize("code", ["dns.silent", "app.refused", "routes.nothing-behind"])
def test_and_where_packets_are_lost(code: str, tmp_path: Path) -> None:
    wanted, place = INSIDE_BREAKS[code], tmp_path / "run.pcapng"
    config = wanted.apply(GatewayConfig())
    live, keys = recorded(place, config=config, network=rough(), inside=plan(**wanted.ask))
    assert analyze([place], keys).verdict.finding == live.finding == code


@pytest.mark.parametrize("code", ["dns.silent", "app.stalled", "mtu.black-hole"])
def test_and_without_ipsec_where_no_keys_are_needed(code: str, tmp_path: Path) -> None:
    wanted, place = INSIDE_BREAKS[code], tmp_path / "run.pcapng"
    config = wanted.apply(GatewayConfig(plain_l2tp=True))
    options = client_options(plain_l2tp=True)
    live, _ = recorded(place, options, config, inside=plan(**wanted.ask))
    assert analyze([place]).verdict.finding == live.finding == code


def test_a_healthy_run_is_healthy_to_the_last_rung(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    inside = plan(
        apps=["http://files.corp.example"],
        internal_hosts=("10.99.0.80",),
        internal_names=("intranet.corp.example",),
    )
    live, keys = recorded(place, inside=inside)
    report = analyze([place], keys)
    status = {layer.id: layer.status for layer in report.layers}
    assert live.outcome == report.verdict.outcome == "healthy"
    assert [status[i] for i in ("routes", "mtu", "dns", "app")] == ["passed"] * 4
    assert told(report.sessions[0].observations) == told(tuple(live.observations))


def test_without_its_keys_nothing_is_said_of_the_inside(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    wanted = INSIDE_BREAKS["dns.silent"]
    recorded(place, config=wanted.apply(GatewayConfig()), inside=plan(**wanted.ask))
    report = analyze([place])
    assert not any(isinstance(o, KINDS) for o in report.sessions[0].observations)


def test_with_the_keys_of_one_direction_silence_says_nothing(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    _, keys = recorded(place)
    half = replace(keys, esp=dict(list(keys.esp.items())[:1]))
    report = analyze([place], half)
    assert not any(isinstance(o, KINDS) for o in report.sessions[0].observations)


@pytest.mark.parametrize("code", ["app.refused", "dns.name-not-found", "routes.host-unreachable"])
def test_what_should_work_can_be_said_to_the_analysis_instead(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_captures, "comment", lambda _asked: "")
    wanted, place = INSIDE_BREAKS[code], tmp_path / "run.pcapng"
    _, keys = recorded(place, config=wanted.apply(GatewayConfig()), inside=plan(**wanted.ask))
    said = [list(wanted.ask.get(k, ())) for k in ("apps", "internal_names", "internal_hosts")]
    unsaid = analyze([place], keys)
    assert unsaid.verdict.outcome == "healthy", "nobody said that it is to work"
    report = analyze([place], keys, asked=asked_of_options(*said))
    assert (report.verdict.outcome, report.verdict.finding) == ("failed", code)


def test_an_application_that_nobody_used_makes_nothing_uncertain(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    _, keys = recorded(place, inside=plan(apps=["http://10.99.0.80"]))
    asked = asked_of_options(["10.99.0.81:445"], [], [])
    assert analyze([place], keys, asked=asked).verdict.outcome == "healthy"


def test_a_redacted_report_has_no_names_of_the_inside(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    asked = plan(apps=["http://files.corp.example"], internal_names=("intranet.corp.example",))
    _, keys = recorded(place, inside=asked)
    report = analyze([place], keys)
    assert "corp.example" in json.dumps(to_dict(report))
    clean = redact(report, hosts=True)
    assert "corp.example" not in json.dumps(to_dict(clean))
    assert clean.verdict == report.verdict


def test_what_came_twice_is_read_once(tmp_path: Path) -> None:
    """Its receiver throws the copy away (RFC 4303 section 3.4.3): no echo request is sent twice."""
    place = tmp_path / "run.pcapng"
    _, keys = recorded(place)
    shots = load(place)
    copies = [replace(s, time_ns=s.time_ns + 30_000_000) for s in shots[::3] if len(s.data) > 100]
    save(sorted([*shots, *copies], key=lambda s: s.time_ns), place)
    report = analyze([place], keys)
    assert report.verdict.outcome == "healthy"
    assert {f.code for f in report.findings} == {"esp.replayed"}
    (ping,) = (
        o for o in report.sessions[0].observations if isinstance(o, InsidePing) and o.role == "peer"
    )
    assert ping.sent == ping.received

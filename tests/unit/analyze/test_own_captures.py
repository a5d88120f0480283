"""A live run and the analysis of its own capture agree, with keys and (less) without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.network import VERIFY_TIME, client_options, rough
from tests.unit.analyze.own_captures import keys_of, recorded
from vpndiag.capture.keys import read_keys, write_keys
from vpndiag.capture.trust import Trust, TrustError, read_trust
from vpndiag.cli.analysis import analyze
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.gateway.breaks.auth import both_certified
from vpndiag.probes.soak import SoakPlan


def run(name: str, place: Path, seed: int = 0, bad: bool = False):  # type: ignore[no-untyped-def]
    config, options = BREAKS[name].apply(GatewayConfig(), client_options(), VERIFY_TIME)
    soak = SoakPlan(BREAKS[name].soak) if BREAKS[name].soak else None
    return recorded(place, options, config, rough(0.2) if bad else None, seed, soak)


def trust_of(name: str) -> Trust | None:
    """Whom the client trusts and what name it expects, as --ca and --cert-name tell."""
    _, options = BREAKS[name].apply(GatewayConfig(), client_options(), VERIFY_TIME)
    if not options.trust_anchors:
        return None
    return Trust(options.trust_anchors, options.gateway_name)


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_has_the_same_finding_in_its_capture(name: str, tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    live, keys = run(name, place)
    report = analyze([place], keys or None, trust=trust_of(name))
    mine, its = live.diagnosis.verdict, report.verdict
    if mine.finding in ("path.port-unreachable", "path.prohibited"):
        assert its.layer == "path" and its.outcome != "healthy", "ICMP is not in a socket's capture"
        return
    assert its.outcome == mine.outcome
    assert its.layer == mine.layer
    assert its.finding == mine.finding
    assert len(report.sessions) == 1, "probes beside the run are no attempts of their own"
    assert live.codes ^ {f.code for f in report.findings} <= OF_ONE_SIDE


OF_ONE_SIDE = {"esp.forced-encapsulation", "path.l2tp-in-clear"}
"""What a run knows of itself, and what is no news to one that was told to go without IPsec."""


def test_of_two_farewells_at_one_time_the_first_frame_is_the_first(tmp_path: Path) -> None:
    """The gateway's Delete, and what the client says to that."""
    live, keys = run("session.hung-up:delete", tmp_path / "run.pcapng", 3, bad=True)
    assert live.finding == "session.hung-up"
    assert analyze([tmp_path / "run.pcapng"], keys).verdict.finding == "session.hung-up"


def test_a_wrong_name_is_only_told_of_a_client_that_left(tmp_path: Path) -> None:
    config, options = both_certified(GatewayConfig(), client_options(), VERIFY_TIME)
    live, keys = recorded(tmp_path / "run.pcapng", options, config)
    other = Trust(options.trust_anchors, "another.example.com")
    report = analyze([tmp_path / "run.pcapng"], keys, trust=other)
    assert live.outcome == report.verdict.outcome == "healthy"


def test_a_file_of_authorities_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem", tmp_path):
        with pytest.raises(TrustError) as caught:
            read_trust(path)
        assert "\n" not in str(caught.value)


SAYS_WHO = "session.hung-up"
"""A session that was up and was ended: who began with it is encrypted."""


@pytest.mark.parametrize(
    "name",
    [n for n in BREAKS if BREAKS[n].outcome == "failed" and BREAKS[n].code != SAYS_WHO],
)
def test_without_keys_a_break_is_never_called_healthy(name: str, tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    run(name, place)
    assert analyze([place]).verdict.outcome in ("failed", "inconclusive")


@pytest.mark.parametrize("name", [n for n in BREAKS if BREAKS[n].outcome == "healthy"])
def test_without_keys_what_only_warns_is_never_called_failed(name: str, tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    run(name, place)
    assert analyze([place]).verdict.outcome in ("healthy", "inconclusive")


def test_a_healthy_run_is_healthy_to_the_address(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    live, keys = recorded(place)
    report = analyze([place], keys)
    assert live.outcome == report.verdict.outcome == "healthy"
    status = {layer.id: layer.status for layer in report.layers}
    rungs = ("path", "ike", "auth", "ipsec", "esp", "l2tp", "lcp", "login", "address")
    assert all(status[i] in ("passed", "warning") for i in rungs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["auth.psk-mismatch", "login.wrong-password", "l2tp.no-answer"])
def test_also_with_lost_repeated_and_reordered_packets(
    name: str, seed: int, tmp_path: Path
) -> None:
    place = tmp_path / "run.pcapng"
    live, keys = run(name, place, seed, bad=True)
    report = analyze([place], keys or None)
    assert report.verdict.finding == live.finding


def test_keys_go_through_wireshark_s_files(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    _, keys = run("login.wrong-password", place)
    ike = [(cookie, key) for cookie, found in keys.ike.items() for key in found]
    esp = [key for found in keys.esp.values() for key in found]
    for path in write_keys(tmp_path / "keys", ike=ike, esp=esp):
        assert path.stat().st_mode & 0o077 == 0, "secrets are for their owner"
    again = read_keys(tmp_path / "keys")
    assert again.ike == keys.ike and again.esp == keys.esp
    assert analyze([place], again).verdict.finding == "login.wrong-password"


def test_keys_do_not_show_in_text(tmp_path: Path) -> None:
    _, keys = run("login.wrong-password", tmp_path / "run.pcapng")
    for found in keys.esp.values():
        assert found[0].encryption_key.hex() not in repr(keys)


__all__ = ["keys_of"]

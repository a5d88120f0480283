"""What a recorder leaves out, or wraps otherwise, is no failure of the connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import variants
from tests.fuzz.variants import Shot, Variant, judged, keys_beside, load
from tests.unit.analyze.own_captures import recorded

OWN = Path(__file__).parents[3] / "captures"
SHARED = Path(__file__).parents[4] / "shared" / "captures"
HEALTHY = ["healthy-strongswan.pcapng", "healthy-softether.pcapng", "nat-both-libreswan.pcapng"]
STEP = 1 if os.environ.get("VPNDIAG_FULL_SWEEP") else 9


def not_failed(shots: list[Shot], found: Iterator[Variant], place: Path, keys: object) -> None:
    for name, variant in found:
        verdict = judged(variant, keys, place).verdict  # type: ignore[arg-type]
        assert verdict.outcome != "failed", f"{name}: {verdict}"


@pytest.mark.parametrize("keyed", [True, False], ids=["keys", "no keys"])
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_session_cut_anywhere_never_failed(
    name: str, keyed: bool, tmp_path: Path
) -> None:
    shots, keys = load(OWN / name), keys_beside(OWN / name) if keyed else None
    not_failed(shots, variants.cuts(shots, STEP), tmp_path / "v", keys)


@pytest.mark.parametrize("name", HEALTHY)
def test_nor_with_packets_that_the_recorder_missed(name: str, tmp_path: Path) -> None:
    shots, keys = load(OWN / name), keys_beside(OWN / name)
    not_failed(shots, variants.thinned(shots), tmp_path / "v", keys)


@pytest.mark.parametrize("keyed", [True, False], ids=["keys", "no keys"])
@pytest.mark.parametrize("name", HEALTHY)
def test_one_packet_missing_doubled_or_out_of_order_is_no_failure(
    name: str, keyed: bool, tmp_path: Path
) -> None:
    shots, keys = load(OWN / name), keys_beside(OWN / name) if keyed else None
    for vary in (variants.missing, variants.doubled, variants.exchanged):
        for which, variant in vary(shots, STEP):
            verdict = judged(variant, keys, tmp_path / "v").verdict
            assert verdict.outcome != "failed", f"{which}: {verdict}"
            assert not keyed or verdict.outcome == "healthy", f"{which}: {verdict}"


@pytest.mark.parametrize("name", HEALTHY)
def test_one_direction_alone_is_told_as_such(name: str, tmp_path: Path) -> None:
    shots, keys = load(OWN / name), keys_beside(OWN / name)
    for which, variant in variants.one_sided(shots):
        report = judged(variant, keys, tmp_path / "v")
        assert report.verdict.outcome in ("inconclusive", "not_applicable"), which
        for session in report.sessions:
            assert any(getattr(o, "one_sided", False) for o in session.observations), which


@pytest.mark.parametrize("name", HEALTHY)
def test_carriers_and_order_change_no_verdict(name: str, tmp_path: Path) -> None:
    shots, keys = load(OWN / name), keys_beside(OWN / name)
    for which, variant in (*variants.wrapped(shots), *variants.shuffled(shots)):
        verdict = judged(variant, keys, tmp_path / "v").verdict
        assert (verdict.outcome, verdict.layer) == ("healthy", None), which


@pytest.mark.parametrize("name", ["wrong-psk-strongswan", "wrong-password-softether"])
def test_nor_those_of_a_failure(name: str, tmp_path: Path) -> None:
    capture = OWN / f"{name}.pcapng"
    shots, keys = load(capture), keys_beside(capture)
    expected = judged(shots, keys, tmp_path / "v").verdict.finding
    for which, variant in variants.wrapped(shots):
        assert judged(variant, keys, tmp_path / "v").verdict.finding == expected, which


def test_a_run_of_our_own_cut_anywhere(tmp_path: Path) -> None:
    _, keys = recorded(tmp_path / "own.pcapng")
    shots = load(tmp_path / "own.pcapng")
    not_failed(shots, variants.cuts(shots, STEP), tmp_path / "v", keys)


REAL = ["jnetpcap-test-l2tp.pcap", "jimmy-ppp-osicp.pcapng", "packetlife-PPP_negotiation.cap",
        "jimmy-l2tp-lac-lns-permanent-dial.pcap", "zeekspicy-ikev1-certs.pcap",
        "jimmy-ike-esp.pcap", "jimmy-ikev1-aggressive.pcap",
        "scapy-ikev2_nat_t.pcapng"]  # fmt: skip


@pytest.mark.skipif(not SHARED.is_dir(), reason="the captures are not part of the project")
@pytest.mark.parametrize("name", REAL)
def test_real_healthy_captures_varied(name: str, tmp_path: Path) -> None:
    shots = load(SHARED / name)
    step = STEP if len(shots) < 60 else 2 * STEP
    not_failed(shots, variants.cuts(shots, step), tmp_path / "v", None)
    # Pings and their answers take turns: every other packet gone is one direction of ESP gone.
    thinned = (v for v in variants.thinned(shots) if not v[0].startswith("without 2n"))
    not_failed(shots, thinned, tmp_path / "v", None)
    not_failed(shots, variants.one_sided(shots), tmp_path / "v", None)

"""Agreement with an expert's reading of real captures, where these lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vpndiag.capture.keys import Keys, read_keys
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import Report

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
LAB = CAPTURES / "linux-lab"
needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the captures are not part of the project"
)

DISAGREED: dict[str, str] = {}
"""File name -> why the expert's reading does not follow from its packets. None so far."""

# linux-lab: what each side's capture must be read as, with keys and without.
SIDES = {
    "ok-nat": (("none",), ("none",)),
    "ok-routed-esp": (("none",), ("none",)),
    "wrong-psk": (("auth",), ("auth",)),
    "wrong-ike-proposal": (("ike",), ("ike",)),
    "wrong-password": (("login",), ("login", "unclear")),
    "blocked-1701": (("l2tp",), ("l2tp", "esp")),
    "no-dns-pushed": (("none",), ("none",)),
    "ls-ok-nat": (("none",), ("none",)),
    "ls-wrong-psk": (("auth",), ("auth", "path")),
    "ls-zero-lifetime": (("ike",), ("ike", "auth")),
    "mtu-blackhole": (("mtu",), ("none", "mtu")),
}


def reading(report: Report) -> str:
    """A verdict in the expert's words."""
    verdict = report.verdict
    words = {"healthy": "none", "inconclusive": "unclear", "not_applicable": "not_l2tp_ipsec"}
    return words.get(verdict.outcome) or str(verdict.layer)


def scored() -> list[dict[str, Any]]:
    if not CAPTURES.is_dir():
        return []
    entries = json.loads((CAPTURES / "answers.json").read_text("utf-8"))
    return [e for e in entries if e["score"] and e["sure"] in ("high", "medium")]


@needs_captures
@pytest.mark.parametrize("entry", scored(), ids=lambda e: str(e["file"]))
def test_the_verdict_names_the_expert_s_layer(entry: dict[str, Any]) -> None:
    report = analyze([CAPTURES / entry["file"]])
    if entry["file"] in DISAGREED:
        pytest.skip(DISAGREED[entry["file"]])
    assert reading(report) in (entry["failing_layer"], *entry["also_acceptable"]), report.verdict


def keys_of(folder: Path) -> Keys | None:
    return read_keys(folder / "ikev1_decryption_table") if _has_ike(folder) else None


def _has_ike(folder: Path) -> bool:
    table = folder / "ikev1_decryption_table"
    return table.is_file() and bool(table.read_text("utf-8").strip())


@needs_captures
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("name", SIDES)
def test_a_lab_capture_with_its_keys(name: str, side: str) -> None:
    folder = LAB / name
    keys = read_keys(folder) if _has_ike(folder) else None
    report = analyze([folder / f"{side}-side.pcap"], keys)
    assert reading(report) in SIDES[name][0], report.verdict


@needs_captures
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("name", SIDES)
def test_a_lab_capture_without_keys(name: str, side: str) -> None:
    report = analyze([LAB / name / f"{side}-side.pcap"])
    assert reading(report) in SIDES[name][1], report.verdict


@needs_captures
@pytest.mark.parametrize("side", ["client", "server"])
def test_what_the_lab_s_faults_are_called(side: str) -> None:
    expected = {
        "wrong-psk": "auth.psk-mismatch",
        "wrong-ike-proposal": "ike.no-proposal-chosen",
        "wrong-password": "login.wrong-password",
        "blocked-1701": "l2tp.no-answer",
        "ls-zero-lifetime": "ike.expired-at-once",
        "mtu-blackhole": "mtu.black-hole",
    }
    for name, code in expected.items():
        folder = LAB / name
        keys = read_keys(folder) if _has_ike(folder) else None
        report = analyze([folder / f"{side}-side.pcap"], keys)
        assert report.verdict.finding == code, name


@needs_captures
def test_a_loop_of_attempts_is_told_once_with_its_number() -> None:
    report = analyze([LAB / "ls-zero-lifetime" / "client-side.pcap"])
    loops = [f for s in report.sessions for f in s.findings if f.code == "path.reconnect-loop"]
    assert len(loops) == 1 and "attempts" in loops[0].evidence[0].text
    assert any(f.code == "path.reconnect-loop" for f in report.findings)


@needs_captures
def test_no_dns_server_is_a_warning_in_a_healthy_session() -> None:
    folder = LAB / "no-dns-pushed"
    report = analyze([folder / "client-side.pcap"], read_keys(folder))
    assert report.verdict.outcome == "healthy"
    assert "address.no-dns" in {f.code for f in report.findings}


@needs_captures
def test_wrong_keys_are_told_and_change_no_verdict() -> None:
    capture = LAB / "ok-nat" / "client-side.pcap"
    report = analyze([capture], read_keys(LAB / "ok-routed-esp"))
    assert report.verdict.outcome == "healthy"


@needs_captures
def test_files_of_a_ring_are_one_capture_in_any_order(tmp_path: Path) -> None:
    from vpndiag.capture.files import open_capture
    from vpndiag.capture.write import file_header, packet_block

    source = LAB / "wrong-password" / "client-side.pcap"
    with open_capture(source) as capture:
        packets = [(f.time_ns, f.data) for f in capture if f.linktype == 1]
    parts = []
    for number, chunk in enumerate((packets[:9], packets[9:20], packets[20:])):
        part = tmp_path / f"ring_{number}.pcapng"
        raw = [(t, d[14:]) for t, d in chunk if d[12:14] == b"\x08\x00"]
        part.write_bytes(file_header() + b"".join(packet_block(t, d) for t, d in raw))
        parts.append(part)
    keys = read_keys(LAB / "wrong-password")
    report = analyze(parts[::-1], keys)
    assert report.verdict.finding == "login.wrong-password"
    assert any("go on from file to file" in note for note in report.notes)

"""Traces of a run in its capture: the place where IKE dies is found from the packets alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpndiag.capture.write import CaptureWriter, icmp_error, udp_packet
from vpndiag.cli.analysis import analyze
from vpndiag.observations import PathTrace
from vpndiag.probes.outside import MainModeProbe
from vpndiag.tunnel.options import TunnelOptions
from vpndiag.tunnel.recorder import Recorder

CLIENT, GATEWAY = "192.168.7.2", "198.51.100.2"
HOPS = ("192.168.7.1", "100.64.0.1", "203.0.113.1")
START = 1_700_000_000.0


def message_1(seed: int) -> bytes:
    options = TunnelOptions(gateway=GATEWAY, local=CLIENT)
    probe = MainModeProbe("t", options, Recorder(), lambda count: bytes([seed]) * count)
    probe.start(0.0)
    return probe.pump(0.0)[0].data


def silent_run(path: Path, *, stops: int, behind: int = 0, traced: bool = True) -> None:
    """A silent gateway and the trace beside it, seen behind so many routers; IKE is dropped by
    router ``stops`` when it forwards."""
    first, to_500, to_4500 = message_1(1), message_1(2), bytes(4) + message_1(3)

    def send(
        writer: CaptureWriter, t: float, sport: int, dport: int, data: bytes, ttl: int
    ) -> None:
        ike = dport in (500, 4500)
        left = ttl - behind
        if left > 0 and not (ike and behind > stops):
            writer.write(START + t, CLIENT, GATEWAY, sport, dport, data, ttl=left)
        quoted = udp_packet(CLIENT, GATEWAY, sport, dport, b"")
        if ttl <= len(HOPS):
            seen = ttl > behind and not (ike and ttl > stops)
            error = icmp_error(HOPS[ttl - 1], 11, 0, quoted)
        else:
            seen, error = not ike, icmp_error(GATEWAY, 3, 3, quoted)
        if seen:
            writer.write_packet(START + t + 0.01, error)

    with CaptureWriter(path) as writer:
        for n in range(9):
            send(writer, 0.5 * n, 500, 500, first, 64)
            send(writer, 0.5 * n + 0.1, 4500, 4500, bytes(4) + first, 64)
            for ttl in range(1, 6) if traced and 2 <= n < 5 else ():
                t = 0.5 * n + 0.2 + 0.01 * ttl
                send(writer, t, 40000 + ttl, 500, to_500, ttl)
                send(writer, t + 0.003, 40000 + ttl, 4500, to_4500, ttl)
                send(writer, t + 0.006, 40000 + ttl, 33433 + ttl, b"where", ttl)


def traces(path: Path) -> dict[str, PathTrace]:
    report = analyze([path])
    assert len(report.sessions) == 1
    found = [o for o in report.sessions[0].observations if isinstance(o, PathTrace)]
    return {o.what: o for o in found}


@pytest.mark.parametrize("stops", [1, 2])
def test_the_place_is_named(tmp_path: Path, stops: int) -> None:
    path = tmp_path / "run.pcapng"
    silent_run(path, stops=stops)
    verdict = analyze([path]).verdict
    assert verdict.finding == "path.silent"
    assert verdict.headline.startswith(
        f"UDP 500 and 4500 stop after hop {stops}, {HOPS[stops - 1]}"
    )
    found = traces(path)
    assert [h.address for h in found["ike"].hops] == list(HOPS[:stops])
    assert (found["ike-natt"].end, found["ike-natt"].tries) == ("silent", 3)
    assert (found["udp"].end, found["udp"].end_ttl, found["udp"].end_by) == ("reached", 4, GATEWAY)
    assert all(f for t in found.values() for f in t.frames)


def test_hops_are_counted_from_the_client_wherever_the_capture_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "middle.pcapng"
    silent_run(path, stops=2, behind=1)
    found = traces(path)
    assert [h.address for h in found["ike"].hops] == ["", HOPS[1]]
    assert found["udp"].end_ttl == 4


def test_at_the_gateway_there_is_nothing_to_see_of_it(tmp_path: Path) -> None:
    path = tmp_path / "gateway.pcapng"
    silent_run(path, stops=3, behind=3)
    assert traces(path).keys() <= {"udp", "ike", "ike-natt"}
    headline = analyze([path]).verdict.headline
    assert "stop" not in headline and "hop" not in headline


def test_a_run_without_trace_has_none(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    silent_run(path, stops=1, traced=False)
    assert traces(path) == {}
    assert analyze([path]).verdict.headline == (
        "Nothing came back from UDP 500 and 4500 of the gateway."
    )

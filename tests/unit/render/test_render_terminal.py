"""What people see: golden texts, hostile text, narrow and plain terminals."""

import io
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.unit.report import report_samples as samples
from vpndiag.catalogue import complete
from vpndiag.observations import Ended, IkeMessage, InsidePing, Scope
from vpndiag.render.messages import print_message
from vpndiag.render.terminal import LiveLadder, print_report, print_verdict
from vpndiag.report.document import Report
from vpndiag.report.model import LADDER, Evidence, Finding, Layer, Verdict

GOLDEN = Path(__file__).with_name("golden")
HOSTILE = "\x1b[2J\n\u202e[red]x[/red] [/] [link=http://x]" + "A" * 1_000_000
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def console(width: int = 80, encoding: str = "utf-8", terminal: bool = False) -> Console:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    return Console(
        file=stream, width=width, force_terminal=terminal, legacy_windows=False, _environ={}
    )


def text_of(target: Console) -> str:
    target.file.flush()
    raw = target.file.buffer.getvalue()  # type: ignore[attr-defined]
    return str(raw.decode(target.encoding))


def rendered(report: Report, target: Console) -> str:
    print_report(report, target)
    return text_of(target)


@pytest.mark.parametrize("name", samples.ALL)
def test_golden(name: str) -> None:
    shown = "\n".join(line.rstrip() for line in rendered(samples.ALL[name], console()).splitlines())
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown + "\n", "utf-8")
    assert shown + "\n" == path.read_text("utf-8")


@pytest.mark.parametrize("width", [60, 72, 100, 200])
@pytest.mark.parametrize("name", samples.ALL)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    target = console(width, terminal=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", rendered(samples.ALL[name], target))
    assert max(cell_len(line) for line in shown.splitlines()) <= width


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_encodings_without_the_marks_fall_back_to_ascii(encoding: str) -> None:
    shown = rendered(samples.PSK_MISMATCH, console(encoding=encoding, terminal=True))
    assert "FAIL" in shown and "->" in shown and "+--" in shown


def test_no_color_means_no_colour() -> None:
    stream = io.StringIO()
    plain = Console(
        file=stream, width=80, force_terminal=True, _environ={"NO_COLOR": "1", "TERM": "xterm"}
    )
    print_report(samples.PSK_MISMATCH, plain)
    colours = re.findall(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|4[0-7])[;m]", stream.getvalue())
    assert not colours


def test_healthy_run_is_short() -> None:
    target = console()
    print_verdict(samples.HEALTHY, target)
    assert len(text_of(target).strip().splitlines()) <= 3


def test_many_attempts_are_counted_by_how_they_ended() -> None:
    healthy, failed = samples.CAPTURE.sessions[:2]
    sessions = tuple(
        replace(healthy if n % 3 else failed, number=n) for n in range(1, 16)
    )  # fmt: skip
    lines = rendered(replace(samples.CAPTURE, sessions=sessions), console()).splitlines()
    assert [line.split(None, 1) for line in lines[:3]] == [
        ["15", "connection attempts"],
        ["10", "healthy to address (IPCP)"],
        ["5", "auth.psk-mismatch"],
    ]


def test_in_a_file_each_attempt_is_one_line_and_what_is_not_clear_is_told() -> None:
    healthy = samples.CAPTURE.sessions[0]
    why = "the client ends the session 1.5 s after the first ESP packet; keys would tell"
    unclear = replace(
        healthy,
        client="2001:db8:1234:5678:9abc:def0:1234:5678",
        layers=(Layer("l2tp", "inconclusive", why),),
        verdict=Verdict("inconclusive", f"It cannot be told whether L2TP works: {why}.", "l2tp"),
    )
    report = replace(samples.CAPTURE, sessions=(healthy, unclear))
    lines = rendered(report, console()).splitlines()
    attempt = next(line for line in lines if unclear.client in line)
    assert attempt.rstrip().endswith(f"not certain at L2TP tunnel, session: {why}")


def test_hostile_text_is_harmless_everywhere() -> None:
    bad = complete(
        Finding(
            "l2tp.refused",
            "l2tp",
            "error",
            "high",
            detail=HOSTILE,
            evidence=(Evidence(HOSTILE, 1.0, (1,)),),
        )
    )
    report = replace(
        samples.PSK_MISMATCH,
        verdict=replace(samples.PSK_MISMATCH.verdict, headline=HOSTILE, finding="l2tp.refused"),
        findings=(bad, replace(bad, severity="warning", title=HOSTILE)),
        layers=(Layer("name", "passed", HOSTILE), Layer("path", "not_reached", reason=HOSTILE)),
        notes=(HOSTILE,),
    )
    shown = rendered(report, console())
    assert not CONTROL.search(shown)
    assert len(shown) < 60_000
    assert "[red]x[/red]" in shown


def test_hostile_messages_are_harmless() -> None:
    target = console()
    every: tuple[Any, ...] = samples.OBSERVATIONS
    for seen in every:
        loud = replace(seen, message=HOSTILE) if hasattr(seen, "message") else seen
        print_message(loud, target)
    shown = text_of(target)
    assert not CONTROL.search(shown)
    assert "notify 14 NO-PROPOSAL-CHOSEN" in shown


def test_messages_are_told_in_words_and_a_repeat_once() -> None:
    target = console(200)
    message = next(o for o in samples.OBSERVATIONS if isinstance(o, IkeMessage))
    first = replace(message, transforms=("AES-CBC-256/SHA1/MODP2048/PSK",))
    for seen in (
        replace(first, repeat=False),
        replace(first, repeat=True),
        Scope(t=0.0, credentials=False, user=False),
        Ended(t=1.0, why="stopped", one_sided=True),
        InsidePing(t=1.0, role="peer", target="10.0.0.1", sent=2, received=2,
                   round_trips=(0.0123456, 0.01)),
    ):  # fmt: skip
        print_message(seen, target)
    shown = text_of(target)
    assert shown.count(first.transforms[0]) == 1
    assert [line[22:].strip() for line in shown.splitlines()[-3:]] == [
        "to be tested: outside only",
        "ended: stopped, one sided",
        "inside ping: role peer, target 10.0.0.1, sent 2, received 2, round trips 0.012 0.010, "
        "complete",
    ]


def show_ladder(target: Console, quiet: bool = False) -> str:
    layers = samples.PSK_MISMATCH.layers
    with LiveLadder(target, quiet=quiet, clock=lambda: 0.0) as ladder:
        for layer in layers:
            ladder.layer_started(layer.id)
            ladder.layer_done(layer)
            if layer.id == "path":
                ladder.note("source port 500 is taken: using another")
    return text_of(target)


def test_without_a_terminal_each_layer_is_a_plain_line() -> None:
    lines = show_ladder(console()).splitlines()
    assert lines[0].startswith("  ok    server name ")
    assert lines[2].strip() == "source port 500 is taken: using another"
    assert lines[4].startswith("  FAIL  IKE authentication")
    assert " ".join(lines[5].split()) == "- ipsec … app not reached: the layer auth failed"
    assert len(lines) == 6
    assert "\x1b" not in "".join(lines)


def test_on_a_terminal_the_ladder_ends_with_the_same_layers() -> None:
    shown = show_ladder(console(terminal=True))
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()[-6:]
    assert any("✗" in line and "IKE authentication" in line for line in last)
    assert any("ipsec … app" in line for line in last)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_at_the_end_the_ladder_says_all_of_it_however_narrow_the_terminal(width: int) -> None:
    said = "AES-CBC-256/HMAC-SHA2-256-128/UDP-transport; no NAT, UDP encapsulation forced"
    target = console(width, terminal=True)
    with LiveLadder(target, clock=lambda: 0.0) as ladder:
        ladder.layer_done(Layer("ipsec", "passed", said, started=0.1, ended=0.102))
        ladder.layer_done(Layer("esp", "failed", "nothing came back"))
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text_of(target).rpartition("\r\x1b[2K")[2])
    assert max(cell_len(line) for line in last.splitlines()) <= width
    assert "…" not in last and "2 ms" in last
    packed = re.sub(r"\s", "", last.replace("2 ms", ""))
    for part in ("IPsec SA (quick mode)", said, "nothing came back"):
        assert part.replace(" ", "") in packed


def test_quiet_shows_nothing() -> None:
    assert show_ladder(console(), quiet=True) == ""


def test_every_layer_has_a_title_in_the_ladder() -> None:
    shown = rendered(samples.HEALTHY, console())
    assert "Healthy" in shown and LADDER[-1] in shown

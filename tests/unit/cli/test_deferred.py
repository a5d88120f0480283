"""The first packet does not wait for the display."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vpndiag.cli.deferred import DeferredLadder
from vpndiag.cli.live import Show
from vpndiag.render.ladder import LiveLadder
from vpndiag.report.model import Layer


def test_what_a_run_needs_before_its_first_packet_does_not_load_rich_or_scapy() -> None:
    code = (
        "import sys, vpndiag.cli.live, vpndiag.cli.deferred, vpndiag.probes.run, "
        "vpndiag.tunnel.driver; "
        "sys.exit(str([m for m in ('rich', 'scapy', 'pydantic', 'dns') if m in sys.modules]) "
        "if {'rich', 'scapy', 'pydantic', 'dns'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr


def test_the_ladder_is_made_when_there_is_something_to_show() -> None:
    from rich.console import Console

    made: list[LiveLadder] = []

    def make() -> LiveLadder:
        made.append(LiveLadder(Console(), quiet=True))
        return made[-1]

    ladder = DeferredLadder(make)
    ladder.layer_started("name")
    assert not made
    ladder.layer_done(Layer("name", "passed"))
    ladder.close()
    ladder.close()
    assert len(made) == 1


def test_nothing_is_made_for_a_run_that_showed_nothing() -> None:
    ladder = DeferredLadder(lambda: pytest.fail("made"))
    ladder.layer_started("name")
    ladder.close()


def test_rungs_are_not_shown_before_port_4500_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from vpndiag.diagnosis import ladder as diagnosis
    from vpndiag.report.model import LADDER, Diagnosis, Verdict

    done: list[str] = []

    class Shown:
        def layer_started(self, layer_id: str) -> None: ...

        def layer_done(self, layer: Layer) -> None:
            done.append(layer.id)

    reached = 3

    def diagnose(_seen: object) -> Diagnosis:
        layers = tuple(
            Layer(i, "passed" if n < reached else "not_reached") for n, i in enumerate(LADDER)
        )
        return Diagnosis(Verdict("healthy", ""), layers, ())

    monkeypatch.setattr(diagnosis, "diagnose", diagnose)
    show = Show(Shown(), None)  # type: ignore[arg-type]
    show.follow([], final=False)
    assert done == ["name"]
    reached = 4
    show._next = 0.0
    show._seen = -1
    show.follow([], final=False)
    assert done == ["name", "path", "ike"]

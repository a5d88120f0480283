"""Keys of one SA alone: of what is inside ESP one direction can be read. Silences of the other side
are no silences then; what the one that can be read says counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sim.network import VERIFY_TIME, client_options
from tests.unit.analyze.own_captures import recorded
from tests.unit.analyze.scene import Pair, played
from vpndiag.capture.keys import Keys
from vpndiag.cli.analysis import analyze
from vpndiag.gateway import GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.report.model import Verdict

TOLD = {
    "": ("healthy", "healthy"),
    "l2tp.no-answer": ("l2tp.no-answer", "l2tp.no-answer"),
    "l2tp.call-refused": ("inconclusive", "l2tp.call-refused"),
    "lcp.no-answer": ("inconclusive", "inconclusive"),
    "login.wrong-password": ("inconclusive", "login.wrong-password"),
    "login.no-answer": ("inconclusive", "inconclusive"),
    "address.pool-empty": ("inconclusive", "address.pool-empty"),
    "address.no-answer": ("inconclusive", "inconclusive"),
}
"""By the gateway's fault: what is said with the key of the client's packets, and of its own."""


def _verdicts(place: Path, fault: str) -> list[Verdict]:
    config, options = GatewayConfig(), client_options()
    if fault:
        config, options = BREAKS[fault].apply(config, options, VERIFY_TIME)
    result, keys = recorded(place, options, config)
    assert result.run.stack is not None
    pair = result.run.stack.agreed[-1]
    found = []
    for spi in (pair.spi_out, pair.spi_in):
        one = Keys()
        for key in keys.esp[int.from_bytes(spi, "big")]:
            one.add_esp(key)
        found.append(analyze([place], keys=one).verdict)
    return found


@pytest.mark.parametrize("fault", TOLD)
def test_what_is_said(fault: str, tmp_path: Path) -> None:
    verdicts = _verdicts(tmp_path / "run.pcapng", fault)
    assert tuple(v.finding or v.outcome for v in verdicts) == TOLD[fault]


@pytest.mark.parametrize("wrong", [(True, True), (False, True)])
def test_keys_that_do_not_fit_are_no_fault_of_the_gateway(
    wrong: tuple[bool, bool], tmp_path: Path
) -> None:
    """The client understood what came back: it goes on."""
    place = tmp_path / "run.pcapng"
    result, keys = recorded(place)
    assert result.run.stack is not None
    pair, given = result.run.stack.agreed[-1], Keys()
    for spi, spoilt in zip((pair.spi_out, pair.spi_in), wrong, strict=True):
        for key in keys.esp[int.from_bytes(spi, "big")]:
            given.add_esp(replace(key, integrity_key=bytes(len(key.integrity_key)))
                          if spoilt else key)  # fmt: skip
    report = analyze([place], keys=given)
    assert report.verdict.outcome == "healthy"
    esp = next(x for x in report.layers if x.id == "esp")
    assert "the keys given do not fit" in esp.summary


def test_keys_of_another_session_and_such_as_cannot_be_used_are_told(tmp_path: Path) -> None:
    place = tmp_path / "run.pcapng"
    _, keys = recorded(place)
    assert not analyze([place], keys=keys).notes
    others = Keys(unused=["SPI 0x00000001: CAMELLIA-CBC, HMAC-SHA1 is not supported"])
    others.add_ike(b"another!", bytes(32))
    first, second = analyze([place], keys=others).notes
    assert first.startswith("None of the keys given belongs to this capture")
    assert second == f"Keys that cannot be used: {others.unused[0]}."


class Unwrapped(Pair):
    """A recorder on the gateway that has what came in twice: as ESP, and taken out of it."""

    def l2tp(self, mine: bool, data: bytes, wait: float = 0.02) -> bytes:
        packet = super().l2tp(mine, data, wait)
        if mine:
            self.udp(True, 1701, 1701, data, 0.0)
        return packet


def _login_fails(pair: Pair) -> None:
    pair.main_mode()
    pair.quick_mode()
    pair.tunnel()
    pair.lcp()
    pair.mschap(4, b"E=691 R=0 V=3")
    pair.control(True, 4, (9, b"\0\x11"), (1, b"\0\1"))


@pytest.mark.parametrize(
    ("play", "outcome"), [(Pair.session, "healthy"), (_login_fails, "inconclusive")]
)
def test_the_same_of_a_recorder_that_sees_one_direction_unwrapped(
    play: Callable[[Pair], None], outcome: str, tmp_path: Path
) -> None:
    assert played(lambda wire: play(Unwrapped(wire)), tmp_path).verdict.outcome == outcome

"""Several computers behind one address, told apart by the name that each gives itself in L2TP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analyze.scene import Pair, Wire
from vpndiag.report.document import Report


class Named(Pair):
    name = b""

    def sccrq(self, again: bool = False, wait: float = 0.02) -> None:
        number = self.tunnels[True].to_bytes(2, "big")
        self.control(True, 1, (2, b"\1\0"), (3, b"\0\0\0\1"), (7, self.name), (9, number),
                     again=again, wait=wait)  # fmt: skip


def _one_after_the_other(place: Path, first: bytes, second: bytes) -> Report:
    """The first is refused, and half a minute later the second is let in."""
    wire = Wire()
    for tunnel, name in enumerate((first, second), 17):
        pair = Named(wire, clear=True, seed=tunnel)
        pair.name, pair.tunnels = name, {True: tunnel, False: tunnel + 20}
        pair.tunnel()
        pair.lcp()
        if tunnel == 17:
            pair.mschap(4, b"E=649 R=0 V=3")
            pair.control(False, 4, (9, b"\0\x25"), (1, b"\0\6"))
            wire.at += 30
        else:
            pair.mschap()
            pair.ipcp()
            pair.users()
    return wire.report(place)


def test_another_computers_success_heals_nothing(tmp_path: Path) -> None:
    report = _one_after_the_other(tmp_path, b"ALICE-PC", b"BOB-PC")
    assert report.verdict.finding == "login.no-dialin-right"


@pytest.mark.parametrize("names", [(b"ALICE-PC", b"ALICE-PC"), (b"anonymous", b"BOB-PC")])
def test_but_that_of_the_same_or_of_one_without_a_name_of_its_own(
    names: tuple[bytes, bytes], tmp_path: Path
) -> None:
    assert _one_after_the_other(tmp_path, *names).verdict.outcome == "healthy"

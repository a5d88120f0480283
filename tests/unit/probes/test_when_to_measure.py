"""When a run measures which sizes get to the gateway without being asked."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.probes.test_explore import ike
from vpndiag.observations import Ended, IkeMessage, Observation
from vpndiag.probes.aside import Beside
from vpndiag.probes.way import sizing
from vpndiag.probes.way.sizing import LARGE, SILENT_AFTER


def large(t: float, step: str, direction: str = "out", size: int = LARGE) -> IkeMessage:
    port = 4500 if step in ("MM5", "MM6") else 500
    return replace(ike(t, port, step, direction), size=size)


def wanted(*seen: Observation, now: float = 5.0, certificate: bool = False) -> bool:
    messages = [o for o in seen if isinstance(o, IkeMessage)]

    def of(direction: str, port: int) -> list[IkeMessage]:
        return [m for m in messages if m.direction == direction and m.port == port]

    beside: Any = SimpleNamespace(
        heard=any(m.direction == "in" for m in messages),
        ended=next((o for o in seen if isinstance(o, Ended)), None),
        options=SimpleNamespace(with_certificate=certificate),
        asked=lambda port: of("out", port),
        answered=lambda port: of("in", port),
        t=lambda: now,
    )
    return sizing._large_silence(cast(Beside, beside))


BEGUN = (ike(0.0, 500), ike(0.1, 500, "MM2", "in"))
FOUR = (*BEGUN, large(0.2, "MM3", size=300), large(0.3, "MM4", "in", 300))


@pytest.mark.parametrize(
    ("seen", "certificate", "expected"),
    [
        (BEGUN, True, False),
        ((*BEGUN, large(0.2, "MM3")), False, True),
        ((*BEGUN, large(0.2, "MM3", size=300)), True, False),
        ((*FOUR, large(0.4, "MM5", size=108)), False, False),
        ((*FOUR, large(0.4, "MM5", size=900)), True, True),
        ((*FOUR, large(0.4, "MM5")), False, True),
        ((*FOUR, large(0.4, "MM5"), large(0.5, "MM6", "in")), True, False),
        ((large(0.2, "MM3"),), False, False),
        ((*FOUR, large(0.4, "MM5"), Ended(t=3.0, why="interrupted")), True, False),
    ],
    ids=["only begun", "large 3", "small 3", "a key", "small, with a certificate", "large 5",
         "answered", "nothing heard", "interrupted"],
)  # fmt: skip
def test_a_large_message_without_an_answer(
    seen: tuple[Observation, ...], certificate: bool, expected: bool
) -> None:
    assert wanted(*seen, certificate=certificate) is expected
    assert not wanted(*seen, certificate=certificate, now=0.4 + SILENT_AFTER - 0.3)


def test_a_repeat_of_message_4_is_no_answer_to_5() -> None:
    again = replace(large(1.5, "MM4", "in", 300), repeat=True)
    assert wanted(*FOUR, large(0.4, "MM5"), again)

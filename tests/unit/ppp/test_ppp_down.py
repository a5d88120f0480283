"""The layer below a link is gone: nothing is sent, and nothing is waited for."""

from __future__ import annotations

import pytest

from tests.unit.ppp.ppp_bench import pair
from vpndiag.protocols.ppp import events as ev


@pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["while it is set up", "while it is open"])
def test_a_link_without_a_layer_below_is_over(seconds: float) -> None:
    joined = pair()
    joined.run(seconds)
    link = joined.links["client"]
    link.lower_down(joined.now)
    assert link.phase is ev.Phase.DEAD
    assert link.get_timer() is None

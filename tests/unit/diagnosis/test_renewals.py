"""What counts as renewing the keys of a session that is up."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.network import client_options, simulate
from vpndiag.diagnosis.renewals import renewals
from vpndiag.diagnosis.view import View
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import EspFlow, IkeMessage

HEALTHY = simulate(client_options(), GatewayConfig()).observations
UP = min(o.t for o in HEALTHY if isinstance(o, EspFlow))
MM1 = next(o for o in HEALTHY if isinstance(o, IkeMessage) and o.step == "MM1")


def asked(since: float) -> list[str]:
    """The layers of renewals where another message 1 is sent six times from then on."""
    more = [replace(MM1, t=since + n, initiator_cookie="ab" * 8, repeat=n > 0) for n in range(6)]
    seen = sorted([*HEALTHY, *more], key=lambda o: o.t)
    return [r.layer for r in renewals(View(seen))]


def test_a_main_mode_that_is_begun_in_a_session_renews_it() -> None:
    assert asked(UP + 3.0) == ["ike"]


def test_a_question_that_is_older_than_the_session_does_not() -> None:
    """A run asks port 4500 beside its main mode, and repeats that where packets are lost."""
    assert asked(UP - 0.05) == []

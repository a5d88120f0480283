"""Which farewells of the gateway end the session that is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import client_options, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import Ended, IkeMessage, InsideScope, IpsecSa


def with_delete(*deletes: str, protection: str = "decrypted") -> str | None:
    """The finding of a healthy run in whose last part the gateway deletes something."""
    seen = list(HEALTHY.observations)
    up = next(o for o in seen if isinstance(o, InsideScope)).t
    model = next(o for o in seen if isinstance(o, IkeMessage) and o.direction == "in")
    gone = replace(model, t=up + 0.01, step="INFO", deletes=deletes, protection=protection)  # type: ignore[arg-type]
    stopped = [replace(o, why="stopped") if isinstance(o, Ended) else o for o in seen]
    return diagnose([*stopped, gone]).verdict.finding


HEALTHY = simulate(client_options(), GatewayConfig())
PAIR = next(o for o in HEALTHY.observations if isinstance(o, IpsecSa))


@pytest.mark.parametrize("deleted", ["ISAKMP", f"ESP {PAIR.spi_out}", f"ESP {PAIR.spi_in}"])
def test_deleting_the_sas_in_use_ends_the_session(deleted: str) -> None:
    assert with_delete(deleted) == "session.hung-up"


@pytest.mark.parametrize("deleted", ["another IKE SA 0x0102030405060708", "ESP 0x01020304"])
def test_deleting_another_sa_does_not(deleted: str) -> None:
    """SoftEther tells so of half-open SAs of the same client."""
    assert with_delete(deleted) is None


def test_a_delete_that_anybody_can_have_sent_does_not() -> None:
    assert with_delete("ISAKMP", protection="clear") is None

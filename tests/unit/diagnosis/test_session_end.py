"""Which farewells of the gateway end the session that is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import client_options, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.gateway import GatewayConfig
from vpndiag.observations import (
    Ended,
    IcmpError,
    IkeMessage,
    InsideScope,
    IpsecSa,
    Observation,
    SendError,
)
from vpndiag.report.model import Verdict


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


def unsendable(*more: Observation, until: float = 16.0, why: str = "stopped") -> Verdict:
    """A session that was up, and whose packets the system refuses to send from then on."""
    seen = [o for o in HEALTHY.observations if not isinstance(o, Ended)]
    last = max(o.t for o in seen)
    lost = [
        SendError(t=last + n, port=4500, error="ENETUNREACH", detail="Network is unreachable")
        for n in range(1, int(until))
    ]
    return diagnose([*seen, *lost, *more, Ended(t=last + 16.0, why=why)]).verdict  # type: ignore[arg-type]


def test_a_computer_that_loses_its_network_blames_no_gateway() -> None:
    verdict = unsendable()
    assert (verdict.finding, verdict.confidence) == ("path.no-route", "certain")
    assert "This computer lost its network" in verdict.headline


def test_a_network_that_comes_back_is_not_lost() -> None:
    assert unsendable(until=8.0).finding != "path.no-route"


def test_what_others_report_is_not_this_computers_network() -> None:
    last = max(o.t for o in HEALTHY.observations)
    icmp = IcmpError(
        t=last + 1.5, what="net-unreachable", icmp_type=3, icmp_code=0, reporter="192.0.2.1",
        from_gateway=False, port=4500, direction="in",
    )  # fmt: skip
    assert unsendable(icmp).finding != "path.no-route"


def test_a_run_that_was_through_when_the_network_went_is_healthy() -> None:
    assert unsendable(why="done").outcome == "healthy"

"""How long a silent mapping survives, on a virtual clock: a gateway that repeats, and a NAT that
forgets."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest

from vpndiag.observations import NatLifetime
from vpndiag.probes.way.lifetime import KEEP_EVERY, LIMIT, LifetimeSearch

LIBRESWAN = tuple(accumulate((0.5, 0.5, 1, 2, 4, 8, 16, 32)))
STRONGSWAN = (4.0, 11.2, 24.2, 29.9, 47.5, 59.9, 89.5, 119.9, 149.9)
SOFTETHER = (2.0, 4.0, 5.4, 6.0, 8.0, 9.9, 10.0)


def measure(
    repeats: tuple[float, ...],
    lifetime: float,
    *,
    loss: float = 0.0,
    seed: int = 1,
    until: float = 400.0,
    shift: float = 0.2,
    refreshed_by_gateway: bool = True,
) -> tuple[NatLifetime, float]:
    """``lifetime``: seconds of silence after which the NAT forgets; ``shift``: the gateway's clock
    for the second session runs by so much otherwise."""
    chance = random.Random(seed)
    search, now, step = LifetimeSearch(), 50.0, 0.05
    search.fell_silent("kept", now)
    search.fell_silent("silent", now + 0.3)
    fresh = {"kept": now, "silent": now + 0.3}
    coming = {
        "kept": [now + r for r in repeats],
        "silent": [now + 0.3 + shift + r for r in repeats],
    }
    while not search.over(now) and now < 50.0 + until:
        now += step
        if now >= search.keepalive_at():
            search.kept_alive(now)
            fresh["kept"] = now
        for line in ("kept", "silent"):
            while coming[line] and coming[line][0] <= now:
                coming[line].pop(0)
                if now - fresh[line] > lifetime or chance.random() < loss:
                    continue
                if refreshed_by_gateway:
                    fresh[line] = now
                if search.heard(line, now):  # type: ignore[arg-type]
                    fresh[line] = now
    return search.result(9.0, now, over=search.over(now)), now - 50.0


@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.parametrize("lifetime", [1.5, 3, 6, 12, 20, 25])
@pytest.mark.parametrize("repeats", [LIBRESWAN, STRONGSWAN], ids=["libreswan", "strongswan"])
def test_the_bounds_hold(repeats: tuple[float, ...], lifetime: float, refreshed: bool) -> None:
    found, seconds = measure(repeats, lifetime, refreshed_by_gateway=refreshed)
    assert found.survived <= lifetime + 0.6
    assert found.gone == 0 or found.gone >= lifetime - 0.6
    assert found.gone or lifetime >= found.gateway_waits
    assert found.outcome == "measured" and seconds <= LIMIT + 1


def test_a_libreswan_behind_a_nat_of_20_seconds() -> None:
    found, seconds = measure(LIBRESWAN, 20)
    assert (round(found.survived), round(found.gone), found.missed) == (16, 32, 1)
    found, seconds = measure(LIBRESWAN, 6)
    assert (round(found.survived), round(found.gone), found.missed) == (4, 8, 3)
    assert seconds < 70


def test_a_strongswan_behind_a_nat_of_20_seconds() -> None:
    found, _seconds = measure(STRONGSWAN, 20)
    assert (round(found.survived), round(found.gone)) in ((18, 29), (18, 30))


@pytest.mark.parametrize("repeats", [LIBRESWAN, STRONGSWAN, SOFTETHER])
def test_a_long_lifetime_is_told_as_far_as_the_gateway_is_silent(
    repeats: tuple[float, ...],
) -> None:
    found, _seconds = measure(repeats, 300)
    assert found.gone == 0 and found.missed == 0
    assert abs(found.survived - found.gateway_waits) < 1


def test_a_gateway_that_repeats_nothing_shows_nothing() -> None:
    found, seconds = measure((), 20)
    assert (found.outcome, found.survived, found.gone) == ("unanswered", 0, 0)
    assert seconds < 30


def test_ended_by_the_user_it_says_what_it_knows() -> None:
    found, _seconds = measure(LIBRESWAN, 300, until=10)
    assert round(found.survived) == 4 and found.gone == 0


@pytest.mark.parametrize("seed", range(60))
def test_a_packet_lost_by_chance_is_no_lost_mapping(seed: int) -> None:
    """One lost packet is: it was heard again later."""
    found, _seconds = measure(LIBRESWAN[:-1], 300, loss=0.05, seed=seed)
    assert found.missed < 2 or found.gone >= 7


def test_the_kept_line_is_kept() -> None:
    search = LifetimeSearch()
    search.fell_silent("kept", 10.0)
    assert search.keepalive_at() == 10.0 + KEEP_EVERY
    search.kept_alive(14.0)
    assert search.keepalive_at() == 14.0 + KEEP_EVERY
    assert search.heard("silent", 15.0) and not search.heard("kept", 15.0)

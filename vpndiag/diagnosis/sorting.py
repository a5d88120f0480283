"""Observations sorted and looked through, whatever they mean."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from vpndiag.observations import Direction, IkeMessage, L2tpMessage, Observation, PppMessage

_M = TypeVar("_M", IkeMessage, L2tpMessage, PppMessage)
_K = TypeVar("_K", bound=Hashable)


def by_key(messages: Iterable[_M], key: Callable[[_M], _K]) -> dict[_K, list[_M]]:
    """Those with the same ``key`` together, in order."""
    found: dict[_K, list[_M]] = {}
    for m in messages:
        value = key(m)
        if value in found:
            found[value].append(m)
        else:
            found[value] = [m]
    return found


def last_of(way: Direction, messages: Sequence[IkeMessage | L2tpMessage | PppMessage]) -> float:
    """When the last one of this direction came, of messages in time order; below zero: none did."""
    for m in reversed(messages):
        if m.direction == way:
            return m.t
    return -1.0


def frames_of(observations: Iterable[Observation], most: int = 12) -> tuple[int, ...]:
    """Frame numbers of these observations in order, without repeats, at most ``most``."""
    seen: dict[int, None] = {}
    for o in observations:
        for f in o.frames:
            seen[f] = None
    return tuple(sorted(seen))[:most]

"""A bad network in user space, for kernels without netem: packets of a TUN device are delayed,
repeated and put in another order, and given back to it. Standard library only.

    impaird.py DEVICE SETTINGS      SETTINGS: JSON of :class:`tests.lab.impair.Impairment`

Each way (told by the destination's address) has its own queue and its own chances.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_HELD_MOST = 0.3
"""Seconds that a packet waits for others to overtake it."""


class Way:
    """One direction. Packets leave by time; those held back leave after ``behind`` others."""

    def __init__(self, settings: dict[str, float], seed: str) -> None:
        self._delay, self._jitter = settings["delay"], settings["jitter"]
        self._duplicate, self._reorder = settings["duplicate"], settings["reorder"]
        self._spike_every, self._spike = settings["spike_every"], settings["spike"]
        self._draw = random.Random(seed)
        self._queue: list[tuple[float, int, bytes]] = []
        self._held: list[tuple[int, float, bytes]] = []
        self._order = itertools.count()
        self._begun = time.monotonic()

    def take(self, packet: bytes, now: float) -> None:
        for _ in range(2 if self._draw.random() < self._duplicate else 1):
            late = self._delay + self._draw.uniform(-self._jitter, self._jitter)
            due = max(now, self._not_before(now) + max(late, 0.0))
            heapq.heappush(self._queue, (due, next(self._order), packet))

    def _not_before(self, now: float) -> float:
        """Once in a while the link stands still: all that comes then waits for its end."""
        if not self._spike_every:
            return now
        left = self._spike_every - (now - self._begun) % self._spike_every
        return now + left if left <= self._spike else now

    def due(self) -> float | None:
        times = [self._queue[0][0]] if self._queue else []
        return min(times + [until for _, until, _ in self._held], default=None)

    def give(self, now: float) -> list[bytes]:
        """What leaves now, in order."""
        out: list[bytes] = []
        while self._queue and self._queue[0][0] <= now:
            packet = heapq.heappop(self._queue)[2]
            if self._draw.random() < self._reorder:
                self._held.append((self._draw.randint(1, 3), now + _HELD_MOST, packet))
                continue
            out.append(packet)
            out += self._overtaken()
        out += [packet for _, until, packet in self._held if until <= now]
        self._held = [h for h in self._held if h[1] > now]
        return out

    def _overtaken(self) -> list[bytes]:
        """Another packet has passed those that are held back."""
        held = [(behind - 1, until, packet) for behind, until, packet in self._held]
        self._held = [h for h in held if h[0] > 0]
        return [packet for behind, _, packet in held if behind == 0]


def main() -> None:
    device, settings = sys.argv[1], json.loads(sys.argv[2])
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN_NO_PI))
    print("ready", flush=True)
    ways: dict[bytes, Way] = {}
    while True:
        now = time.monotonic()
        for way in ways.values():
            for packet in way.give(now):
                try:
                    os.write(tun, packet)
                except OSError:
                    continue  # the device goes down
        times = [due for way in ways.values() if (due := way.due()) is not None]
        wait = max(0.0, min(times) - time.monotonic()) if times else None
        if not select.select([tun], [], [], wait)[0]:
            continue
        try:
            packet = os.read(tun, 65535)
        except (BlockingIOError, OSError):
            continue
        if packet[0] >> 4 != 4:
            continue
        to = packet[16:20]
        if to not in ways:
            ways[to] = Way(settings, f"{settings['seed']}/{to.hex()}")
        ways[to].take(packet, time.monotonic())


if __name__ == "__main__":
    main()

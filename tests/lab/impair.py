"""Long ways, jitter, copies and packets that overtake others, between clients and a gateway.

This kernel has no netem. What the router of a :class:`~tests.lab.netns.Network` forwards goes
through a TUN device instead, where ``impaird.py`` keeps it for a while; the router forwards what
comes out of it as usual. It looks like one more hop.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.netns import Network
from tests.lab.process import LabError, Owned, StateDir

_DEVICE = "far0"
_TABLE = 91


@dataclass(frozen=True, slots=True)
class Impairment:
    """Each way: seconds of delay, give or take ``jitter`` (packets may overtake others by it);
    the share of packets that come twice, and of those that 1 to 3 others overtake (or 0.3 s pass,
    where no other comes). Every ``spike_every`` seconds the way stands still for ``spike``."""

    delay: float = 0.0
    jitter: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    spike_every: float = 0.0
    spike: float = 0.0
    seed: int = 1


class Impaired(Owned):
    """A network's way, impaired until this is closed. Not for networks with a NAT, which would
    see every packet twice."""

    def __init__(self, network: Network, impairment: Impairment) -> None:
        super().__init__()
        if network.nat_client or network.nat_gateway:
            raise LabError("an impaired way has no NAT")
        self._router, self._state = network.router, StateDir("impair")
        router = self._router
        router.ip(f"tuntap add {_DEVICE} mode tun", f"link set {_DEVICE} txqueuelen 5000 up")
        router.run(["sysctl", "-qw", f"net.ipv4.conf.{_DEVICE}.rp_filter=0"])
        self._daemon = router.daemon(
            [sys.executable, "-S", Path(__file__).with_name("impaird.py"), _DEVICE,
             json.dumps(asdict(impairment))], self._state.path / "log")  # fmt: skip
        deadline = time.monotonic() + 10
        while "ready" not in self._daemon.log():
            if not self._daemon.running or time.monotonic() > deadline:
                raise LabError(f"impaird did not start: {self._daemon.log()}")
            time.sleep(0.01)
        inward = [f"c{n}" for n in range(1, len(network.clients) + 1)]
        router.ip(f"route add default dev {_DEVICE} table {_TABLE}",
                  *(f"rule add iif {device} lookup {_TABLE}" for device in (*inward, "gw")),
                  )  # fmt: skip

    def _close(self) -> None:
        self._router.run(["ip", "link", "delete", _DEVICE], check=False)
        for _ in range(4):
            self._router.run(["ip", "rule", "delete", "lookup", str(_TABLE)], check=False)
        self._daemon.close()
        self._state.close()

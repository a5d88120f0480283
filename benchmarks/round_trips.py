"""Round trips of a healthy run, and how close its time comes to them.

    python benchmarks/round_trips.py

Counts the longest chain of packets in which each was sent because the one before had arrived, on a
simulated network of 20, 100 and 300 ms, and prints time / (round trips x RTT): up to the questions
inside that every run asks, and with names, a host and an application besides.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.sim.network import Line, Network, Simulation, client_options
from vpndiag.gateway import GatewayConfig
from vpndiag.probes.inside import InsidePlan, parse_app
from vpndiag.tunnel.options import Flow

HARMLESS = InsidePlan()
ALL = InsidePlan(
    internal_names=("files.corp.example",),
    internal_hosts=("10.99.0.80",),
    apps=(parse_app("http://files.corp.example"),),
)


def measure(rtt: float, plan: InsidePlan = HARMLESS) -> tuple[int, float, float, str]:
    """Sequential round trips, virtual seconds, CPU seconds, outcome.

    A datagram's depth is one more than that of the last arrival at its sender; a round trip is two
    steps of depth. Repeats by timer add to the time and not to the depth.
    """
    line = Line(delay=rtt / 2)
    network = Network(up=line, down=line)
    simulation = Simulation([client_options()], GatewayConfig(), network, inside=plan)
    heard = {"up": 0, "down": 0}
    deepest = 0

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        nonlocal deepest
        if sim.runs[0].ended is not None:
            return  # the farewell is not part of the run
        other = "down" if way == "up" else "up"
        depth = heard[way] + 1
        deepest = max(deepest, depth)

        def arrives(_now: float) -> None:
            heard[other] = max(heard[other], depth)

        sim.at(sim.now + rtt / 2 - 1e-9, arrives)

    simulation.taps.append(tap)
    began = time.process_time()
    result = simulation.run()[0]
    cpu = time.process_time() - began
    return deepest // 2, result.seconds, cpu, result.outcome


def main() -> int:
    print("       RTT      round trips  seconds  time / (round trips x RTT)  CPU of both ends")
    worst = 0.0
    runs = [(name, plan, rtt) for name, plan in (("login", HARMLESS), ("app", ALL))
            for rtt in (0.02, 0.1, 0.3)]  # fmt: skip
    for name, plan, rtt in runs:
        trips, seconds, cpu, outcome = measure(rtt, plan)
        ratio = seconds / (trips * rtt)
        worst = max(worst, ratio)
        print(
            f"{name:6} {rtt * 1000:4.0f} ms  {trips:11}  {seconds:7.3f}  {ratio:26.3f}"
            f"  {cpu * 1000:6.0f} ms  {outcome}"
        )
    return 0 if worst <= 1.1 else 1


if __name__ == "__main__":
    raise SystemExit(main())

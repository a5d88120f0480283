"""Verdicts of many simulated runs: a healthy gateway and every break, seed after seed.

    python benchmarks/sim_seeds.py --seeds 200 --jobs 2 [--clean | --loss 0.3] [NAME ...]

Prints a line for each case: how many runs gave the right verdict, what the others gave, and the
time. Diffie-Hellman values are reused between seeds; nothing else is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.sim.network import Network, reuse_dh, rough, simulate
from tests.sim.test_breaks import broken, problem
from vpndiag.gateway.breaks import BREAKS

HEALTHY = "(healthy)"
Tally = tuple[Counter[str], float, float, list[int]]


def one(name: str, network: Network, seed: int) -> tuple[str, float]:
    """What is wrong with the verdict (empty: nothing), and the run's virtual seconds."""
    if name == HEALTHY:
        result = simulate(network=network, seed=seed)
        wrong = "" if result.outcome == "healthy" else f"{result.outcome}: {result.finding}"
    else:
        result = broken(name, network, seed)
        wrong = problem(name, result, loses_packets=network.up.loss > 0)
    return wrong, result.seconds


def many(name: str, loss: float, seeds: range) -> Tally:
    """Tally of the verdicts, CPU seconds, longest virtual run, first seeds that went wrong."""
    reuse_dh()
    network = rough(loss) if loss and name != "path.lossy" else Network()
    tally: Counter[str] = Counter()
    longest, bad = 0.0, []
    began = time.process_time()
    for seed in seeds:
        wrong, seconds = one(name, network, seed)
        tally[wrong] += 1
        longest = max(longest, seconds)
        if wrong:
            bad.append(seed)
    return tally, time.process_time() - began, longest, bad[:5]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="breaks; none: all of them, and a healthy gateway")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--loss", type=float, default=0.3, help="in each direction")
    parser.add_argument("--clean", action="store_true", help="no loss, reordering or duplication")
    given = parser.parse_args()
    names = given.names or [HEALTHY, *BREAKS]
    loss = 0.0 if given.clean else given.loss
    seeds = range(given.first, given.first + given.seeds)
    began = time.perf_counter()
    runs = wrong_runs = 0
    cpu = 0.0
    with ProcessPoolExecutor(given.jobs) as pool:
        found = pool.map(many, names, repeat(loss), repeat(seeds))
        for name, (tally, seconds, longest, bad) in zip(names, found, strict=True):
            right = tally.pop("", 0)
            runs, cpu = runs + given.seeds, cpu + seconds
            wrong_runs += given.seeds - right
            others = "; ".join(f"{n} x {what}" for what, n in tally.most_common(4))
            print(
                f"{name:36} {right:6}/{given.seeds}  {seconds / given.seeds * 1000:6.1f} ms/run"
                f"  longest {longest:5.1f} s  {others}{f' seeds {bad}' if bad else ''}",
                flush=True,
            )
    wall = time.perf_counter() - began
    print(
        f"{runs} runs, {wrong_runs} with another verdict; {wall:.1f} s, {runs / wall:.0f} runs/s "
        f"with {given.jobs} jobs ({cpu / runs * 1000:.1f} ms CPU each)"
    )
    return 0 if wrong_runs == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())

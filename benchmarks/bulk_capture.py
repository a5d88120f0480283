"""Bulk capture: how long ``vpndiag.capture`` takes for millions of ESP-in-UDP packets.

    python benchmarks/bulk_capture.py [--packets 2000000] [--format pcap|pcapng] [--no-peers]

Generates the capture (always the same bytes) in a temporary directory, then runs in turn, each in a
process of its own and with the file in the page cache: ``vpndiag analyze``, the same without numpy
and on one processor, cypcap's bare loop where it is installed, tcpdump with a BPF filter (the
floor), and the peer, tshark with a display filter. Prints for each the best of several rounds: time
from start to exit, CPU time, peak memory of the largest process; and the ratios to tshark. vpndiag
reads in several processes: on a busy machine only the one on one processor can be compared."""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLIENT, GATEWAY = bytes((192, 168, 1, 10)), bytes((203, 0, 113, 5))
TSHARK_FILTER = "isakmp or l2tp"
BPF = "udp port 500 or udp port 1701 or (udp port 4500 and udp[8:4] = 0)"

ANALYZE = """
import os, sys
way = sys.argv.pop(1)
if way == "alone":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
elif way != "numpy":
    sys.path.insert(0, way)  # its helpers have this path too
from vpndiag.cli.main import main
main()
"""

CYPCAP = """
import sys, cypcap
with cypcap.open_offline(sys.argv[1]) as pcap:
    for header, data in pcap:
        pass
"""


def _datagram(src: bytes, dst: bytes, sport: int, dport: int, payload: bytes, ident: int) -> bytes:
    udp = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), ident & 0xFFFF, 0x4000, 64, 17, 0)
    ethernet = bytes.fromhex("020000000001 020000000002 0800")
    return ethernet + ip + src + dst + udp + payload


def _informational(rng: random.Random, cookies: bytes, size: int) -> bytes:
    head = cookies + bytes((8, 0x10, 5, 1)) + rng.randbytes(4)
    return head + struct.pack("!I", size) + rng.randbytes(size - 28)


def generate(path: Path, packets: int, pcapng: bool) -> None:
    """One connection that has been up for a while: two ESP-in-UDP flows of office traffic (small
    acknowledgements, full-size data), a few numbers missing, and every 10,000 packets dead peer
    detection, that is an informational message each way, and a NAT keepalive."""
    rng = random.Random(4)
    cookies = rng.randbytes(16)
    noise = rng.randbytes(4096)
    spis = (0xC1234567, 0x0A0B0C0D)
    sequence = [0, 0]
    now = 1_700_000_000_000_000
    with path.open("wb", buffering=1 << 20) as out:
        if pcapng:
            out.write(struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28))
            out.write(struct.pack("<IIHHII", 1, 20, 1, 0, 262144, 20))
        else:
            out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for number in range(packets):
            now += rng.randrange(20, 400)
            way = rng.random() < 0.55
            ends = (GATEWAY, CLIENT) if way else (CLIENT, GATEWAY)
            step = number % 10_000
            if step in (5000, 5002):
                ends = (CLIENT, GATEWAY) if step == 5000 else (GATEWAY, CLIENT)
                message = _informational(rng, cookies, 92)
                data = _datagram(*ends, 4500, 4500, bytes(4) + message, number)
            elif step == 5001:
                data = _datagram(CLIENT, GATEWAY, 4500, 4500, b"\xff", number)
            else:
                sequence[way] += 1 if rng.random() > 0.0005 else 3
                size = (
                    16 * rng.choice((5, 5, 6, 8, 40, 85, 86))
                    if way
                    else 16 * rng.choice((5, 5, 5, 7, 20))
                )
                head = struct.pack("!II", spis[way], sequence[way])
                at = number % 2048
                data = _datagram(*ends, 4500, 4500, head + noise[at : at + size + 12], number)
            if pcapng:
                pad = -len(data) % 4
                total = 32 + len(data) + pad
                out.write(
                    struct.pack(
                        "<IIIIIII", 6, total, 0, now >> 32, now & 0xFFFFFFFF, len(data), len(data)
                    )
                )
                out.write(data + bytes(pad) + struct.pack("<I", total))
            else:
                out.write(
                    struct.pack("<IIII", now // 1_000_000, now % 1_000_000, len(data), len(data))
                )
                out.write(data)


def _run(command: list[str]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak MiB) of a child process."""
    # A small process waits for the command, so that the peak is that of the command alone.
    waiter = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
        "seconds = time.perf_counter() - start\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024\n"
        "sys.stderr.buffer.write(done.stderr[-400:] if done.returncode else b'')\n"
        "print(seconds, cpu, peak)\n"
        "sys.exit(done.returncode)\n"
    )
    # As installed: modules compiled once.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", waiter, *command],
        capture_output=True,
        text=True,
        timeout=900,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
    seconds, cpu, peak = done.stdout.split()
    return float(seconds), float(cpu), float(peak)


def _commands(path: Path, peers: bool, without: Path) -> dict[str, list[str]]:
    """``without``: a directory where numpy is not to be found."""
    (without / "numpy.py").write_text('raise ImportError("not here")\n')
    analyze = [sys.executable, "-c", ANALYZE]
    ways = {"vpndiag": "numpy", "vpndiag, no numpy": str(without)}
    if hasattr(os, "sched_setaffinity"):
        ways["vpndiag, one processor"] = "alone"
    commands = {name: [*analyze, way, "analyze", str(path)] for name, way in ways.items()}
    if not peers:
        return commands
    if importlib.util.find_spec("cypcap"):
        commands["cypcap, bare loop"] = [sys.executable, "-c", CYPCAP, str(path)]
    if tcpdump := shutil.which("tcpdump"):
        commands["tcpdump BPF (floor)"] = [tcpdump, "-nr", str(path), "-w", "/dev/null", BPF]
    if tshark := shutil.which("tshark"):
        commands["tshark -Y"] = [tshark, "-q", "-n", "-Y", TSHARK_FILTER, "-r", str(path)]
    return commands


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--format", choices=("pcap", "pcapng"), default="pcap")
    parser.add_argument("--no-peers", action="store_true", help="skip tshark, tcpdump and cypcap")
    parser.add_argument("--repeat", type=int, default=3, help="best of so many rounds")
    parser.add_argument("--directory", type=Path, help="keep and reuse the capture there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.directory or Path(temporary)
        path = folder / f"bulk-{options.packets}.{options.format}"
        if not path.exists():
            start = time.perf_counter()
            generate(path, options.packets, options.format == "pcapng")
            print(f"generated in {time.perf_counter() - start:.0f} s")
        print(f"{path.name}: {options.packets} packets, {path.stat().st_size / 1e6:.0f} MB")
        # Bring it into the page cache.
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
        commands = _commands(path, not options.no_peers, Path(temporary))
        runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
        for _ in range(options.repeat):
            for name, command in commands.items():
                runs[name].append(_run(command))
    best = {name: tuple(map(min, zip(*each, strict=True))) for name, each in runs.items()}
    for name, (seconds, cpu, peak) in best.items():
        print(
            f"{name:22} {seconds:7.2f} s, CPU {cpu:6.2f} s  "
            f"{options.packets / seconds / 1e6:5.2f} M packets/s  peak {peak:5.0f} MiB"
        )
    peer = best.pop("tshark -Y", None)
    for name, (seconds, cpu, _) in best.items():
        if peer is not None:
            print(
                f"{name}: {peer[0] / seconds:.1f} times faster than tshark, "
                f"{peer[1] / cpu:.1f} times less CPU"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

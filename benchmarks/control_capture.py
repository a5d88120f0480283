"""Control-heavy capture: ``vpndiag analyze`` against tshark on thousands of complete sessions.

    python benchmarks/control_capture.py [--sessions 10000] [--runs 5] [--no-peers]

Generates the capture (always the same bytes): one session in two is IKEv1 with ESP in UDP (main
mode, quick mode, ESP, Deletes; the secrets are random, so nobody can look inside), the other L2TP
without IPsec (tunnel, call, LCP, CHAP, IPCP, echoes, orderly end). Sessions overlap, a new one
begins every 10 ms. Then runs by turns, each in a process of its own with the file in the page
cache: the whole analysis with its report, and tshark with the same display filter and
``-T fields``. The fastest of each counts: a virtual machine may be slower by a third for a while.
Where its speed drifts from minute to minute the ratios turn by turn say more.
The analysis has helpers where there are processors for them: CPU is that of all, the peak is that
of the largest process. A Python that was built without profile-guided optimisation (as pyenv does
by default, and Debian does not) takes a third longer."""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

GATEWAY = bytes((203, 0, 113, 5))
FIELDS = ("frame.number", "frame.time_epoch", "ip.src", "ip.dst", "isakmp.ispi",
          "isakmp.exchangetype", "isakmp.messageid", "isakmp.notify.msgtype",
          "l2tp.avp.message_type", "l2tp.tunnel", "l2tp.session", "ppp.protocol",
          "lcp.opt.type", "chap.code")  # fmt: skip
ANALYZE = """
import sys
from vpndiag.cli.analysis import analyze
report = analyze([sys.argv[1]])
outcomes = {}
for s in report.sessions:
    outcomes[s.verdict.outcome] = outcomes.get(s.verdict.outcome, 0) + 1
print(len(report.sessions), "sessions", outcomes, file=sys.stderr)
"""
_TRANSFORM = bytes.fromhex(
    "0d00003c00000001000000010000003001010001000000280101000080010007800e0100800200028004000e"
    "80030001800b0001000c000400007080"
)
_VENDOR_ID = bytes.fromhex("000000144a131c81070358455c5728f20e95452f")


def _frame(src: bytes, dst: bytes, sport: int, dport: int, payload: bytes) -> bytes:
    udp = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0x4000, 64, 17, 0)
    return bytes.fromhex("0200000000010200000000020800") + ip + src + dst + udp + payload


def _isakmp(cookies: bytes, first: int, exchange: int, flags: int, mid: int, body: bytes) -> bytes:
    head = struct.pack("!BBBBII", first, 0x10, exchange, flags, mid, 28 + len(body))
    return cookies + head + body


def _ipsec(rng: random.Random, client: bytes) -> Iterator[tuple[bool, int, bytes]]:
    """(from the client, port, payload) of one session."""
    ci, cr = rng.randbytes(8), rng.randbytes(8)
    offer = _TRANSFORM + _VENDOR_ID
    nat = struct.pack("!BBH", 20, 0, 24) + rng.randbytes(20) + struct.pack("!BBH", 0, 0, 24)
    yield True, 500, _isakmp(ci + bytes(8), 1, 2, 0, 0, offer)
    yield False, 500, _isakmp(ci + cr, 1, 2, 0, 0, offer)
    for mine in (True, False):
        ke = struct.pack("!BBH", 10, 0, 260) + rng.randbytes(256)
        nonce = struct.pack("!BBH", 20, 0, 36) + rng.randbytes(32)
        yield mine, 500, _isakmp(ci + cr, 4, 2, 0, 0, ke + nonce + nat + rng.randbytes(20))
    marker = bytes(4)
    for mine in (True, False):
        yield mine, 4500, marker + _isakmp(ci + cr, 5, 2, 1, 0, rng.randbytes(64))
    mid = rng.getrandbits(32) or 1
    for mine, size in ((True, 160), (False, 176), (True, 48)):
        yield mine, 4500, marker + _isakmp(ci + cr, 8, 32, 1, mid, rng.randbytes(size))
    spis = rng.randbytes(4), rng.randbytes(4)
    for n in range(1, 31):
        for mine, spi in ((True, spis[0]), (False, spis[1])):
            yield mine, 4500, spi + struct.pack("!I", n) + rng.randbytes(56 + 48 * (n % 7))
    for _ in range(2):
        mid = rng.getrandbits(32) or 1
        yield True, 4500, marker + _isakmp(ci + cr, 8, 5, 1, mid, rng.randbytes(64))


def _avp(kind: int, value: bytes) -> bytes:
    return struct.pack("!HHH", 0x8000 | (6 + len(value)), 0, kind) + value


def _control(tunnel: int, session: int, ns: int, nr: int, *avps: bytes) -> bytes:
    body = b"".join(avps)
    return struct.pack("!HHHHHH", 0xC802, 12 + len(body), tunnel, session, ns, nr) + body


def _data(tunnel: int, session: int, ppp: bytes) -> bytes:
    return struct.pack("!HHH", 2, tunnel, session) + b"\xff\x03" + ppp


def _ppp(protocol: int, code: int, ident: int, body: bytes) -> bytes:
    return struct.pack("!HBBH", protocol, code, ident, 4 + len(body)) + body


def _l2tp(rng: random.Random, client: bytes) -> Iterator[tuple[bool, int, bytes]]:
    ct, gt, cs, gs = (rng.randrange(1, 65536) for _ in range(4))

    def u16(n: int) -> bytes:
        return struct.pack("!H", n)

    both = (_avp(2, b"\1\0"), _avp(3, bytes((0, 0, 0, 3))), _avp(7, b"host-name"), _avp(10, u16(8)))
    yield True, 1701, _control(0, 0, 0, 0, _avp(0, u16(1)), *both, _avp(9, u16(ct)))
    yield False, 1701, _control(ct, 0, 0, 1, _avp(0, u16(2)), *both, _avp(9, u16(gt)))
    yield True, 1701, _control(gt, 0, 1, 1, _avp(0, u16(3)))
    yield False, 1701, _control(ct, 0, 1, 2)
    yield True, 1701, _control(gt, 0, 2, 1, _avp(0, u16(10)), _avp(14, u16(cs)), _avp(15, bytes(4)))
    yield False, 1701, _control(ct, cs, 1, 3, _avp(0, u16(11)), _avp(14, u16(gs)))
    speed = _avp(24, struct.pack("!I", 10_000_000)), _avp(19, struct.pack("!I", 1))
    yield True, 1701, _control(gt, gs, 3, 2, _avp(0, u16(12)), *speed)
    yield False, 1701, _control(ct, cs, 2, 4)
    theirs = bytes.fromhex("010405780305c223810506") + rng.randbytes(4)
    ours = bytes.fromhex("010405780506") + rng.randbytes(4)
    for mine, code, ident, body in ((False, 1, 1, theirs), (True, 1, 1, ours), (True, 2, 1, theirs),
                                    (False, 2, 1, ours)):  # fmt: skip
        yield mine, 1701, _data(*_to(mine, ct, cs, gt, gs), _ppp(0xC021, code, ident, body))
    challenge = b"\x10" + rng.randbytes(16) + b"lns"
    response = b"\x31" + rng.randbytes(16) + bytes(8) + rng.randbytes(24) + b"\0alice"
    success = b"S=" + rng.randbytes(20).hex().upper().encode() + b" M=Welcome"
    for mine, code, body in ((False, 1, challenge), (True, 2, response), (False, 3, success)):
        yield mine, 1701, _data(*_to(mine, ct, cs, gt, gs), _ppp(0xC223, code, 7, body))
    zero = bytes.fromhex("030600000000810600000000")
    given = bytes.fromhex("03060a00010581060a000001")
    peer = bytes.fromhex("03060a000001")
    for mine, code, ident, body in (
        (True, 1, 1, zero), (False, 1, 1, peer), (True, 2, 1, peer), (False, 3, 1, given),
        (True, 1, 2, given), (False, 2, 2, given),
    ):  # fmt: skip
        yield mine, 1701, _data(*_to(mine, ct, cs, gt, gs), _ppp(0x8021, code, ident, body))
    for n in range(4):
        for mine in (True, False):
            echo = _ppp(0xC021, 9 if mine else 10, n, rng.randbytes(4))
            yield mine, 1701, _data(*_to(mine, ct, cs, gt, gs), echo)
    yield True, 1701, _data(gt, gs, _ppp(0xC021, 5, 3, b"User request"))
    yield False, 1701, _data(ct, cs, _ppp(0xC021, 6, 3, b""))
    yield True, 1701, _control(gt, gs, 4, 2, _avp(0, u16(14)), _avp(1, u16(3)), _avp(14, u16(cs)))
    yield False, 1701, _control(ct, cs, 2, 5)
    yield True, 1701, _control(gt, 0, 5, 2, _avp(0, u16(4)), _avp(9, u16(ct)), _avp(1, u16(6)))
    yield False, 1701, _control(ct, 0, 2, 6)


def _to(mine: bool, ct: int, cs: int, gt: int, gs: int) -> tuple[int, int]:
    return (gt, gs) if mine else (ct, cs)


def generate(path: Path, sessions: int) -> int:
    """Write the capture; the number of packets."""
    rng = random.Random(20)
    packets: list[tuple[float, bytes]] = []
    for n in range(sessions):
        client = bytes((10, n >> 16 & 255, n >> 8 & 255, n & 255))
        moment = n * 0.01
        for mine, port, payload in (_ipsec if n % 2 else _l2tp)(rng, client):
            moment += 0.02 + 0.01 * rng.random()
            ends = (client, GATEWAY) if mine else (GATEWAY, client)
            packets.append((moment, _frame(*ends, port, port, payload)))
    packets.sort(key=lambda p: p[0])
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for moment, frame in packets:
            seconds, micros = divmod(round(moment * 1e6), 1_000_000)
            head = struct.pack("<IIII", 1_700_000_000 + seconds, micros, len(frame), len(frame))
            file.write(head + frame)
    return len(packets)


def _timed(command: list[str]) -> tuple[float, float, float, str]:
    """(wall seconds, CPU seconds, peak MiB, standard error) of a command."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().strip()
    if child.returncode:
        raise RuntimeError(f"{command[0]}: {text[-400:]}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


def _ours(path: Path) -> tuple[float, float, float, str]:
    return _timed([sys.executable, "-c", ANALYZE, str(path)])


def _tshark(path: Path) -> tuple[float, float, float, str] | None:
    program = shutil.which("tshark")
    if program is None:
        return None
    command = [program, "-n", "-r", str(path), "-Y", "isakmp or l2tp", "-T", "fields"]
    for name in FIELDS:
        command += ["-e", name]
    return _timed(command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "control.pcap"
        count = generate(path, given.sessions)
        path.read_bytes()  # into the page cache
        size, processors = path.stat().st_size >> 20, os.cpu_count()
        print(f"{given.sessions} sessions, {count} packets, {size} MiB; {processors} processors")
        print(f"Python {platform.python_version()} ({platform.python_compiler()})")
        runs, peers = [], []
        for _ in range(given.runs):
            runs.append(_ours(path))
            peer = None if given.no_peers else _tshark(path)
            peers += [peer] if peer is not None else []
        ours = [min(values) for values in zip(*(run[:3] for run in runs), strict=True)]
        print(f"  ({runs[0][3]})")
        line = "{:22} {:7.2f} s, CPU {:7.2f} s, peak {:5.0f} MiB"
        print(line.format("vpndiag analyze", *ours))
        if peers:
            theirs = [min(values) for values in zip(*(run[:3] for run in peers), strict=True)]
            print(line.format("tshark -T fields", *theirs))
            print(f"{'ratio':22} {theirs[0] / ours[0]:7.2f}  , CPU {theirs[1] / ours[1]:7.2f}")
            turns = [theirs[0] / ours[0] for ours, theirs in zip(runs, peers, strict=True)]
            each = " ".join(f"{ratio:.2f}" for ratio in turns)
            print(f"{'turn by turn':22} {median(turns):7.2f}  the median of {each}")


if __name__ == "__main__":
    main()

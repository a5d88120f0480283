"""The recordings of ``captures/``: chosen rows, recorded at the client, with the run's keys."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.bench import Bench
from tests.faults.live import ROOT
from tests.faults.rows import load
from tests.lab.process import LabError, run

CHOSEN = (
    ("healthy", "softether"),
    ("healthy", "strongswan"),
    ("nat-both", "libreswan"),
    ("500-blocked-to-gateway", "softether"),
    ("4500-blocked-to-gateway", "strongswan"),
    ("ike-group-refused", "libreswan"),
    ("wrong-psk", "strongswan"),
    ("wrong-psk", "softether"),
    ("identity-mismatch", "strongswan"),
    ("esp-proposal-refused", "libreswan"),
    ("pfs-wanted", "strongswan"),
    ("sha2-truncation", "strongswan"),
    ("l2tp-stopped", "libreswan"),
    ("no-common-login", "strongswan"),
    ("wrong-password", "softether"),
    ("mppe-demanded", "strongswan"),
)
_HEAD = """# Captures

Recordings of one connection attempt each, made in the lab (`tests/lab`) by `vpndiag run` against a
gateway that others wrote, with the fault of that name in `tests/faults/matrix.toml`. Where there
were session keys they lie beside the capture, in a directory for `analyze --keys` and for
Wireshark. All secrets are constants of the lab. To make them again:

    python -m tests.faults record

| Capture | What it is | `vpndiag analyze --keys` says |
|---|---|---|
"""


def record(place: Path | None = None) -> int:
    """Record everything anew; returns an exit code."""
    place = place or ROOT / "captures"
    place.mkdir(exist_ok=True)
    rows = load()
    lines: dict[tuple[str, str], str] = {}
    for gateway in sorted({g for _, g in CHOSEN}):
        with Bench(gateway) as bench, TemporaryDirectory(prefix="vd-record-") as folder:
            for name in [n for n, g in CHOSEN if g == gateway]:
                row = rows[name][gateway]
                done = bench.run(row, keep=Path(folder) / name)
                if done.score != "right":
                    raise LabError(f"{name} on {gateway}: {done.score}: {done.live}")
                file = place / f"{name}-{gateway}.pcapng"
                run(["editcap", "-F", "pcapng", Path(folder) / name / "client.pcap", file])
                keys = place / f"{name}-{gateway}.keys"
                shutil.rmtree(keys, ignore_errors=True)
                if any(c.keys and c.place == "client" and c.finding for c in done.captures) or (
                    row.layer == "healthy"
                ):
                    shutil.copytree(Path(folder) / name / "keys", keys)
                said = next(c.said for c in done.captures if c.place == "client" and c.keys)
                made = f"{row.what[0].upper()}{row.what[1:]} ({gateway})"
                lines[name, gateway] = f"| `{file.name}` | {made} | {said} |"
                print(lines[name, gateway], flush=True)
    text = _HEAD + "\n".join(lines[key] for key in CHOSEN) + "\n"
    (place / "README.md").write_text(text)
    return 0

"""Running ``vpndiag`` as people do, in a client's namespace, with something done half-way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.config import LAB_PASSWORD, LAB_PSK, LAB_USER
from tests.lab.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
UNPRIVILEGED = (
    "setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--ambient-caps", "-all",
)  # fmt: skip
"""Still user 0, but without a single capability: no port below 1024, no raw socket."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one run of vpndiag ended."""

    code: int
    seconds: float
    report: dict[str, Any] = field(repr=False)
    """The JSON report; empty when there is none (a usage error)."""
    text: str = field(repr=False)
    """What a person saw."""

    @property
    def outcome(self) -> str:
        return str(self.report["verdict"]["outcome"]) if self.report else "no report"

    @property
    def finding(self) -> str | None:
        found = self.report["verdict"]["finding"] if self.report else None
        return str(found) if found else None

    @property
    def layer(self) -> str | None:
        found = self.report["verdict"]["layer"] if self.report else None
        return str(found) if found else None

    @property
    def codes(self) -> list[str]:
        """Every finding, the verdict's first."""
        return [str(f["code"]) for f in self.report.get("findings", ())]

    def status(self, layer: str) -> str:
        return str(next(x["status"] for x in self.report["layers"] if x["id"] == layer))

    def __str__(self) -> str:
        words = [self.outcome, self.layer or "", self.finding or ""]
        return f"{' '.join(w for w in words if w)} (exit {self.code}, {self.seconds:.1f} s)"


def vpndiag(
    namespace: Namespace | None,
    arguments: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    privileged: bool = False,
    moments: Sequence[tuple[str, Callable[[], object]]] = (),
    interrupt_at: str | None = None,
    timeout: float = 90,
) -> Result:
    """Run ``vpndiag ARGUMENTS --json FILE`` and read its report.

    ``moments``: when this text appears in what ``--verbose`` prints (a message's name, "MM4"), call
    this.  ``interrupt_at``: press Ctrl-C there.
    """
    steps = list(moments)
    with tempfile.TemporaryDirectory(prefix=f"vd-{os.getpid()}-run-") as folder:
        file = Path(folder) / "report.json"
        prefix = [*(namespace.prefix if namespace else ()), *(() if privileged else UNPRIVILEGED)]
        verbose = ["--verbose"] if steps or interrupt_at else []
        begun = time.monotonic()
        process = subprocess.Popen(
            [*prefix, sys.executable, "-u", "-m", "vpndiag", *map(str, arguments),
             "--json", str(file), *verbose],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", cwd=ROOT,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(env or {})},
        )  # fmt: skip
        if interrupt_at:
            steps.append((interrupt_at, lambda: process.send_signal(signal.SIGINT)))
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        lines: list[str] = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                while steps and steps[0][0] in line:
                    steps.pop(0)[1]()
            code = process.wait()
        finally:
            watchdog.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        seconds = time.monotonic() - begun
        report = json.loads(file.read_text()) if file.exists() else {}
    text = "".join(lines)
    if steps:
        text += f"\n[tests.faults: {steps[0][0]} was never printed]\n"
    return Result(code, seconds, report, text)


def run(
    namespace: Namespace,
    address: str,
    *options: str | Path,
    user: str | None = LAB_USER,
    psk: str = LAB_PSK,
    password: str = LAB_PASSWORD,
    l2tp_secret: str | None = None,
    privileged: bool = False,
    moments: Sequence[tuple[str, Callable[[], object]]] = (),
    interrupt_at: str | None = None,
    timeout: float = 90,
) -> Result:
    """``vpndiag run``, with the secrets of the lab unless told otherwise; without a user, with
    none."""
    env = {"VPNDIAG_PSK": psk, "VPNDIAG_PASSWORD": password} if user else {}
    if l2tp_secret is not None:
        env["VPNDIAG_L2TP_SECRET"] = l2tp_secret
    return vpndiag(
        namespace,
        ["run", address, *(["--user", user] if user else []), *options],
        env=env,
        privileged=privileged,
        moments=moments,
        interrupt_at=interrupt_at,
        timeout=timeout,
    )


def analyze(file: Path, *options: str | Path, timeout: float = 60) -> Result:
    """``vpndiag analyze``."""
    return vpndiag(None, ["analyze", file, *options], privileged=True, timeout=timeout)

"""One network namespace: commands, daemons, sockets and recordings inside it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab.clean import NETNS_DIR, NETNS_ETC, remove_namespace
from tests.lab.process import Daemon, LabError, Owned, in_namespace, run, unique_name


class Namespace(Owned):
    """A network namespace; ends the processes inside and goes at the end."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.name = unique_name(role)
        run(["ip", "netns", "add", self.name])
        self.ip("link set lo up")
        # no router solicitations or neighbour discovery in captures
        self.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                  "net.ipv6.conf.default.disable_ipv6=1"], check=False)  # fmt: skip

    @property
    def path(self) -> Path:
        return NETNS_DIR / self.name

    @property
    def prefix(self) -> list[str]:
        """Words to put before a command so that it runs inside."""
        return ["ip", "netns", "exec", self.name]

    def ip(self, *commands: str) -> None:
        """Run iproute2 commands inside, in one batch."""
        run(["ip", "-n", self.name, "-batch", "-"], stdin="\n".join(commands) + "\n")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        check: bool = True,
        stdin: str | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for it."""
        return run([*self.prefix, *argv], check=check, stdin=stdin, timeout=timeout)

    def daemon(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: dict[str, str] | None = None,
        stdin: int | None = None,
    ) -> Daemon:
        """Start a process inside that is ended with its children when it is closed."""
        return Daemon(argv, log, prefix=self.prefix, env=env, stdin=stdin)

    def socket(self, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        """An IPv4 socket that lives in this namespace."""
        return in_namespace(self.path)(socket.socket, socket.AF_INET, kind)

    def set_resolver(self, address: str | None) -> None:
        """What /etc/resolv.conf says to programs started with ``ip netns exec``."""
        folder = NETNS_ETC / self.name
        if address is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:2 attempts:2\n")

    def capture(self, file: Path, interface: str = "any", *, wait: float = 10) -> Capture:
        """Record what passes; returns when recording has begun."""
        return Capture(self, file, interface, wait)

    def _close(self) -> None:
        self.set_resolver(None)
        with contextlib.suppress(OSError):
            NETNS_ETC.rmdir()
        remove_namespace(self.name)


class Capture(Owned):
    """A running tcpdump; the file is complete once this is closed."""

    def __init__(self, namespace: Namespace, file: Path, interface: str, wait: float) -> None:
        super().__init__()
        self.file = file
        self._log = file.with_suffix(file.suffix + ".log")
        self._process = subprocess.Popen(
            # The ring has slots of the snapshot length: with the default of 256 KiB it holds eight
            # packets on "any", and loses the ninth.
            [*namespace.prefix, "tcpdump", "-U", "--immediate-mode", "-n", "-Z", "root",
             "-s", "4096", "-B", "16384", "-i", interface, "-w", str(file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log.open("wb"),
        )  # fmt: skip
        deadline = time.monotonic() + wait
        while "listening on" not in self._log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise LabError(f"tcpdump did not start: {self._log.read_text(errors='replace')}")
            time.sleep(0.01)

    def _close(self) -> None:
        if self._process.poll() is None:
            # what the kernel already holds is written on SIGTERM, after the last read
            time.sleep(0.1)
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.unlink(missing_ok=True)

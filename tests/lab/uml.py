"""A machine with a kernel of its own (User-Mode Linux): real ESP, L2TP and PPP on any host.

The guest's root is the host's file system, read-only, so it runs the host's Debian packages; what
it writes stays in its memory.  It is booted once and then told to run scripts: the host writes a
file into a shared directory and names it on the console.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab.namespace import Namespace
from tests.lab.process import Daemon, LabError, Owned, StateDir

CACHE = Path(os.environ.get("VPNDIAG_LAB_CACHE", "/var/cache/vpndiag-lab"))
KERNEL = CACHE / "user-mode-linux/usr/bin/linux.uml"
MODULES = CACHE / "modules"
INIT = Path(__file__).resolve().with_name("guest") / "init.sh"
BOOT_LIMIT = 120.0  # seconds; 3 when idle


@dataclass(frozen=True, slots=True)
class Done:
    """A script's end in the guest."""

    code: int
    output: str
    seconds: float


class Machine(Owned):
    """A booted guest whose ``vec0`` is the TAP device ``tap`` of ``namespace``."""

    def __init__(self, namespace: Namespace, tap: str, name: str, *, memory: str = "192M") -> None:
        super().__init__()
        if not KERNEL.exists():
            raise LabError(f"{KERNEL} is missing (tests/lab/install.sh)")
        self._count = 0
        self._daemon: Daemon | None = None
        self._namespace, self._tap, self._name, self._memory = namespace, tap, name, memory
        self._console = -1
        self._state = StateDir(f"uml-{name}")
        try:
            self.boot()
        except BaseException:
            self.close()
            raise

    def boot(self) -> float:
        """Start the guest; returns the seconds until it takes commands."""
        begun = time.monotonic()
        self.power_off()
        state = self._state.path
        self.control = state / f"ctl{self._count}"
        self.control.mkdir()
        log = state / f"console{self._count}.log"
        ours, theirs = os.pipe()
        os.set_inheritable(ours, True)
        try:
            self._daemon = self._namespace.daemon(
                [KERNEL, f"mem={self._memory}", "umid=vm", f"uml_dir={state}/",
                 "rootfstype=hostfs", "rootflags=/", "ro", f"init={INIT}",
                 f"vec0:transport=tap,ifname={self._tap},depth=64,gro=0,mac=02:00:00:00:02:02",
                 "con0=fd:0,fd:1", "con=null", "ssl=null", "quiet",
                 f"vdctl={self.control}", f"vdmods={MODULES}", f"vdname={self._name}"],
                log, env={"TMPDIR": _memory_dir()}, stdin=ours,
            )  # fmt: skip
        finally:
            os.close(ours)
        self._console = theirs
        while "VD-READY" not in self._daemon.log():
            if not self._daemon.running:
                raise LabError(f"the machine did not boot\n{self._daemon.log()}")
            if time.monotonic() - begun > BOOT_LIMIT:
                raise LabError(f"no boot within {BOOT_LIMIT} s\n{self._daemon.log()}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def sh(
        self,
        script: str,
        *,
        files: Mapping[str, str | bytes] | None = None,
        before: str = "",
        timeout: float = 60,
        check: bool = True,
    ) -> Done:
        """Run a bash script in the guest.  Raises LabError on failure (``check``) or timeout.

        ``files`` (relative name: content) go to /run/lab in the guest, after ``before`` ran.
        """
        if self._daemon is None or not self._daemon.running:
            raise LabError(f"{self._name} is switched off")
        self._count += 1
        name = str(self._count)
        if files:
            folder = self.control / f"{name}.files"
            for relative, content in files.items():
                path = folder / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
                path.chmod(0o600)
            script = f"{before}\ncp -r /run/ctl/{name}.files/. /run/lab/\n{script}"
        (self.control / f"{name}.sh").write_text(script)
        begun = time.monotonic()
        os.write(self._console, f"{name}\n".encode())
        result = self.control / f"{name}.rc"
        while not (result.exists() and result.read_text().endswith("\n")):
            if not self._daemon.running:
                raise LabError(f"{self._name} ended\n{self._daemon.log()}")
            if time.monotonic() - begun > timeout:
                raise LabError(f"{self._name}: no end within {timeout} s\n{script}")
            time.sleep(0.01)
        seconds = time.monotonic() - begun
        output = (self.control / f"{name}.out").read_text(errors="replace")
        code = int(result.read_text())
        if files:
            shutil.rmtree(self.control / f"{name}.files", ignore_errors=True)
        for suffix in ("sh", "rc", "out"):
            (self.control / f"{name}.{suffix}").unlink(missing_ok=True)
        if check and code:
            raise LabError(f"{self._name}: exit {code}\n{script}\n{output}")
        return Done(code, output, seconds)

    def console(self) -> str:
        return self._daemon.log() if self._daemon else ""

    def freeze(self) -> None:
        """The machine hangs: nothing of it answers any more, without an ICMP error."""
        for pid in self._daemon.members() if self._daemon else []:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in reversed(self._daemon.members() if self._daemon else []):
            os.kill(pid, signal.SIGCONT)

    def power_off(self) -> None:
        """End it at once, without a word to its peers."""
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None
        if self._console >= 0:
            os.close(self._console)
            self._console = -1

    def _close(self) -> None:
        self.power_off()
        self._state.close()


def _memory_dir() -> str:
    """Where the guest's memory file goes: memory, not a disk, or it crawls."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else "/tmp"

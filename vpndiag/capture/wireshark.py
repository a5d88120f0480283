"""What Wireshark can do for us where it is installed: read other file types, show frames
dissected."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from vpndiag.capture.errors import CaptureError, Truncated
from vpndiag.capture.files import CaptureFile
from vpndiag.capture.keys import Keys, esp_lines, write_keys
from vpndiag.capture.window import Progress

_TIMEOUT = 600
_MAX_FRAMES = 200


def tshark() -> str | None:
    """Path of tshark, None when it is not installed."""
    found = shutil.which("tshark")
    return found or next((str(place) for place in _not_in_path() if place.is_file()), None)


def _not_in_path() -> list[Path]:
    """Where the installers of Windows and macOS put it."""
    if sys.platform == "win32":
        bases = [os.environ.get(name) for name in ("PROGRAMW6432", "PROGRAMFILES")]
        return [Path(base) / "Wireshark" / "tshark.exe" for base in bases if base]
    if sys.platform == "darwin":
        return [Path("/Applications/Wireshark.app/Contents/MacOS/tshark")]
    return []


def _need(where: str) -> str:
    program = tshark()
    if program is None:
        raise CaptureError(
            "tshark is not installed", where, "install Wireshark's command line tools"
        )
    return program


def _run(command: list[str], where: str, out: BinaryIO | int, profile: str | None = None) -> bytes:
    try:
        done = subprocess.run(
            command,
            env=dict(os.environ, WIRESHARK_CONFIG_DIR=profile) if profile else None,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CaptureError(f"tshark failed ({type(error).__name__})", where) from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CaptureError(f"tshark: {lines[-1][:200] if lines else 'failed'}", where)
    return done.stdout or b""


def open_converted(path: str | Path, *, progress: Progress | None = None) -> CaptureFile:
    """Open a capture of a type that only Wireshark reads, through a temporary pcapng file. Of one
    that was cut off (a pppd that still writes its record) what tshark could read is used.

    :raises CaptureError: when tshark is missing or cannot read it either.
    """
    where = str(path)
    command = [_need(where), "-n", "-r", str(Path(path).absolute()), "-F", "pcapng", "-w", "-"]
    out = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        cut: CaptureError | None = None
        try:
            _run(command, where, cast(BinaryIO, out))
        except CaptureError as error:
            cut = error
        size = out.seek(0, os.SEEK_END)
        out.seek(0)
        read = _frames(cast(BinaryIO, out), where) if cut is not None and size else 0
        if cut is not None and not read:
            raise cut
        capture = CaptureFile(cast(BinaryIO, out), where, bytes_total=size, progress=progress)
        if cut is not None:
            capture.reader.notes.append(Truncated(read, Path(path).stat().st_size))
        return capture
    except BaseException:
        out.close()
        raise


def _frames(file: BinaryIO, where: str) -> int:
    """Frames of a pcapng file, which is left at its beginning."""
    try:
        with CaptureFile(os.fdopen(os.dup(file.fileno()), "rb"), where) as capture:
            return sum(1 for _ in capture)
    finally:
        file.seek(0)


def dissect(path: str | Path, frame_numbers: Iterable[int], keys: Keys | None = None) -> str:
    """Wireshark's dissection of these frames as text; the first 200 of them. ``keys`` go on to it,
    so that it decrypts as well, in a directory that only the user may read and that is removed.

    tshark itself is asked: pyshark would start the same program, under an event loop of its own
    that cannot run inside another.

    :raises CaptureError: when tshark is missing or cannot read the file.
    """
    where = str(path)
    numbers = sorted({int(number) for number in frame_numbers})[:_MAX_FRAMES]
    if not numbers:
        return ""
    wanted = "frame.number in {" + ",".join(map(str, numbers)) + "}"
    command = [_need(where), "-n", "-V", "-r", str(Path(path).absolute()), "-Y", wanted]
    if not keys:
        return _run(command, where, subprocess.PIPE).decode("utf-8", "replace")
    with tempfile.TemporaryDirectory(prefix="vpndiag-") as profile:
        try:
            _write_profile(Path(profile), keys)
        except OSError as error:
            raise CaptureError(f"no place for the keys: {error.strerror}", where) from None
        return _run(command, where, subprocess.PIPE, profile).decode("utf-8", "replace")


def _write_profile(place: Path, keys: Keys) -> None:
    """Wireshark's files of keys, and the preference that has it use those of ESP."""
    esp = [key for found in keys.esp.values() for key in found]
    _, sas = write_keys(
        place, ike=[(c, k) for c, found in keys.ike.items() for k in found], esp=esp
    )
    with sas.open("a", encoding="utf-8") as file:
        # A line is for one version of IP; addresses that will do for any are of both.
        anywhere = [key for key in esp if key.source == "*"]
        file.writelines(line + "\n" for line in esp_lines(anywhere, ipv6=True))
    (place / "preferences").write_text("esp.enable_encryption_decode: TRUE\n", "utf-8")

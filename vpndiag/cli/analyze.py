"""``vpndiag analyze``: judge capture files."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vpndiag.capture.errors import CaptureError
from vpndiag.capture.heap import growing
from vpndiag.cli.ahead import Ahead
from vpndiag.cli.exits import UsageError, code_of
from vpndiag.cli.options import (
    InternalHosts,
    InternalNames,
    Json,
    MaybePath,
    MaybeText,
    MaybeTexts,
    Quiet,
    Redact,
    Verbose,
)
from vpndiag.cli.output import Output, check_writable, consoles, print_line, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from vpndiag.capture.analyze import FileProgress
    from vpndiag.capture.asked import Asked
    from vpndiag.capture.keys import Keys
    from vpndiag.capture.trust import Trust
    from vpndiag.report.document import Report
    from vpndiag.report.model import Finding

LONG_FILE = 8 * 1024 * 1024
"""Bytes from which a progress bar is shown on a terminal."""
_REDRAWN = 0.1
"""Seconds until it is drawn again."""


def analyze(
    captures: Annotated[
        list[Path], typer.Argument(metavar="CAPTURE...", help="pcap or pcapng files, in any order.")
    ],
    json: Json = None,
    keys: Annotated[
        MaybePath,
        typer.Option(
            metavar="PATH",
            help="Keys: a file or a directory with Wireshark's ikev1_decryption_table and esp_sa, "
            "or the output of 'ip xfrm state'.",
        ),
    ] = None,
    ca: Annotated[
        MaybePath,
        typer.Option(
            metavar="FILE",
            help="Authorities that the client trusts (PEM or DER), to judge the gateway's "
            "certificate; needs --keys.",
        ),
    ] = None,
    cert_name: Annotated[
        MaybeText,
        typer.Option(metavar="NAME", help="With --ca: the name that the client connects to."),
    ] = None,
    frames: Annotated[
        MaybeText,
        typer.Option(
            metavar="FINDING",
            help="Show the frames of this finding (its code, or F1, F2, ...) as tshark does.",
        ),
    ] = None,
    app_: Annotated[
        MaybeTexts,
        typer.Option(
            "--app",
            metavar="APP",
            help="What was to work inside: HOST:PORT, HOST:smb, https://HOST (repeatable).",
        ),
    ] = None,
    internal_name: InternalNames = None,
    internal_host: InternalHosts = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    redact: Redact = False,
) -> None:
    """Name the failing layer in captures of others, with the frames that prove it."""
    output = Output(json=json, quiet=quiet, verbose=verbose, redact=redact)
    asked = asked_of_options(app_ or [], internal_name or [], internal_host or [])
    raise typer.Exit(carry_out(captures, output, keys, frames, ca, cert_name, asked))


def carry_out(
    captures: list[Path],
    output: Output,
    keys: Path | None = None,
    frames: str | None = None,
    ca: Path | None = None,
    cert_name: str | None = None,
    asked: Asked | None = None,
) -> int:
    """The command without Typer; the exit code.

    :raises UsageError: a file that cannot be read or written.
    """
    check_writable(output.json, None)
    if frames is not None and any(not _on_disk(c) for c in captures):
        raise UsageError("--frames needs the capture as a file: it is read twice")
    given, trust = _keys(keys), _trust(ca, cert_name)
    with Ahead(captures if given is None else ()) as ahead:
        with growing():
            # What takes time to load is loaded while they are read.
            from vpndiag.cli.analysis import judge
            from vpndiag.render import terminal as _terminal  # noqa: F401
        try:
            with _Progress(captures, output.quiet) as progress:
                report, files = judge(captures, given, progress.tell, trust, asked, ahead)
        except CaptureError as error:
            raise UsageError(str(error)) from None
    failed = write_json(report, output)
    if frames is not None:
        _dissect(report, frames, [(f.path, f.first_frame, f.frames) for f in files], given)
    else:
        _show(report, output)
    if failed is not None:
        raise UsageError(failed)
    return code_of(report.verdict)


def asked_of_options(apps: list[str], names: list[str], hosts: list[str]) -> Asked | None:
    """What was to work inside; None: nothing was said.

    :raises UsageError: an application that is none.
    """
    if not (apps or names or hosts):
        return None
    from vpndiag.cli.recording import asked_of
    from vpndiag.probes.inside import InsidePlan, parse_app

    try:
        parsed = tuple(parse_app(text) for text in apps)
    except ValueError as error:
        raise UsageError(f"--app {error}") from None
    plan = InsidePlan(apps=parsed, internal_names=tuple(names), internal_hosts=tuple(hosts))
    return asked_of(plan)


def _on_disk(capture: Path) -> bool:
    """Whether it can be read again; what does not exist is told later."""
    return str(capture) != "-" and (capture.is_file() or not capture.exists())


def _keys(place: Path | None) -> Keys | None:
    if place is None:
        return None
    from vpndiag.capture.keys import KeyFileError, read_keys

    try:
        return read_keys(place)
    except KeyFileError as error:
        raise UsageError(f"--keys {error}") from None


def _trust(ca: Path | None, name: str | None) -> Trust | None:
    if ca is None:
        if name is not None:
            raise UsageError("--cert-name is judged with the authorities of --ca: give both")
        return None
    from vpndiag.capture.trust import TrustError, read_trust

    try:
        return read_trust(ca, name)
    except TrustError as error:
        raise UsageError(f"--ca {error}") from None


class _Progress:
    """A bar on standard error, for long files on a terminal."""

    def __init__(self, captures: list[Path], silent: bool) -> None:
        size = 0
        for path in captures:
            try:
                size += path.stat().st_size
            except OSError:
                continue
        self._sizes = size
        self._bar: Any = None
        self._task: Any = None
        self._done: dict[int, int] = {}
        self._drawn = 0.0
        self._wanted = not silent and size >= LONG_FILE and sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        if self._wanted:
            from rich.console import Console
            from rich.progress import Progress

            # Drawn as it is told: a thread that draws it would be in the way of copies of this
            # process, which help (vpndiag.cli.process).
            self._bar = Progress(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._bar.start()
            self._task = self._bar.add_task("Reading", total=self._sizes)
            self._bar.refresh()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def tell(self) -> FileProgress | None:
        return self._tell if self._bar is not None else None

    def _tell(self, index: int, done: int, _total: int) -> None:
        self._done[index] = done
        now = monotonic()
        drawn = now - self._drawn >= _REDRAWN
        if drawn:
            self._drawn = now
        self._bar.update(self._task, completed=sum(self._done.values()), refresh=drawn)


def _show(report: Report, output: Output) -> None:
    console = consoles(output)
    if output.quiet:
        print_line(report, console)
        return
    from vpndiag.render.terminal import print_report

    if output.verbose:
        _messages(report, console)
    print_report(report, console)


def _messages(report: Report, console: Console) -> None:
    from vpndiag.render.messages import print_message

    for session in report.sessions:
        console.print(f"Attempt {session.number}", style="bold")
        for observation in session.observations:
            print_message(observation, console)
        console.print()


def _dissect(
    report: Report, wanted: str, files: list[tuple[Path, int, int]], keys: Keys | None
) -> None:
    """Wireshark's own view of the frames that a finding cites."""
    from vpndiag.capture.wireshark import dissect

    found = _find(report, wanted)
    if found is None:
        codes = ", ".join(f"F{i} {f.code}" for i, f in enumerate(_all(report), 1)) or "none"
        raise UsageError(f"--frames {wanted}: no such finding here; there are: {codes}")
    numbers = sorted({n for e in found.evidence for n in e.frames})
    if not numbers:
        raise UsageError(f"--frames {wanted}: this finding cites no frames")
    for path, first, count in files:
        mine = [n - first + 1 for n in numbers if first <= n < first + count]
        if not mine:
            continue
        if len(files) > 1:
            print(f"{path}:")
        try:
            print(_harmless(dissect(path, mine, keys)), end="")
        except CaptureError as error:
            raise UsageError(str(error)) from None


def _harmless(text: str) -> str:
    """tshark's text without what a terminal would obey; its lines stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _all(report: Report) -> list[Finding]:
    """Findings of the report, then those that only other sessions have."""
    seen = {f.code: f for f in report.findings}
    for session in report.sessions:
        for f in session.findings:
            seen.setdefault(f.code, f)
    return list(seen.values())


def _find(report: Report, wanted: str) -> Finding | None:
    every = _all(report)
    if wanted[:1] in "Ff" and wanted[1:].isdecimal():
        index = int(wanted[1:]) - 1
        return every[index] if 0 <= index < len(every) else None
    return next((f for f in every if f.code == wanted), None)

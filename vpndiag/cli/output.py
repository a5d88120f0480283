"""What a run leaves: the report on the terminal, as JSON, and the exit code; and what happens when
an output fails."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vpndiag.cli.exits import UsageError, code_of
from vpndiag.records import record

if TYPE_CHECKING:
    from rich.console import Console

    from vpndiag.cli.interrupts import Interrupts
    from vpndiag.cli.live import Plan
    from vpndiag.render.ladder import LiveLadder
    from vpndiag.report.document import Report


@record(slots=True, kw_only=True)
class Output:
    """Where the report goes and how much a person sees."""

    json: str | None = None
    quiet: bool = False
    verbose: bool = False
    redact: bool = False
    """In the JSON: pseudonyms for users, hosts and public addresses."""

    def __post_init__(self) -> None:
        """:raises UsageError: what is printed would be taken for redacted, and is not."""
        if self.redact and self.json is None:
            raise UsageError("--redact is about the JSON report: give --json as well")

    @property
    def json_on_stdout(self) -> bool:
        return self.json == "-"


def consoles(output: Output) -> Console:
    """The console for people: stdout, or stderr where stdout is taken by JSON."""
    from rich.console import Console

    class PipeConsole(Console):
        def on_broken_pipe(self) -> None:
            """Rich exits with code 1 here, in the middle of a run."""
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return PipeConsole(stderr=output.json_on_stdout, highlight=False)


def show(plan: Plan, output: Output) -> int:
    """Carry out ``plan``, show it, write what is to be written; the exit code.

    :raises UsageError: a local problem. Whatever kept us from writing or showing, the gateway has
        been left politely and the report has been written, elsewhere if need be.
    """
    from vpndiag.cli.interrupts import Interrupts

    with Interrupts() as interrupts:
        report, error = _run_and_write(plan, output, interrupts)
        # Who interrupts now, when all is known, shall still see it.
        _show_whole(report, plan, output, error)
    if plan.problems:
        raise UsageError("; ".join(plan.problems))
    return code_of(report.verdict, interrupted=report.interrupted)


def _show_whole(report: Report, plan: Plan, output: Output, error: Exception | None) -> None:
    """``error``: what kept us from showing the run. What goes wrong is told in
    ``plan.problems``."""
    console = consoles(output)
    problems = plan.problems
    if error is None:
        try:
            _print_report(report, console, output, written=not problems)
            console.file.flush()
        except (OSError, ValueError) as problem:
            error = problem
    if error is not None:
        drop(console.file)
        if not is_closed_pipe(error):  # a reader that went away, like head, is no problem
            said = getattr(error, "strerror", None) or error
            problems.append(f"the report cannot be shown: {said}")


def _run_and_write(
    plan: Plan, output: Output, interrupts: Interrupts
) -> tuple[Report, Exception | None]:
    """The report, and what kept us from showing the run. Files that could not be written are in
    ``plan.problems``."""
    from functools import cache

    from vpndiag.cli.deferred import DeferredLadder
    from vpndiag.cli.live import carry_out

    @cache
    def console() -> Console:
        return consoles(output)

    def live() -> LiveLadder:
        from vpndiag.render.ladder import LiveLadder

        return LiveLadder(console(), quiet=output.quiet)

    on_message = None
    if output.verbose:
        from vpndiag.render.messages import print_message

        def on_message(observation):  # type: ignore[no-untyped-def]
            print_message(observation, console())

    ladder = DeferredLadder(live)
    error: Exception | None = None
    try:
        report = carry_out(plan, ladder, on_message, interrupts)
    finally:
        try:
            ladder.close()
        except (OSError, ValueError) as problem:
            error = problem
    failed = write_json(report, output)
    if failed is not None:
        plan.problems.append(failed)
    return report, plan.output_error or error


def print_line(report: Report, console: Console) -> None:
    """The verdict with the code of its finding, or else the layer, in one line."""
    from vpndiag.report.text import visible

    verdict = report.verdict
    where = f" {verdict.finding or verdict.layer}" if verdict.finding or verdict.layer else ""
    line = visible(f"{verdict.outcome}{where}: {verdict.headline}", 1000)
    console.print(line, markup=False, soft_wrap=True)


def _print_report(report: Report, console: Console, output: Output, *, written: bool) -> None:
    if output.quiet:
        print_line(report, console)
        return
    from vpndiag.render.terminal import print_report

    print_report(report, console, ladder=False)
    if output.json and not output.json_on_stdout and written:
        console.print(f"Report written to {output.json}", soft_wrap=True, markup=False)


def print_whole(report: Report, output: Output, *, written: bool) -> None:
    """Show a report that was not followed while it was made.

    :raises UsageError: it cannot be shown (a reader that went away is no problem).
    """
    console = consoles(output)
    try:
        if output.verbose and not output.quiet:
            from vpndiag.render.messages import print_message

            for observation in report.observations:
                print_message(observation, console)
            console.print()
        if not output.quiet:
            from vpndiag.render.terminal import print_ladder

            print_ladder(report.layers, console)
        _print_report(report, console, output, written=written)
        console.file.flush()
    except (OSError, ValueError) as error:
        drop(console.file)
        if not is_closed_pipe(error):
            said = getattr(error, "strerror", None) or error
            raise UsageError(f"the report cannot be shown: {said}") from error


def is_closed_pipe(error: Exception) -> bool:
    """The reader of our output went away; Windows tells it as EINVAL."""
    if isinstance(error, BrokenPipeError):
        return True
    return sys.platform == "win32" and isinstance(error, OSError) and error.errno == errno.EINVAL


def drop(stream: IO[str]) -> None:
    """Nothing more can be written here: keep Python from trying at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


_CAPTURES = (b"\x0a\x0d\x0d\x0a", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4")
"""How pcapng and pcap begin."""


def check_writable(json: str | None, keys: Path | None, capture: Path | None = None) -> None:
    """:raises UsageError: a file that was asked for could not be written in the end, or it is
    another kind of file: "--json *.pcapng" names the first of them."""
    if json is not None and json != "-":
        _check_file("--json", Path(json), (b"{",), "report")
    if capture is not None:
        _check_file("--capture", capture, _CAPTURES, "capture")
    if keys is not None:
        if keys.is_file():
            raise UsageError(f"--keys-out {keys}: a file stands there; name a directory")
        try:
            keys.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--keys-out {keys}: {error.strerror or error}") from error
        if not os.access(keys, os.W_OK):
            raise UsageError(f"--keys-out {keys}: not writable")


def _check_file(option: str, path: Path, beginnings: tuple[bytes, ...], what: str) -> None:
    try:
        there = path.exists()
        if there and not path.is_file() and not path.is_dir():
            return  # a pipe: its reader would take this for the end
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(64).lstrip(b" \t\r\n" if what == "report" else b"")
            if head and not head.startswith(beginnings):
                raise UsageError(f"{option} {path}: this file is no {what}; it is not overwritten")
        with path.open("ab"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from error


def write_json(report: Report, output: Output) -> str | None:
    """Write the report; an error line when it could not be written there. It is then kept in a
    temporary file: a run cannot be had again."""
    where = output.json
    if where is None:
        return None
    from vpndiag.report.document import to_json

    if output.redact:
        from vpndiag.report.redact import redact

        report = redact(report, hosts=True)
    data = to_json(report).encode("utf-8", "backslashreplace")
    try:
        if where == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            Path(where).write_bytes(data)
    except (OSError, ValueError) as error:
        if where == "-":
            drop(sys.stdout)
            if is_closed_pipe(error):
                return None
        said = getattr(error, "strerror", None) or error
        return f"--json {where}: {said}{_kept_elsewhere(data)}"
    return None


def _kept_elsewhere(data: bytes) -> str:
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(prefix="vpndiag-", suffix=".json", delete=False) as spare:
            spare.write(data)
    except OSError:
        return ""
    return f"; the report is in {spare.name}"

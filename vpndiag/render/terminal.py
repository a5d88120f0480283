"""A report on a terminal: ladder, verdict box, warnings, sessions, messages.

Everything that comes from a report is put into Text objects after ``visible``: it can hold peer
text, which must neither move the cursor nor be taken for markup.
"""

from __future__ import annotations

from collections import Counter

from rich import box
from rich.cells import set_cell_size
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from vpndiag.catalogue import CLIENT_NAMES, OWNER_NAMES
from vpndiag.render.ladder import LiveLadder, ladder_lines, width_of
from vpndiag.render.quality import print_soak
from vpndiag.render.symbols import STYLES, mark, speaks_unicode
from vpndiag.report.document import Report, Session
from vpndiag.report.model import LAYER_TITLES, Evidence, Finding, Layer, Verdict
from vpndiag.report.text import visible

__all__ = ["LiveLadder", "print_ladder", "print_report", "print_sessions", "print_verdict"]

_MAX_EVIDENCE = 8
_MAX_SESSIONS = 200
_MANY_SESSIONS = 12
"""From which on it is told first how many ended alike."""
_MAX_KINDS = 20
_COLUMNS = ("", "#", "time", "client", "gateway", "result")
_COLOURS = {
    "healthy": "green",
    "failed": "red",
    "inconclusive": "yellow",
    "not_applicable": "yellow",
}


def print_report(report: Report, console: Console, *, ladder: bool = True) -> None:
    """The whole report: sessions of a capture, the ladder, the verdict and what else was noticed.

    ``ladder=False`` leaves the ladder out, for a run that has shown it live.
    """
    if len(report.sessions) > 1:
        print_sessions(report, console)
    for session in report.sessions:
        if session.number == report.session:
            _print_session(session, console, many=len(report.sessions) > 1)
    if ladder:
        print_ladder(report.layers, console)
    print_verdict(report, console)


def print_ladder(layers: tuple[Layer, ...], console: Console) -> None:
    for line in ladder_lines(console, layers):
        console.print(line, soft_wrap=True)


def print_verdict(report: Report, console: Console) -> None:
    """The verdict in a box that a helpdesk person can act on, then warnings, briefly."""
    main = _main_finding(report.verdict, report.findings)
    console.print()
    if report.interrupted:
        console.print(Text("  Interrupted: what is below is what was seen until then.", "yellow"))
        console.print()
    console.print(_panel(console, report.verdict, main))
    print_soak(report, console)
    _print_others(console, [f for f in report.findings if f is not main])
    for note in report.notes:
        console.print(_indented(Text(f"Note: {visible(note, 1000)}", style="dim")))


def print_sessions(report: Report, console: Console) -> None:
    """The connection attempts of a capture, one line each, and before them how many of a kind."""
    console.print(Text(f"  {len(report.sessions)} connection attempts", style="bold"))
    if len(report.sessions) > _MANY_SESSIONS:
        kinds = Counter(_result(session) for session in report.sessions).most_common()
        for kind, number in kinds[:_MAX_KINDS]:
            console.print(Text(f"  {number:>6}  {kind}"), soft_wrap=True)
        rest = sum(number for _, number in kinds[_MAX_KINDS:])
        if rest:
            console.print(Text(f"  {rest:>6}  of other kinds"))
        console.print()
    rows = [_session_row(console, session) for session in report.sessions[:_MAX_SESSIONS]]
    if console.is_terminal:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
        for name in _COLUMNS:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(Padding(table, (0, 0, 0, 2)), width=max(width_of(console), console.width))
    else:
        _print_lines([tuple(Text(name) for name in _COLUMNS), *rows], console)
    if len(report.sessions) > _MAX_SESSIONS:
        left = len(report.sessions) - _MAX_SESSIONS
        console.print(Text(f"  and {left} more, in the JSON report", style="dim"))
    console.print()


def _print_lines(rows: list[tuple[Text, ...]], console: Console) -> None:
    """In a file each attempt is one line, to be searched for."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (set_cell_size(c.plain, w) for c, w in zip(row, widths, strict=True))
        console.print(Text(f"  {'  '.join(cells)}".rstrip()), soft_wrap=True)


def _print_session(session: Session, console: Console, *, many: bool) -> None:
    """Whose ladder follows."""
    arrow = "→" if speaks_unicode(console) else "->"
    ends = f"{_client(session)} {arrow} {visible(session.gateway, 60)}"
    number = f"Attempt {session.number}: " if many else ""
    lasted = f", {session.last - session.first:.1f} s"
    frames = f", frames {min(session.frames)} to {max(session.frames)}" if session.frames else ""
    console.print(Text(f"  {number}{ends}{frames}{lasted}", style="bold"), soft_wrap=True)


def _client(session: Session) -> str:
    """Its address, and who of several users there."""
    address = visible(session.client, 60)
    return f"{address}, {visible(session.caller, 40)}" if session.caller else address


def _session_row(console: Console, session: Session) -> tuple[Text, ...]:
    outcome = session.verdict.outcome
    status = {"healthy": "passed", "failed": "failed"}.get(outcome, "inconclusive")
    return (
        Text(mark(console, status), style=STYLES[status]),
        Text(str(session.number)),
        Text(f"{session.first:.3f} s"),
        Text(_client(session)),
        Text(visible(session.gateway, 60)),
        Text(_result(session)),
    )


def _result(session: Session) -> str:
    """In a few words: the finding, how far a healthy one is seen, or what cannot be told."""
    verdict = session.verdict
    unclear = next((x for x in session.layers if x.id == verdict.layer and x.summary), None)
    if verdict.outcome == "inconclusive" and not verdict.finding and unclear is not None:
        title = LAYER_TITLES.get(unclear.id, unclear.id)
        return visible(f"not certain at {title}: {unclear.summary}", 200)
    passed = [x.id for x in session.layers if x.status in ("passed", "warning")]
    if verdict.outcome == "healthy" and passed:
        return f"healthy to {LAYER_TITLES.get(passed[-1], passed[-1])}"
    return visible(verdict.finding or verdict.headline, 120)


def _main_finding(verdict: Verdict, findings: tuple[Finding, ...]) -> Finding | None:
    return next((f for f in findings if verdict.finding and f.code == verdict.finding), None)


def _panel(console: Console, verdict: Verdict, main: Finding | None) -> RenderableType:
    colour = _COLOURS[verdict.outcome]
    headline = Text(visible(verdict.headline, 500), style="bold")
    body: list[RenderableType] = [headline]
    if main:
        body.append(_reference(main, verdict))
        body.extend(_happened(main, verdict.headline))
        body.extend(_evidence(main))
        body.extend(_causes(console, main))
        body.extend(_steps(main))
        body.extend(_clients(main))
    return Panel(
        Group(*body),
        box=box.ROUNDED if speaks_unicode(console) else box.ASCII,
        title=Text(f" {_verdict_title(verdict)} ", style=f"bold {colour}"),
        title_align="left",
        border_style=colour,
        padding=(1, 2) if main else (0, 2),
        width=width_of(console),
    )


def _verdict_title(verdict: Verdict) -> str:
    where = LAYER_TITLES.get(verdict.layer or "", verdict.layer or "")
    match verdict.outcome:
        case "healthy":
            return "Healthy"
        case "failed":
            return f"Failed at: {visible(where)}"
        case "inconclusive":
            return f"Not certain: {visible(where)}" if where else "Not certain"
        case _:
            return "No L2TP/IPsec here"


def _reference(main: Finding, verdict: Verdict) -> Text:
    return Text(f"{visible(main.code)}, confidence: {verdict.confidence}", style="dim")


def _section(title: str) -> Text:
    return Text(f"\n{title}", style="bold cyan")


def _happened(main: Finding, headline: str) -> list[RenderableType]:
    said = [text for text in (main.detail, main.explanation) if text and text != headline]
    if not said:
        return []
    return [_section("What happened"), *(_indented(Text(visible(t, 2000))) for t in said)]


def _evidence(main: Finding) -> list[RenderableType]:
    if not main.evidence:
        return []
    table = _grid()
    for seen in main.evidence[:_MAX_EVIDENCE]:
        table.add_row(Text(_when(seen), style="dim"), Text(visible(seen.text, 1000)))
    parts: list[RenderableType] = [_section("Seen"), _indented(table)]
    if len(main.evidence) > _MAX_EVIDENCE:
        left = len(main.evidence) - _MAX_EVIDENCE
        parts.append(_indented(Text(f"and {left} more, in the JSON report", style="dim")))
    return parts


def _when(seen: Evidence) -> str:
    parts = []
    if seen.t is not None:
        parts.append(f"{seen.t:.3f} s")
    if seen.frames:
        shown = ", ".join(str(frame) for frame in seen.frames[:3])
        parts.append(f"#{shown}" + (", ..." if len(seen.frames) > 3 else ""))
    return "  ".join(parts)


def _causes(console: Console, main: Finding) -> list[RenderableType]:
    if not main.causes:
        return []
    arrow = "→" if speaks_unicode(console) else "->"
    table = _grid()
    for number, cause in enumerate(main.causes, 1):
        text = Text(visible(cause.text, 1000))
        text.append(f"  ({cause.likelihood}; {OWNER_NAMES[cause.owner].lower()})", style="dim")
        if cause.fix:
            text.append(f"\n{arrow} ", style="dim")
            text.append(visible(cause.fix, 1000))
        table.add_row(Text(f"{number}."), text)
    return [_section("Causes, most likely first"), _indented(table)]


def _steps(main: Finding) -> list[RenderableType]:
    if not main.fix:
        return []
    table = _grid()
    for number, step in enumerate(main.fix, 1):
        who, colon, do = visible(step, 1000).partition(": ")
        text = Text(who + colon, style="bold") if colon else Text(who)
        text.append(do, style="not bold")
        table.add_row(Text(f"{number}."), text)
    return [_section("What to do now"), _indented(table)]


def _clients(main: Finding) -> list[RenderableType]:
    if not main.clients_show:
        return []
    table = _grid()
    for client in ("windows", "macos"):
        if client in main.clients_show:
            name = CLIENT_NAMES[client]
            table.add_row(Text(name), Text(visible(main.clients_show[client], 500), style="dim"))
    return [_section("What the built-in clients show"), _indented(table)] if table.rows else []


def _print_others(console: Console, others: list[Finding]) -> None:
    for severity, heading in (("error", "Also"), ("warning", "Warnings"), ("info", "Notes")):
        group = [finding for finding in others if finding.severity == severity]
        if not group:
            continue
        console.print()
        console.print(Text(f"  {heading}", style="bold"))
        for finding in group:
            status = {"error": "failed", "warning": "warning"}.get(severity, "not_reached")
            text = Text(visible(finding.title or finding.code, 300))
            text.append(f"  {visible(finding.code)}", style="dim")
            if finding.detail:
                text.append(f"\n{visible(finding.detail, 1000)}", style="dim")
            table = _grid()
            table.add_row(Text(mark(console, status), style=STYLES[status]), text)
            console.print(_indented(table), width=width_of(console))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    return table


def _indented(what: RenderableType) -> Padding:
    return Padding(what, (0, 0, 0, 2))

"""The ladder: one line a layer, filled in while the run goes on or printed from a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from types import TracebackType

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vpndiag.render.symbols import STYLES, mark, speaks_unicode
from vpndiag.report.model import LAYER_TITLES, Layer
from vpndiag.report.text import visible

_TITLE = max(cell_len(title) for title in LAYER_TITLES.values())
_TIME = 7
MIN_WIDTH = 60
MAX_WIDTH = 100


def width_of(console: Console) -> int:
    """Columns used: not so wide that lines get hard to read, never less than 60."""
    return max(MIN_WIDTH, min(console.width, MAX_WIDTH))


def duration(seconds: float) -> str:
    """``4 ms``, ``320 ms``, ``2.1 s``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    return f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """``0:07``, ``12:30``, ``1:00:00``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def layer_line(console: Console, layer: Layer, *, live: bool = False) -> Text:
    """The line of a layer that was looked at; ``live``: it will be drawn again."""
    elapsed = ""
    if layer.started is not None and layer.ended is not None:
        elapsed = duration(layer.ended - layer.started)
    said = layer.summary or layer.reason
    title = LAYER_TITLES.get(layer.id, layer.id)
    return _line(console, layer.status, title, said, elapsed, live=live)


def ladder_lines(console: Console, layers: Sequence[Layer], *, live: bool = False) -> list[Text]:
    """All layers; those not reached for the same reason share one line."""
    lines: list[Text] = []
    for reason, group in groupby(layers, key=_reason):
        members = list(group)
        if reason is None:
            lines.extend(layer_line(console, layer, live=live) for layer in members)
        else:
            lines.append(_not_reached(console, members, reason, live=live))
    return lines


def _reason(layer: Layer) -> str | None:
    return layer.reason if layer.status == "not_reached" else None


def _not_reached(console: Console, members: Sequence[Layer], reason: str, *, live: bool) -> Text:
    ids = [layer.id for layer in members]
    title = LAYER_TITLES.get(ids[0], ids[0])
    if len(ids) > 1:
        dots = "…" if speaks_unicode(console) else ".."
        title = f"{ids[0]} {dots} {ids[-1]}"
    said = f"not reached: {reason}" if reason else "not reached"
    return _line(console, "not_reached", title, said, "", live=live)


def _line(
    console: Console, status: str, title: str, said: str, elapsed: str, *, live: bool = False
) -> Text:
    """What does not fit into a line of the terminal goes on below, or is cut while ``live``. On a
    narrow terminal all that is said is below."""
    symbol = mark(console, status)
    edge = 2 + cell_len(symbol) + 2
    said = visible(said, 500)
    narrow = console.is_terminal and console.width < MIN_WIDTH
    indent = edge if narrow else edge + _TITLE + 2
    room = min(console.width, MAX_WIDTH) - indent - (1 if narrow else _TIME + 1)
    rows = _rows(console, said, room, live=live) if console.is_terminal else [said]
    quiet = status == "not_reached"
    line = Text(no_wrap=True, overflow="ignore", style="dim" if quiet else "")
    line.append("  ")
    line.append(symbol, style=STYLES[status])
    line.append("  ")
    line.append(set_cell_size(title, _TITLE), style="" if quiet else "bold")
    if not narrow:
        line.append("  ")
        first = rows.pop(0)
        line.append(set_cell_size(first, max(room, cell_len(first))) if elapsed else first)
    line.append(f"{elapsed:>{_TIME + 1}}" if elapsed else "", style="dim")
    for row in rows:
        line.append(f"\n{' ' * indent}{row}")
    return line


def _rows(console: Console, said: str, room: int, *, live: bool) -> list[str]:
    if cell_len(said) <= room:
        return [said]
    if live:
        dots = "…" if speaks_unicode(console) else "..."
        return [set_cell_size(said, max(room - cell_len(dots), 0)).rstrip() + dots]
    return [row.plain.rstrip() for row in Text(said).wrap(console, max(room, 8))]


class LiveLadder:
    """Observer of a run that shows it on ``console``; a context manager.

    On a terminal the lines fill in as the run goes on, cut to its width until the end. Elsewhere
    each layer is printed when it is done, in plain lines with words for marks. ``quiet`` shows
    nothing. ``clock`` is for tests.
    """

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._quiet = quiet
        self._clock = clock
        self._done: list[Layer] = []
        self._running: str | None = None
        self._since = 0.0
        self._held: list[Layer] = []
        self._progress = ""
        self._closed = False
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._live = Live(
                console=console,
                get_renderable=self._render,
                refresh_per_second=8,
                transient=False,
                vertical_overflow="visible",
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __enter__(self) -> LiveLadder:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the display; the lines stay. May be called twice."""
        self._running = None
        self._progress = ""
        self._closed = True
        self._flush_held()
        if self._live:
            self._live.stop()
            self._live = None

    def layer_started(self, layer_id: str) -> None:
        """A layer is being tried."""
        self._running = layer_id
        self._since = self._clock()
        self._refresh()

    def layer_done(self, layer: Layer) -> None:
        """A layer is judged. One that was not reached is shown together with its like."""
        if self._running == layer.id:
            self._running = None
        self._done.append(layer)
        if self._quiet:
            return
        if self._live:
            self._refresh()
        elif layer.status == "not_reached":
            if self._held and self._held[-1].reason != layer.reason:
                self._flush_held()
            self._held.append(layer)
        else:
            self._flush_held()
            self._print(layer_line(self._console, layer))

    def progress(self, text: str) -> None:
        """The connection is kept for a while: a line below the ladder, on a terminal."""
        self._progress, self._running = text, None
        self._refresh()

    def note(self, text: str) -> None:
        """A remark, printed above the ladder on a terminal and in its place elsewhere."""
        if not self._quiet:
            line = Text("     ")
            line.append(visible(text, 1000), style="dim")
            self._print(line)

    def _flush_held(self) -> None:
        if self._held and not self._live:
            for line in ladder_lines(self._console, self._held):
                self._print(line)
        self._held = []

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def _refresh(self) -> None:
        if self._live:
            self._live.refresh()

    def _render(self) -> RenderableType:
        lines = ladder_lines(self._console, self._done, live=not self._closed)
        if self._running:
            title = LAYER_TITLES.get(self._running, self._running)
            passed = self._clock() - self._since
            # Below a second a clock only flickers.
            said = duration(passed) if passed >= 1 else ""
            lines.append(_line(self._console, "running", title, said, "", live=True))
        if self._progress:
            title, said = "staying connected", self._progress
            lines.append(_line(self._console, "running", title, said, "", live=True))
        return Group(*lines)

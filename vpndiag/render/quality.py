"""How the inside fared while the connection was kept: a short table."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vpndiag.observations import Rekey, Soak
from vpndiag.render.ladder import clock, duration
from vpndiag.report.document import Report
from vpndiag.report.text import visible

_WHAT = {"ipsec": "IPsec keys (quick mode)", "ike": "IKE keys (main mode)"}
_MAX_RENEWALS = 12


def print_soak(report: Report, console: Console) -> None:
    """Nothing where no ``--soak`` was asked for."""
    soak = next((o for o in report.observations if isinstance(o, Soak)), None)
    if soak is None:
        return
    who = f"ping {soak.target}" if soak.target else "LCP Echo-Request, nobody answers pings"
    console.print()
    console.print(Text(f"  Quality inside over {clock(soak.seconds)}  ", "bold").append(
        f"({visible(who, 80)})", "not bold dim"))  # fmt: skip
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("loss", f"{soak.lost} of {soak.sent} ({soak.loss:.1%})")
    table.add_row("round trip", _round_trips(soak))
    if soak.jitter is not None:
        table.add_row("jitter", f"{_short(soak.jitter)} (of round trips, as in RFC 3550)")
    if soak.throughput is not None:
        table.add_row(
            "throughput",
            f"at least {soak.throughput / 1e6:.1f} Mbit/s ({soak.train_packets} pings of "
            f"{soak.train_size} bytes at once)",
        )
    renewals = [o for o in report.observations if isinstance(o, Rekey)]
    for renewal in renewals[:_MAX_RENEWALS]:
        table.add_row(_WHAT[renewal.what], _renewal(renewal))
    if len(renewals) > _MAX_RENEWALS:
        table.add_row("", f"and {len(renewals) - _MAX_RENEWALS} more renewals, in the JSON report")
    if soak.silent_for:
        table.add_row("at the end", f"no answer for {soak.silent_for:.0f} s")
    console.print(Padding(table, (0, 0, 0, 2)))


def _short(seconds: float) -> str:
    return duration(seconds) if seconds >= 0.00995 else f"{seconds * 1000:.1f} ms"


def _round_trips(soak: Soak) -> str:
    names = (("min", soak.fastest), ("median", soak.median), ("95%", soak.p95),
             ("max", soak.slowest))  # fmt: skip
    shown = [f"{name} {_short(value)}" for name, value in names if value is not None]
    return ", ".join(shown) or "no answer"


def _renewal(renewal: Rekey) -> str:
    who = "" if renewal.begun_by == "client" else ", begun by the gateway"
    took = f" in {_short(renewal.seconds)}" if renewal.seconds is not None else ""
    detail = f" ({visible(renewal.detail, 80)})" if renewal.detail else ""
    if renewal.stall is None:
        stall = ""
    elif renewal.stall:
        stall = f"; traffic stalled for {_short(renewal.stall)}"
    else:
        stall = "; traffic did not stall"
    return f"{renewal.outcome}{took}{detail}{who}{stall}"

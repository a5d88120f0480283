"""``vpndiag host``: the system's own VPN, looked at without changing or sending anything."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from vpndiag import __version__
from vpndiag import profile as profiles
from vpndiag.cli.exits import UsageError, code_of
from vpndiag.cli.output import Output, check_writable, print_whole, write_json
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.host import local
from vpndiag.host.look import look, system
from vpndiag.host.machine import Machine
from vpndiag.observations import Ended, HostScope, HostUnknown, Observation
from vpndiag.report.document import Report, Shown, Tool, Vantage, options


def host(profile: str | None, output: Output, machine: Machine | None = None) -> int:
    """Look, judge and report; the exit code.

    :raises UsageError: a profile that cannot be used, a file that cannot be written.
    """
    scope = _scope(profile)
    check_writable(output.json, None)
    started = datetime.now(UTC)
    asked = machine or Machine()
    observations: list[Observation]
    try:
        observations = look(scope, asked)
    except KeyboardInterrupt:
        observations = [scope, Ended(t=asked.now(), why="interrupted")]
    report = report_of(observations, started, profile)
    failed = write_json(report, output)
    print_whole(report, output, written=failed is None)
    if failed is not None:
        raise UsageError(failed)
    return code_of(report.verdict, interrupted=report.interrupted)


def _scope(name: str | None) -> HostScope:
    """:raises UsageError: there is no such profile, or it cannot be used."""
    here = system()
    if name is None:
        return HostScope(t=0.0, system=here)  # type: ignore[arg-type]
    path = profiles.find(name)
    if path is None:
        places = ", ".join(str(p) for p in profiles.directories())
        raise UsageError(f"{name}: no such profile here or in {places}")
    try:
        given = profiles.load(Path(path))
    except profiles.ProfileError as error:
        raise UsageError(str(error)) from error
    return HostScope(
        t=0.0,
        system=here,  # type: ignore[arg-type]
        gateway=given.gateway,
        internal_networks=given.internal_networks,
        internal_hosts=given.internal_hosts,
        expected_addresses=given.expected_addresses,
        expected_dns=given.expected_dns,
        plain_l2tp=given.plain_l2tp,
    )


def report_of(
    observations: Sequence[Observation], started: datetime, profile: str | None
) -> Report:
    """The report of what was seen."""
    diagnosis = diagnose(observations)
    scope = next(o for o in observations if isinstance(o, HostScope))
    here = local.system()
    return Report(
        tool=Tool("vpndiag", __version__),
        run_id=str(uuid.uuid4()),
        command="host",
        started_at=_iso(started),
        ended_at=_iso(datetime.now(UTC)),
        verdict=diagnosis.verdict,
        layers=diagnosis.layers,
        findings=diagnosis.findings,
        vantage=Vantage(
            os=f"{here.name} {here.version}",
            python=".".join(map(str, sys.version_info[:3])),
            privileged=here.administrator,
        ),
        target=scope.gateway,
        options=options({"profile": Shown(profile)} if profile else {}),
        observations=tuple(observations),  # type: ignore[arg-type]
        interrupted=any(isinstance(o, Ended) for o in observations),
        notes=tuple(
            f"Cannot be told here: {o.what} ({o.why})."
            for o in observations
            if isinstance(o, HostUnknown) and diagnosis.verdict.outcome != "healthy"
        ),
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

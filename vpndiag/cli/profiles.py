"""``vpndiag profile check``: whether a profile can be used."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import typer

from vpndiag import profile as profiles
from vpndiag.cli.exits import UsageError
from vpndiag.report.text import visible


def check(name: str) -> int:
    """Print what the profile says; 0 when it can be used.

    :raises UsageError: it cannot; the first thing that is wrong.
    """
    path = profiles.find(name)
    if path is None:
        places = ", ".join(str(p) for p in profiles.directories())
        raise UsageError(f"{name}: no such profile here or in {places}")
    try:
        profile = profiles.load(path)
    except profiles.ProfileError as error:
        raise UsageError(str(error)) from error
    _check_values(profile, path)
    typer.echo(f"{visible(str(path))}: can be used")
    for entry in fields(profile):
        value = getattr(profile, entry.name)
        if value not in (None, (), False):
            shown = ", ".join(value) if isinstance(value, tuple) else str(value)
            typer.echo(f"  {entry.name:<20} {visible(shown, 400)}")
    return 0


def _check_values(profile: profiles.Profile, path: Path) -> None:
    from vpndiag.cli.proposals import auth_methods, group_of
    from vpndiag.probes.inside.exchange import parse_app
    from vpndiag.probes.resolvers import configuration
    from vpndiag.protocols.errors import LocalProtocolError
    from vpndiag.protocols.ike.profiles import PROFILES, parse_esp_list, parse_ike_list

    try:
        for app in profile.apps:
            parse_app(app)
    except ValueError as error:
        raise UsageError(f"{path}: apps: {error}") from error
    try:
        configuration(list(profile.resolvers))
    except ValueError as error:
        raise UsageError(f"{path}: resolvers: {error}") from error
    try:
        if profile.ike and ",".join(profile.ike).lower() not in PROFILES:
            parse_ike_list(",".join(profile.ike))
        if profile.esp:
            parse_esp_list(",".join(profile.esp))
    except LocalProtocolError as error:
        raise UsageError(f"{path}: {error}") from error
    for check in (lambda: auth_methods(",".join(profile.auth)), lambda: group_of(profile.pfs)):
        try:
            check()
        except UsageError as error:
            raise UsageError(f"{path}: {str(error).removeprefix('--')}") from error
    for name in ("psk_file", "password_file", "l2tp_secret_file", "certificate", "key", "ca"):
        value = getattr(profile, name)
        if value is not None and not (path.parent / Path(value).expanduser()).is_file():
            raise UsageError(f"{path}: {name}: {value}: no such file")

"""Profiles: what an administrator hands out so that a user only types ``vpndiag run corp``.

A profile is a TOML file. Secrets are not in it, only where they come from::

    gateway = "vpn.example.com"
    user = "alice"                     # optional
    ike = ["aes256-sha1-modp2048"]     # optional; default: everything we can do
    esp = ["aes128-sha1"]
    auth = ["mschapv2"]
    psk_file = "/etc/vpndiag/corp.psk" # or: keyring = "keyring:SERVICE/USER"

    reference_gateway = "vpn2.example.com"           # another one, asked when this one is silent
    expected_addresses = ["10.8.0.0/24"]             # what the gateway should assign
    expected_dns = ["10.0.0.53"]
    internal_networks = ["10.0.0.0/16"]              # what is inside, for overlaps
    internal_hosts = ["10.0.0.5", "files.corp.example"]
    internal_names = ["intranet.corp.example"]       # what the DNS servers should know
    internal_domain = "corp.example"
    apps = ["files.corp.example:smb", "https://intranet.corp.example"]
    outside_names = false            # do not ask the resolvers outside for these names as well
"""

from __future__ import annotations

import ipaddress
import os
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from vpndiag.records import record

MAX_SIZE = 1 << 20


class ProfileError(Exception):
    """A profile that cannot be used; the text names the file, the entry and what to do."""


@record(frozen=True, slots=True, kw_only=True)
class Profile:
    """One gateway and how to reach it. Entries that are not given are empty or None."""

    gateway: str
    user: str | None = None
    ike: tuple[str, ...] = ()
    esp: tuple[str, ...] = ()
    auth: tuple[str, ...] = ()
    pfs: str | None = None
    mru: int | None = None
    plain_l2tp: bool = False
    resolvers: tuple[str, ...] = ()
    psk_file: str | None = None
    password_file: str | None = None
    l2tp_secret_file: str | None = None
    keyring: str | None = None
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None
    expected_name: str | None = None
    reference_gateway: str | None = None
    expected_addresses: tuple[str, ...] = ()
    expected_dns: tuple[str, ...] = ()
    internal_networks: tuple[str, ...] = ()
    internal_hosts: tuple[str, ...] = ()
    internal_names: tuple[str, ...] = ()
    internal_domain: str | None = None
    apps: tuple[str, ...] = ()
    outside_names: bool = True


_FORBIDDEN = {"psk", "password", "secret", "l2tp_secret"}


def directories() -> list[Path]:
    """Where profiles are looked for, besides the working directory."""
    found: list[Path] = []
    if sys.platform == "win32":
        for variable in ("APPDATA", "PROGRAMDATA"):
            if base := os.environ.get(variable):
                found.append(Path(base) / "vpndiag")
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        found.append(Path(base).expanduser() / "vpndiag")
        if sys.platform == "darwin":
            found.append(Path("~/Library/Application Support/vpndiag").expanduser())
        found.append(Path("/etc/vpndiag"))
    return found


def find(name: str) -> Path | None:
    """The profile file that ``name`` stands for: a path that ends in ``.toml``, or a name whose
    ``NAME.toml`` lies here or in one of :func:`directories`. None: it is no profile."""
    path = Path(name)
    if path.suffix == ".toml":
        return path
    if "/" in name or "\\" in name or ":" in name:
        return None
    for place in [Path(), *directories()]:
        candidate = place / f"{name}.toml"
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):  # too long for a file name, not allowed to look
            continue
    return None


def load(path: Path) -> Profile:
    """:raises ProfileError: the file cannot be read, is not TOML, or has a wrong entry."""
    try:
        if path.stat().st_size > MAX_SIZE:
            raise ProfileError(f"{path}: larger than 1 MiB, not a profile")
        # Notepad puts a byte order mark in front.
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: not a TOML file: {error}") from error
    return _checked(data, path)


def _checked(data: dict[str, Any], path: Path) -> Profile:
    known = {f.name: f for f in fields(Profile)}
    values: dict[str, Any] = {}
    for key, value in data.items():
        name = key.replace("-", "_")
        if name in _FORBIDDEN:
            raise ProfileError(
                f"{path}: {key}: secrets do not belong into a profile; use {name}_file or keyring"
            )
        if name not in known:
            raise ProfileError(
                f"{path}: {key}: no such entry; known are {', '.join(sorted(known))}"
            )
        values[name] = _value(name, value, path)
    if not values.get("gateway"):
        raise ProfileError(f'{path}: gateway: missing; add gateway = "vpn.example.com"')
    return Profile(**values)


_LISTS = {
    "ike", "esp", "auth", "resolvers", "expected_addresses", "expected_dns", "internal_networks",
    "internal_hosts", "internal_names", "apps",
}  # fmt: skip
_NETWORKS = {"expected_addresses", "internal_networks"}


def _check_address(name: str, text: str, path: Path) -> None:
    """:raises ProfileError: an address or network was wanted and ``text`` is none."""
    try:
        if name in _NETWORKS:
            for part in text.split("-") if name == "expected_addresses" else [text]:
                ipaddress.ip_network(part.strip(), strict=False)
        elif name == "expected_dns":
            ipaddress.ip_address(text)
    except ValueError:
        what = "address" if name == "expected_dns" else "network (such as 10.0.0.0/16)"
        raise ProfileError(f"{path}: {name}: {text!r} is no {what}") from None


def _value(name: str, value: object, path: Path) -> object:
    if name in _LISTS:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(i, str) for i in items):
            for item in items:
                _check_address(name, item, path)
            return tuple(items)
        raise ProfileError(f"{path}: {name}: a list of texts is wanted")
    wanted: type = {"mru": int, "plain_l2tp": bool, "outside_names": bool}.get(name, str)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        kind = {int: "a number", bool: "true or false"}.get(wanted, "a text")
        raise ProfileError(f"{path}: {name}: {kind} is wanted, not {value!r}")
    return value

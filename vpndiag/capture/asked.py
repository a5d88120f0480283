"""What a run was asked to test inside the tunnel, told to whoever reads its capture.

A capture does not show which names, hosts and applications matter. A run writes them into its own
capture, as a comment of the section; ``analyze`` takes them as options as well. They say what was
wanted and nothing else: what became of it is told by the packets alone.
"""

from __future__ import annotations

import json
from typing import TypeGuard

from vpndiag.records import record

MARK = "vpndiag asked inside: "
MOST = 16
_LONGEST = 253
MAX_COMMENT = 16_384


@record(frozen=True, slots=True)
class AskedApp:
    """``text`` as it was asked for."""

    text: str
    host: str
    port: int
    protocol: str = ""


@record(frozen=True, slots=True)
class Asked:
    """Names, hosts and applications that were to be tested; all may be empty. ``own``: by a run
    of vpndiag, which left this capture."""

    names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    apps: tuple[AskedApp, ...] = ()
    domain: str = ""
    own: bool = False

    def joined(self, other: Asked) -> Asked:
        """Both, each once."""
        return Asked(
            tuple(dict.fromkeys(self.names + other.names))[:MOST],
            tuple(dict.fromkeys(self.hosts + other.hosts))[:MOST],
            tuple(dict.fromkeys(self.apps + other.apps))[:MOST],
            self.domain or other.domain,
            self.own or other.own,
        )


def comment(asked: Asked) -> str:
    """The comment that :func:`read_comment` reads."""
    apps = [[a.text, a.host, a.port, a.protocol] for a in asked.apps[:MOST]]
    fields = {"names": asked.names[:MOST], "hosts": asked.hosts[:MOST], "apps": apps,
              "domain": asked.domain}  # fmt: skip
    return MARK + json.dumps({key: value for key, value in fields.items() if value})


def read_comment(text: str) -> Asked | None:
    """None: no comment of a run. What is not a plausible name in it is left out."""
    if not text.startswith(MARK) or len(text) > MAX_COMMENT:
        return None
    try:
        found = json.loads(text[len(MARK) :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    apps = [a for one in _list(found.get("apps")) if (a := _app(one)) is not None]
    domain = found.get("domain", "")
    return Asked(
        tuple(n for n in _list(found.get("names")) if _plain(n)),
        tuple(n for n in _list(found.get("hosts")) if _plain(n)),
        tuple(apps),
        domain if _plain(domain) else "",
        own=True,
    )


def _list(value: object) -> list[object]:
    return value[:MOST] if isinstance(value, list) else []


def _plain(value: object) -> TypeGuard[str]:
    """Printable, without spaces, as names of hosts are."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST
        and value.isprintable()
        and " " not in value
    )


def _app(value: object) -> AskedApp | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    text, host, port, protocol = value
    right = _plain(text) and _plain(host) and type(port) is int and 0 < port < 65536
    if not right or protocol not in ("", "http", "https", "smb", "rdp"):
        return None
    return AskedApp(text, host, port, protocol)

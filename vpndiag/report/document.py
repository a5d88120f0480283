"""The report document: everything one run of a command has to say. Written by :func:`to_json`.

Writing needs the standard library only, so that an interrupted run can still write it; checking and
reading back (``schema.py``) need pydantic, which also writes a long report in less time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any

from vpndiag.observations import Known
from vpndiag.records import record
from vpndiag.report.model import SCHEMA_VERSION, Finding, Layer, Verdict


class _ByKind:
    """Tells pydantic that ``kind`` selects the class, without importing pydantic here."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic import Field

        return handler.generate_schema(Annotated[source, Field(discriminator="kind")])


AnyObservation = Annotated[Known, _ByKind()]

OptionValue = str | int | float | bool | None


class Shown(str):
    """A text option that may be written into a report. Plain strings may not (:func:`options`)."""

    __slots__ = ()


WITHHELD = "(given, not shown)"


def options(given: Mapping[str, object]) -> dict[str, OptionValue]:
    """Options fit for a report: secrets are left out by type, not by name.

    Numbers, truth values, None and :class:`Shown` texts are kept. Any other value, every plain
    ``str`` or ``bytes`` included, is only said to have been given, so an option that nobody has
    thought about cannot leak.
    """
    kept: dict[str, OptionValue] = {}
    for name, value in given.items():
        if value is None or isinstance(value, bool | int | float):
            kept[name] = value
        elif isinstance(value, Shown):
            kept[name] = str(value)
        else:
            kept[name] = WITHHELD
    return kept


@record(frozen=True, slots=True)
class Tool:
    """The program that wrote the report."""

    name: str
    version: str


@record(frozen=True, slots=True)
class Vantage:
    """Where the report was made. Empty: not known, or of no meaning (captures)."""

    os: str = ""
    python: str = ""
    address_family: str = ""
    """``IPv4`` or ``IPv6``: the family used towards the gateway."""
    behind_nat: bool | None = None
    privileged: bool | None = None
    """Whether raw packets could be sent."""


@record(frozen=True, slots=True)
class Session:
    """One connection attempt of a capture. Times are seconds since the capture's first packet."""

    verdict: Verdict
    layers: tuple[Layer, ...]
    findings: tuple[Finding, ...]
    number: int = 1
    client: str = ""
    caller: str = ""
    """Whose call it is, where one L2TP tunnel carries those of several users: the user name, the
    number that is called from, or the number of the call."""
    gateway: str = ""
    first: float = 0.0
    last: float = 0.0
    frames: tuple[int, ...] = ()
    """The control packets of this attempt."""
    observations: tuple[AnyObservation, ...] = ()


@record(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole document, in the order in which it is written: first what a person opening the file
    wants to see. Field names are part of the public contract (docs/report.md)."""

    schema_version: str = SCHEMA_VERSION
    tool: Tool
    run_id: str
    """A UUID, made by the caller."""
    command: str
    """``run``, ``demo``, ``analyze``, ..."""
    target: str = ""
    """The gateway as it was asked for, or the name of the capture."""
    started_at: str
    """UTC, ISO 8601."""
    ended_at: str
    interrupted: bool = False
    redacted: bool = False
    session: int | None = None
    """Number of the session that verdict, layers and findings are about."""
    verdict: Verdict
    layers: tuple[Layer, ...]
    findings: tuple[Finding, ...]
    sessions: tuple[Session, ...] = ()
    vantage: Vantage = field(default_factory=Vantage)
    options: dict[str, OptionValue] = field(default_factory=dict)
    observations: tuple[AnyObservation, ...] = ()
    notes: tuple[str, ...] = ()


MANY = 50
"""Sessions in a report from which on importing pydantic takes less time than it saves."""


def to_dict(report: Report) -> dict[str, Any]:
    """The document as plain dictionaries and lists, in the order in which it is written."""
    raw: dict[str, Any] = _plain(report)
    return raw


def _plain(value: Any) -> Any:
    """Like :func:`dataclasses.asdict`, which copies every text as well."""
    kind: type = type(value)
    if kind in (str, int, float, bool, NoneType):
        return value
    if kind in (tuple, list):
        return [_plain(each) for each in value]
    if kind is dict:
        return {name: _plain(each) for name, each in value.items()}
    if is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name in _names(kind)}
    return value


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def to_json(report: Report) -> str:
    """The document as JSON text: stable key order, two-space indent, one line end at the end.

    Lone surrogates, which UTF-8 cannot hold, are replaced; peer text has none (``text.visible``).
    """
    if len(report.sessions) >= MANY:
        from vpndiag.report.schema import quick_json

        with contextlib.suppress(ImportError, ValueError):
            return quick_json(report)
    text = json.dumps(to_dict(report), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    return text.encode("utf-8", "replace").decode("utf-8")

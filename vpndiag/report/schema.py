"""The JSON schema of reports, and reading reports back.

``python -m vpndiag.report.schema`` rewrites the shipped schema file. pydantic is imported by the
functions only: it costs start-up time that neither ``--help`` nor a run's first packet should pay.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vpndiag.observations import ALL
from vpndiag.report.document import Report
from vpndiag.report.model import SCHEMA_VERSION

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_FILE = f"report-{SCHEMA_VERSION.split('.')[0]}.schema.json"

MAX_SIZE = 256 * 1024 * 1024
"""Characters of JSON that are read; no report of ours comes near."""

_KINDS = frozenset(kind.__dataclass_fields__["kind"].default for kind in ALL)


class ReportError(ValueError):
    """This text is not a report that this version can read. The message is for people."""


@cache
def _adapter() -> TypeAdapter[Report]:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def quick_json(report: Report) -> str:
    """What :func:`~vpndiag.report.document.to_json` writes, a long one in a tenth of the time.

    :raises ValueError: a text cannot be written as UTF-8.
    """
    return _adapter().dump_json(report, indent=2).decode("utf-8") + "\n"


def from_json(text: str | bytes) -> Report:
    """Read a report back; observations come back as their classes. Raises :class:`ReportError`.

    Fields that a later minor version has added are ignored, and so are its new kinds of
    observations (``notes`` says how many).
    """
    if len(text) > MAX_SIZE:
        raise ReportError("too large for a report")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"not JSON: {error}") from None
    if not isinstance(raw, dict) or "schema_version" not in raw:
        raise ReportError("not a vpndiag report: no schema_version")
    later = _is_later_minor(raw["schema_version"])
    if later:
        _leave_out_unknown_kinds(raw)
    from pydantic import ValidationError

    try:
        return _adapter().validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"not a valid report: {where}: {first['msg']}") from None
    except RecursionError:
        raise ReportError("not a valid report: nested too deeply") from None


def _is_later_minor(version: object) -> bool:
    parts = version.split(".") if isinstance(version, str) else []
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ReportError("not a vpndiag report: schema_version is not of the form 1.2.3")
    major, minor, _ = (int(part[:9]) for part in parts)
    our_major, our_minor, _ = (int(part) for part in SCHEMA_VERSION.split("."))
    if major != our_major:
        raise ReportError(
            f"this report has schema version {'.'.join(p[:9] for p in parts)}; "
            f"this vpndiag reads version {our_major}"
        )
    return minor > our_minor


def _leave_out_unknown_kinds(raw: dict[str, Any]) -> None:
    dropped = 0
    sessions = raw.get("sessions")
    holders = [raw, *(sessions if isinstance(sessions, list) else [])]
    for holder in holders:
        if not isinstance(holder, dict) or not isinstance(holder.get("observations"), list):
            continue
        every = holder["observations"]
        known = [o for o in every if isinstance(o, dict) and o.get("kind") in _KINDS]
        dropped += len(every) - len(known)
        holder["observations"] = known
    if dropped and isinstance(raw.get("notes", []), list):
        note = f"{dropped} observations of kinds that this version does not know were left out"
        raw["notes"] = [*raw.get("notes", []), note]


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of report documents, made from the model."""
    schema = _adapter().json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vpndiag report",
        "$comment": f"schema version {SCHEMA_VERSION}",
    } | {key: value for key, value in schema.items() if key != "title"}


def schema_text() -> str:
    """The schema as it is shipped."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def shipped_schema() -> str:
    """The text of the shipped schema file; needs no pydantic."""
    return files("vpndiag.report").joinpath(SCHEMA_FILE).read_text("utf-8")


if __name__ == "__main__":
    from pathlib import Path

    Path(__file__).with_name(SCHEMA_FILE).write_text(schema_text(), "utf-8")

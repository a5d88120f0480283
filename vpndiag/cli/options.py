"""Options that several commands have, declared once.

Typer reads these types when it runs: they are written as it understands them in Python 3.11.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

MaybePath = Optional[Path]  # noqa: UP045
MaybeText = Optional[str]  # noqa: UP045
MaybeTexts = Optional[list[str]]  # noqa: UP045

Json = Annotated[
    MaybeText,
    typer.Option("--json", metavar="FILE", help="Write the report as JSON ('-': to stdout)."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the verdict, in one line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every message, decoded.")]
Redact = Annotated[
    bool,
    typer.Option(
        "--redact", help="Pseudonyms for users, hosts and public addresses in the JSON report."
    ),
]
InternalNames = Annotated[
    MaybeTexts,
    typer.Option(metavar="NAME", help="Name that the DNS servers inside should know (repeatable)."),
]
InternalHosts = Annotated[
    MaybeTexts, typer.Option(metavar="HOST", help="Host inside that should answer (repeatable).")
]

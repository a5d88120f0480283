"""Prints "PASSED FAILED" of one pytest run from its JUnit file: ``junit_totals.py FILE STATUS``.

A run that pytest did not bring to its end counts as one failure more. With CI=true a test that was
skipped because something is not installed counts as failed: the set-up should have installed it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

NOT_INSTALLED = re.compile(r"install|no tshark|^lab:|could not import", re.IGNORECASE)


def totals(report: Path, status: int, *, strict: bool) -> tuple[int, int]:
    """``status`` is pytest's: 0 passed, 1 some failed, others: it did not come to its end."""
    try:
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return 0, 1
    passed = failed = 0
    # A test that was tried again stands there once for each try, the last one last.
    for case in {(c.get("classname"), c.get("name")): c for c in cases}.values():
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skipped is None:
            passed += 1
        elif strict and NOT_INSTALLED.search(skipped.get("message", "")):
            print(
                f"skipped, so failed: {case.get('name')}: {skipped.get('message')}", file=sys.stderr
            )
            failed += 1
    if status not in (0, 1) or (status == 1 and not failed):
        failed += 1
    return passed, failed


if __name__ == "__main__":
    strict = os.environ.get("CI", "").lower() in ("true", "1")
    print(*totals(Path(sys.argv[1]), int(sys.argv[2]), strict=strict))

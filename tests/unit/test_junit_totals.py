"""What the last line of ./run-tests counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.junit_totals import totals

REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"/>
<testcase name="c"><failure message="no"/></testcase>
<testcase name="d"><error message="no"/></testcase>
<testcase name="e"><skipped message="no captures beside the repository"/></testcase>
<testcase name="f"><skipped message="tshark is not installed"/></testcase>
</testsuite></testsuites>"""
GREEN = '<testsuite><testcase name="a"/></testsuite>'


@pytest.mark.parametrize(
    ("text", "status", "strict", "counted"),
    [
        (REPORT, 1, False, (2, 2)),
        (REPORT, 1, True, (2, 3)),
        (GREEN, 0, True, (1, 0)),
        (GREEN, 124, True, (1, 1)),
        (GREEN, 1, True, (1, 1)),
        ("<testsuite/>", 5, True, (0, 1)),
        ("<testsui", 2, True, (0, 1)),
    ],
)
def test_a_run_counts_what_passed_and_what_did_not(
    text: str, status: int, strict: bool, counted: tuple[int, int], tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(text)
    assert totals(report, status, strict=strict) == counted


def test_a_run_without_a_report_is_a_failure(tmp_path: Path) -> None:
    assert totals(tmp_path / "none.xml", 0, strict=False) == (0, 1)


def test_a_test_that_was_tried_again_counts_once(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a" name="flaky"/>'
        '<testcase classname="a" name="flaky"/><testcase classname="a" name="bad"/>'
        '<testcase classname="a" name="bad"><failure message="no"/></testcase>'
        "</testsuite></testsuites>"
    )
    assert totals(report, 1, strict=True) == (1, 1)

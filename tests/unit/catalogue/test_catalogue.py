"""Every finding of the catalogue is complete, and its words are fit for use."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vpndiag.catalogue import (
    OWNER_NAMES,
    Entry,
    UnknownFinding,
    all_entries,
    complete,
    docs,
    entry,
    windows_error,
)
from vpndiag.report.model import LADDER, Cause, Finding

ROOT = Path(__file__).parents[3]
ENTRIES = all_entries()
# What every finding of the layers built so far is called; diagnosis and gateway use these codes.
CODES = (ROOT / "tests/unit/catalogue/codes.txt").read_text("utf-8").split()

INSIDE = ("routes", "mtu", "dns", "app")

ONE_SYSTEM = {
    "ike.no-service": {"windows", "linux"},
    "ike.ikev1-disabled": {"linux"},
    "ipsec.no-service": {"windows"},
    "ipsec.prohibited": {"windows"},
    "ipsec.kernel-missing": {"linux"},
    "l2tp.no-program": {"linux"},
    "l2tp.kernel-missing": {"linux"},
    "l2tp.port-taken": {"linux"},
    "lcp.no-ppp": {"linux"},
}
"""Faults of a computer that only some systems can have: what those show."""

every_entry = pytest.mark.parametrize("found", ENTRIES, ids=lambda e: e.code)


def test_every_agreed_code_has_an_entry_and_no_other_has() -> None:
    assert sorted(e.code for e in ENTRIES) == sorted(CODES)


@every_entry
def test_code_is_layer_and_kebab_name(found: Entry) -> None:
    layer, _, name = found.code.partition(".")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert found.layer in LADDER
    assert layer == found.layer or (layer == "session" and found.layer == "address")


@every_entry
def test_title_is_one_plain_line(found: Entry) -> None:
    assert 10 <= len(found.title) <= 70
    assert "\n" not in found.title and not found.title.endswith(".")
    assert found.severity in {"error", "warning", "info"}


@every_entry
def test_plain_words_come_first_and_the_engineer_gets_a_sentence(found: Entry) -> None:
    assert found.meaning.endswith(".") and found.technical.endswith(".")
    # Names of messages and exchanges mean nothing to the helpdesk.
    jargon = r"\b(MM[1-6]|QM[1-3]|SKEYID|SCCRQ|ICRQ|StopCCN|CDN|LCP|IPCP|NAT-D|notify|SPI|ICV)\b"
    assert not re.search(jargon, found.meaning), found.meaning
    assert not re.search(jargon, found.title), found.title


@every_entry
def test_causes_are_ranked_and_each_has_a_fix_and_an_owner(found: Entry) -> None:
    assert found.causes
    order = ["likely", "possible", "unlikely"]
    ranks = [order.index(cause.likelihood) for cause in found.causes]
    assert ranks == sorted(ranks)
    for cause in found.causes:
        assert cause.owner in OWNER_NAMES
        assert len(cause.text) > 10 and len(cause.fix) > 3
        assert not cause.text.endswith(".") and not cause.fix.endswith(".")


@every_entry
def test_says_who_does_what_now(found: Entry) -> None:
    assert found.now
    assert found.owner in OWNER_NAMES
    for step in found.now:
        assert step.who in OWNER_NAMES
        assert step.do.endswith(".") and len(step.do) > 12


@every_entry
def test_errors_say_what_windows_and_macos_show(found: Entry) -> None:
    if found.severity != "error":
        return
    assert ONE_SYSTEM.get(found.code, {"windows", "macos"}) <= found.clients_show.keys()
    if found.layer in INSIDE or "windows" not in found.clients_show:
        return  # the client says that it is connected
    assert found.windows
    for number in found.windows:
        assert windows_error(number), number


@every_entry
def test_references_are_rfcs(found: Entry) -> None:
    assert found.references
    for reference in found.references:
        assert re.fullmatch(r"RFC \d{3,4}( (section \d+(\.\d+)*|appendix [A-Z]))?", reference)


@every_entry
def test_nothing_breaks_a_line_or_a_terminal(found: Entry) -> None:
    texts = [found.title, found.explanation, *found.clients_show.values()]
    texts += [c.text + c.fix for c in found.causes] + [s.do for s in found.now]
    assert all(text.isprintable() for text in texts)


def test_complete_fills_in_what_the_rule_left_open() -> None:
    done = complete(Finding("auth.psk-mismatch", "auth", "error", "high", detail="seen here"))
    known = entry("auth.psk-mismatch")
    assert done.detail == "seen here"
    assert (done.title, done.causes, done.owner) == (known.title, known.causes, known.owner)
    assert done.fix[0].startswith("Helpdesk: ")
    assert done.clients_show["windows"].startswith("error 789: ")
    assert done.references == known.references


def test_complete_keeps_what_the_rule_has_set() -> None:
    own = (Cause("a cause of this case", "network"),)
    done = complete(
        Finding("auth.unanswered", "auth", "error", "low", title="mine", causes=own, owner="user")
    )
    assert (done.title, done.causes, done.owner) == ("mine", own, "user")
    assert done.explanation


def test_an_unknown_code_is_left_alone_by_complete_and_refused_by_entry() -> None:
    later = Finding("mtu.from-the-future", "mtu", "error", "high")
    assert complete(later) is later
    with pytest.raises(UnknownFinding):
        entry("mtu.from-the-future")


def test_findings_documentation_is_current() -> None:
    assert (ROOT / "docs/findings.md").read_text("utf-8") == docs.markdown()


def test_catalogue_is_not_read_before_it_is_asked() -> None:
    code = (
        "import sys, vpndiag.catalogue as c; "
        "sys.exit(c._entries.cache_info().currsize or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == 0

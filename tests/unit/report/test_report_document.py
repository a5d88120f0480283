"""Reports are written, checked and read back without loss, and hold no secrets."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.report import report_samples as samples
from vpndiag import observations
from vpndiag.observations import ALL, Observation
from vpndiag.report import document, schema
from vpndiag.report.document import MANY, WITHHELD, Report, Shown, options, to_dict, to_json
from vpndiag.report.schema import ReportError, from_json

each_sample = pytest.mark.parametrize("report", samples.ALL.values(), ids=samples.ALL)


@each_sample
def test_round_trip_is_exact(report: Report) -> None:
    text = to_json(report)
    again = from_json(text)
    assert again == report
    assert [type(o) for o in again.observations] == [type(o) for o in report.observations]
    assert to_json(again) == text


@each_sample
def test_samples_fit_the_schema(report: Report) -> None:
    document = json.loads(to_json(report))
    jsonschema.Draft202012Validator(schema.json_schema()).validate(document)


def test_schema_refuses_an_unknown_status() -> None:
    document = json.loads(to_json(samples.HEALTHY))
    document["layers"][0]["status"] = "closed"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema.json_schema())


def test_shipped_schema_is_current() -> None:
    assert schema.shipped_schema() == schema.schema_text()


def test_every_kind_of_observation_is_in_the_document() -> None:
    named = {getattr(observations, name) for name in observations.__all__}
    classes = {one for one in named if isinstance(one, type) and issubclass(one, Observation)}
    assert classes - {Observation} == set(ALL)


def test_fixed_names_of_the_contract_come_first() -> None:
    document = json.loads(to_json(samples.CAPTURE))
    assert list(document)[:4] == ["schema_version", "tool", "run_id", "command"]
    assert {"outcome", "layer", "finding", "confidence", "headline"} == document["verdict"].keys()
    assert {"id", "status"} <= document["layers"][0].keys()
    finding = document["findings"][0].keys()
    assert {"code", "layer", "severity", "confidence", "evidence"} <= finding
    assert {"verdict", "layers", "findings"} <= document["sessions"][0].keys()


def test_secrets_are_left_out_by_type() -> None:
    given = {"psk": "hunter2", "raw": b"hunter2", "user": Shown("alice"), "n": 3, "v": True}
    kept = options({**given, "none": None, "odd": ["hunter2"]})
    assert kept == {
        "psk": WITHHELD, "raw": WITHHELD, "user": "alice", "n": 3, "v": True, "none": None,
        "odd": WITHHELD,
    }  # fmt: skip
    assert "hunter2" not in to_json(samples.HEALTHY)


def test_lone_surrogates_do_not_stop_writing() -> None:
    odd = replace(samples.HEALTHY, notes=("a\udcffb",))
    assert to_json(odd).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": 1}', "not of the form"),
        ('{"schema_version": "1"}', "not of the form"),
        ('{"schema_version": "2.0.0"}', "reads version 1"),
        ('{"schema_version": "1.0.0"}', "not a valid report"),
    ],
)
def test_what_is_no_report_is_refused_in_plain_words(text: str | bytes, says: str) -> None:
    with pytest.raises(ReportError, match=says):
        from_json(text)


def test_a_wrong_field_is_named() -> None:
    document = json.loads(to_json(samples.HEALTHY))
    document["verdict"]["outcome"] = "fine"
    with pytest.raises(ReportError, match=r"verdict\.outcome"):
        from_json(json.dumps(document))


def test_a_later_minor_version_is_read_as_far_as_known() -> None:
    document = json.loads(to_json(samples.HEALTHY))
    document["schema_version"] = "1.99.0"
    document["something_new"] = 1
    document["observations"].append({"kind": "from-the-future", "t": 1.0})
    read = from_json(json.dumps(document))
    assert read.observations == samples.HEALTHY.observations
    assert "1 observations" in read.notes[-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=JSON)
def test_damaged_reports_raise_nothing_but_report_error(data: st.DataObject, value: Any) -> None:
    document = json.loads(to_json(samples.CAPTURE))
    node: Any = document
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
        inner = node[key]
        if not inner or not isinstance(inner, dict | list) or data.draw(st.booleans()):
            node[key] = value
            break
        node = inner
    try:
        from_json(json.dumps(document))
    except ReportError as error:
        assert str(error)


def test_writing_needs_no_pydantic() -> None:
    code = (
        "import sys, vpndiag.report.document, vpndiag.render.terminal, vpndiag.report.schema; "
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == 0


def long_report(message: str) -> Report:
    """Many sessions, with numbers and a text that are written in more than one way."""
    session = samples.CAPTURE.sessions[0]
    moments = (0.0, 1e-05, 1e-7, 0.1 + 0.2, 1e16, 1e22, 123456.789)
    sessions = tuple(
        replace(session, number=n + 1, first=moments[n % len(moments)], client=message)
        for n in range(MANY)
    )
    return replace(samples.CAPTURE, sessions=sessions)


@pytest.mark.parametrize("message", ["plain", 'é 漢 \u2028 \x7f \x00 "\\/', "\U0001f600"])
def test_a_long_report_is_written_by_other_means_and_says_the_same(
    monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    report = long_report(message)
    quick: list[str] = []
    write = schema.quick_json
    monkeypatch.setattr(schema, "quick_json", lambda r: (quick.append(write(r)), quick[-1])[1])
    text = to_json(report)
    assert quick == [text]
    assert json.loads(text) == to_dict(report)
    assert list(json.loads(text)) == list(to_dict(report))
    monkeypatch.setattr(document, "MANY", MANY + 1)
    plain = to_json(report)
    assert len(quick) == 1
    numbers = re.compile(r'"first": .*')
    assert numbers.sub("", text) == numbers.sub("", plain)


def test_a_long_report_that_cannot_be_written_quickly_is_written() -> None:
    assert json.loads(to_json(long_report("half \ud800")))["sessions"][0]["client"] == "half ?"

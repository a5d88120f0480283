"""Redacted reports name no person and no public address, and judge as before."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from tests.unit.report import report_samples as samples
from vpndiag.report.document import to_json
from vpndiag.report.redact import redact


def test_public_addresses_and_users_are_gone() -> None:
    text = to_json(redact(samples.CAPTURE)) + to_json(redact(samples.WRONG_PASSWORD))
    assert samples.GATEWAY not in text
    assert "alice" not in text
    assert "no such user: user-1" in text
    assert "192.168.1.5" in text
    assert "vpn.example.com" in text


def test_the_same_address_gets_the_same_pseudonym_and_another_one_another() -> None:
    two = replace(samples.HEALTHY, notes=(f"{samples.GATEWAY} 9.9.9.9 2606:4700::1111.",))
    clean = redact(two)
    first, second, sixth = clean.notes[0].rstrip(".").split()
    assert first != second
    assert clean.observations[2].gateway_address == first  # type: ignore[union-attr]
    assert f"{first} (A)" in clean.layers[0].summary
    assert all(ip_address(a).is_global for a in (first, second, sixth))


def test_verdict_and_codes_do_not_change() -> None:
    for report in samples.ALL.values():
        clean = redact(report, hosts=True)
        assert clean.redacted
        assert replace(clean.verdict, headline="") == replace(report.verdict, headline="")
        assert [f.code for f in clean.findings] == [f.code for f in report.findings]
        assert [f.explanation for f in clean.findings] == [f.explanation for f in report.findings]
        assert [type(o) for o in clean.observations] == [type(o) for o in report.observations]


def test_a_user_called_like_a_message_does_not_change_the_protocol() -> None:
    every: tuple[Any, ...] = samples.OBSERVATIONS
    odd: list[Any] = [
        replace(o, name="SCCRP") if getattr(o, "name", "") == "alice" else o for o in every
    ]
    clean = redact(replace(samples.HEALTHY, observations=tuple(odd)))
    kinds = [getattr(o, "message", "") for o in clean.observations]
    assert "SCCRP" in kinds


def test_host_names_only_on_demand() -> None:
    text = to_json(redact(samples.HEALTHY, hosts=True))
    assert "vpn.example.com" not in text
    assert "gw-internal" not in text


def test_redacting_twice_is_the_same() -> None:
    once = redact(samples.CAPTURE)
    assert redact(once, users=False) == once

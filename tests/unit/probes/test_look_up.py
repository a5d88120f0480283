"""Look-ups of the gateway's name against a DNS server on loopback."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Any

import pytest

from tests.helpers.dns_server import Zone, dns_server
from vpndiag.observations.network import NameAnswer
from vpndiag.probes import name as probe
from vpndiag.probes import resolvers
from vpndiag.probes.host_name import ascii_name, literal
from vpndiag.probes.name import addresses_to_try, look_up

NAME = "vpn.example.com"


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolvers, "NEXT_SERVER_AFTER", 0.1)
    monkeypatch.setattr(resolvers, "RETRY_AFTER", 0.1)
    monkeypatch.setattr(probe, "SYSTEM_AFTER", 0.1)


def ask(*zones: Zone, name: str = NAME, timeout: float = 2.0, **options: Any) -> list[NameAnswer]:
    async def main() -> list[NameAnswer]:
        async with asyncio.timeout(5):
            servers = [dns_server(zone) for zone in zones]
            addresses = [await server.__aenter__() for server in servers]
            try:
                return await look_up(
                    name, resolvers=addresses, timeout=timeout, now=time.monotonic, **options
                )
            finally:
                for server in servers:
                    await server.__aexit__(None, None, None)

    return asyncio.run(main())


def outcomes(rows: list[NameAnswer]) -> list[tuple[str, str]]:
    return [(row.rrtype, row.outcome) for row in rows]


def test_a_and_aaaa_are_answered_apart() -> None:
    rows = ask(Zone({(NAME, "A"): ["192.0.2.1", "192.0.2.2"], (NAME, "AAAA"): ["2001:db8::1"]}))
    assert outcomes(rows) == [("A", "answered"), ("AAAA", "answered")]
    assert sorted(rows[0].addresses) == ["192.0.2.1", "192.0.2.2"]
    assert rows[1].addresses == ("2001:db8::1",)
    assert rows[0].ttl == 300
    assert rows[0].resolver.startswith("127.0.0.1:")


def test_a_name_without_ipv6_has_no_data_there() -> None:
    rows = ask(Zone({(NAME, "A"): ["192.0.2.1"]}))
    assert outcomes(rows) == [("A", "answered"), ("AAAA", "no-data")]


def test_a_chain_of_aliases_is_followed_and_told() -> None:
    rows = ask(
        Zone(
            {
                (NAME, "CNAME"): ["edge.example.net."],
                ("edge.example.net", "CNAME"): ["host.example.org."],
                ("host.example.org", "A"): ["192.0.2.9"],
            }
        )
    )
    assert rows[0].cnames == ("edge.example.net", "host.example.org")
    assert rows[0].addresses == ("192.0.2.9",)
    assert rows[0].ttl == 60
    assert (rows[1].outcome, rows[1].cnames) == ("no-data", rows[0].cnames)


def test_an_alias_to_nothing_is_nxdomain_with_its_alias() -> None:
    rows = ask(Zone({(NAME, "CNAME"): ["gone.example.net."]}))
    assert rows[0].outcome == "nxdomain"
    assert rows[0].cnames == ("gone.example.net",)


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("", "nxdomain"),
        ("servfail", "servfail"),
        ("refused", "refused"),
        ("formerr", "error"),
        ("garbage", "error"),
        ("silence", "timeout"),
        ("wrong-id", "error"),
    ],
)
def test_each_way_to_fail_has_its_own_outcome(how: str, outcome: str) -> None:
    rows = ask(Zone(behaviour={"*": how} if how else {}), timeout=0.3)
    assert outcomes(rows) == [("A", outcome), ("AAAA", outcome)]
    assert not any(row.addresses for row in rows)


def test_truncated_answers_are_fetched_over_tcp() -> None:
    zone = Zone({(NAME, "A"): ["192.0.2.1"]}, {NAME: "truncated"})
    assert ask(zone)[0].addresses == ("192.0.2.1",)
    assert (NAME, "A", True) in zone.asked


def test_a_lost_query_is_repeated() -> None:
    rows = ask(Zone({(NAME, "A"): ["192.0.2.1"]}, {NAME: "drop-first"}))
    assert outcomes(rows) == [("A", "answered"), ("AAAA", "no-data")]


def test_an_answer_that_comes_after_the_question_was_repeated_counts() -> None:
    rows = ask(Zone({(NAME, "A"): ["192.0.2.1"]}, {NAME: "slow-first"}))
    assert rows[0].addresses == ("192.0.2.1",) and rows[0].seconds > resolvers.RETRY_AFTER


def test_a_resolver_to_which_nothing_can_be_sent_is_silent_and_says_why() -> None:
    """The broadcast address may not be sent to by an ordinary socket."""
    rows = asyncio.run(
        look_up(NAME, resolvers=["255.255.255.255"], timeout=0.5, now=time.monotonic)
    )
    assert {row.outcome for row in rows} == {"timeout"}
    assert rows[0].detail.startswith("cannot reach the resolver: ")


@pytest.mark.parametrize("how", ["silence", "servfail", "refused", "garbage"])
def test_a_bad_first_resolver_is_told_and_costs_little(how: str) -> None:
    begun = time.monotonic()
    rows = ask(Zone(behaviour={"*": how}), Zone({(NAME, "A"): ["192.0.2.1"]}))
    assert time.monotonic() - begun < 1.0
    a = [row for row in rows if row.rrtype == "A"]
    assert len(a) == 2
    assert a[0].outcome in (how, "timeout", "error")
    assert a[1].addresses == ("192.0.2.1",)
    assert a[0].resolver != a[1].resolver


def test_no_second_resolver_is_bothered_when_the_first_answers() -> None:
    second = Zone()
    ask(Zone({(NAME, "A"): ["192.0.2.1"]}), second)
    assert second.asked == []


def test_the_whole_look_up_is_bounded() -> None:
    begun = time.monotonic()
    silent = Zone(behaviour={"*": "silence"})
    rows = ask(silent, Zone(behaviour={"*": "silence"}), timeout=0.3)
    assert time.monotonic() - begun < 0.8
    assert outcomes(rows) == [("A", "timeout")] * 2 + [("AAAA", "timeout")] * 2


def fake_system(*entries: tuple[int, str], error: OSError | None = None, wait: float = 0.0) -> Any:
    def getaddrinfo(*_args: Any, **_options: Any) -> list[Any]:
        if wait:
            time.sleep(wait)
        if error is not None:
            raise error
        return [(family, 2, 17, "", (address, 0)) for family, address in entries]

    return getaddrinfo


def test_a_name_that_only_the_system_knows_is_found() -> None:
    rows = ask(Zone(), ask_system=True, getaddrinfo=fake_system((socket.AF_INET, "10.0.0.5")))
    system = [row for row in rows if row.resolver == "system"]
    assert [(row.rrtype, row.outcome, row.addresses) for row in system] == [
        ("A", "answered", ("10.0.0.5",)),
        ("AAAA", "no-data", ()),
    ]
    assert [row.outcome for row in rows if row.resolver != "system"] == ["nxdomain", "nxdomain"]


def test_the_system_is_not_asked_when_dns_answers() -> None:
    rows = ask(
        Zone({(NAME, "A"): ["192.0.2.1"]}),
        ask_system=True,
        getaddrinfo=fake_system((socket.AF_INET, "10.0.0.5")),
    )
    assert all(row.resolver != "system" for row in rows)


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(socket.EAI_NONAME, "nxdomain"), (socket.EAI_AGAIN, "error"), (11004, "no-data")],
)
def test_what_the_system_says_no_with(number: int, outcome: str) -> None:
    failing = fake_system(error=socket.gaierror(number, "text"))
    rows = ask(Zone(), ask_system=True, getaddrinfo=failing)
    assert {row.outcome for row in rows if row.resolver == "system"} == {outcome}


def test_a_system_that_hangs_does_not_hold_us() -> None:
    begun = time.monotonic()
    hanging = fake_system(wait=1.5)
    rows = ask(Zone(), ask_system=True, getaddrinfo=hanging, timeout=0.2)
    assert time.monotonic() - begun < 1.0
    assert {row.outcome for row in rows if row.resolver == "system"} == {"timeout"}


def test_no_resolver_at_all_leaves_the_system() -> None:
    rows = ask(ask_system=True, getaddrinfo=fake_system((socket.AF_INET6, "fd00::5")))
    assert [row.addresses for row in rows] == [(), ("fd00::5",)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("[fe80::1%3]", "fe80::1%3"),
        ("[192.0.2.1]", None),
        ("192.0.2", None),
        (NAME, None),
    ],
)
def test_literals(text: str, address: str | None) -> None:
    assert literal(text) == address
    if address is not None:
        assert ask(Zone(), name=text) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("https://vpn.example.com/", "URL"),
        ("vpn.example.com/path", "'/'"),
        ("vpn.example.com:500", "port"),
        ("vpn example", "spaces"),
        ("vpn..example.com", "dots"),
        (".example.com", "dot"),
        ("a" * 64 + ".com", "63"),
        ("a." * 130 + "com", "253"),
        ("-vpn.example.com", "hyphen"),
        ("vpn!.example.com", "characters"),
        ("192.0.2.256", "IPv4"),
        ("1.2.3", "IPv4"),
        ("vpn\x07.example.com", "control"),
        ("vpn\u200b.example.com", "invisible"),
    ],
)
def test_illegal_names_say_what_is_wrong_and_ask_nobody(text: str, part: str) -> None:
    zone = Zone()
    rows = ask(zone, name=text)
    assert outcomes(rows) == [("A", "invalid"), ("AAAA", "invalid")]
    assert part in rows[0].detail
    assert zone.asked == []


def test_international_names_are_asked_in_ascii() -> None:
    rows = ask(Zone({("xn--mnchen-3ya.example", "A"): ["192.0.2.7"]}), name="München.example")
    assert rows[0].name == "xn--mnchen-3ya.example"
    assert rows[0].addresses == ("192.0.2.7",)


def test_trailing_dot_and_underscore_are_legal() -> None:
    assert ascii_name("VPN_1.example.com.") == "vpn_1.example.com."


def test_single_labels_get_the_search_list(monkeypatch: pytest.MonkeyPatch) -> None:
    real = resolvers.configuration
    monkeypatch.setattr(
        probe, "configuration", lambda r: (real(r)[0], ["a.example", "corp.example"])
    )
    zone = Zone({("gw.corp.example", "A"): ["192.0.2.3"]})
    rows = ask(zone, name="gw")
    assert [r.name for r in rows if r.rrtype == "A"] == ["gw.a.example", "gw.corp.example"]
    zone.asked.clear()
    ask(zone, name="gw.other")
    assert {name for name, _, _ in zone.asked} == {"gw.other"}


@pytest.mark.parametrize("bad", ["resolver.example", "1.2.3.4:0", "1.2.3.4:x", "::1:99999x"])
def test_a_resolver_must_be_an_address(bad: str) -> None:
    with pytest.raises(ValueError, match="resolver"):
        asyncio.run(look_up(NAME, resolvers=[bad], now=time.monotonic))


def test_ipv4_is_tried_first_and_each_address_once() -> None:
    def row(resolver: str, *addresses: str) -> NameAnswer:
        return NameAnswer(
            t=0, name=NAME, rrtype="A", resolver=resolver, outcome="answered", addresses=addresses
        )

    rows = [
        row("system", "10.0.0.1"),
        row("192.0.2.53", "2001:db8::1"),
        row("192.0.2.53", "192.0.2.2", "192.0.2.1"),
        row("192.0.2.54", "192.0.2.2"),
    ]
    assert addresses_to_try(rows) == ["192.0.2.2", "192.0.2.1", "10.0.0.1", "2001:db8::1"]
    assert addresses_to_try(rows, prefer="ipv6")[0] == "2001:db8::1"


def test_importing_the_probe_does_not_import_dnspython() -> None:
    import subprocess

    code = "import sys, vpndiag.probes.name; sys.exit('dns' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=20).returncode == 0

"""Taking out of a report what points to persons and places, so that it can be handed on.

The same thing gets the same pseudonym throughout a report, so that it stays readable: one gateway
address in twenty packets is still one gateway. Verdicts do not change, also when the redacted
report is judged again: a public address becomes another address that counts as public, of a range
that is assigned to nobody (IPv4 192.88.99.0/24, RFC 7526; IPv6 3ffe::/16, RFC 3701). Private
addresses stay, since overlaps and NAT are told by them.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from ipaddress import ip_address
from typing import Any

from vpndiag.records import record
from vpndiag.report.document import Report, to_dict
from vpndiag.report.schema import from_json

_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:)[0-9A-Fa-f:.]*[0-9A-Fa-f:](?![\w:])"
)

_FIXED = frozenset({
    "code", "layer", "id", "kind", "status", "severity", "confidence", "owner", "likelihood",
    "outcome", "finding", "schema_version", "tool", "run_id", "command", "started_at", "ended_at",
    "direction", "protocol", "step", "exchange", "method", "inside", "title", "explanation",
    "causes", "fix", "clients_show", "references", "protection", "why", "what", "rrtype", "mode",
    "transform", "transforms", "payloads", "initiator_cookie", "responder_cookie", "vendor_ids",
    "spi", "spi_in", "spi_out", "vantage",
})  # fmt: skip
"""Fields whose words belong to the format or the catalogue: never touched."""


@record(slots=True)
class _Pseudonyms:
    addresses: bool
    names: dict[str, str] = field(default_factory=dict)
    v4: dict[str, str] = field(default_factory=dict)
    v6: dict[str, str] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None

    def compile(self) -> None:
        if self.names:
            longest_first = sorted(self.names, key=lambda name: (-len(name), name))
            alternatives = "|".join(re.escape(name) for name in longest_first)
            self.pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)

    def text(self, text: str) -> str:
        if self.pattern:
            text = self.pattern.sub(lambda m: self.names[m[0].lower()], text)
        if self.addresses:
            text = _IPV4.sub(self._address, text)
            text = _IPV6.sub(self._address, text)
        return text

    def _address(self, match: re.Match[str]) -> str:
        try:
            address = ip_address(match[0])
        except ValueError:
            return match[0]
        if not address.is_global or address.is_multicast:
            return match[0]
        key = str(address)
        if address.version == 4:
            if key in self.v4.values():
                return key
            # 254 addresses, then they repeat: a report with more gateways has no use for them.
            return self.v4.setdefault(key, f"192.88.99.{len(self.v4) % 254 + 1}")
        if key in self.v6.values():
            return key
        return self.v6.setdefault(key, f"3ffe::{len(self.v6) + 1:x}")


def redact(
    report: Report, *, addresses: bool = True, users: bool = True, hosts: bool = False
) -> Report:
    """A copy with pseudonyms for public addresses, user names and, on demand, host names.

    Texts of the catalogue, codes and numbers stay as they are; hexadecimal dumps of identities are
    left alone, since only certificates and notify data have any.
    """
    raw = to_dict(report)
    chosen = _Pseudonyms(addresses=addresses)
    people: dict[str, None] = {}
    machines: dict[str, None] = {}
    _collect(raw, people, machines)
    if users:
        for number, name in enumerate(people, 1):
            chosen.names[name.lower()] = f"user-{number}"
    if hosts:
        for number, name in enumerate(machines, 1):
            chosen.names.setdefault(name.lower(), f"host-{number}.example")
    chosen.compile()

    clean = _walk(raw, chosen)
    clean["redacted"] = True
    return from_json(json.dumps(clean))


def _collect(node: Any, people: dict[str, None], machines: dict[str, None]) -> None:
    """Names of users and hosts from the fields that hold nothing else, in order of appearance."""
    if isinstance(node, list | tuple):
        for item in node:
            _collect(item, people, machines)
        return
    if not isinstance(node, dict):
        return
    kind = node.get("kind")
    if kind == "ppp-message" and node["direction"] == "out" and node["name"]:
        _person(node["name"], people)
    if node.get("caller") and not _NUMBERED.fullmatch(node["caller"]):
        _person(node["caller"], people)
    found: list[Any] = []
    if kind == "name-answer":
        found = [node["name"], *node["cnames"]]
    elif kind == "local-end":
        found = [node["gateway_name"]]
    elif kind == "host-scope":
        found = [node["gateway"]]
    elif kind == "host-connection":
        found = [node["server"]]
    elif kind == "control-check":
        found = [node["target"]]
    elif kind == "l2tp-message":
        found = [node["host_name"]]
    elif kind == "certificate-seen":
        found = list(node["names"])
    elif kind in _INSIDE:
        found = [name for name in _inside_names(node) if _is_name(name)]
    elif "schema_version" in node:
        found = [node["target"]]
        user = node["options"].get("user")
        if isinstance(user, str) and user:
            people.setdefault(user)
    for name in found:
        if isinstance(name, str) and name and not _is_address(name):
            machines.setdefault(name)
    for value in node.values():
        _collect(value, people, machines)


_NUMBERED = re.compile(r"call \d+")
"""A caller without a name."""


def _person(name: str, people: dict[str, None]) -> None:
    people.setdefault(name)
    # DOMAIN\user and user@realm: the bare name may stand elsewhere.
    people.setdefault(re.split(r"[\\/]", name)[-1].split("@")[0] or name)


_INSIDE = {
    "inside-scope": ("internal_names", "internal_hosts", "internal_domain"),
    "inside-name": ("name", "records"),
    "inside-app": ("host", "certificate_names"),
    "inside-dhcp": ("domain", "search"),
}
"""Fields with names of the network inside, by kind of observation."""


def _inside_names(node: dict[str, Any]) -> list[str]:
    values = [node[name] for name in _INSIDE[node["kind"]]]
    texts = [t for v in values for t in ((v,) if isinstance(v, str) else v)]
    # records end in a name: "0 100 389 dc1.corp.example."
    return [t.split(" ")[-1].strip(".") for t in texts]


def _is_name(text: str) -> bool:
    """A name that is no ordinary word, which may stand anywhere in a report."""
    return any(c in text for c in ".-") or any(c.isdigit() for c in text)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _walk(node: Any, chosen: _Pseudonyms) -> Any:
    if isinstance(node, str):
        return chosen.text(node)
    if isinstance(node, list | tuple):
        return [_walk(item, chosen) for item in node]
    if isinstance(node, dict):
        fixed = _FIXED | {"message"} if node.get("kind") == "l2tp-message" else _FIXED
        clean = {
            key: value if key in fixed else _walk(value, chosen) for key, value in node.items()
        }
        facts = clean.get("facts")
        if isinstance(facts, dict):  # their names may be those of servers
            clean["facts"] = {chosen.text(key): value for key, value in facts.items()}
        return clean
    return node

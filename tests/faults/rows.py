"""The matrix as read from ``matrix.toml``: what each row makes, and what must be found.

A row is a table named after the fault:

    what      the fault, in a sentence
    on        gateways that it is made on (default: the three with IPsec)
    finding   code that a live run must find; "healthy"; or a list, of which any is right where the
              row's ``why`` says what cannot be told apart
    warns     codes of warnings that must be there as well
    cause     words that one of the finding's ranked causes must hold
    says      how the headline of the live run must begin
    why       why it cannot be told better

    gateway   changes to tests.lab.config.GatewayConfig; ``certificate`` is made by pki.py
    network   settings of tests.lab.netns.Network
    impair    a long or restless way: settings of tests.lab.impair.Impairment (without a capture in
              the middle)
    rules     network rules: arguments of Network.drop; ``do``: drop (default) or an ICMP code
    moments   things done half-way: ``at`` a message's name, ``do`` an action of run.py
    options   options of ``vpndiag run``;  client: psk, user, password, l2tp_secret, certificate
    before    actions done before the run
    limit     seconds that the run may take (90)

    at_client, at_gateway, at_middle   what ``analyze`` must say of a capture made there, with keys,
              where that is not what the live run says
    blind     the same without keys, at the client; "inconclusive" will do from ``auth`` on
    blind_elsewhere   without keys at the gateway and in the middle (default: ``blind``)
    differs   why the capture made at the client, with its keys, may say another thing than the run

What differs by gateway stands in a table named after it within the row.  Expectations of captures
may also be "inconclusive", "inconclusive LAYER" or "nothing" (there is nothing of a VPN in it).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tests.lab.gateways import ALL_GATEWAYS, GATEWAYS, PLAIN_GATEWAYS

MATRIX = Path(__file__).with_name("matrix.toml")
LAYERS = (
    "name", "path", "ike", "auth", "ipsec", "esp", "l2tp", "lcp", "login", "address",
    "routes", "mtu", "dns", "app", "healthy",
)  # fmt: skip
_BLIND_LAYERS = ("name", "path", "ike")
_INSIDE_LAYERS = ("routes", "mtu", "dns", "app")

Expected = tuple[str, ...]


class MatrixError(Exception):
    """A row that makes no sense."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault on one gateway."""

    id: str
    what: str
    finding: Expected
    on: Expected = GATEWAYS
    warns: Expected = ()
    cause: str = ""
    says: str = ""
    why: str = ""
    gateway: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    impair: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Mapping[str, Any], ...] = ()
    moments: tuple[Mapping[str, str], ...] = ()
    before: Expected = ()
    options: tuple[str, ...] = ()
    client: Mapping[str, Any] = field(default_factory=dict)
    resolver: Mapping[str, Any] | None = None
    privileged: bool = False
    fast: bool = False
    """In the part that CI runs."""
    limit: int = 90
    """Seconds that the run may take."""
    reference: bool = True
    """Whether the real Linux client can be given the same fault."""
    at_client: Expected = ()
    at_gateway: Expected = ()
    at_middle: Expected = ()
    blind: Expected = ()
    blind_elsewhere: Expected = ()
    differs: str = ""
    plain: bool = False
    """On a gateway without IPsec: keys make no difference."""

    @property
    def layer(self) -> str:
        """Where the fault is: the layer of the code, or "healthy"."""
        return _layer(self.finding[0])

    def expected(self, place: str, keys: bool) -> Expected:
        """What must be said of the capture made at "client", "gateway" or "middle"."""
        live = self.finding
        with_keys = {
            "client": self.at_client or live,
            "gateway": self.at_gateway or live,
            "middle": self.at_middle or live,
        }[place]
        if keys or self.plain:
            return with_keys
        if place != "client" and self.blind_elsewhere:
            return self.blind_elsewhere
        if self.blind:
            return self.blind
        if "healthy" in with_keys or self.layer in _INSIDE_LAYERS:
            # what is inside ESP is not seen: a session that lasts may be called healthy
            return ("healthy", "inconclusive")
        seen = all(x.partition(".")[0] in (*_BLIND_LAYERS, "nothing") for x in with_keys)
        return with_keys if seen else (*with_keys, "inconclusive")


def load(path: Path = MATRIX) -> dict[str, dict[str, Row]]:
    """Rows by id, then by gateway.

    :raises MatrixError: an entry that is not known, or a row without ``what`` or ``finding``.
    """
    found: dict[str, dict[str, Row]] = {}
    for name, table in tomllib.loads(path.read_text()).items():
        special = {g: table.pop(g) for g in ALL_GATEWAYS if g in table}
        found[name] = {
            gateway: _row(
                name, {**table, **special.get(gateway, {}), "plain": gateway in PLAIN_GATEWAYS}
            )
            for gateway in table.get("on", GATEWAYS)
        }
    return found


def _row(name: str, table: Mapping[str, Any]) -> Row:
    known = {entry.name for entry in fields(Row)}
    if unknown := set(table) - known:
        raise MatrixError(f"{name}: no such entry: {', '.join(sorted(unknown))}")
    values = {key: _listed(key, value) for key, value in table.items()}
    try:
        return replace(Row(name, "", ()), **values) if values["finding"] else _missing(name)
    except KeyError:
        return _missing(name)


def _missing(name: str) -> Row:
    raise MatrixError(f"{name}: what and finding are needed")


_LISTS = {"finding", "on", "warns", "before", "options", "at_client", "at_gateway",
          "at_middle", "blind", "blind_elsewhere", "rules", "moments"}  # fmt: skip


def _listed(key: str, value: Any) -> Any:
    if key not in _LISTS:
        return value
    return tuple(value) if isinstance(value, list) else (value,)


def _layer(code: str) -> str:
    """Of a finding; what ends a session that was up belongs to the address that it had."""
    layer = code.partition(".")[0]
    return "address" if layer == "session" else layer


def judge(expected: Expected, outcome: str, layer: str | None, finding: str | None) -> str:
    """How a verdict compares with what is expected.

    "right", "wrong" (the right layer, another finding), "inconclusive" (where more could be told),
    "FALSE HEALTHY" or "WRONG LAYER".
    """
    for one in expected:
        if one == "healthy" and outcome == "healthy":
            return "right"
        if one == "nothing" and outcome == "not_applicable":
            return "right"
        kind, _, where = one.partition(" ")
        if kind == "inconclusive" and outcome == "inconclusive" and where in ("", layer):
            return "right"
        if outcome == "failed" and finding == one:
            return "right"
    if outcome == "healthy":
        return "FALSE HEALTHY"
    if outcome == "failed":
        layers = {_layer(one) for one in expected if "." in one}
        return "wrong" if layer in layers else "WRONG LAYER"
    return "inconclusive"

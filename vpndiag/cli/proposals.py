"""Options that name algorithms, login methods and ports, as the engines take them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vpndiag.cli.exits import UsageError

if TYPE_CHECKING:
    from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform
    from vpndiag.tunnel.options import Flow

AUTH_NAMES = {
    "mschapv2": "mschapv2",
    "ms-chapv2": "mschapv2",
    "eap": "eap",
    "chap": "chap-md5",
    "chap-md5": "chap-md5",
    "pap": "pap",
}


def proposals_of(
    ike_text: str | None, esp_text: str | None, certificate: bool
) -> tuple[tuple[IkeTransform, ...], tuple[EspTransform, ...]]:
    """Transforms of ``--ike`` (a list, or the name of a client whose offer it is) and ``--esp``."""
    from vpndiag.protocols.ike.algorithms import AuthMethod
    from vpndiag.protocols.ike.profiles import PROFILES, parse_esp_list, parse_ike_list

    method = AuthMethod.RSA_SIG if certificate else AuthMethod.PSK
    client = PROFILES.get((ike_text or "").strip().lower())
    ike: tuple[IkeTransform, ...] = ()
    esp: tuple[EspTransform, ...] = ()
    if client is not None:
        ike, esp = client.ike_transforms(method), client.esp_transforms()
    elif ike_text:
        with _option("--ike"):
            ike = parse_ike_list(ike_text, auth_method=method)
    if esp_text:
        with _option("--esp"):
            esp = parse_esp_list(esp_text)
    return ike, esp


@contextlib.contextmanager
def _option(name: str) -> Iterator[None]:
    """What is wrong with the value of an option is told with its name."""
    from vpndiag.protocols.errors import LocalProtocolError

    try:
        yield
    except LocalProtocolError as error:
        raise UsageError(f"{name} {error}") from error


def group_of(name: str | None) -> int | None:
    if not name:
        return None
    from vpndiag.protocols.ike.notation import GROUPS, look_up

    with _option("--pfs"):
        return look_up(GROUPS, name.lower(), "Diffie-Hellman group", name)


def auth_methods(names: str | None) -> tuple[str, ...]:
    """:raises UsageError: a name is not known."""
    if not names:
        return ()
    found = []
    for name in names.split(","):
        method = AUTH_NAMES.get(name.strip().lower())
        if method is None:
            raise UsageError(f"--auth {name}: unknown; use mschapv2, eap, chap, pap")
        found.append(method)
    return tuple(dict.fromkeys(found))


def ports_of(pairs: tuple[str, ...]) -> dict[Flow, int]:
    """``500=10500`` and so on: a gateway on other ports, as in labs and the demo."""
    from vpndiag.tunnel.options import GATEWAY_PORTS

    ports = dict(GATEWAY_PORTS)
    flows = {number: flow for flow, number in GATEWAY_PORTS.items() if number}
    for pair in pairs:
        standard, _, actual = pair.partition("=")
        if not (standard.isdecimal() and actual.isdecimal()) or int(standard) not in flows:
            raise UsageError(f"--port {pair}: write it as 500=10500 (500, 4500 or 1701)")
        if not 0 < int(actual) < 65536:
            raise UsageError(f"--port {pair}: {actual} is no port number")
        ports[flows[int(standard)]] = int(actual)
    in_use = [number for number in ports.values() if number]
    if len(set(in_use)) < len(in_use):
        raise UsageError(f"--port {' '.join(pairs)}: each service needs a port of its own")
    return ports

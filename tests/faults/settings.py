"""What a row of the matrix says of its gateway and its client, as configurations of the lab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults import pki
from tests.faults.rows import Row
from tests.lab.config import Certificates, GatewayConfig
from tests.lab.insidenet import InsideNetwork
from tests.lab.linuxclient import ClientConfig

INSIDE_NAME = "intranet.corp.example"


def gateway_config(row: Row, name: str) -> GatewayConfig:
    """The gateway of a row."""
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in row.gateway.items()}
    if "inside" in given:
        given["inside"] = _inside(given["inside"])
    wanted = given.pop("certificate", None)
    if wanted is not None:
        pair = pki.gateway(**_certificate(wanted))
        given |= {"ike_auth": "certificate", "certificates": pki.for_gateway(pair)}
        if name == "strongswan":
            # its default identity, the address, must be in the certificate
            given["local_id"] = pki.GATEWAY_NAME if wanted.get("kind") != "name" else pki.OTHER_NAME
    return GatewayConfig(**given)


def _inside(wanted: Mapping[str, Any]) -> InsideNetwork:
    settings = dict(wanted)
    if "tls" in settings.get("apps", {}).values():
        made = dict(settings.pop("certificate", {}))
        pair = pki.server(INSIDE_NAME, **_certificate(made))
        settings["certificate"] = pair.pem + pair.key_pem
    return InsideNetwork(**settings)


def _certificate(wanted: Mapping[str, Any]) -> dict[str, Any]:
    settings = dict(wanted)
    if settings.pop("long", False):
        settings["names"] = tuple(f"branch-office-{n:03}.lab.test" for n in range(40))
    return settings


def certificate_options(folder: Path, wanted: Mapping[str, Any]) -> list[str | Path]:
    own = pki.client(**_certificate(wanted))
    files = {"cert": own.pem, "key": own.key_pem, "ca": pki.authority().pem}
    words: list[str | Path] = ["--cert-name", pki.GATEWAY_NAME]
    for name, text in files.items():
        (folder / f"{name}.pem").write_text(text)
        words += [f"--{name}", folder / f"{name}.pem"]
    return words


def client_config(row: Row) -> ClientConfig | None:
    """The real client with the same settings; None where it cannot have them."""
    if not row.reference or row.moments:
        return None
    # the way that vpndiag takes: without privileges its ESP goes in UDP
    encapsulation = not row.privileged and not row.plain
    given: dict[str, Any] = {"plain_l2tp": row.plain, "force_encapsulation": encapsulation}
    given |= {
        k: v for k, v in row.client.items() if k in ("psk", "user", "password", "l2tp_secret")
    }
    if "certificate" in row.client:
        own = pki.client(**_certificate(row.client["certificate"]))
        given["certificates"] = Certificates(own.pem, own.key_pem, pki.authority().pem)
    options = dict(zip(row.options[::2], row.options[1::2], strict=False))
    if "--ike" in options:
        given["ike_proposals"] = tuple(options["--ike"].split(","))
    if "--esp" in options:
        given["esp_proposals"] = tuple(options["--esp"].split(","))
    if "--pfs" in options:
        given["esp_proposals"] = (f"aes256-sha1-{options['--pfs']}",)
    if "--auth" in options:
        names = {"pap": "pap", "chap": "chap", "mschapv2": "mschap-v2", "eap": "eap"}
        allowed = names[options["--auth"]]
        refused = [n for n in ("pap", "chap", "mschap", "mschap-v2", "eap") if n != allowed]
        given["ppp_options"] = tuple(f"refuse-{n}" for n in refused)
    return ClientConfig(**given)

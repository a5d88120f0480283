"""What a gateway is told to be, as data.  Each gateway says which of it its software can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from tests.lab.insidenet import InsideNetwork
from tests.lab.process import Unsupported

LAB_PSK = "lab-psk-Tr0ub4dor"
LAB_USER = "alice"
LAB_PASSWORD = "Wonderland-7"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM texts: the gateway's own certificate and key, and whom it trusts."""

    certificate: str
    key: str
    authority: str
    intermediate: str = ""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """A healthy gateway, unless told otherwise.

    Proposals are in strongSwan's words ("aes256-sha1-modp2048"; for ESP "aes256-sha1", with PFS
    "aes256-sha1-modp2048"), in order.  Empty means: what this software accepts on its own.
    """

    ike_daemon: Literal["strongswan", "libreswan"] = "strongswan"
    psk: str = LAB_PSK
    users: Mapping[str, str] = field(default_factory=lambda: {LAB_USER: LAB_PASSWORD})
    ike_proposals: tuple[str, ...] = ()
    esp_proposals: tuple[str, ...] = ()
    ike_auth: Literal["psk", "certificate"] = "psk"
    certificates: Certificates | None = None
    local_id: str | None = None
    """Identity the gateway claims; None: its address."""
    remote_id: str | None = None
    """Identity it wants of the client; None: any."""
    aggressive: bool = False
    force_encapsulation: bool = False
    sha256_truncated: bool = False
    """HMAC-SHA2-256 cut to 96 bits (the old draft) instead of 128."""
    ikev1: bool = True
    """False: the daemon runs but takes no IKEv1."""
    ipsec: bool = True
    """False: plain L2TP is let in, no IKE daemon."""
    plain_l2tp: bool = False
    """L2TP in the clear is let in beside IPsec."""
    l2tp: bool = True
    """False: IPsec is up, nothing listens on UDP 1701."""
    l2tp_secret: str | None = None
    ppp_auth: tuple[str, ...] = ("mschapv2",)
    """Of "pap", "chap", "mschap", "mschapv2", "eap"; any of them does."""
    mppe: bool = False
    """Microsoft Point-to-Point Encryption demanded."""
    pppd: Literal["normal", "crash", "silent"] = "normal"
    pool: tuple[str, str] = ("10.92.0.10", "10.92.0.50")
    inside_address: str = "10.92.0.1"
    dns: tuple[str, ...] = ("10.92.0.1",)
    """DNS servers pushed; empty: none."""
    dns_mode: Literal["answer", "silent", "lying", "refused", "nxdomain", "off"] = "answer"
    dns_records: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"intranet.corp.example": ("10.20.0.10",)}
    )
    inside: InsideNetwork | None = None
    """The network behind the gateway; None: there is nothing behind it."""
    mtu: int = 1400
    radius_silent: bool = False
    """Users are asked of a RADIUS server that never answers."""
    radius_secret_wrong: bool = False
    """The RADIUS server knows the gateway by another secret."""
    ppp_options: tuple[str, ...] = ()
    """More lines for pppd."""
    ike_options: tuple[str, ...] = ()
    """More lines for the connection section of the IKE daemon's own configuration."""


def require_supported(gateway: str, config: GatewayConfig, supported: frozenset[str]) -> None:
    """Raises Unsupported, naming the settings, when ``config`` changes what can't be changed."""
    plain = GatewayConfig()
    odd = [
        f"{entry.name}={getattr(config, entry.name)!r}"
        for entry in fields(GatewayConfig)
        if entry.name not in supported and getattr(config, entry.name) != getattr(plain, entry.name)
    ]
    if odd:
        raise Unsupported(f"{gateway} cannot do: {', '.join(odd)}")

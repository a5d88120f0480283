"""What a gateway is and what is broken about it: data, and the policies of the engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from vpndiag.protocols.ike.config import (
    DEFAULT_VENDOR_IDS,
    PfsPolicy,
    Refusal,
    RsaCredentials,
    WrongPsk,
)
from vpndiag.protocols.ike.constants import NotifyType
from vpndiag.protocols.ike.retransmit import Schedule
from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform, parse_esp, parse_ike
from vpndiag.protocols.l2tp.config import Ignore, Refuse
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.protocols.ppp.auth_server import LoginAnswer
from vpndiag.protocols.ppp.config import Conduct, NoAddress, Point
from vpndiag.records import record

IKE_PORT, NATT_PORT, L2TP_PORT = 500, 4500, 1701
PORTS = (IKE_PORT, NATT_PORT, L2TP_PORT)

IKE_TRANSFORMS = tuple(
    parse_ike(name)
    for name in (
        "aes256-sha256-modp2048",
        "aes128-sha256-modp2048",
        "aes256-sha256-ecp384",
        "aes128-sha256-ecp256",
        "aes256-sha1-ecp384",
        "aes128-sha1-ecp256",
        "aes256-sha1-modp2048",
        "aes128-sha1-modp2048",
        "3des-sha1-modp2048",
    )
)
"""A strong one first, and what the built-in clients of Windows, macOS and Android need."""
ESP_TRANSFORMS = tuple(
    parse_esp(name)
    for name in ("aes256-sha256", "aes128-sha256", "aes256-sha1", "aes128-sha1", "aes256gcm16")
)


_INSIDE = IPv4Address("10.99.0.1")
_DNS = IPv4Address("10.99.0.53")
_FILES = IPv4Address("10.99.0.80")
_POOL = IPv4Network("10.99.1.0/24")


@record(frozen=True, slots=True)
class Zone:
    """The DNS zone that is served inside. ``hosts`` and ``services`` are relative to ``name``;
    a service is (priority, weight, port, host)."""

    name: str = "corp.example."
    hosts: Mapping[str, IPv4Address] = field(
        default_factory=lambda: {"dc": _DNS, "files": _FILES, "intranet": _FILES}
    )
    services: Mapping[str, tuple[int, int, int, str]] = field(
        default_factory=lambda: {
            "_ldap._tcp": (0, 100, 389, "dc"),
            "_kerberos._tcp": (0, 100, 88, "dc"),
        }
    )


@record(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is broken on purpose. Everything at its default: nothing.

    Path: ``silent_ports`` neither take nor give; ``closed_ports`` are not open at all (ICMP port
    unreachable where the system or the simulated network makes one); ``loss`` is the fraction of
    datagrams lost in each direction; ``elsewhere`` sends every answer from another port;
    ``deaf_after`` drops everything on UDP 4500 from an event on; ``drop`` names
    client messages that never arrive (``MM3``, ``MM5``, ``QM1``).

    IKE: ``main_mode`` is what becomes of message 1; ``notify`` the notification of ``"notify"``.
    ``after_mm5``: an error to answer message 5 with, or ``"delete"``; ``false_proof``: our HASH_R
    is wrong. ``hang_up``: when the IKE SA (``phase-1``), the call (``call``) or the login
    (``login``) is ended without a word of explanation. ``leave``: how the gateway ends a session
    that is up: after a few packets of the client's data, or ``leave_after`` seconds.

    ESP: ``truncate_sha2`` cuts HMAC-SHA2-256 to 96 bits; ``corrupt_esp`` spoils the check value;
    ``repeat_esp`` sends every packet so many times; ``swap_esp`` numbers them 2, 1, 4, 3..., as if
    each second one had overtaken the other.

    Upkeep: ``renewal`` is what becomes of a quick mode or main mode of a client whose session is
    up; ``renewal_delay``: seconds for which its ESP is lost once it has renewed its SA.

    L2TP: ``tunnel`` and ``call`` answer SCCRQ and ICRQ; ``l2tp_v3`` answers as an L2TPv3 peer.

    PPP: ``wire`` is what happens to PPP frames; ``conduct`` as in the PPP server.
    ``login_answer`` overrides every account, ``address_answer`` every assignment.

    Inside: without ``forwarding`` only the gateway itself answers; without ``way_back`` packets are
    forwarded and no answer finds its way; IP packets of more than
    ``inside_mtu`` bytes vanish (0: none do); ``inside_dns`` is how every question ends,
    ``inside_tcp`` every connection.
    ``other_passwords``: the passwords here are not the users'.
    """

    silent_ports: frozenset[int] = frozenset()
    closed_ports: frozenset[int] = frozenset()
    loss: float = 0.0
    elsewhere: bool = False
    deaf_after: Literal["", "quick-mode"] = ""
    drop: frozenset[str] = frozenset()

    main_mode: Literal[
        "",
        "silent",
        "notify",
        "ikev2-only",
        "ikev2-notify",
        "aggressive-only",
        "malformed",
        "no-choice",
    ] = ""
    notify: NotifyType | None = None
    after_mm5: NotifyType | Literal["delete"] | None = None
    false_proof: bool = False
    hang_up: Literal["", "phase-1", "call", "login"] = ""
    leave: Literal["", "lcp", "cdn", "stopccn", "delete", "silence"] = ""
    leave_after: float = 0.0

    truncate_sha2: bool = False
    corrupt_esp: bool = False
    repeat_esp: int = 1
    swap_esp: bool = False

    renewal: Literal["", "ipsec-refused", "ipsec-ignored", "ike-refused", "ike-ignored"] = ""
    renewal_delay: float = 0.0

    tunnel: Refuse | Ignore | None = None
    call: Refuse | Ignore | None = None
    l2tp_v3: bool = False

    wire: Literal["", "loopback", "nak-for-ever", "terminate"] = ""
    conduct: Mapping[Point, Conduct] = field(default_factory=dict)
    login_answer: LoginAnswer | None = None
    other_passwords: bool = False
    address_answer: NoAddress | None = None

    forwarding: bool = True
    way_back: bool = True
    inside_mtu: int = 0
    inside_dns: Literal["", "silent", "unreachable", "refused", "servfail", "nxdomain"] = ""
    inside_tcp: Literal["", "silent", "stalled", "reset"] = ""


@record(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """``address`` and ``ports`` (standard port to the one really used) are the gateway's own, as
    NAT detection needs them. ``users`` are names and passwords. ``plain_l2tp``: L2TP is also
    answered outside IPsec. Secrets are not in the repr.
    """

    address: str = "127.0.0.1"
    ports: Mapping[int, int] = field(default_factory=lambda: {p: p for p in PORTS})

    psk: bytes | None = field(default=b"vpndiag-demo", repr=False)
    credentials: RsaCredentials | None = field(default=None, repr=False)
    trust_anchors: tuple[bytes, ...] = ()
    verify_time: float = 0.0
    ike_transforms: tuple[IkeTransform, ...] = IKE_TRANSFORMS
    esp_transforms: tuple[EspTransform, ...] = ESP_TRANSFORMS
    vendor_ids: tuple[bytes, ...] = DEFAULT_VENDOR_IDS
    refusal: Refusal = Refusal.NOTIFY
    wrong_psk: WrongPsk = WrongPsk.ENCRYPTED_NOTIFY
    require_natt_vid: bool = False
    pfs: PfsPolicy = PfsPolicy.ACCEPT
    refuse_quick_mode: NotifyType | None = None
    choose_esp: EspTransform | None = None
    """Chosen in quick mode, whatever is offered."""
    selectors_ok: bool = True
    schedule: Schedule = field(default_factory=lambda: Schedule(1.0, 1.0, 1.0, 20))

    plain_l2tp: bool = False
    host_name: str = "vpndiag-gateway"
    vendor_name: str = "vpndiag"
    l2tp_secret: bytes | None = field(default=None, repr=False)

    users: Mapping[str, str] = field(default_factory=lambda: {"demo": "demo"}, repr=False)
    ppp_methods: tuple[AuthMethod, ...] = (
        AuthMethod.MSCHAPV2,
        AuthMethod.CHAP_MD5,
        AuthMethod.PAP,
    )
    """In the order in which they are demanded; the next one is tried when the client refuses."""
    eap_methods: tuple[int, ...] = (26, 4)
    require_mppe: bool = False
    mru: int = 1400

    gateway_inside: IPv4Address = _INSIDE
    pool: IPv4Network = _POOL
    pool_size: int = 200
    same_address: bool = False
    """Give the client the gateway's own inside address."""
    dns: tuple[IPv4Address, ...] = (_DNS,)
    hosts: tuple[IPv4Address, ...] = (_DNS, _FILES)
    """Inside hosts that answer, besides the gateway."""
    zone: Zone = field(default_factory=Zone)
    tcp_ports: frozenset[int] = frozenset({80, 443, 445, 389})

    renew_seconds: float | None = None
    """Seconds after which the gateway itself begins a quick mode, and deletes the old pair."""
    dpd_seconds: float | None = None
    """Interval of dead peer detection."""
    max_clients: int = 64
    idle_seconds: float = 300.0

    faults: Faults = field(default_factory=Faults)


__all__ = ["Faults", "GatewayConfig", "Zone"]

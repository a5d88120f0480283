"""What clients offer: our own lists and those of the built-in clients, as data.

Sources: Windows 7 to 11 as captured; macOS from apple-oss-distributions/ppp (ipsec_utils.c);
Android from AOSP's ipsec-tools (setup.c); NetworkManager-l2tp's nm-l2tp-service.c.
"""

from __future__ import annotations

from collections.abc import Iterable

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike import vendor_ids as vid
from vpndiag.protocols.ike.algorithms import AuthMethod, EncapsulationMode
from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform, parse_esp, parse_ike
from vpndiag.records import record


@record(frozen=True, slots=True)
class ClientProfile:
    """One client's offers, in its order; names as :func:`parse_ike` and :func:`parse_esp` read
    them. Lifetimes in seconds and kilobytes, None: not sent. ``vendor_ids`` of its MM1."""

    id: str
    title: str
    ike: tuple[str, ...]
    ike_life_seconds: int
    esp: tuple[str, ...]
    esp_life_seconds: int
    esp_life_kb: int | None
    vendor_ids: tuple[bytes, ...]
    wide_life: bool = False
    """Durations are sent as four bytes even if two are enough."""

    def ike_transforms(self, auth_method: int = AuthMethod.PSK) -> tuple[IkeTransform, ...]:
        return tuple(
            parse_ike(name, auth_method=auth_method, life_seconds=self.ike_life_seconds)
            for name in self.ike
        )

    def esp_transforms(
        self, encapsulation_mode: int = EncapsulationMode.UDP_TRANSPORT
    ) -> tuple[EspTransform, ...]:
        return tuple(
            parse_esp(
                name,
                encapsulation_mode=encapsulation_mode,
                life_seconds=self.esp_life_seconds,
                life_kb=self.esp_life_kb,
            )
            for name in self.esp
        )


def _product(ciphers: str, hashes: str, groups: str = "") -> tuple[str, ...]:
    """Every cipher with every hash (and group), the last varying quickest."""
    return tuple(
        "-".join(part for part in (cipher, hash_, group) if part)
        for cipher in ciphers.split()
        for hash_ in hashes.split()
        for group in groups.split() or [""]
    )


BROAD = ClientProfile(
    id="broad",
    title="vpndiag: strong first, then what old gateways need",
    ike=(
        "aes256-sha256-ecp384",
        "aes256-sha256-modp3072",
        "aes128-sha256-modp3072",
        "aes128-sha256-ecp256",
        "aes256-sha512-modp2048",
        "aes256-sha384-modp2048",
        "aes256-sha256-modp2048",
        "aes128-sha256-modp2048",
        "aes256-sha1-ecp384",
        "aes128-sha1-ecp256",
        "aes256-sha1-modp2048",
        "aes192-sha1-modp2048",
        "aes128-sha1-modp2048",
        "3des-sha1-modp2048",
        "aes256-sha256-modp1536",
        "aes256-sha1-modp1536",
        "aes128-sha1-modp1536",
        "3des-sha1-modp1536",
        "aes256-sha256-modp1024",
        "aes256-sha1-modp1024",
        "aes128-sha1-modp1024",
        "3des-sha1-modp1024",
        "aes256-md5-modp1024",
        "3des-md5-modp1024",
    ),
    ike_life_seconds=28800,
    esp=(
        "aes256-sha256",
        "aes128-sha256",
        "aes256-sha1",
        "aes192-sha1",
        "aes128-sha1",
        "aes256gcm16",
        "aes128gcm16",
        "3des-sha1",
        "aes128-md5",
        "3des-md5",
    ),
    esp_life_seconds=3600,
    esp_life_kb=250_000,
    vendor_ids=(
        vid.RFC3947,
        vid.NATT_DRAFT_03,
        vid.NATT_DRAFT_02_NEWLINE,
        vid.NATT_DRAFT_02,
        vid.NATT_DRAFT_00,
        vid.DPD,
        vid.FRAGMENTATION,
    ),
)
"""MM1 stays below 1280 bytes, so that no path fragments it."""

WINDOWS = ClientProfile(
    id="windows",
    title="Windows 10 and 11, built-in L2TP/IPsec",
    ike=(
        "aes256-sha1-ecp384",
        "aes128-sha1-ecp256",
        "aes256-sha1-modp2048",
        "3des-sha1-modp2048",
        "3des-sha1-modp1024",
    ),
    ike_life_seconds=28800,
    esp=("aes128-sha1", "3des-sha1", "des-sha1"),
    esp_life_seconds=3600,
    esp_life_kb=250_000,
    vendor_ids=(
        vid.MS_KEY_MODS + bytes.fromhex("00000001"),
        vid.MS_NT5 + bytes.fromhex("00000009"),
        vid.RFC3947,
        vid.NATT_DRAFT_02_NEWLINE,
        vid.FRAGMENTATION_BARE,
        vid.MS_NEGOTIATION_DISCOVERY,
        vid.MS_INITIAL_CONTACT,
        vid.MS_CGA,
    ),
    wide_life=True,
)

MACOS = ClientProfile(
    id="macos",
    title="macOS and iOS, built-in L2TP over IPsec",
    ike=(
        *_product("aes256", "sha256 sha1 md5 sha512", "modp2048"),
        *_product("aes256", "sha256 sha1 md5", "modp1536"),
        *_product("aes256", "sha256 sha1 md5", "modp1024"),
        *_product("aes128 3des", "sha1 md5", "modp1024"),
    ),
    ike_life_seconds=3600,
    esp=_product("aes256 aes128 3des", "sha256 sha1 md5"),
    esp_life_seconds=3600,
    esp_life_kb=None,
    vendor_ids=(
        vid.RFC3947,
        vid.NATT_DRAFT_UNNUMBERED,
        vid.NATT_DRAFT_08,
        vid.NATT_DRAFT_07,
        vid.NATT_DRAFT_06,
        vid.NATT_DRAFT_05,
        vid.NATT_DRAFT_04,
        vid.NATT_DRAFT_03,
        vid.NATT_DRAFT_02,
        vid.NATT_DRAFT_02_NEWLINE,
        vid.FRAGMENTATION,
        vid.DPD,
    ),
)

ANDROID = ClientProfile(
    id="android",
    title="Android 7 to 12, built-in L2TP/IPsec",
    ike=(
        *_product("aes256", "sha384 sha256 sha512 sha1 md5", "modp1024"),
        *_product("aes128", "sha512 sha384 sha256 sha1 md5", "modp1024"),
        *_product("3des des", "sha256 sha1 md5", "modp1024"),
    ),
    ike_life_seconds=28800,
    esp=_product("aes256 aes128 3des des", "sha512 sha384 sha1 sha256 md5"),
    esp_life_seconds=28800,
    esp_life_kb=None,
    vendor_ids=(
        vid.RFC3947,
        vid.NATT_DRAFT_02,
        vid.NATT_DRAFT_02_NEWLINE,
        vid.NATT_DRAFT_00,
        vid.FRAGMENTATION,
        vid.DPD,
    ),
)

NM_L2TP = ClientProfile(
    id="nm-l2tp",
    title="NetworkManager-l2tp with strongSwan",
    ike=(
        *_product("aes256", "sha256 sha1", "modp2048 modp1536 modp1024"),
        "aes256-sha1-ecp384",
        "aes128-sha1-modp1024",
        "aes128-sha1-ecp256",
        "3des-sha1-modp2048",
        "3des-sha1-modp1024",
    ),
    ike_life_seconds=10800,
    esp=("aes256-sha1", "aes128-sha1", "3des-sha1"),
    esp_life_seconds=3600,
    esp_life_kb=None,
    vendor_ids=(
        vid.XAUTH,
        vid.DPD,
        vid.FRAGMENTATION,
        vid.RFC3947,
        vid.NATT_DRAFT_02_NEWLINE,
    ),
)

PROFILES: dict[str, ClientProfile] = {
    profile.id: profile for profile in (BROAD, WINDOWS, MACOS, ANDROID, NM_L2TP)
}


def parse_ike_list(
    text: str, *, auth_method: int = AuthMethod.PSK, life_seconds: int | None = 28800
) -> tuple[IkeTransform, ...]:
    """Comma-separated :func:`parse_ike` names.

    :raises LocalProtocolError: a name that does not parse, or none at all.
    """
    return tuple(
        parse_ike(name, auth_method=auth_method, life_seconds=life_seconds) for name in _split(text)
    )


def parse_esp_list(
    text: str,
    *,
    encapsulation_mode: int = EncapsulationMode.UDP_TRANSPORT,
    life_seconds: int | None = 3600,
    life_kb: int | None = 250_000,
) -> tuple[EspTransform, ...]:
    """Comma-separated :func:`parse_esp` names.

    :raises LocalProtocolError: a name that does not parse, or none at all.
    """
    return tuple(
        parse_esp(
            name,
            encapsulation_mode=encapsulation_mode,
            life_seconds=life_seconds,
            life_kb=life_kb,
        )
        for name in _split(text)
    )


def _split(text: str) -> Iterable[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise LocalProtocolError("an empty list of proposals")
    return names

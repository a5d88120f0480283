"""Vendor ids (RFC 2408 section 3.16), their names and what a server's set of them gives away.

Values are published in RFC 3947, RFC 3706 and their drafts (MD5 of a text) and by ike-scan,
strongSwan, Libreswan and Microsoft.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from vpndiag.records import record

RFC3947 = bytes.fromhex("4a131c81070358455c5728f20e95452f")
NATT_DRAFT_00 = bytes.fromhex("4485152d18b6bbcd0be8a8469579ddcc")
NATT_DRAFT_01 = bytes.fromhex("16f6ca16e4a4066d83821a0f0aeaa862")
NATT_DRAFT_02 = bytes.fromhex("cd60464335df21f87cfdb2fc68b6a448")
NATT_DRAFT_02_NEWLINE = bytes.fromhex("90cb80913ebb696e086381b5ec427b1f")
"""The MD5 was taken of the draft's name with a newline; the common form of draft 02."""
NATT_DRAFT_03 = bytes.fromhex("7d9419a65310ca6f2c179d9215529d56")
NATT_DRAFT_04 = bytes.fromhex("9909b64eed937c6573de52ace952fa6b")
NATT_DRAFT_05 = bytes.fromhex("80d0bb3def54565ee84645d4c85ce3ee")
NATT_DRAFT_06 = bytes.fromhex("4d1e0e136deafa34c4f3ea9f02ec7285")
NATT_DRAFT_07 = bytes.fromhex("439b59f8ba676c4c7737ae22eab8f582")
NATT_DRAFT_08 = bytes.fromhex("8f8d83826d246b6fc7a8a6a428c11de8")
NATT_DRAFT_UNNUMBERED = bytes.fromhex("4df37928e9fc4fd1b3262170d515c662")
DPD = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
XAUTH = bytes.fromhex("09002689dfd6b712")
CISCO_UNITY = bytes.fromhex("12f5f28c457168a9702d9fe274cc0100")
FRAGMENTATION_BARE = bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3")
FRAGMENTATION = FRAGMENTATION_BARE + bytes.fromhex("80000000")
MS_NT5 = bytes.fromhex("1e2b516905991c7d7c96fcbfb587e461")
"""Followed by four bytes of version."""
MS_KEY_MODS = bytes.fromhex("01528bbbc00696121849ab9a1c5b2a51")
MS_NEGOTIATION_DISCOVERY = bytes.fromhex("fb1de3cdf341b7ea16b7e5be0855f120")
MS_INITIAL_CONTACT = bytes.fromhex("26244d38eddb61b3172a36e3d0cfb819")
MS_CGA = bytes.fromhex("e3a5966a76379fe707228231e5ce8652")

_NAMES: dict[str, str] = {
    RFC3947.hex(): "RFC 3947 NAT-T",
    NATT_DRAFT_00.hex(): "draft-ietf-ipsec-nat-t-ike-00",
    NATT_DRAFT_01.hex(): "draft-ietf-ipsec-nat-t-ike-01",
    NATT_DRAFT_02.hex(): "draft-ietf-ipsec-nat-t-ike-02",
    NATT_DRAFT_02_NEWLINE.hex(): "draft-ietf-ipsec-nat-t-ike-02\\n",
    NATT_DRAFT_03.hex(): "draft-ietf-ipsec-nat-t-ike-03",
    NATT_DRAFT_04.hex(): "draft-ietf-ipsec-nat-t-ike-04",
    NATT_DRAFT_05.hex(): "draft-ietf-ipsec-nat-t-ike-05",
    NATT_DRAFT_06.hex(): "draft-ietf-ipsec-nat-t-ike-06",
    NATT_DRAFT_07.hex(): "draft-ietf-ipsec-nat-t-ike-07",
    NATT_DRAFT_08.hex(): "draft-ietf-ipsec-nat-t-ike-08",
    "42ea5b6f898d9773a575df26e7dd19e1": "draft-ietf-ipsec-nat-t-ike-09",
    NATT_DRAFT_UNNUMBERED.hex(): "draft-ietf-ipsec-nat-t-ike (Apple)",
    "c40fee00d5d39ddb1fc762e09b7cfea7": "Testing NAT-T RFC",
    "27bab5dc01ea0760ea4e3190ac27c0d0": "draft-stenberg-ipsec-nat-traversal-01",
    "6105c422e76847e43f9684801292aecd": "draft-stenberg-ipsec-nat-traversal-02",
    "6a7434c19d7e36348090a02334c9c805": "draft-huttunen-ipsec-esp-in-udp-00",
    "50760f624c63e5c53eea386c685ca083": "ESPThruNAT",
    DPD.hex(): "DPD",
    "afcad71368a1f1c96b8696fc7757": "DPD (other version)",
    "3b9031dce4fcf88b489a923963dd0c49": "DPDv1_NG",
    XAUTH.hex(): "XAUTH",
    CISCO_UNITY.hex(): "Cisco Unity",
    "12f5f28c457168a9702d9fe274cc": "Cisco Unity (other version)",
    FRAGMENTATION_BARE.hex(): "FRAGMENTATION",
    "325df29a2319f2dd": "draft-krywaniuk-ipsec-antireplay-00",
    "8db7a41811221660": "draft-ietf-ipsec-heartbeats-00",
    "4865617274426561745f4e6f74696679": "HeartBeat_Notify",
    "ad2c0dd0b9c32083ccba25b8861ec455": "GSS-API authentication",
    "621b04bb09882ac1e15935fefa24aeee": "GSSAPI (Windows domain)",
    "ba290499c24e84e53a1d83a05e5f00c9": "IKE Challenge-Response",
    MS_NT5.hex(): "MS NT5 ISAKMPOAKLEY",
    MS_NT5.hex() + "00000002": "MS NT5 ISAKMPOAKLEY (Windows 2000)",
    MS_NT5.hex() + "00000003": "MS NT5 ISAKMPOAKLEY (Windows XP)",
    MS_NT5.hex() + "00000004": "MS NT5 ISAKMPOAKLEY (Windows XP SP2, Server 2003)",
    MS_NT5.hex() + "00000005": "MS NT5 ISAKMPOAKLEY (Windows Vista)",
    MS_NT5.hex() + "00000006": "MS NT5 ISAKMPOAKLEY (Windows Server 2008)",
    MS_NT5.hex() + "00000007": "MS NT5 ISAKMPOAKLEY (Windows 7)",
    MS_NT5.hex() + "00000008": "MS NT5 ISAKMPOAKLEY (Windows 7, Server 2008 R2)",
    MS_NT5.hex() + "00000009": "MS NT5 ISAKMPOAKLEY (Windows 8 to 11, Server 2012 to 2022)",
    MS_KEY_MODS.hex(): "MS KEY_MODS",
    MS_KEY_MODS.hex() + "00000000": "MS KEY_MODS (IKE)",
    MS_KEY_MODS.hex() + "00000001": "MS KEY_MODS (AuthIP)",
    MS_KEY_MODS.hex() + "00000002": "MS KEY_MODS (IKEv2)",
    MS_INITIAL_CONTACT.hex(): "Vid-Initial-Contact",
    MS_NEGOTIATION_DISCOVERY.hex(): "MS-Negotiation Discovery Capable",
    MS_CGA.hex(): "IKE CGA version 1",
    "214ca4faffa7f32d6748e5303395ae83": "MS-MamieExists (AuthIP)",
    "72872b95fcda2eb708efe322119b4971": "NLBS_PRESENT",
    "7bb93867d76c8d80df0f40fae8fc3b19": "AuthIP INIT KE DH",
    "686a8cbdfe634b405146fb2baf33e9e8": "MSFT IPsec Security Realm Id",
    "660822b3a73a244149578d62e0eb46a0": "Xbox IKEv2 Negotiation",
    "8aa394cf8a5577dc3110c113b027a4f2": "Microsoft Xbox One",
    "882fe56d6fd20dbc2251613b2ebe5beb": "strongSwan",
    "9e10a0d4205edc6c90bd5381a53c2d2b": "strongSwan 5.1.1",
    "4f452d4c696272657377616e2d": "Libreswan",
    "4f454e": "Libreswan 3.0 to 3.5",
    "4f5357": "Openswan",
    "4f45": "Openswan or FreeS/WAN",
    "7003cbc1097dbe9c2600ba6983bc8b35": "KAME racoon",
    "4d6163204f53582031302e78": "Mac OS X 10",
    "3e984048": "Cisco IOS",
    "1f07f70eaa6514d3b0fa96542a": "Cisco VPN 3000 or ASA",
    "f6f7efc7f5aeb8cb158cb9d094ba69e7": "Cisco VPN 3000 client",
    "bdb41038a7ec5e5534dd004d0f91f927": "Cisco IOS (probably)",
    "e23ae9f51a46876ff93d89ba725d649d": "Cisco (unknown product)",
    "800100018002000180030002": "Cisco Unity firewall type",
    "485541574549": "Huawei",
    "1d6e178f6c2c0be284985465450fe9d4": "FortiGate",
    "b4f01ca951e9da8d0bafbbd34ad3044e": "Fortinet Endpoint Control",
    "4c53427b6d465d1b337bb755a37a7fef": "FortiClient connect license",
    "f4ed19e0c114eb516faaac0ee37daf2807b4381f": "Check Point",
    "299ee8289f40a8973bc78687e2e7226b532c3b76": "NetScreen",
    "3a15e1f3cf2a63582e3ac82d1c64cbe3b6d779e7": "NetScreen",
    "47d2b126bfcd83489760e2cf8c5d4d5a03497c15": "NetScreen",
    "4a4340b543e02b84c88a8b96a8af9ebe77d9accc": "NetScreen",
    "64405f46f03b7660a23be116a1975058e69e8387": "NetScreen",
    "699369228741c6d4ca094c93e242c9de19e7b7c6": "NetScreen",
    "8c0dc6cf62a0ef1b5c6eabd1b67ba69866adf16a": "NetScreen",
    "92d27a9ecb31d99246986d3453d0c3d57a222a61": "NetScreen",
    "9b096d9ac3275a7d6fe8b91c583111b09efed1a0": "NetScreen",
    "bf03746108d746c904f1f3547de24f78479fed12": "NetScreen",
    "c2e80500f4cc5fbf5daaeed3bb59abaeee56c652": "NetScreen",
    "c8660a62b03b1b6130bf781608d32a6a8d0fb89f": "NetScreen",
    "f885da40b1e7a9abd17655ec5bbec0f21f0ed52e": "NetScreen",
    "2a2bcac19b8e91b426107807e02e7249569d6fd3": "NetScreen",
    "166f932d55eb64d8e4df4fd37e2313f0d0fd8451": "NetScreen",
    "a35bfd05ca1ac0b3d2f24e9e82bfcbff9c9e52b5": "NetScreen",
    "fd808804df73b15150709d878044cde0ac1efcde": "Juniper SRX",
    "404bf439522ca3f6": "SonicWall",
    "5b362bc820f6": "SonicWall",
    "5b362bc820f7": "SonicWall",
    "da8e937880010000": "SonicWall or WatchGuard",
    "da8e9378": "SafeNet or WatchGuard",
    "47bbe7c993f1fc13b4e6d0db565c68e5": "SafeNet SoftRemote",
    "b858d1addd08c1e8adafea150608aa4497aa6cc8": "ZyXEL ZyWALL",
    "f758f22668750f03b08df6ebe1d0": "ZyXEL USG",
    "dbfb81eb5760b0788562067da102d755": "Netgear",
    "424e4553000000": "Nortel Contivity",
    "c573b056d7faca36c2fba28374127cbf": "StoneGate",
    "baeb239037e17787d730eed9d95d48aa": "StoneGate",
    "8404adf9cda05760b2ca292e4bff537b": "Sidewinder",
    "101fb0b35c5a4f4c08b919f1cb9777b0": "NCP client",
    "f14b94b7bff1fef02773b8c49feded26": "Shrew Soft client",
    "08db45e6cb01f80bb576e9a78c0f54e1300b8881": "ELVIS-PLUS Zastava",
    "4c564739": "Lucent VPN Gateway",
    "54494d4553544550": "TimeStep",
    "7ee5cb85f71ce259c94a5c731ee4e752": "SSH Sentinel 1.3",
    "63d9a1a7009491b5a0a6fdeb2a8284f0": "SSH Sentinel 1.4",
    "eb4b0d96276b4e220ad16221a7b2a5e6": "SSH Sentinel 1.4.1",
}

_BY_PREFIX: dict[bytes, str] = {bytes.fromhex(prefix): name for prefix, name in _NAMES.items()}
_LENGTHS: tuple[int, ...] = tuple(sorted({len(prefix) for prefix in _BY_PREFIX}, reverse=True))


def identify(vid: bytes) -> str | None:
    """The name of a vendor id by its longest known prefix, or None. Never peer text."""
    for length in _LENGTHS:
        name = _BY_PREFIX.get(vid[:length]) if length <= len(vid) else None
        if name is not None:
            return name
    return None


NATT_VENDOR_IDS: frozenset[bytes] = frozenset(
    (
        RFC3947,
        NATT_DRAFT_00,
        NATT_DRAFT_01,
        NATT_DRAFT_02,
        NATT_DRAFT_02_NEWLINE,
        NATT_DRAFT_03,
        NATT_DRAFT_04,
        NATT_DRAFT_05,
        NATT_DRAFT_06,
        NATT_DRAFT_07,
        NATT_DRAFT_08,
        NATT_DRAFT_UNNUMBERED,
    )
)


@record(frozen=True, slots=True)
class Fingerprint:
    """A server by the vendor ids of its MM2; the first of these that is not empty decides.

    ``marks``: any of these prefixes. ``order``: exactly these, in this order. ``together``: all
    of these. ``only``: exactly these in any order, NAT-T ids not counted, because many
    responders send back the one NAT-T id that they chose among the initiator's.
    """

    product: str
    marks: tuple[bytes, ...] = ()
    order: tuple[bytes, ...] = ()
    together: tuple[bytes, ...] = ()
    only: tuple[bytes, ...] = ()

    def matches(self, vids: tuple[bytes, ...]) -> bool:
        if self.marks:
            return any(vid.startswith(mark) for vid in vids for mark in self.marks)
        if self.order:
            return vids == self.order
        if self.together:
            return set(self.together) <= set(vids)
        return set(vids) - NATT_VENDOR_IDS == set(self.only)


def _hex(*values: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(value) for value in values)


# In order: what only one product sends before what several may send.
FINGERPRINTS: tuple[Fingerprint, ...] = (
    Fingerprint("Windows (RRAS)", marks=(MS_NT5,)),
    Fingerprint("FortiGate", marks=_hex("1d6e178f6c2c0be284985465450fe9d4")),
    Fingerprint("Check Point", marks=_hex("f4ed19e0c114eb516faaac0ee37daf2807b4381f")),
    Fingerprint("Cisco ASA or VPN 3000", marks=_hex("1f07f70eaa6514d3b0fa96542a")),
    Fingerprint("Cisco IOS", marks=_hex("3e984048")),
    Fingerprint("Juniper SRX", marks=_hex("fd808804df73b15150709d878044cde0ac1efcde")),
    Fingerprint(
        "Juniper NetScreen",
        marks=(
            *(prefix for prefix, name in _BY_PREFIX.items() if name == "NetScreen"),
            *_hex("4865617274426561745f4e6f74696679"),
        ),
    ),
    Fingerprint("SonicWall", marks=_hex("404bf439522ca3f6", "5b362bc820f6", "5b362bc820f7")),
    Fingerprint(
        "ZyXEL",
        marks=_hex("b858d1addd08c1e8adafea150608aa4497aa6cc8", "f758f22668750f03b08df6ebe1d0"),
    ),
    Fingerprint("strongSwan", marks=_hex("882fe56d6fd20dbc2251613b2ebe5beb")),
    Fingerprint("Libreswan", marks=_hex("4f452d4c696272657377616e2d", "4f454e")),
    Fingerprint("Openswan", marks=_hex("4f5357", "4f45")),
    Fingerprint("racoon", marks=_hex("7003cbc1097dbe9c2600ba6983bc8b35")),
    Fingerprint("Huawei", marks=_hex("485541574549")),
    Fingerprint(
        "SoftEther",
        order=(
            RFC3947,
            NATT_DRAFT_03,
            NATT_DRAFT_02_NEWLINE,
            NATT_DRAFT_02,
            NATT_DRAFT_00,
            DPD,
        ),
    ),
    Fingerprint("Cisco IOS", together=(CISCO_UNITY, DPD, XAUTH)),
    Fingerprint("strongSwan", only=(XAUTH, DPD, FRAGMENTATION)),
    Fingerprint("strongSwan", only=(XAUTH, DPD)),
    Fingerprint("Libreswan", only=(DPD, FRAGMENTATION_BARE)),
)


def fingerprint(vids: Iterable[bytes]) -> str | None:
    """The implementation that a responder's vendor ids point to, or None. A hint, not a proof."""
    return _fingerprint(tuple(vids))


@lru_cache(maxsize=64)
def _fingerprint(given: tuple[bytes, ...]) -> str | None:
    if not given:
        return None
    return next((entry.product for entry in FINGERPRINTS if entry.matches(given)), None)

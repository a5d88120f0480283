"""LCP options (RFC 1661 section 6, RFC 1570, RFC 1990, RFC 1994, RFC 3748) and their text."""

from __future__ import annotations

from vpndiag.protocols.ppp import protocols
from vpndiag.protocols.ppp.options import Option, raw_text
from vpndiag.protocols.wire import u16, u32
from vpndiag.records import record

MRU = 1
ACCM = 2
AUTH = 3
QUALITY = 4
MAGIC = 5
PFC = 7
ACFC = 8
FCS_ALTERNATIVES = 9
SELF_DESCRIBING_PAD = 10
NUMBERED_MODE = 11
CALLBACK = 13
COMPOUND_FRAMES = 15
MRRU = 17
SHORT_SEQUENCE = 18
ENDPOINT = 19
MULTILINK_PLUS = 22
LINK_DISCRIMINATOR = 23

NAMES = {
    0: "Vendor",
    MRU: "MRU",
    ACCM: "ACCM",
    AUTH: "Auth",
    QUALITY: "Quality",
    MAGIC: "Magic",
    6: "Reserved-6",
    PFC: "PFC",
    ACFC: "ACFC",
    FCS_ALTERNATIVES: "FCS-Alternatives",
    SELF_DESCRIBING_PAD: "Self-Describing-Pad",
    NUMBERED_MODE: "Numbered-Mode",
    12: "Multilink-Procedure",
    CALLBACK: "Callback",
    14: "Connect-Time",
    COMPOUND_FRAMES: "Compound-Frames",
    16: "Nominal-Data-Encapsulation",
    MRRU: "MRRU",
    SHORT_SEQUENCE: "Short-Sequence",
    ENDPOINT: "Endpoint",
    20: "Proprietary",
    21: "DCE-Identifier",
    MULTILINK_PLUS: "Multilink-Plus",
    LINK_DISCRIMINATOR: "Link-Discriminator",
    24: "LCP-Authentication",
    26: "Prefix-Elision",
    27: "Multilink-Header-Format",
    28: "Internationalization",
}

CHAP_MD5_ALGORITHM = 0x05
MSCHAPV1_ALGORITHM = 0x80
MSCHAPV2_ALGORITHM = 0x81
CHAP_ALGORITHMS = {
    CHAP_MD5_ALGORITHM: "MD5",
    0x06: "SHA-1",
    0x07: "SHA-256",
    0x08: "SHA3-256",
    MSCHAPV1_ALGORITHM: "MS-CHAPv1",
    MSCHAPV2_ALGORITHM: "MS-CHAPv2",
}

CALLBACK_OPERATIONS = {
    0: "by user authentication",
    1: "dialing string",
    2: "location identifier",
    3: "E.164 number",
    4: "distinguished name",
    6: "CBCP",
}
ENDPOINT_CLASSES = {
    0: "null",
    1: "local",
    2: "IP",
    3: "MAC",
    4: "PPP-Magic",
    5: "PSN-Directory",
}


@record(frozen=True, slots=True)
class AuthDemand:
    """What an Authentication-Protocol option asks for: protocol number, CHAP algorithm (None for
    other protocols) and any further raw data."""

    protocol: int
    algorithm: int | None = None
    extra: bytes = b""

    @property
    def name(self) -> str:
        """``"PAP"``, ``"CHAP MD5"``, ``"CHAP MS-CHAPv2"``, ``"EAP"``, ``"0xc027"``..."""
        text = protocols.protocol_name(self.protocol)
        if self.algorithm is not None:
            text += " " + (CHAP_ALGORITHMS.get(self.algorithm) or f"0x{self.algorithm:02x}")
        return text

    def option(self) -> Option:
        algorithm = b"" if self.algorithm is None else bytes((self.algorithm,))
        return Option(AUTH, u16(self.protocol) + algorithm + self.extra)


AUTH_PAP = AuthDemand(protocols.PAP)
AUTH_CHAP_MD5 = AuthDemand(protocols.CHAP, CHAP_MD5_ALGORITHM)
AUTH_MSCHAPV1 = AuthDemand(protocols.CHAP, MSCHAPV1_ALGORITHM)
AUTH_MSCHAPV2 = AuthDemand(protocols.CHAP, MSCHAPV2_ALGORITHM)
AUTH_EAP = AuthDemand(protocols.EAP)


def read_auth(option: Option) -> AuthDemand | None:
    """The demand in an Authentication-Protocol option; None when it is too short to hold one."""
    if option.type != AUTH or len(option.data) < 2:
        return None
    number = int.from_bytes(option.data[:2], "big")
    if number == protocols.CHAP:
        if len(option.data) < 3:
            return None
        return AuthDemand(number, option.data[2], option.data[3:])
    return AuthDemand(number, None, option.data[2:])


def mru(value: int) -> Option:
    return Option(MRU, u16(value))


def magic(value: int) -> Option:
    return Option(MAGIC, u32(value))


def text(option: Option) -> str:
    """Readable form, such as ``"MRU 1400"`` or ``"Auth CHAP MS-CHAPv2"``."""
    name = NAMES.get(option.type) or f"Option-{option.type}"
    value: str | None = None
    if option.type in (MRU, MRRU, LINK_DISCRIMINATOR):
        number = option.number(2)
        value = None if number is None else str(number)
    elif option.type in (ACCM, MAGIC):
        number = option.number(4)
        value = None if number is None else f"0x{number:08x}"
    elif option.type == AUTH:
        demand = read_auth(option)
        if demand is not None and not demand.extra:
            value = demand.name
    elif option.type == QUALITY and len(option.data) >= 2:
        value = protocols.protocol_name(int.from_bytes(option.data[:2], "big"))
        if len(option.data) == 6:
            value += f" every {int.from_bytes(option.data[2:], 'big') / 100:g} s"
    elif option.type == CALLBACK and option.data:
        value = CALLBACK_OPERATIONS.get(option.data[0])
        if value is not None and len(option.data) > 1:
            value += " " + option.data[1:].hex()
    elif option.type == ENDPOINT and option.data:
        kind = ENDPOINT_CLASSES.get(option.data[0]) or str(option.data[0])
        value = f"{kind} {option.data[1:].hex()}".rstrip()
    return raw_text(name, option) if value is None else f"{name} {value}"

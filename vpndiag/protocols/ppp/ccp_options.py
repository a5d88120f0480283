"""CCP options: compression methods (RFC 1962) and MPPE/MPPC (RFC 2118, 3078, 3079), as text.

None of them is ever used by this package: inside IPsec they add nothing. They are read to tell
what a peer demanded.
"""

from __future__ import annotations

from vpndiag.protocols.ppp.options import Option, raw_text
from vpndiag.protocols.wire import u32

OUI = 0
PREDICTOR_1 = 1
PREDICTOR_2 = 2
STAC = 17
MPPE = 18
BSD = 21
DEFLATE_DRAFT = 24
DEFLATE = 26

NAMES = {
    OUI: "OUI",
    PREDICTOR_1: "Predictor-1",
    PREDICTOR_2: "Predictor-2",
    3: "Puddle-Jumper",
    16: "HP-PPC",
    STAC: "Stac",
    MPPE: "MPPE",
    19: "Gandalf-FZA",
    20: "V42bis",
    BSD: "BSD-Compress",
    23: "LZS-DCP",
    DEFLATE_DRAFT: "Deflate (draft)",
    DEFLATE: "Deflate",
    27: "V44",
}

MPPC = 0x00000001
MPPE_OBSOLETE = 0x00000010
MPPE_40 = 0x00000020
MPPE_128 = 0x00000040
MPPE_56 = 0x00000080
MPPE_STATELESS = 0x01000000
"""Supported Bits of option 18 (RFC 3078 section 2)."""

_BITS = (
    (MPPE_128, "128-bit"),
    (MPPE_56, "56-bit"),
    (MPPE_40, "40-bit"),
    (MPPE_OBSOLETE, "obsolete-D"),
    (MPPE_STATELESS, "stateless"),
    (MPPC, "MPPC"),
)


def mppe(bits: int) -> Option:
    return Option(MPPE, u32(bits))


def mppe_bits(option: Option) -> int | None:
    """The Supported Bits of an MPPE/MPPC option; None for anything else."""
    return option.number(4) if option.type == MPPE else None


def demands_encryption(option: Option) -> bool:
    """True for option 18 with one of its encryption bits (not for plain MPPC compression)."""
    return bool((mppe_bits(option) or 0) & (MPPE_40 | MPPE_56 | MPPE_128 | MPPE_OBSOLETE))


def text(option: Option) -> str:
    """Readable form, such as ``"MPPE 128-bit stateless"``."""
    name = NAMES.get(option.type) or f"Option-{option.type}"
    bits = mppe_bits(option)
    if bits is None:
        return raw_text(name, option)
    parts = [label for bit, label in _BITS if bits & bit]
    other = bits & ~sum(bit for bit, _ in _BITS)
    if other:
        parts.append(f"0x{other:08x}")
    return " ".join([name, *(parts or ["none"])])

"""IPV6CP options (RFC 5072 section 4) and their text."""

from __future__ import annotations

from vpndiag.protocols.ppp.options import Option, raw_text

INTERFACE_ID = 1
IPV6_COMPRESSION = 2

NAMES = {INTERFACE_ID: "Interface-Identifier", IPV6_COMPRESSION: "IPv6-Compression"}


def interface_id(value: bytes) -> Option:
    """``value`` has 8 bytes."""
    return Option(INTERFACE_ID, value)


def text(option: Option) -> str:
    """Readable form, such as ``"Interface-Identifier 0200:5eff:fe00:5301"``."""
    name = NAMES.get(option.type) or f"Option-{option.type}"
    if option.type == INTERFACE_ID and len(option.data) == 8:
        return f"{name} {option.data.hex(':', 2)}"
    return raw_text(name, option)

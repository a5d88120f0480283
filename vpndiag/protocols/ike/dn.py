"""Distinguished names of ID_DER_ASN1_DN and certificate requests as text (X.501, RFC 4514)."""

from __future__ import annotations

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.wire import Reader

MAX_ATTRIBUTES = 64
"""Attributes of one name."""

_SEQUENCE = 0x30
_SET = 0x31
_OID = 0x06
_UTF16 = 0x1E
_KEYS: dict[str, str] = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}


def _element(reader: Reader, wanted: int | None = None) -> tuple[int, Reader]:
    """Tag and content of one DER element with a short tag."""
    start = reader.offset
    tag = reader.u8("DER tag")
    if wanted is not None and tag != wanted:
        raise DecodeError(f"DER tag {tag:#x} in place of {wanted:#x}", start)
    length = reader.u8("DER length")
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 3:
            raise DecodeError("DER length", start + 1)
        length = int.from_bytes(reader.take(count, "DER length"), "big")
    return tag, reader.sub(length, "DER content")


def _oid(data: bytes) -> str:
    arcs: list[int] = []
    value = 0
    for byte in data[:32]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    if not arcs:
        return "?"
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _printable(text: str) -> str:
    """One line, with separators, backslashes and everything unprintable escaped."""
    out: list[str] = []
    for char in text:
        if char in ',+"\\<>;':
            out.append("\\" + char)
        elif char.isascii() and char.isprintable():
            out.append(char)
        else:
            out.append("".join(f"\\{byte:02X}" for byte in char.encode("utf-8", "replace")))
    return "".join(out)


def dn_text(der: bytes) -> str:
    """A DER name as printable ASCII such as ``CN=vpn,O=Example,C=DE``, last RDN first.

    :raises DecodeError: not a name.
    """
    outer = Reader(der)
    _, name = _element(outer, _SEQUENCE)
    if len(outer):
        raise DecodeError("bytes after the name", outer.offset)
    parts: list[str] = []
    count = 0
    while len(name):
        _, rdn = _element(name, _SET)
        pairs: list[str] = []
        while len(rdn):
            count += 1
            if count > MAX_ATTRIBUTES:
                raise DecodeError(f"more than {MAX_ATTRIBUTES} attributes", rdn.offset)
            _, pair = _element(rdn, _SEQUENCE)
            _, kind = _element(pair, _OID)
            tag, value = _element(pair)
            key = _oid(kind.rest())
            encoding = "utf-16-be" if tag == _UTF16 else "utf-8"
            text = value.rest().decode(encoding, "backslashreplace")
            pairs.append(f"{_KEYS.get(key, key)}={_printable(text)}")
        parts.append("+".join(pairs))
    return ",".join(reversed(parts))

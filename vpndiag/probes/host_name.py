"""What can be asked for: a name as DNS takes it, or an address."""

from __future__ import annotations

import importlib
import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def literal(name: str) -> str | None:
    """The IP address that ``name`` is, without brackets, scope id kept (an IPv4-mapped one is the
    IPv4 address, RFC 4291 section 2.5.5.2); None for a real name."""
    text = name.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def ascii_name(name: str) -> str:
    """The name as DNS is asked for it (A-labels). Raises ValueError with a text for the user."""
    text = name.strip()
    if not text or text == ".":
        raise ValueError("the name is empty")
    if "://" in text:
        raise ValueError("this is a URL; the server's name alone is wanted")
    if any(character in text for character in "/?#@\\"):
        raise ValueError("a server name has no '/', '?', '#', '@' or backslash")
    if ":" in text or "[" in text or "]" in text:
        raise ValueError("neither an IPv6 address nor a name; a port cannot be given here")
    if any(character.isspace() for character in text):
        raise ValueError("a server name has no spaces")
    if not text.isprintable():
        raise ValueError("the name holds control or invisible characters")
    if not text.isascii():
        text = _idna(text)
    for label in text.removesuffix(".").split("."):
        if not label:
            raise ValueError("two dots in a row, or a dot at the start")
        if len(label) > 63:
            raise ValueError(f"a label of {len(label)} characters; 63 is the limit")
        if not all(c.isalnum() or c in "-_" for c in label):
            raise ValueError("characters that a host name cannot have")
        if label[0] == "-" or label[-1] == "-":
            raise ValueError("a label starts or ends with a hyphen")
    if len(text.removesuffix(".")) > 253:
        raise ValueError("longer than 253 characters")
    if text.removesuffix(".").rpartition(".")[2].isdecimal():
        raise ValueError("looks like an IPv4 address but is none")
    return text.lower()


def _idna(text: str) -> str:
    """IDNA 2008 where the ``idna`` package is installed, else Python's IDNA 2003."""
    try:
        module: Any = importlib.import_module("idna")
    except ImportError:
        module = None
    try:
        if module is not None:
            return bytes(module.encode(text, uts46=True)).decode("ascii")
        return text.lower().encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("not a valid internationalised name") from error

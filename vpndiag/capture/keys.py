"""Keys for decryption, as files of others hold them, and writing them for Wireshark.

Read: Wireshark's ``ikev1_decryption_table`` and ``esp_sa``, and what ``ip xfrm state`` prints.
Written: the first two.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.esp.suites import CIPHERS, INTEGRITIES, Cipher, EspSuite, Integrity
from vpndiag.records import record

MAX_FILE = 4 * 1024 * 1024
MAX_KEYS = 65_536
IKE_FILE = "ikev1_decryption_table"
ESP_FILE = "esp_sa"


class KeyFileError(Exception):
    """A key file that cannot be read; ``str()`` is one line."""


@record(frozen=True, slots=True)
class EspKey:
    """Keys of one ESP SA. ``source`` and ``destination`` are ``*`` when any will do."""

    spi: int
    suite: EspSuite
    encryption_key: bytes = field(repr=False)
    integrity_key: bytes = field(repr=False)
    source: str = "*"
    destination: str = "*"


@record(slots=True)
class Keys:
    """``ike``: cipher keys by initiator cookie (two sides with different pre-shared keys have
    different ones); ``esp``: by SPI. ``unused`` are notes on lines that could not be used."""

    ike: dict[bytes, list[bytes]] = field(default_factory=dict, repr=False)
    esp: dict[int, list[EspKey]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.ike or self.esp)

    def add_ike(self, cookie: bytes, key: bytes) -> None:
        known = self.ike.setdefault(cookie, [])
        if key not in known and len(known) < 8 and len(self.ike) <= MAX_KEYS:
            known.append(key)

    def add_esp(self, key: EspKey) -> None:
        known = self.esp.setdefault(key.spi, [])
        if key not in known and len(known) < 8 and len(self.esp) <= MAX_KEYS:
            known.append(key)


def read_keys(path: str | Path) -> Keys:
    """The keys in a file, or in all files of a directory that hold some.

    Empty key files are fine: a run that ends before there are keys leaves such ones.

    :raises KeyFileError: it cannot be read, or holds no key in a format that is known.
    """
    path = Path(path)
    keys = Keys()
    try:
        if path.is_dir():
            for entry in sorted(path.iterdir()):
                if entry.is_file() and entry.stat().st_size <= MAX_FILE:
                    text = _text(entry.read_bytes())
                    if text is not None:
                        _read(text, keys)
        else:
            with path.open("rb") as file:
                text = _text(file.read(MAX_FILE))
            if text is None:
                raise KeyFileError(f"{path}: not a text file with keys")
            _read(text, keys)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror or 'cannot be read'}") from None
    empty = path.is_dir() and any((path / name).is_file() for name in (IKE_FILE, ESP_FILE))
    if not keys and (keys.unused or not empty):
        why = f" ({keys.unused[0]})" if keys.unused else ""
        raise KeyFileError(
            f"{path}: no keys found{why}; expected Wireshark's ikev1_decryption_table or esp_sa, "
            "or the output of 'ip xfrm state'"
        )
    return keys


def _text(data: bytes) -> str | None:
    if b"\0" in data[:4096]:
        return None
    return data.decode("utf-8", "replace")


_IKE_LINE = re.compile(r"\s*\"?([0-9a-fA-F]{16})\"?\s*,\s*\"?([0-9a-fA-F]{16,128})\"?\s*$")
_XFRM_HEAD = re.compile(r"src (\S+) dst (\S+)")
_XFRM_SPI = re.compile(r"\s+proto esp spi (0x[0-9a-fA-F]{1,8})")
_XFRM_ALGORITHM = re.compile(
    r"\s+(auth-trunc|auth|enc|aead) (\S+)(?: 0x([0-9a-fA-F]*))?(?: \(\d+ bits\))?(?: (\d+))?\s*$"
)


def _read(text: str, keys: Keys) -> None:
    xfrm = _Xfrm(keys)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _IKE_LINE.match(line)
        if found and len(found[2]) % 2 == 0:
            keys.add_ike(bytes.fromhex(found[1]), bytes.fromhex(found[2]))
        elif line.startswith('"IP'):
            _esp_line(line, number, keys)
        else:
            xfrm.line(line)
    xfrm.end()


_WIRESHARK_CIPHERS = (
    ("AES-GCM with 8 ", Cipher.AES_GCM_8),
    ("AES-GCM with 12 ", Cipher.AES_GCM_12),
    ("AES-GCM", Cipher.AES_GCM_16),
    ("AES-CBC", Cipher.AES_CBC),
    ("TripleDES-CBC", Cipher.TRIPLE_DES),
    ("DES-CBC", Cipher.DES),
    ("NULL", Cipher.NULL),
)
_WIRESHARK_INTEGRITIES = (
    ("HMAC-SHA-1-96", Integrity.HMAC_SHA1_96),
    ("HMAC-SHA-256-96", Integrity.HMAC_SHA2_256_96),
    ("HMAC-SHA-256-128", Integrity.HMAC_SHA2_256_128),
    ("HMAC-SHA-384-192", Integrity.HMAC_SHA2_384_192),
    ("HMAC-SHA-512-256", Integrity.HMAC_SHA2_512_256),
    ("HMAC-MD5-96", Integrity.HMAC_MD5_96),
    ("NULL", Integrity.NONE),
)


def _esp_line(line: str, number: int, keys: Keys) -> None:
    """A line of ``esp_sa``: protocol, source, destination, SPI, cipher, key, integrity, key."""
    try:
        fields = next(csv.reader([line]))
        _, source, destination, spi_text, cipher_name, key, auth_name, auth_key = fields[:8]
        spi = int(spi_text, 0)
    except (ValueError, csv.Error, StopIteration):
        keys.unused.append(f"line {number} is no ESP SA with one SPI")
        return
    cipher = next((c for name, c in _WIRESHARK_CIPHERS if cipher_name.startswith(name)), None)
    auth = next((i for name, i in _WIRESHARK_INTEGRITIES if auth_name.startswith(name)), None)
    if cipher is None or auth is None:
        keys.unused.append(f"SPI {spi:#010x}: {cipher_name}, {auth_name} is not supported")
        return
    _add_esp(keys, spi, cipher, _key(key), auth, _key(auth_key), source, destination)


def _key(text: str) -> bytes:
    """Hexadecimal behind ``0x``, or the characters themselves, as Wireshark takes it."""
    if text[:2] in ("0x", "0X"):
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            return b""
    return text.encode()


def _add_esp(
    keys: Keys,
    spi: int,
    cipher: Cipher,
    key: bytes,
    auth: Integrity,
    auth_key: bytes,
    source: str,
    destination: str,
) -> None:
    spec = CIPHERS[cipher]
    if cipher is Cipher.NULL:
        key = b""
    if spec.aead_icv:
        auth, auth_key = Integrity.NONE, b""
    try:
        suite = EspSuite(cipher, 8 * (len(key) - spec.salt), auth)
    except LocalProtocolError as error:
        keys.unused.append(f"SPI {spi:#010x}: {error}")
        return
    if len(auth_key) != suite.integrity_key_length or not 0 < spi <= 0xFFFFFFFF:
        keys.unused.append(f"SPI {spi:#010x}: the integrity key has the wrong length")
        return
    keys.add_esp(EspKey(spi, suite, key, auth_key, source, destination))


_XFRM_CIPHERS = {
    "cbc(aes)": Cipher.AES_CBC,
    "aes": Cipher.AES_CBC,
    "cbc(des3_ede)": Cipher.TRIPLE_DES,
    "des3_ede": Cipher.TRIPLE_DES,
    "cbc(des)": Cipher.DES,
    "des": Cipher.DES,
    "ecb(cipher_null)": Cipher.NULL,
    "cipher_null": Cipher.NULL,
}
_XFRM_AUTHS = {
    ("hmac(sha1)", 96): Integrity.HMAC_SHA1_96,
    ("hmac(md5)", 96): Integrity.HMAC_MD5_96,
    ("hmac(sha256)", 96): Integrity.HMAC_SHA2_256_96,
    ("hmac(sha256)", 128): Integrity.HMAC_SHA2_256_128,
    ("hmac(sha384)", 192): Integrity.HMAC_SHA2_384_192,
    ("hmac(sha512)", 256): Integrity.HMAC_SHA2_512_256,
}
_GCM = {64: Cipher.AES_GCM_8, 96: Cipher.AES_GCM_12, 128: Cipher.AES_GCM_16}


class _Xfrm:
    """``ip xfrm state``: one state after another, each begun by its addresses."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._reset("*", "*")

    def _reset(self, source: str, destination: str) -> None:
        self._ends = (source, destination)
        self._spi: int | None = None
        self._cipher: tuple[Cipher, bytes] | None = None
        self._auth: tuple[Integrity, bytes] = (Integrity.NONE, b"")

    def line(self, line: str) -> None:
        if head := _XFRM_HEAD.match(line):
            self.end()
            self._reset(head[1], head[2])
        elif spi := _XFRM_SPI.match(line):
            self._spi = int(spi[1], 16)
        elif self._spi is not None and (found := _XFRM_ALGORITHM.match(line)):
            self._algorithm(found[1], found[2], found[3] or "", int(found[4] or 0))

    def _algorithm(self, kind: str, name: str, key: str, bits: int) -> None:
        if len(key) % 2:
            return
        raw = bytes.fromhex(key)
        if kind == "enc" and name in _XFRM_CIPHERS:
            self._cipher = _XFRM_CIPHERS[name], raw
        elif kind == "aead" and name.startswith("rfc4106") and bits in _GCM:
            self._cipher = _GCM[bits], raw
        elif kind.startswith("auth"):
            # iproute2 without "-trunc": 96 bits, as the kernel's plain algorithms have it.
            auth = _XFRM_AUTHS.get((name, bits or 96))
            if auth is not None:
                self._auth = auth, raw

    def end(self) -> None:
        if self._spi is not None and self._cipher is not None:
            _add_esp(self._keys, self._spi, *self._cipher, *self._auth, *self._ends)
        self._reset("*", "*")


_CIPHER_NAMES = {
    Cipher.AES_CBC: "AES-CBC [RFC3602]",
    Cipher.AES_GCM_8: "AES-GCM with 8 octet ICV [RFC4106]",
    Cipher.AES_GCM_12: "AES-GCM with 12 octet ICV [RFC4106]",
    Cipher.AES_GCM_16: "AES-GCM with 16 octet ICV [RFC4106]",
    Cipher.TRIPLE_DES: "TripleDES-CBC [RFC2451]",
    Cipher.DES: "DES-CBC [RFC2405]",
    Cipher.NULL: "NULL",
}
_INTEGRITY_NAMES = {
    Integrity.NONE: "NULL",
    Integrity.HMAC_MD5_96: "HMAC-MD5-96 [RFC2403]",
    Integrity.HMAC_SHA1_96: "HMAC-SHA-1-96 [RFC2404]",
    Integrity.HMAC_SHA2_256_128: "HMAC-SHA-256-128 [RFC4868]",
    Integrity.HMAC_SHA2_256_96: "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]",
    Integrity.HMAC_SHA2_384_192: "HMAC-SHA-384-192 [RFC4868]",
    Integrity.HMAC_SHA2_512_256: "HMAC-SHA-512-256 [RFC4868]",
}
assert set(_CIPHER_NAMES) == set(CIPHERS) and set(_INTEGRITY_NAMES) == set(INTEGRITIES)


def esp_lines(keys: Iterable[EspKey], *, ipv6: bool = False) -> Iterator[str]:
    """Lines of Wireshark's ``esp_sa``."""
    for key in keys:
        encryption = f"0x{key.encryption_key.hex()}" if key.encryption_key else ""
        integrity = f"0x{key.integrity_key.hex()}" if key.integrity_key else ""
        yield ",".join(
            f'"{value}"'
            for value in (
                "IPv6" if ipv6 or ":" in key.source else "IPv4",
                key.source,
                key.destination,
                f"{key.spi:#010x}",
                _CIPHER_NAMES[key.suite.cipher],
                encryption,
                _INTEGRITY_NAMES[key.suite.integrity],
                integrity,
            )
        )


def write_keys(
    directory: str | Path,
    *,
    ike: Iterable[tuple[bytes, bytes]] = (),
    esp: Iterable[EspKey] = (),
) -> tuple[Path, Path]:
    """Write ``ikev1_decryption_table`` and ``esp_sa`` into ``directory``, readable by the owner
    only. Put into Wireshark's profile folder, they open the capture there as well.

    :param ike: initiator cookie and phase 1 cipher key of each IKE SA.
    :raises OSError: it cannot be written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / IKE_FILE, directory / ESP_FILE
    lines = ([f"{cookie.hex()},{key.hex()}" for cookie, key in ike], list(esp_lines(esp)))
    for path, content in zip(paths, lines, strict=True):
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text("".join(line + "\n" for line in content), "utf-8")
    return paths

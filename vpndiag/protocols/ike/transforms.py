"""Phase 1 and ESP transforms as values: to and from attributes, text and short names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike.algorithms import (
    AuthMethod,
    EncapsulationMode,
    Encryption,
    EspAuth,
    EspCipher,
    Group,
    Hash,
    LifeType,
    Phase1Attribute,
    Phase2Attribute,
)
from vpndiag.protocols.ike.attributes import Attribute
from vpndiag.protocols.ike.constants import KEY_IKE, ProtocolId, Registry, name_of
from vpndiag.protocols.ike.notation import (
    ESP_AUTHS,
    ESP_CIPHERS,
    GROUPS,
    IKE_CIPHERS,
    IKE_HASHES,
    look_up,
    short_name,
)
from vpndiag.protocols.ike.payloads import Proposal, SaPayload, Transform
from vpndiag.records import record

_WEAK_GROUPS = (
    *(Group.MODP768, Group.MODP1024, Group.MODP1536, Group.EC2N155, Group.EC2N185),
    *(Group.MODP1024_160, Group.MODP2048_224, Group.MODP2048_256),
)
_STRONG_CIPHERS = (Encryption.AES_CBC, Encryption.CAMELLIA_CBC)


def _keyed(registry: type[Registry], value: int, key_length: int | None) -> str:
    return name_of(registry, value) + (f"-{key_length}" if key_length else "")


def _life_attributes(seconds: int | None, kilobytes: int | None, wide: bool) -> list[Attribute]:
    """Types 0 and 1 stand for life type and duration: the caller puts in its phase's numbers."""
    out: list[Attribute] = []
    for kind, value in ((LifeType.SECONDS, seconds), (LifeType.KILOBYTES, kilobytes)):
        if value is not None:
            if not 0 <= value < 1 << 32:
                raise LocalProtocolError("a lifetime does not fit 32 bits")
            out.append(Attribute.tv(0, kind))
            out.append(
                Attribute.tlv(1, value.to_bytes(4, "big")) if wide else Attribute.number(1, value)
            )
    return out


def _lifetimes(
    attributes: Iterable[Attribute], type_number: int, duration_number: int
) -> tuple[int | None, int | None]:
    """Seconds and kilobytes. A duration belongs to the life type before it (RFC 2407 4.5)."""
    seconds = kilobytes = None
    kind = int(LifeType.SECONDS)
    for attribute in attributes:
        if attribute.type == type_number:
            kind = attribute.int_value
        elif attribute.type == duration_number:
            if kind == LifeType.SECONDS and seconds is None:
                seconds = attribute.int_value
            elif kind == LifeType.KILOBYTES and kilobytes is None:
                kilobytes = attribute.int_value
    return seconds, kilobytes


@record(frozen=True, slots=True)
class IkeTransform:
    """A phase 1 transform.

    The numbers are those of :class:`Encryption`, :class:`Hash`, :class:`Group` and
    :class:`AuthMethod`; a peer's may be unknown ones, and 0 where it left the attribute out.
    ``key_length`` in bits, None when not said.
    """

    encryption: int
    key_length: int | None
    hash: int
    group: int
    auth_method: int = AuthMethod.PSK
    life_seconds: int | None = None
    life_kb: int | None = None

    @property
    def text(self) -> str:
        """Such as ``AES-CBC-256/SHA1/MODP2048/PSK``."""
        return "/".join(
            (
                _keyed(Encryption, self.encryption, self.key_length),
                name_of(Hash, self.hash),
                name_of(Group, self.group),
                name_of(AuthMethod, self.auth_method),
            )
        )

    @property
    def short(self) -> str:
        """Such as ``aes256-sha1-modp2048``, in the notation of :func:`parse_ike` if it has one."""
        return "-".join(
            (
                short_name(IKE_CIPHERS, (self.encryption, self.key_length))
                or _keyed(Encryption, self.encryption, self.key_length),
                short_name(IKE_HASHES, self.hash) or name_of(Hash, self.hash),
                name_of(Group, self.group).lower(),
            )
        )

    @property
    def weak(self) -> tuple[str, ...]:
        """Names of weak algorithms: those that RFC 8247 says MUST NOT or SHOULD NOT be used, and
        all ciphers with blocks of 64 bits (RFC 8221 section 5 on 3DES, RFC 9395)."""
        found: list[str] = []
        if self.encryption not in _STRONG_CIPHERS:
            found.append(name_of(Encryption, self.encryption))
        if self.hash == Hash.MD5:
            found.append(name_of(Hash, self.hash))
        if self.group in _WEAK_GROUPS:
            found.append(name_of(Group, self.group))
        return tuple(found)

    def same_algorithms(self, other: IkeTransform) -> bool:
        """Equal but for lifetimes."""
        mine = replace(self, life_seconds=None, life_kb=None)
        return mine == replace(other, life_seconds=None, life_kb=None)

    def to_transform(self, number: int, *, wide_life: bool = False) -> Transform:
        """:param wide_life: send the duration as four bytes even if two are enough."""
        attributes = [Attribute.tv(Phase1Attribute.ENCRYPTION, self.encryption)]
        if self.key_length:
            attributes.append(Attribute.tv(Phase1Attribute.KEY_LENGTH, self.key_length))
        attributes += (
            Attribute.tv(Phase1Attribute.HASH, self.hash),
            Attribute.tv(Phase1Attribute.GROUP, self.group),
            Attribute.tv(Phase1Attribute.AUTH_METHOD, self.auth_method),
        )
        numbers = (Phase1Attribute.LIFE_TYPE, Phase1Attribute.LIFE_DURATION)
        attributes += (
            replace(attribute, type=numbers[attribute.type])
            for attribute in _life_attributes(self.life_seconds, self.life_kb, wide_life)
        )
        return Transform(number, KEY_IKE, tuple(attributes))

    @classmethod
    def from_transform(cls, transform: Transform) -> IkeTransform:
        """Attributes that this class has no field for are left out; see the transform itself."""
        seconds, kilobytes = _lifetimes(
            transform.attributes, Phase1Attribute.LIFE_TYPE, Phase1Attribute.LIFE_DURATION
        )
        return cls(
            transform.get(Phase1Attribute.ENCRYPTION) or 0,
            transform.get(Phase1Attribute.KEY_LENGTH) or None,
            transform.get(Phase1Attribute.HASH) or 0,
            transform.get(Phase1Attribute.GROUP) or 0,
            transform.get(Phase1Attribute.AUTH_METHOD) or 0,
            seconds,
            kilobytes,
        )


_ESP_KEY_BYTES: dict[int, int] = {
    EspCipher.DES_IV64: 8,
    EspCipher.DES: 8,
    EspCipher.DES_IV32: 8,
    EspCipher.TRIPLE_DES: 24,
    EspCipher.NULL: 0,
}
_ESP_SALT_BYTES: dict[int, int] = {
    EspCipher.AES_CTR: 4,
    EspCipher.AES_CCM_8: 3,
    EspCipher.AES_CCM_12: 3,
    EspCipher.AES_CCM_16: 3,
    EspCipher.AES_GCM_8: 4,
    EspCipher.AES_GCM_12: 4,
    EspCipher.AES_GCM_16: 4,
    EspCipher.NULL_AUTH_AES_GMAC: 4,
}
_VARIABLE_KEY = frozenset((*_ESP_SALT_BYTES, EspCipher.AES_CBC, EspCipher.CAMELLIA))
_ESP_AUTH_BYTES: dict[int, int] = {
    EspAuth.NONE: 0,
    EspAuth.HMAC_MD5: 16,
    EspAuth.HMAC_SHA1: 20,
    EspAuth.HMAC_SHA2_256: 32,
    EspAuth.HMAC_SHA2_384: 48,
    EspAuth.HMAC_SHA2_512: 64,
    EspAuth.AES_XCBC_MAC: 16,
}


@record(frozen=True, slots=True)
class EspTransform:
    """An ESP transform of quick mode.

    The numbers are those of :class:`EspCipher`, :class:`EspAuth` (0: none) and
    :class:`EncapsulationMode` (0: not said); ``key_length`` in bits, None when not said.
    """

    cipher: int
    key_length: int | None
    auth: int
    encapsulation_mode: int = EncapsulationMode.UDP_TRANSPORT
    pfs_group: int | None = None
    life_seconds: int | None = None
    life_kb: int | None = None

    @property
    def text(self) -> str:
        """Such as ``AES-CBC-128/HMAC-SHA1-96/UDP-transport`` (and ``/PFS MODP1024``)."""
        parts = [_keyed(EspCipher, self.cipher, self.key_length)]
        if self.auth or not self.is_aead:
            parts.append(name_of(EspAuth, self.auth))
        if self.encapsulation_mode:
            parts.append(name_of(EncapsulationMode, self.encapsulation_mode))
        if self.pfs_group:
            parts.append(f"PFS {name_of(Group, self.pfs_group)}")
        return "/".join(parts)

    @property
    def short(self) -> str:
        """Such as ``aes128-sha1``, in the notation of :func:`parse_esp` if it has one."""
        parts = [
            short_name(ESP_CIPHERS, (self.cipher, self.key_length))
            or _keyed(EspCipher, self.cipher, self.key_length)
        ]
        if self.auth:
            parts.append(short_name(ESP_AUTHS, self.auth) or name_of(EspAuth, self.auth))
        if self.pfs_group:
            parts.append(name_of(Group, self.pfs_group).lower())
        return "-".join(parts)

    @property
    def is_aead(self) -> bool:
        """Whether the cipher brings its own integrity check."""
        try:
            return EspCipher(self.cipher).is_aead
        except ValueError:
            return False

    @property
    def weak(self) -> tuple[str, ...]:
        """Names of algorithms that RFC 8221 says MUST NOT or SHOULD NOT be used, and NULL."""
        found: list[str] = []
        if self.cipher in (
            EspCipher.DES_IV64,
            EspCipher.DES,
            EspCipher.DES_IV32,
            EspCipher.RC4,
            EspCipher.TRIPLE_DES,
            EspCipher.BLOWFISH,
            EspCipher.NULL,
        ):
            found.append(name_of(EspCipher, self.cipher))
        if self.auth in (EspAuth.HMAC_MD5, EspAuth.DES_MAC, EspAuth.KPDK):
            found.append(name_of(EspAuth, self.auth))
        if not self.auth and not self.is_aead:
            found.append("no integrity check")
        if self.pfs_group in _WEAK_GROUPS:
            found.append(f"PFS {name_of(Group, self.pfs_group)}")
        return tuple(found)

    @property
    def enc_key_size(self) -> int:
        """Bytes of KEYMAT for the cipher, the salt of AES-GCM, -CCM and -CTR included.

        :raises LocalProtocolError: a cipher whose key size is not known.
        """
        if self.cipher in _VARIABLE_KEY:
            return (self.key_length or 128) // 8 + _ESP_SALT_BYTES.get(self.cipher, 0)
        if self.cipher in _ESP_KEY_BYTES:
            return _ESP_KEY_BYTES[self.cipher]
        raise LocalProtocolError(f"ESP cipher {name_of(EspCipher, self.cipher)} is not supported")

    @property
    def auth_key_size(self) -> int:
        """Bytes of KEYMAT for the integrity algorithm.

        :raises LocalProtocolError: an algorithm whose key size is not known.
        """
        if self.is_aead:
            return 0
        if self.auth in _ESP_AUTH_BYTES:
            return _ESP_AUTH_BYTES[self.auth]
        raise LocalProtocolError(f"ESP integrity {name_of(EspAuth, self.auth)} is not supported")

    def same_algorithms(self, other: EspTransform) -> bool:
        """Equal but for lifetimes."""
        mine = replace(self, life_seconds=None, life_kb=None)
        return mine == replace(other, life_seconds=None, life_kb=None)

    def to_transform(self, number: int, *, wide_life: bool = False) -> Transform:
        """:param wide_life: send durations as four bytes even if two are enough."""
        numbers = (Phase2Attribute.LIFE_TYPE, Phase2Attribute.LIFE_DURATION)
        attributes = [
            replace(attribute, type=numbers[attribute.type])
            for attribute in _life_attributes(self.life_seconds, self.life_kb, wide_life)
        ]
        if self.pfs_group:
            attributes.append(Attribute.tv(Phase2Attribute.GROUP, self.pfs_group))
        if self.encapsulation_mode:
            attributes.append(
                Attribute.tv(Phase2Attribute.ENCAPSULATION_MODE, self.encapsulation_mode)
            )
        if self.auth:
            attributes.append(Attribute.tv(Phase2Attribute.AUTH_ALGORITHM, self.auth))
        if self.key_length:
            attributes.append(Attribute.tv(Phase2Attribute.KEY_LENGTH, self.key_length))
        return Transform(number, self.cipher, tuple(attributes))

    @classmethod
    def from_transform(cls, transform: Transform) -> EspTransform:
        """Attributes that this class has no field for are left out; see the transform itself."""
        seconds, kilobytes = _lifetimes(
            transform.attributes, Phase2Attribute.LIFE_TYPE, Phase2Attribute.LIFE_DURATION
        )
        return cls(
            transform.transform_id,
            transform.get(Phase2Attribute.KEY_LENGTH) or None,
            transform.get(Phase2Attribute.AUTH_ALGORITHM) or 0,
            transform.get(Phase2Attribute.ENCAPSULATION_MODE) or 0,
            transform.get(Phase2Attribute.GROUP) or None,
            seconds,
            kilobytes,
        )


def ike_sa(transforms: Sequence[IkeTransform], *, wide_life: bool = False) -> SaPayload:
    """The SA payload of MM1: one ISAKMP proposal, transforms numbered from 1."""
    encoded = tuple(
        transform.to_transform(number, wide_life=wide_life)
        for number, transform in enumerate(transforms, 1)
    )
    return SaPayload((Proposal(1, ProtocolId.ISAKMP, b"", encoded),))


def esp_sa(transforms: Sequence[EspTransform], spi: bytes, *, wide_life: bool = False) -> SaPayload:
    """The SA payload of QM1: one ESP proposal with our inbound SPI (4 bytes)."""
    if len(spi) != 4:
        raise LocalProtocolError("an ESP SPI has four bytes")
    encoded = tuple(
        transform.to_transform(number, wide_life=wide_life)
        for number, transform in enumerate(transforms, 1)
    )
    return SaPayload((Proposal(1, ProtocolId.ESP, spi, encoded),))


def parse_ike(
    text: str,
    *,
    auth_method: int = AuthMethod.PSK,
    life_seconds: int | None = 28800,
    life_kb: int | None = None,
) -> IkeTransform:
    """``cipher-hash-group`` such as ``aes256-sha1-modp2048`` or ``3des-md5-dh2``.

    :raises LocalProtocolError: with a text that names what is wrong.
    """
    tokens = text.strip().lower().split("-")
    if len(tokens) != 3:
        raise LocalProtocolError(f"{text!r}: cipher-hash-group wanted, as aes256-sha1-modp2048")
    encryption, key_length = look_up(IKE_CIPHERS, tokens[0], "phase 1 cipher", text)
    return IkeTransform(
        encryption,
        key_length,
        look_up(IKE_HASHES, tokens[1], "hash", text),
        look_up(GROUPS, tokens[2], "Diffie-Hellman group", text),
        auth_method,
        life_seconds,
        life_kb,
    )


def parse_esp(
    text: str,
    *,
    encapsulation_mode: int = EncapsulationMode.UDP_TRANSPORT,
    life_seconds: int | None = 3600,
    life_kb: int | None = None,
) -> EspTransform:
    """``cipher-auth[-group]`` such as ``aes128-sha1``, or ``aes128gcm16[-group]``; a group asks
    for PFS.

    :raises LocalProtocolError: with a text that names what is wrong.
    """
    tokens = text.strip().lower().split("-")
    cipher, key_length = look_up(ESP_CIPHERS, tokens.pop(0), "ESP cipher", text)
    auth = int(EspAuth.NONE)
    if not EspCipher(cipher).is_aead:
        if not tokens:
            raise LocalProtocolError(f"{text!r}: an integrity algorithm is wanted, as aes128-sha1")
        auth = look_up(ESP_AUTHS, tokens.pop(0), "integrity algorithm", text)
    pfs_group = look_up(GROUPS, tokens.pop(0), "PFS group", text) if tokens else None
    if tokens:
        raise LocalProtocolError(f"{text!r}: nothing may follow the PFS group")
    return EspTransform(
        cipher, key_length, auth, encapsulation_mode, pfs_group, life_seconds, life_kb
    )

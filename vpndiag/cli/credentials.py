"""Keys, passwords and certificates of a run, from its options and the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vpndiag.cli.exits import UsageError
from vpndiag.secrets import ENVIRONMENT, Secret, from_file, obtain

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from vpndiag.cli.run import RunOptions
    from vpndiag.protocols.ike.config import RsaCredentials

_PSK = ENVIRONMENT["psk"]


def secrets_of(
    given: RunOptions, certificate: bool, notes: list[str]
) -> tuple[bytes | None, str | None]:
    """Pre-shared key and password, as far as this run needs them."""
    named = given.psk is not None or given.psk_file is not None or bool(os.environ.get(_PSK))
    psk: Secret | None = None
    if not given.plain_l2tp and not certificate and (given.user is not None or named):
        psk = obtain("psk", option=given.psk, file=given.psk_file)
        if psk is None or not psk:
            raise UsageError(
                "no pre-shared key: set VPNDIAG_PSK, or give --psk-file, or run on a terminal "
                "to be asked (or --cert and --key, or --plain-l2tp)"
            )
        if given.psk_hex:
            psk = Secret.from_hex(psk)
    password: Secret | None = None
    if given.user is not None:
        password = obtain("password", option=given.password, file=given.password_file)
        if password is None:
            raise UsageError(
                "no password: set VPNDIAG_PASSWORD, or give --password-file, or run on a terminal "
                "to be asked"
            )
    for secret in (psk, password):
        notes += secret.warnings if secret is not None else ()
    return (
        psk.raw() if psk is not None else None,
        password.text() if password is not None else None,
    )


def l2tp_secret_of(given: RunOptions) -> bytes | None:
    if given.l2tp_secret_file is not None:
        return from_file(given.l2tp_secret_file).raw()
    value = os.environ.get("VPNDIAG_L2TP_SECRET")
    return value.encode("utf-8", "surrogateescape") if value else None


def certificate_of(given: RunOptions) -> tuple[RsaCredentials | None, tuple[bytes, ...]]:
    """Our certificate with its key, and the trusted authorities (DER)."""
    if given.certificate is None and given.key is None:
        if given.ca is not None:
            raise UsageError(
                "--ca is for certificate authentication: give --cert and --key as well"
            )
        return None, ()
    if given.certificate is None or given.key is None:
        raise UsageError("--cert and --key belong together: give both")
    from vpndiag.protocols.ike.config import RsaCredentials

    chain = _certificates(given.certificate, "--cert")
    anchors = _certificates(given.ca, "--ca") if given.ca else ()
    return RsaCredentials(_private_key(given.key), chain), anchors


def _certificates(path: Path, option: str) -> tuple[bytes, ...]:
    """DER, one at least."""
    from vpndiag.protocols.errors import ProtocolError
    from vpndiag.protocols.ike.certificates import load_certificates

    try:
        return load_certificates(_read(path, option))
    except ProtocolError as error:
        raise UsageError(f"{option} {path}: {error}") from error


def _private_key(path: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import (
        load_der_private_key,
        load_pem_private_key,
    )

    data = _read(path, "--key")
    load = load_pem_private_key if b"-----BEGIN" in data else load_der_private_key
    try:
        key = load(data, None)
    except TypeError as error:
        raise UsageError(f"--key {path}: the key is encrypted; decrypt it first") from error
    except ValueError as error:
        raise UsageError(f"--key {path}: not a private key in PEM or DER form") from error
    if not isinstance(key, RSAPrivateKey):
        raise UsageError(f"--key {path}: an RSA key is needed for IKEv1 signatures")
    return key


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from error

"""Secrets and where they come from: option, file, keyring, environment, prompt.

A pre-shared key is taken as typed, UTF-8, as Windows, macOS and Android do. ``0x...`` is therefore
*not* read as hex, although strongSwan and Libreswan do so in their own files; such a key only gets
a warning, and :meth:`Secret.from_hex` is there for who means it.
"""

from __future__ import annotations

import contextlib
import getpass
import hmac
import importlib
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

Kind = Literal["psk", "password"]

ENVIRONMENT: dict[Kind, str] = {"psk": "VPNDIAG_PSK", "password": "VPNDIAG_PASSWORD"}
LABELS: dict[Kind, str] = {"psk": "Pre-shared key", "password": "Password"}
MAX_FILE = 65536
_HIDDEN = "********"
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class SecretError(Exception):
    """A secret that cannot be had. The text never holds any of it."""


class Secret:
    """A secret that shows itself only through :meth:`text` and :meth:`raw`."""

    __slots__ = ("_value", "source", "warnings")

    def __init__(self, value: str | bytes, source: str = "", warnings: tuple[str, ...] = ()):
        self._value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        self.source = source
        self.warnings = warnings

    @classmethod
    def from_hex(cls, secret: Secret) -> Secret:
        """The bytes that ``secret`` spells in hex, with or without ``0x``. Raises SecretError."""
        digits = secret.raw().removeprefix(b"0x")
        # bytes.fromhex would quote its input in the traceback's cause
        if not re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", digits):
            raise SecretError(f"the secret from {secret.source} is not hex")
        return cls(bytes.fromhex(digits.decode("ascii")), secret.source, secret.warnings)

    def raw(self) -> bytes:
        return self._value

    def text(self) -> str:
        """Raises SecretError when the bytes are not UTF-8."""
        try:
            return self._value.decode("utf-8")
        except UnicodeDecodeError:
            pass
        raise SecretError(f"the secret from {self.source} is not UTF-8")

    def __repr__(self) -> str:
        return f"Secret({_HIDDEN})"

    def __str__(self) -> str:
        return _HIDDEN

    def __format__(self, spec: str) -> str:
        return format(_HIDDEN, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied into a file")


def obtain(
    kind: Kind,
    *,
    option: str | None = None,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    prompt: bool = True,
    ask: Callable[[str], str] | None = None,
    is_tty: Callable[[], bool] | None = None,
) -> Secret | None:
    """The secret from the first source that has it: option or file, environment, prompt.

    ``option`` is the value on the command line (a warning comes with it) or
    ``keyring:SERVICE/USER``. The prompt is shown only on a terminal. None: no source has it.
    Raises SecretError for a source that was named and fails, and when two were named.
    """
    if option is not None and file is not None:
        raise SecretError(f"give the {LABELS[kind].lower()} once: as an option or as a file")
    if file is not None:
        return _hinted(kind, from_file(file))
    if option is not None:
        if option.startswith("keyring:"):
            return _hinted(kind, from_keyring(option))
        warning = (
            f"{LABELS[kind]} on the command line: other users of this machine and the shell's "
            f"history can see it; use {ENVIRONMENT[kind]} or a file"
        )
        return _hinted(kind, Secret(option, "the command line", (warning,)))
    value = (os.environ if environ is None else environ).get(ENVIRONMENT[kind])
    if value:
        return _hinted(kind, Secret(value, f"environment variable {ENVIRONMENT[kind]}"))
    if prompt and (is_tty or _terminal)():
        try:
            typed = (ask or getpass.getpass)(f"{LABELS[kind]}: ")
        except (EOFError, OSError):
            return None
        except UnicodeError:
            raise SecretError(
                f"the {LABELS[kind].lower()} that was typed is not in this terminal's encoding; "
                "give it in a file"
            ) from None
        return _hinted(kind, Secret(typed, "the prompt")) if typed else None
    return None


def from_file(path: Path) -> Secret:
    """The file's bytes less one newline (LF or CRLF) at the end, and less the byte order mark that
    editors of Windows put in front. Raises SecretError."""
    warnings: tuple[str, ...] = ()
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise SecretError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise SecretError(f"{path} is larger than {MAX_FILE} bytes")
    if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IROTH:
        warnings += (f"{path} can be read by every user of this machine (chmod 600 it)",)
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if encoding:
        # Nobody can type such a mark into a client; "echo key > file" of Windows PowerShell is
        # UTF-16.
        with contextlib.suppress(UnicodeDecodeError):
            data = data.decode(encoding).encode()
            warnings += (f"{path} was written with a byte order mark, which was left out",)
    if data.endswith(b"\n"):
        data = data[:-1].removesuffix(b"\r")
    if not data:
        raise SecretError(f"{path} is empty")
    return Secret(data, f"file {path}", warnings)


def from_keyring(reference: str) -> Secret:
    """``keyring:SERVICE/USER`` from the system's keyring. Raises SecretError."""
    service, slash, user = reference.removeprefix("keyring:").rpartition("/")
    if not (service and slash and user):
        raise SecretError("a keyring reference is written keyring:SERVICE/USER")
    try:
        keyring: Any = importlib.import_module("keyring")
    except ImportError:
        raise SecretError("the keyring package is not installed (vpndiag[keyring])") from None
    try:
        value = keyring.get_password(service, user)
    except Exception as error:  # back ends raise what they like
        raise SecretError(f"the keyring failed ({type(error).__name__})") from None
    if not value:
        raise SecretError(f"the keyring has nothing for {service}/{user}")
    return Secret(str(value), f"keyring {service}/{user}")


def _hinted(kind: Kind, secret: Secret) -> Secret:
    if not secret:
        raise SecretError(f"the {LABELS[kind].lower()} from {secret.source} is empty")
    hints = secret.warnings
    if secret.raw() != secret.raw().strip():
        hints += (f"{LABELS[kind]} begins or ends with white space, which counts",)
    if kind == "psk" and re.fullmatch(rb"0x(?:[0-9a-fA-F]{2})+", secret.raw()):
        hints += ("Pre-shared key looks like hex but is used as typed, as Windows would",)
    return Secret(secret.raw(), secret.source, hints)


def _terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # closed
        return False

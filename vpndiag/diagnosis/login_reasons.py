"""Why a login was refused, as the refusal itself says: by a number of MS-CHAP, or in words."""

from __future__ import annotations

from collections.abc import Sequence

from vpndiag.observations import PppMessage
from vpndiag.records import record


@record(frozen=True, slots=True)
class Told:
    """A finding's code, its detail, and whether a number says it (RFC 2759 section 6)."""

    code: str
    detail: str
    by_number: bool


_CODES = {
    646: ("login.restricted-hours", "The account may not log in at this time."),
    647: ("login.account-disabled", "The account is disabled."),
    648: ("login.password-expired", "The password has expired."),
    649: ("login.no-dialin-right", "The account has no dial-in permission."),
    691: ("login.wrong-password", "The user name or the password is wrong."),
    709: ("login.password-change-failed", "The password could not be changed."),
}
_WRONG = 691
_TWICE = (
    "login.session-limit",
    "The user is logged in already, as often as the server allows.",
)
_NO_SERVER = ("login.no-answer", "The gateway's authentication server does not answer it.")
_EXPIRED = ("login.account-disabled", "The account has expired.")
_WORDS = {
    **dict.fromkeys(
        ("already logged", "already connected", "already online", "already in use",
         "simultaneous", "multiple login", "session limit", "login limit", "max session",
         "maximum session", "maximum number of session", "sessions exceeded", "too many session",
         "too many connection", "too many login"), _TWICE
    ),
    **dict.fromkeys(
        ("radius timeout", "radius timed out", "server timeout", "server timed out",
         "server not responding", "server is not responding", "server unavailable",
         "server unreachable", "no response from"), _NO_SERVER
    ),
    **dict.fromkeys(("account expired", "account has expired"), _EXPIRED),
    "bad name, password or secret": _CODES[_WRONG],  # RFC 3145 section 3.3
    "expired": _CODES[648],
    "disabled": _CODES[647],
    "locked": _CODES[647],
    "not allowed at this time": _CODES[646],
    "outside allowed": _CODES[646],
    "outside your allowed": _CODES[646],
}  # fmt: skip
"""What servers write into a refusal that has no number (RFC 1334 and 1994 leave the text to
them)."""


def told(failures: Sequence[PppMessage], notice: str = "") -> Told | None:
    """What is said of the reason; None: nothing. ``notice``: what was shown to the user before
    (RFC 3748 section 5.2)."""
    number, said = _number(failures), in_words(failures[-1].message or notice)
    if number in (None, _WRONG) and said is not None:
        return Told(*said, by_number=False)
    if number is None:
        return None
    unknown = "login.refused", f"The server refuses the login with E={number}."
    return Told(*_CODES.get(number, unknown), by_number=True)


def in_words(message: str) -> tuple[str, str] | None:
    """Code and detail, where the text of a server is one that is known."""
    text = message.lower()
    return next((found for words, found in _WORDS.items() if words in text), None)


def _number(failures: Sequence[PppMessage]) -> int | None:
    """The reason of MS-CHAP that counts: of several tries the last (a password that cannot be
    changed, an account that is locked by now); 691 says least."""
    numbers = [m.error_code for m in failures if m.error_code is not None]
    return next((n for n in reversed(numbers) if n != _WRONG), numbers[-1] if numbers else None)

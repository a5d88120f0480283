"""PPP links in L2TP in the clear, and sessions, brought up as far as a scene needs."""

from __future__ import annotations

from tests.unit.analyze.scene import Pair, Wire

BY_MS_CHAPV2, BY_MD5, BY_PAP, BY_EAP = (
    b"\3\5\xc2\x23\x81",
    b"\3\5\xc2\x23\5",
    b"\3\4\xc0\x23",
    b"\3\4\xc2\x27",
)
"""LCP's option Authentication-Protocol."""


def linked(wire: Wire, auth: bytes = BY_MS_CHAPV2) -> Pair:
    pair = Pair(wire, clear=True)
    pair.tunnel()
    pair.lcp(auth)
    return pair


def logged_in(wire: Wire) -> Pair:
    """Up to the login, which is accepted."""
    pair = linked(wire)
    pair.mschap()
    return pair


def in_use(wire: Wire, **how: object) -> Pair:
    """IPsec is up, and users' data went both ways; ``how`` as for :class:`Pair`."""
    pair = Pair(wire, **how)  # type: ignore[arg-type]
    pair.main_mode()
    pair.quick_mode()
    pair.users(60)
    return pair

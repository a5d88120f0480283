"""``--break CODE``: how a gateway provokes each finding; one file for each part of the ladder.

A break changes the gateway's configuration, and sometimes needs a client that is set up in a
certain way (another secret, a certificate, a proposal of its own): then it changes that as well.
"""

from __future__ import annotations

from vpndiag.gateway.breaks import auth, ike, ipsec, l2tp, ppp, session
from vpndiag.gateway.breaks.cannot import CANNOT
from vpndiag.gateway.breaks.register import Break

BREAKS: dict[str, Break] = {
    **ike.BREAKS,
    **auth.BREAKS,
    **ipsec.BREAKS,
    **l2tp.BREAKS,
    **ppp.BREAKS,
    **session.BREAKS,
}
"""By name, in the order of the ladder."""


class CannotProvoke(ValueError):
    """No gateway can bring this finding about; the text says why, in one line."""


def find_break(name: str) -> Break:
    """The break of this name: a finding code, or ``code:variant``.

    :raises CannotProvoke: known, but nothing that a gateway does brings it about.
    :raises KeyError: no such code.
    """
    found = BREAKS.get(name)
    if found is not None:
        return found
    for start, why in CANNOT.items():
        if name.startswith(start):
            raise CannotProvoke(f"{name} cannot be provoked by the demo gateway: {why}")
    raise KeyError(name)


__all__ = ["BREAKS", "CANNOT", "Break", "CannotProvoke", "find_break"]

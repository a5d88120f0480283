"""The PPP link that a tunnel's options ask for, with timers for a link inside a tunnel."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.protocols.ppp.auth import AuthMethod, AuthTimers, Credentials
from vpndiag.protocols.ppp.config import ClientConfig, Timers
from vpndiag.protocols.ppp.control_terms import ControlTimers
from vpndiag.tunnel.options import TunnelOptions


def ppp_settings(options: TunnelOptions, lossy: bool) -> ClientConfig | None:
    """``lossy``: the path is known to lose packets. None: there is nobody to log in."""
    if options.user is None:
        return None
    settings = ClientConfig(
        credentials=Credentials(options.user, options.password or ""),
        mru=options.mru,
        timers=_timers(lossy),
    )
    methods = tuple(AuthMethod(m) for m in options.auth_methods)
    return replace(settings, auth=methods) if methods else settings


def _timers(lossy: bool) -> Timers:
    """Repeats on a link inside a tunnel: quicker than RFC 1661's 3 s, and more where the path is
    known to lose packets: SoftEther answers an IPCP request once its own is acknowledged, and
    repeats that every 3.5 s only."""
    return Timers(
        control=ControlTimers(
            restart=0.7,
            max_configure=40 if lossy else 16,
            max_rounds=60 if lossy else 30,
            max_unasked=5 if lossy else 3,
            lossy=lossy,
        ),
        auth=AuthTimers(request=1.0, response=0.8, tries=26 if lossy else 16),
        ack_again=1.0 if lossy else None,
        acks_again=20,
        ack_again_once_lost=1.0,
    )

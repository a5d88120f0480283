"""The PPP link that a tunnel's options ask for, with timers for a link inside a tunnel."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.protocols.ppp.auth import AuthMethod, AuthTimers, Credentials
from vpndiag.protocols.ppp.config import ClientConfig, Timers
from vpndiag.protocols.ppp.control import SLOWEST_RESTART
from vpndiag.protocols.ppp.control_terms import ControlTimers
from vpndiag.tunnel.options import TunnelOptions

SLACK = 1.5
"""Round trips that an answer may take."""


def ppp_settings(
    options: TunnelOptions, lossy: bool, round_trip: float = 0.0
) -> ClientConfig | None:
    """``lossy``: the path is known to lose packets. ``round_trip``: seconds that an answer takes.
    None: there is nobody to log in."""
    if options.user is None:
        return None
    settings = ClientConfig(
        credentials=Credentials(options.user, options.password or ""),
        mru=options.mru,
        timers=_timers(lossy, min(SLACK * round_trip, SLOWEST_RESTART)),
    )
    methods = tuple(AuthMethod(m) for m in options.auth_methods)
    return replace(settings, auth=methods) if methods else settings


def _timers(lossy: bool, least: float) -> Timers:
    """Repeats on a link inside a tunnel: quicker than RFC 1661's 3 s, and more where the path is
    known to lose packets: SoftEther answers an IPCP request once its own is acknowledged, and
    repeats that every 3.5 s only. Not before ``least`` seconds, when the answer may be on its way:
    a request that is repeated too early starts pppd over."""
    return Timers(
        control=ControlTimers(
            restart=max(0.7, least),
            max_configure=40 if lossy else 16,
            max_rounds=60 if lossy else 30,
            max_unasked=5 if lossy else 3,
            max_starts=12,
            lossy=lossy,
        ),
        auth=AuthTimers(
            request=max(1.0, least), response=max(0.8, least), tries=26 if lossy else 16
        ),
        ack_again=max(1.0, least) if lossy else None,
        acks_again=20,
        ack_again_once_lost=max(1.0, least),
    )

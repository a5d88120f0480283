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
RESTART, RESPONSE = 0.7, 0.8
"""Seconds after which a Configure-Request, or an answer to a Challenge, is sent again."""
FEWEST = 8


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


def _times(usual: int, share: float) -> int:
    """How often something is sent at longer intervals: for about as long as usual."""
    return max(FEWEST, round(usual * share))


def _timers(lossy: bool, least: float) -> Timers:
    """Repeats on a link inside a tunnel: quicker than RFC 1661's 3 s, and more where the path is
    known to lose packets: SoftEther answers an IPCP request once its own is acknowledged, and
    repeats that every 3.5 s only. Not before ``least`` seconds, when the answer may be on its way:
    a request that is repeated too early starts pppd over."""
    restart, response = max(RESTART, least), max(RESPONSE, least)
    return Timers(
        control=ControlTimers(
            restart=restart,
            max_configure=_times(40 if lossy else 16, RESTART / restart),
            max_rounds=60 if lossy else 30,
            max_unasked=5 if lossy else 3,
            max_starts=12,
            lossy=lossy,
        ),
        auth=AuthTimers(
            request=max(1.0, least),
            response=response,
            tries=_times(26 if lossy else 16, RESPONSE / response),
        ),
        ack_again=max(1.0, least) if lossy else None,
        acks_again=20,
        ack_again_once_lost=max(1.0, least),
    )

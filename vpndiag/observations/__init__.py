"""What was seen, typed, in time order: the only thing that live probes and captures hand on.

An observation is a fact about the material, never a judgement. The same packet gives the same
observation whether it passed through our own sockets or was read from a capture, so the same rules
can judge both. Times ``t`` are seconds since the start of the run or the capture; ``frames`` are
the numbers of the packets that show it (in a live run: counted over all packets sent and received,
and so equal to the frame numbers of the capture that the run writes).

``direction`` is seen from the client: ``out`` goes to the gateway, ``in`` comes from it.
"""

from typing import get_args

from vpndiag.observations.base import Direction, Observation
from vpndiag.observations.data import DataFlow, FragmentsLost, LargeLost
from vpndiag.observations.esp import EspFlow, IpsecSa
from vpndiag.observations.host import (
    HostConnection,
    HostInterface,
    HostModule,
    HostPort,
    HostResolvers,
    HostRoutes,
    HostScope,
    HostService,
    HostSetting,
    HostUnknown,
    HostWay,
    Resolver,
    Route,
)
from vpndiag.observations.ike import (
    CertificateSeen,
    IkeEstablished,
    IkeMessage,
    IkeNotify,
    Lifetime,
)
from vpndiag.observations.inside import (
    InsideApp,
    InsideDhcp,
    InsideMtu,
    InsideName,
    InsidePing,
    InsideScope,
    InsideTrace,
    InsideTraffic,
)
from vpndiag.observations.l2tp import L2tpMessage
from vpndiag.observations.network import IcmpError, LocalEnd, LocalRoutes, NameAnswer, SendError
from vpndiag.observations.other import OtherTraffic
from vpndiag.observations.ppp import PppMessage, ServerProof
from vpndiag.observations.session import Ended, Scope
from vpndiag.observations.soak import Rekey, Soak, SoakSample
from vpndiag.observations.way import ControlCheck, Hop, NatLifetime, OuterMtu, PathTrace

Known = (
    CertificateSeen
    | ControlCheck
    | DataFlow
    | Ended
    | EspFlow
    | FragmentsLost
    | HostConnection
    | HostInterface
    | HostModule
    | HostPort
    | HostResolvers
    | HostRoutes
    | HostScope
    | HostService
    | HostSetting
    | HostUnknown
    | HostWay
    | IcmpError
    | IkeEstablished
    | IkeMessage
    | InsideApp
    | InsideDhcp
    | InsideMtu
    | InsideName
    | InsidePing
    | InsideScope
    | InsideTrace
    | InsideTraffic
    | IpsecSa
    | L2tpMessage
    | LargeLost
    | LocalEnd
    | LocalRoutes
    | NameAnswer
    | NatLifetime
    | OtherTraffic
    | OuterMtu
    | PathTrace
    | PppMessage
    | Rekey
    | Scope
    | SendError
    | ServerProof
    | Soak
    | SoakSample
)
"""Every kind of observation: a report holds these, and its schema is made from them."""

ALL: tuple[type[Observation], ...] = get_args(Known)

__all__ = [
    "ALL",
    "CertificateSeen",
    "ControlCheck",
    "DataFlow",
    "Direction",
    "Ended",
    "EspFlow",
    "FragmentsLost",
    "Hop",
    "HostConnection",
    "HostInterface",
    "HostModule",
    "HostPort",
    "HostResolvers",
    "HostRoutes",
    "HostScope",
    "HostService",
    "HostSetting",
    "HostUnknown",
    "HostWay",
    "IcmpError",
    "IkeEstablished",
    "IkeMessage",
    "IkeNotify",
    "InsideApp",
    "InsideDhcp",
    "InsideMtu",
    "InsideName",
    "InsidePing",
    "InsideScope",
    "InsideTrace",
    "InsideTraffic",
    "IpsecSa",
    "Known",
    "L2tpMessage",
    "LargeLost",
    "Lifetime",
    "LocalEnd",
    "LocalRoutes",
    "NameAnswer",
    "NatLifetime",
    "Observation",
    "OtherTraffic",
    "OuterMtu",
    "PathTrace",
    "PppMessage",
    "Rekey",
    "Resolver",
    "Route",
    "Scope",
    "SendError",
    "ServerProof",
    "Soak",
    "SoakSample",
]

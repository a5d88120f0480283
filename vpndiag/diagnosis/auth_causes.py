"""Why a gateway falls silent, or refuses without a readable word, at message 5."""

from __future__ import annotations

from vpndiag.report.model import Cause

KEY_OR_IDENTITY = (
    Cause("The pre-shared key differs between this computer and the gateway", "helpdesk",
          "Enter the key again, by hand, from the administrator's record", "likely"),
    Cause("The key was changed on the gateway, or another line of its key file matches first",
          "gateway-admin", "Check which key applies to a client from any address", "possible"),
    Cause("The key is right and the gateway does not accept this computer's identity (its address "
          "behind a NAT, or a name): the notification would look the same", "gateway-admin",
          "Look in its IKE log; allow any identity for this connection", "possible"),
)  # fmt: skip
"""Of a refusal that nobody can read."""


def gateway_gone() -> tuple[Cause, ...]:
    return (
        Cause("The gateway, or its IKE service, stopped or restarted at this moment",
              "gateway-admin", "Look when it started; try again in a minute", "likely"),
        Cause("The network lost the gateway, or shut this computer out, at this moment",
              "network", "Try again; look for flood protection on the way", "possible"),
        Cause("The gateway takes nothing more from this address for a while after a wrong "
              "pre-shared key", "gateway-admin", "Look in its IKE log for a block list",
              "possible"),
    )  # fmt: skip


def either_refused_or_lost(there: bool) -> tuple[Cause, ...]:
    """``there``: fragments are known to get to the gateway; what comes back is not known."""
    return (
        Cause("The gateway does not accept this computer's certificate, and says nothing",
              "gateway-admin", "Look in its IKE log; install the issuing authority there",
              "likely"),
        Cause("The answer with the gateway's certificate is large, travels in IP fragments, and a "
              "firewall or NAT drops them", "network",
              "Let fragments pass, or switch IKE fragmentation on at the gateway",
              "possible" if there else "likely"),
    )  # fmt: skip


def either_key_or_port() -> tuple[Cause, ...]:
    return (
        Cause("The pre-shared key differs between this computer and the gateway", "user",
              "Enter the key again on both sides", "likely"),
        Cause("UDP 4500 is blocked between here and the gateway, so that message 5 never arrives",
              "network", "Allow UDP 4500 both ways, and forward it to the same host as UDP 500",
              "likely"),
        Cause("The gateway does not know this computer's identity and stays silent",
              "gateway-admin", "Allow any identity for this connection", "possible"),
    )  # fmt: skip


_RESTARTED = Cause(
    "The gateway's IKE service restarted at this moment", "gateway-admin",
    "Look when it started; try again in a minute", "possible",
)  # fmt: skip


def forgotten() -> tuple[Cause, ...]:
    """Of a gateway that does not know the IKE SA which it has just begun."""
    return (
        Cause("Messages of one client get to different machines (cluster, load balancer, several "
              "lines)", "gateway-admin",
              "Send all of one client to one machine, by its address alone", "likely"),
        _RESTARTED,
    )  # fmt: skip


def another_machine() -> tuple[Cause, ...]:
    """Of a gateway that does not know on UDP 4500 what was begun on UDP 500."""
    return (
        Cause("UDP 500 and UDP 4500 end at two different machines: a port forwarding, or a load "
              "balancer that looks at ports", "network",
              "Send both ports to the same machine, by the client's address alone", "likely"),
        Cause("The pre-shared key differs, and the gateway forgets the IKE SA as soon as it cannot "
              "read message 5", "user", "Enter the key again on both sides", "possible"),
        _RESTARTED,
    )  # fmt: skip

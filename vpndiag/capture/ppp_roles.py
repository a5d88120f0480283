"""What a PPP control packet says by itself: whether its sender is the side that logs in.

The client is the side that is asked to prove itself, and that asks for an address.
"""

from __future__ import annotations

LCP, IPCP, PAP, CHAP, EAP = 0xC021, 0x8021, 0xC023, 0xC223, 0xC227
REQUEST, ACK, NAK, REJECT, TERMINATE, TERMINATE_ACK = 1, 2, 3, 4, 5, 6
AUTH_OPTION, MAGIC_OPTION = 3, 5
NAME_SERVERS = (129, 130, 131, 132)
"""Which only clients ask for (RFC 1877)."""


def options(payload: bytes) -> list[tuple[int, bytes]]:
    """Type and value of a Configure packet's options, as far as they can be read."""
    found: list[tuple[int, bytes]] = []
    at, end = 4, min(len(payload), int.from_bytes(payload[2:4], "big"))
    while at + 2 <= end:
        kind, size = payload[at], payload[at + 1]
        if size < 2:
            break
        found.append((kind, payload[at + 2 : min(at + size, end)]))
        at += size
    return found


def checks_login(protocol: int, payload: bytes) -> bool | None:
    """Whether the sender of this packet is the side that checks the login; None: cannot be told."""
    code = payload[0] if payload else 0
    if protocol == PAP:
        return code in (2, 3)
    if protocol in (CHAP, EAP):
        return code != 2
    return None


def client_vote(protocol: int, payload: bytes) -> int:
    """How much a control packet speaks for its sender being the client; negative: against it."""
    if len(payload) < 4:
        return 0
    told = checks_login(protocol, payload)
    if told is not None:
        return -3 if told else 3
    code = payload[0]
    if code in (REQUEST, ACK, NAK, REJECT) and protocol == LCP:
        wanted = any(kind == AUTH_OPTION for kind, _ in options(payload))
        return (-2 if code == REQUEST else 2) if wanted else 0
    if code in (ACK, REJECT) and protocol == IPCP:
        return -sum(kind in NAME_SERVERS for kind, _ in options(payload))
    if code == REQUEST and protocol == IPCP:
        votes = [2 if kind == 3 else 1 for kind, value in options(payload)
                 if (kind == 3 and not any(value)) or kind in (129, 131)]  # fmt: skip
        return sum(votes)
    return -2 if code == NAK and protocol == IPCP else 0

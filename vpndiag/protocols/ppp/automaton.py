"""The option negotiation automaton of RFC 1661 section 4.1, as one table.

The table only says what follows from what. Timers, counters, packets and option policy live in
:mod:`control`, which every control protocol shares.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """RFC 1661 section 4.2; the numbers are the RFC's."""

    INITIAL = 0
    STARTING = 1
    CLOSED = 2
    STOPPED = 3
    CLOSING = 4
    STOPPING = 5
    REQ_SENT = 6
    ACK_RCVD = 7
    ACK_SENT = 8
    OPENED = 9


class Event(Enum):
    """RFC 1661 section 4.3; the values are the RFC's abbreviations."""

    UP = "Up"
    DOWN = "Down"
    OPEN = "Open"
    CLOSE = "Close"
    TIMEOUT_RETRY = "TO+"
    TIMEOUT_GIVE_UP = "TO-"
    GOOD_REQUEST = "RCR+"
    BAD_REQUEST = "RCR-"
    ACK = "RCA"
    NAK_OR_REJECT = "RCN"
    TERMINATE_REQUEST = "RTR"
    TERMINATE_ACK = "RTA"
    UNKNOWN_CODE = "RUC"
    REJECT_HARMLESS = "RXJ+"
    REJECT_FATAL = "RXJ-"
    ECHO_OR_DISCARD = "RXR"


class Action(Enum):
    """RFC 1661 section 4.4; the values are the RFC's abbreviations."""

    LAYER_UP = "tlu"
    LAYER_DOWN = "tld"
    LAYER_STARTED = "tls"
    LAYER_FINISHED = "tlf"
    INIT_COUNT = "irc"
    ZERO_COUNT = "zrc"
    SEND_REQUEST = "scr"
    SEND_ACK = "sca"
    SEND_NAK = "scn"
    SEND_TERMINATE = "str"
    SEND_TERMINATE_ACK = "sta"
    SEND_CODE_REJECT = "scj"
    SEND_ECHO_REPLY = "ser"


Cell = tuple[tuple[Action, ...], State]

TIMED_STATES = frozenset(
    (State.CLOSING, State.STOPPING, State.REQ_SENT, State.ACK_RCVD, State.ACK_SENT)
)
"""The states in which the restart timer runs."""

_S = State
_TLU, _TLD = Action.LAYER_UP, Action.LAYER_DOWN
_TLS, _TLF = Action.LAYER_STARTED, Action.LAYER_FINISHED
_IRC, _ZRC = Action.INIT_COUNT, Action.ZERO_COUNT
_SCR, _SCA, _SCN = Action.SEND_REQUEST, Action.SEND_ACK, Action.SEND_NAK
_STR, _STA = Action.SEND_TERMINATE, Action.SEND_TERMINATE_ACK
_SCJ, _SER = Action.SEND_CODE_REJECT, Action.SEND_ECHO_REPLY

TABLE: dict[Event, dict[State, Cell]] = {
    Event.UP: {
        _S.INITIAL: ((), _S.CLOSED),
        _S.STARTING: ((_IRC, _SCR), _S.REQ_SENT),
    },
    Event.DOWN: {
        _S.CLOSED: ((), _S.INITIAL),
        _S.STOPPED: ((_TLS,), _S.STARTING),
        _S.CLOSING: ((), _S.INITIAL),
        _S.STOPPING: ((), _S.STARTING),
        _S.REQ_SENT: ((), _S.STARTING),
        _S.ACK_RCVD: ((), _S.STARTING),
        _S.ACK_SENT: ((), _S.STARTING),
        _S.OPENED: ((_TLD,), _S.STARTING),
    },
    # The restart option ("r" in the RFC) is not used: Open in 3, 4, 5 and 9 is as the table says.
    Event.OPEN: {
        _S.INITIAL: ((_TLS,), _S.STARTING),
        _S.STARTING: ((), _S.STARTING),
        _S.CLOSED: ((_IRC, _SCR), _S.REQ_SENT),
        _S.STOPPED: ((), _S.STOPPED),
        _S.CLOSING: ((), _S.STOPPING),
        _S.STOPPING: ((), _S.STOPPING),
        _S.REQ_SENT: ((), _S.REQ_SENT),
        _S.ACK_RCVD: ((), _S.ACK_RCVD),
        _S.ACK_SENT: ((), _S.ACK_SENT),
        _S.OPENED: ((), _S.OPENED),
    },
    Event.CLOSE: {
        _S.INITIAL: ((), _S.INITIAL),
        _S.STARTING: ((_TLF,), _S.INITIAL),
        _S.CLOSED: ((), _S.CLOSED),
        _S.STOPPED: ((), _S.CLOSED),
        _S.CLOSING: ((), _S.CLOSING),
        _S.STOPPING: ((), _S.CLOSING),
        _S.REQ_SENT: ((_IRC, _STR), _S.CLOSING),
        _S.ACK_RCVD: ((_IRC, _STR), _S.CLOSING),
        _S.ACK_SENT: ((_IRC, _STR), _S.CLOSING),
        _S.OPENED: ((_TLD, _IRC, _STR), _S.CLOSING),
    },
    Event.TIMEOUT_RETRY: {
        _S.CLOSING: ((_STR,), _S.CLOSING),
        _S.STOPPING: ((_STR,), _S.STOPPING),
        _S.REQ_SENT: ((_SCR,), _S.REQ_SENT),
        _S.ACK_RCVD: ((_SCR,), _S.REQ_SENT),
        _S.ACK_SENT: ((_SCR,), _S.ACK_SENT),
    },
    # The passive option ("p" in the RFC) is not used.
    Event.TIMEOUT_GIVE_UP: {
        _S.CLOSING: ((_TLF,), _S.CLOSED),
        _S.STOPPING: ((_TLF,), _S.STOPPED),
        _S.REQ_SENT: ((_TLF,), _S.STOPPED),
        _S.ACK_RCVD: ((_TLF,), _S.STOPPED),
        _S.ACK_SENT: ((_TLF,), _S.STOPPED),
    },
    Event.GOOD_REQUEST: {
        _S.CLOSED: ((_STA,), _S.CLOSED),
        _S.STOPPED: ((_IRC, _SCR, _SCA), _S.ACK_SENT),
        _S.CLOSING: ((), _S.CLOSING),
        _S.STOPPING: ((), _S.STOPPING),
        _S.REQ_SENT: ((_SCA,), _S.ACK_SENT),
        _S.ACK_RCVD: ((_SCA, _TLU), _S.OPENED),
        _S.ACK_SENT: ((_SCA,), _S.ACK_SENT),
        _S.OPENED: ((_TLD, _SCR, _SCA), _S.ACK_SENT),
    },
    Event.BAD_REQUEST: {
        _S.CLOSED: ((_STA,), _S.CLOSED),
        _S.STOPPED: ((_IRC, _SCR, _SCN), _S.REQ_SENT),
        _S.CLOSING: ((), _S.CLOSING),
        _S.STOPPING: ((), _S.STOPPING),
        _S.REQ_SENT: ((_SCN,), _S.REQ_SENT),
        _S.ACK_RCVD: ((_SCN,), _S.ACK_RCVD),
        _S.ACK_SENT: ((_SCN,), _S.REQ_SENT),
        _S.OPENED: ((_TLD, _SCR, _SCN), _S.REQ_SENT),
    },
    Event.ACK: {
        _S.CLOSED: ((_STA,), _S.CLOSED),
        _S.STOPPED: ((_STA,), _S.STOPPED),
        _S.CLOSING: ((), _S.CLOSING),
        _S.STOPPING: ((), _S.STOPPING),
        _S.REQ_SENT: ((_IRC,), _S.ACK_RCVD),
        _S.ACK_RCVD: ((_SCR,), _S.REQ_SENT),
        _S.ACK_SENT: ((_IRC, _TLU), _S.OPENED),
        _S.OPENED: ((_TLD, _SCR), _S.REQ_SENT),
    },
    Event.NAK_OR_REJECT: {
        _S.CLOSED: ((_STA,), _S.CLOSED),
        _S.STOPPED: ((_STA,), _S.STOPPED),
        _S.CLOSING: ((), _S.CLOSING),
        _S.STOPPING: ((), _S.STOPPING),
        _S.REQ_SENT: ((_IRC, _SCR), _S.REQ_SENT),
        _S.ACK_RCVD: ((_SCR,), _S.REQ_SENT),
        _S.ACK_SENT: ((_IRC, _SCR), _S.ACK_SENT),
        _S.OPENED: ((_TLD, _SCR), _S.REQ_SENT),
    },
    Event.TERMINATE_REQUEST: {
        _S.CLOSED: ((_STA,), _S.CLOSED),
        _S.STOPPED: ((_STA,), _S.STOPPED),
        _S.CLOSING: ((_STA,), _S.CLOSING),
        _S.STOPPING: ((_STA,), _S.STOPPING),
        _S.REQ_SENT: ((_STA,), _S.REQ_SENT),
        _S.ACK_RCVD: ((_STA,), _S.REQ_SENT),
        _S.ACK_SENT: ((_STA,), _S.REQ_SENT),
        _S.OPENED: ((_TLD, _ZRC, _STA), _S.STOPPING),
    },
    Event.TERMINATE_ACK: {
        _S.CLOSED: ((), _S.CLOSED),
        _S.STOPPED: ((), _S.STOPPED),
        _S.CLOSING: ((_TLF,), _S.CLOSED),
        _S.STOPPING: ((_TLF,), _S.STOPPED),
        _S.REQ_SENT: ((), _S.REQ_SENT),
        _S.ACK_RCVD: ((), _S.REQ_SENT),
        _S.ACK_SENT: ((), _S.ACK_SENT),
        _S.OPENED: ((_TLD, _SCR), _S.REQ_SENT),
    },
    Event.UNKNOWN_CODE: {
        state: ((_SCJ,), state) for state in _S if state not in (_S.INITIAL, _S.STARTING)
    },
    Event.REJECT_HARMLESS: {
        _S.CLOSED: ((), _S.CLOSED),
        _S.STOPPED: ((), _S.STOPPED),
        _S.CLOSING: ((), _S.CLOSING),
        _S.STOPPING: ((), _S.STOPPING),
        _S.REQ_SENT: ((), _S.REQ_SENT),
        _S.ACK_RCVD: ((), _S.REQ_SENT),
        _S.ACK_SENT: ((), _S.ACK_SENT),
        _S.OPENED: ((), _S.OPENED),
    },
    Event.REJECT_FATAL: {
        _S.CLOSED: ((_TLF,), _S.CLOSED),
        _S.STOPPED: ((_TLF,), _S.STOPPED),
        _S.CLOSING: ((_TLF,), _S.CLOSED),
        _S.STOPPING: ((_TLF,), _S.STOPPED),
        _S.REQ_SENT: ((_TLF,), _S.STOPPED),
        _S.ACK_RCVD: ((_TLF,), _S.STOPPED),
        _S.ACK_SENT: ((_TLF,), _S.STOPPED),
        _S.OPENED: ((_TLD, _IRC, _STR), _S.STOPPING),
    },
    Event.ECHO_OR_DISCARD: {
        _S.CLOSED: ((), _S.CLOSED),
        _S.STOPPED: ((), _S.STOPPED),
        _S.CLOSING: ((), _S.CLOSING),
        _S.STOPPING: ((), _S.STOPPING),
        _S.REQ_SENT: ((), _S.REQ_SENT),
        _S.ACK_RCVD: ((), _S.ACK_RCVD),
        _S.ACK_SENT: ((), _S.ACK_SENT),
        _S.OPENED: ((_SER,), _S.OPENED),
    },
}
"""``TABLE[event][state]`` is ``(actions, next state)``; a missing cell ("-" in the RFC) cannot
happen in a correct implementation."""


def step(state: State, event: Event) -> Cell:
    """Actions and next state. A cell that the RFC leaves empty does nothing and stays."""
    return TABLE[event].get(state, ((), state))

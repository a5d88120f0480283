"""L2TP control messages, and the PPP inside the data messages, as observations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

from vpndiag.observations import Direction, L2tpMessage, Observation, OtherTraffic
from vpndiag.observe.ppp import PppObserver
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.l2tp import disconnect
from vpndiag.protocols.l2tp.constants import AvpType, message_name
from vpndiag.protocols.l2tp.message import (
    DataMessage,
    OtherVersion,
    decode,
    peek_control,
    peek_data,
)
from vpndiag.protocols.l2tp.values import AvpValue, ResultCode
from vpndiag.report.text import visible

Address = tuple[str, int]

Values = Mapping[int, AvpValue | None]

_HELLO, _ZLB = "HELLO", "ZLB"
_REQUESTS = ("SCCRQ", "ICRQ")
_TELLING = ("SCCRQ", "ICRQ", "ICRP")
"""Those whose IDs must be known to understand what follows."""
# As plain numbers: members of an enumeration are slow to look up.
_TYPE = int(AvpType.MESSAGE_TYPE)
_TUNNEL, _SESSION = int(AvpType.ASSIGNED_TUNNEL_ID), int(AvpType.ASSIGNED_SESSION_ID)
MAX_SEEN = 4096
MAX_IDS = 1024


def _number(values: Values, kind: int) -> int | None:
    value = values.get(kind)
    return value if isinstance(value, int) else None


_NUMBERS = {
    int(AvpType.ASSIGNED_TUNNEL_ID): "assigned_tunnel_id",
    int(AvpType.ASSIGNED_SESSION_ID): "assigned_session_id",
    int(AvpType.FIRMWARE_REVISION): "firmware",
    int(AvpType.RECEIVE_WINDOW_SIZE): "receive_window",
}
_TEXTS = {int(AvpType.HOST_NAME): "host_name", int(AvpType.VENDOR_NAME): "vendor_name"}
_PRESENT = {
    int(AvpType.CHALLENGE): "challenge",
    int(AvpType.CHALLENGE_RESPONSE): "challenge_response",
}


def _details(values: Values) -> dict[str, object]:
    """What a message says beyond its header and type."""
    found: dict[str, object] = {}
    for kind, value in values.items():
        if kind in _NUMBERS:
            if isinstance(value, int):
                found[_NUMBERS[kind]] = value
        elif kind in _TEXTS:
            if isinstance(value, bytes):
                found[_TEXTS[kind]] = visible(value, 64)
        elif kind in _PRESENT:
            found[_PRESENT[kind]] = True
        elif isinstance(value, ResultCode):
            found["result_code"] = value.result
            found["error_code"] = value.error
            found["error_message"] = visible(value.message.rstrip(b"\0"))
    cause = values.get(disconnect.TYPE) if "result_code" in found else None
    if isinstance(cause, bytes):
        meaning, said = disconnect.cause(cause)
        texts = (found["error_message"], meaning, visible(said.rstrip(b"\0")))
        found["error_message"] = ": ".join(str(text) for text in texts if text)
    return found


class L2tpObserver:
    """Observes the L2TP between one client and gateway, in order.

    Messages for a tunnel that the client did not open (xl2tpd and pppd go on sending for an old
    one) are left out as soon as it is known which ones it opened.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._tunnels: OrderedDict[int, None] = OrderedDict()
        self._ppp: OrderedDict[int, PppObserver] = OrderedDict()
        self._current = 0
        self._asked: tuple[Direction, int] | None = None
        self._gateway_session: dict[int, int] = {}

    def observe(
        self,
        datagram: bytes,
        *,
        t: float,
        direction: Direction,
        inside: Literal["esp", "clear"],
        source: Address,
        destination: Address,
        frames: tuple[int, ...] = (),
        other_source: str = "",
        response_valid: bool | None = None,
    ) -> Observation | None:
        """One UDP payload. None for what carries no news: data, stale messages, HELLOs but for
        those that had to be sent again, ZLBs but for one that is all that came on a request.

        ``response_valid`` is what our own check of a Challenge Response said. Never raises.
        """
        data = peek_data(datagram)
        if data is not None:
            return self._data(*data, datagram[6:], t, direction, frames)
        usual = peek_control(datagram)
        if usual is not None:
            tunnel_id, session_id, ns, nr, values = usual
            bare = len(datagram) == 12
        else:
            try:
                message = decode(datagram)
            except ProtocolError:
                return None
            if isinstance(message, OtherVersion):
                return OtherTraffic(t=t, frames=frames, what=message.name, packets=1)
            tunnel_id, session_id = message.tunnel_id, message.session_id
            if isinstance(message, DataMessage):
                return self._data(tunnel_id, session_id, message.payload, t, direction, frames)
            ns, nr, values, bare = message.ns, message.nr, message.values(), not message.avps
        if self._stale(tunnel_id, direction) or (bare and not self._held(nr, direction)):
            return None
        kind = values.get(_TYPE)
        name = message_name(kind) if isinstance(kind, int) else "untyped"
        if bare:
            name = _ZLB
        elif name in _TELLING:
            self._learn(name, session_id, values, direction)
        # A retransmission has the same Ns; its Nr may have moved (RFC 2661 section 5.8).
        key = (direction, inside, tunnel_id, session_id, ns, name, values.get(_TUNNEL))
        repeat = key in self._seen
        self._note_request(ns, name, direction, repeat)
        self._seen[key] = None
        if name == _HELLO and not repeat:
            return None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        gateway, client = (destination, source) if direction == "out" else (source, destination)
        return L2tpMessage(
            t=t,
            frames=frames,
            direction=direction,
            inside=inside,
            message=name,
            tunnel_id=tunnel_id,
            session_id=session_id,
            ns=ns,
            nr=nr,
            repeat=repeat,
            response_valid=response_valid,
            client_port=client[1],
            gateway_port=gateway[1],
            other_source=other_source,
            **(_details(values) if len(values) > 1 else {}),  # type: ignore[arg-type]
        )

    def _note_request(self, ns: int, name: str, direction: Direction, repeat: bool) -> None:
        """Keep a request, or what had to be sent again, until something comes back."""
        if name in _REQUESTS or (repeat and name != _ZLB):
            self._asked = direction, ns
        elif self._asked is not None and direction != self._asked[0]:
            self._asked = None

    def _held(self, nr: int, direction: Direction) -> bool:
        """A request is acknowledged and not answered (RFC 2661 section 5.8), or what was sent
        again is acknowledged after all."""
        if self._asked is None or direction == self._asked[0]:
            return False
        return nr == (self._asked[1] + 1) % 65536

    def _data(
        self,
        tunnel_id: int,
        session_id: int,
        payload: bytes,
        t: float,
        direction: Direction,
        frames: tuple[int, ...],
    ) -> Observation | None:
        if self._stale(tunnel_id, direction):
            return None
        ppp = self._ppp_of(session_id, direction)
        return ppp.observe(payload, t=t, direction=direction, frames=frames)

    def _learn(self, name: str, session_id: int, values: Values, direction: Direction) -> None:
        tunnel, session = _number(values, _TUNNEL), _number(values, _SESSION)
        if direction == "out" and name == "SCCRQ" and tunnel is not None:
            self._tunnels[tunnel] = None
            if len(self._tunnels) > MAX_IDS:
                self._tunnels.popitem(last=False)
        if name == "ICRQ" and direction == "out" and session is not None:
            self._current = session
        if name != "ICRP" or direction != "in" or session is None:
            return
        if len(self._gateway_session) < MAX_IDS:
            self._gateway_session[session] = session_id

    def _stale(self, tunnel_id: int, direction: Direction) -> bool:
        """A message of the gateway for a tunnel that the client did not open."""
        return (
            direction == "in"
            and tunnel_id not in self._tunnels
            and tunnel_id != 0
            and bool(self._tunnels)
        )

    def _ppp_of(self, session_id: int, direction: Direction) -> PppObserver:
        """The observer of the client's session that a message with this ID belongs to."""
        session = session_id
        if direction == "out":
            session = self._gateway_session.get(session, self._current)
        elif not self._current:
            session = 0
        found = self._ppp.get(session)
        if found is None:
            found = self._ppp[session] = PppObserver(str(session) if session else "")
            if len(self._ppp) > MAX_IDS:
                self._ppp.popitem(last=False)
        return found

"""L2TP control messages, and the PPP inside the data messages, as observations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

from vpndiag.observations import Direction, L2tpMessage, Observation, OtherTraffic
from vpndiag.observe.ppp import PppObserver
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.l2tp.constants import AvpType, message_name
from vpndiag.protocols.l2tp.message import (
    ControlMessage,
    DataMessage,
    OtherVersion,
    decode,
    peek_data,
)
from vpndiag.protocols.l2tp.values import AvpValue, ResultCode
from vpndiag.report.text import visible

Address = tuple[str, int]

Values = Mapping[int, AvpValue | None]

_HELLO, _ZLB = "HELLO", "ZLB"
_REQUESTS = ("SCCRQ", "ICRQ")
# As plain numbers: members of an enumeration are slow to look up.
_TYPE, _RESULT = int(AvpType.MESSAGE_TYPE), int(AvpType.RESULT_CODE)
_HOST, _VENDOR = int(AvpType.HOST_NAME), int(AvpType.VENDOR_NAME)
_TUNNEL, _SESSION = int(AvpType.ASSIGNED_TUNNEL_ID), int(AvpType.ASSIGNED_SESSION_ID)
_FIRMWARE, _WINDOW = int(AvpType.FIRMWARE_REVISION), int(AvpType.RECEIVE_WINDOW_SIZE)
_CHALLENGE, _RESPONSE = int(AvpType.CHALLENGE), int(AvpType.CHALLENGE_RESPONSE)
MAX_SEEN = 4096
MAX_IDS = 1024


def _number(values: Values, kind: int) -> int | None:
    value = values.get(kind)
    return value if isinstance(value, int) else None


def _text(values: Values, kind: int) -> str:
    value = values.get(kind)
    return visible(value, 64) if isinstance(value, bytes) else ""


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
        try:
            message = decode(datagram)
        except ProtocolError:
            return None
        if isinstance(message, OtherVersion):
            return OtherTraffic(t=t, frames=frames, what=message.name, packets=1)
        if isinstance(message, DataMessage):
            ids = message.tunnel_id, message.session_id
            return self._data(*ids, message.payload, t, direction, frames)
        if self._stale(message.tunnel_id, direction):
            return None
        if not message.avps and not self._held(message, direction):
            return None
        values = message.values()
        kind = values.get(_TYPE)
        name = message_name(kind) if isinstance(kind, int) else "untyped"
        if not message.avps:
            name = _ZLB
        self._learn(message, name, values, direction)
        gateway, client = (destination, source) if direction == "out" else (source, destination)
        assigned = _number(values, _TUNNEL)
        # A retransmission has the same Ns; its Nr may have moved (RFC 2661 section 5.8).
        key = (direction, inside, message.tunnel_id, message.session_id, message.ns, name,
               assigned)  # fmt: skip
        repeat = key in self._seen
        self._note_request(message, name, direction, repeat)
        if name == _HELLO and not repeat:
            self._seen[key] = None
            return None
        self._seen[key] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        result = values.get(_RESULT)
        if not isinstance(result, ResultCode):
            result = None
        return L2tpMessage(
            t=t,
            frames=frames,
            direction=direction,
            inside=inside,
            message=name,
            tunnel_id=message.tunnel_id,
            session_id=message.session_id,
            ns=message.ns,
            nr=message.nr,
            repeat=repeat,
            assigned_tunnel_id=assigned,
            assigned_session_id=_number(values, _SESSION),
            host_name=_text(values, _HOST),
            vendor_name=_text(values, _VENDOR),
            firmware=_number(values, _FIRMWARE),
            receive_window=_number(values, _WINDOW),
            challenge=_CHALLENGE in values,
            challenge_response=_RESPONSE in values,
            response_valid=response_valid,
            result_code=result.result if result else None,
            error_code=result.error if result else None,
            error_message=visible(result.message.rstrip(b"\0")) if result else "",
            client_port=client[1],
            gateway_port=gateway[1],
            other_source=other_source,
        )

    def _note_request(
        self, message: ControlMessage, name: str, direction: Direction, repeat: bool
    ) -> None:
        """Keep a request, or what had to be sent again, until something comes back."""
        if name in _REQUESTS or (repeat and name != _ZLB):
            self._asked = direction, message.ns
        elif self._asked is not None and direction != self._asked[0]:
            self._asked = None

    def _held(self, zlb: ControlMessage, direction: Direction) -> bool:
        """A request is acknowledged and not answered (RFC 2661 section 5.8), or what was sent
        again is acknowledged after all."""
        if self._asked is None or direction == self._asked[0]:
            return False
        return zlb.nr == (self._asked[1] + 1) % 65536

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

    def _learn(
        self, message: ControlMessage, name: str, values: Values, direction: Direction
    ) -> None:
        if name not in ("SCCRQ", "ICRQ", "ICRP"):
            return
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
            self._gateway_session[session] = message.session_id

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

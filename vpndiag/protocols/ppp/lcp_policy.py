"""The option policy of LCP: what each side asks for, and how it answers."""

from __future__ import annotations

from vpndiag.protocols.ppp import lcp_options
from vpndiag.protocols.ppp.auth import AuthMethod, RandomBytes, method_of
from vpndiag.protocols.ppp.control_terms import Answer, answer
from vpndiag.protocols.ppp.lcp_options import AuthDemand
from vpndiag.protocols.ppp.options import Option, Options
from vpndiag.records import record

DEFAULT_MRU = 1500
MIN_MRU = 128


@record(frozen=True, slots=True)
class AuthAnswer:
    """One authentication demand and its fate. ``counter`` is what was proposed instead."""

    demand: AuthDemand
    accepted: bool
    counter: AuthDemand | None = None


class LcpPolicy:
    """LCP for both roles.

    ``accept`` are the methods we let ourselves be authenticated with, best first; ``demand`` those
    we demand, best first (empty: none).
    """

    def __init__(
        self,
        random_bytes: RandomBytes,
        mru: int | None,
        accept: tuple[AuthMethod, ...],
        demand: tuple[AuthMethod, ...],
    ) -> None:
        self._random = random_bytes
        self._want_mru = mru
        self._accept = accept
        self._demand = demand
        self.answers: list[AuthAnswer] = []
        """Every authentication demand of the peer in this negotiation, and our answer."""
        self.refusals: list[AuthAnswer] = []
        """Every demand of ours that the peer turned down, with its counter-proposal."""
        self.no_common_auth = False
        self.loops = 0
        self.magic = 0
        self._dropped: set[int] = set()
        self._offers: list[AuthMethod] = []
        self._mru: int | None = None

    def reset(self) -> None:
        self.answers.clear()
        self.refusals.clear()
        self.no_common_auth = False
        self.loops = 0
        self._dropped.clear()
        self._offers = list(self._demand)
        self._mru = self._want_mru
        self.magic = self._new_magic()

    def _new_magic(self) -> int:
        return int.from_bytes(self._random(4), "big") or 1

    @property
    def demanded(self) -> AuthMethod | None:
        """The method that our request demands at present."""
        return self._offers[0] if self._offers else None

    def request(self) -> Options:
        options: list[Option] = []
        if self._mru is not None and lcp_options.MRU not in self._dropped:
            options.append(lcp_options.mru(self._mru))
        if self.demanded is not None:
            options.append(self.demanded.demand.option())
        if self.magic:
            options.append(lcp_options.magic(self.magic))
        return tuple(options)

    def naked(self, options: Options) -> None:
        for option in options:
            if option.type == lcp_options.MRU and self._mru is not None:
                value = option.number(2)
                if value is not None and MIN_MRU <= value <= DEFAULT_MRU:
                    self._mru = value
                else:
                    self._dropped.add(option.type)
            elif option.type == lcp_options.MAGIC and self.magic:
                self.magic = self._new_magic()
            elif option.type == lcp_options.AUTH:
                self._auth_refused(lcp_options.read_auth(option))

    def rejected(self, options: Options) -> None:
        for option in options:
            if option.type == lcp_options.AUTH:
                self._refuse(None)
                self.no_common_auth = True
            elif option.type == lcp_options.MAGIC:
                self.magic = 0
            else:
                self._dropped.add(option.type)

    def _refuse(self, counter: AuthDemand | None) -> None:
        refused = self.demanded or (self._demand[0] if self._demand else None)
        if refused is not None:
            self.refusals.append(AuthAnswer(refused.demand, False, counter))

    def _auth_refused(self, counter: AuthDemand | None) -> None:
        if self.demanded is None:
            return
        self._refuse(counter)
        left = self._offers[1:]
        wanted = method_of(counter) if counter is not None else None
        if wanted in left:
            left.remove(wanted)
            left.insert(0, wanted)
        # With nothing left the last demand stands: a request without one would let the peer in.
        # A Nak is a wish; only when it is repeated is there nothing in common.
        last = self._offers[0]
        self._offers = left or self._offers
        insisted = sum(known.demand == last.demand for known in self.refusals)
        self.no_common_auth = not left and insisted > 1

    def judge(self, options: Options, exhausted: bool) -> Answer:
        naks: list[Option] = []
        rejects: list[Option] = []
        seen: set[int] = set()
        for option in options:
            if option.type in seen:
                rejects.append(option)
                continue
            seen.add(option.type)
            better = self._judge_one(option, exhausted)
            if better is None:
                rejects.append(option)
            elif better != option:
                naks.append(better)
        return answer(options, naks, rejects)

    def _judge_one(self, option: Option, exhausted: bool) -> Option | None:
        """The option itself when it is fine, another value to Nak it with, None to reject it."""
        match option.type:
            case lcp_options.MRU:
                value = option.number(2)
                if value is not None and value >= MIN_MRU:
                    return option
                return None if exhausted else lcp_options.mru(DEFAULT_MRU)
            case lcp_options.ACCM:
                return option if len(option.data) == 4 else None
            case lcp_options.AUTH:
                return self._judge_auth(option, exhausted)
            case lcp_options.MAGIC:
                return self._judge_magic(option)
            case _:
                # PFC and ACFC too: we never send in those forms, so their use is not agreed to.
                return None

    def _judge_magic(self, option: Option) -> Option | None:
        value = option.number(4)
        if value is None:
            return None
        if value and value == self.magic:
            self.loops += 1
            return lcp_options.magic(self._new_magic())
        return option if value else lcp_options.magic(self._new_magic())

    def _judge_auth(self, option: Option, exhausted: bool) -> Option | None:
        demand = lcp_options.read_auth(option)
        if demand is None:
            return self._accept[0].demand.option() if self._accept else None
        method = method_of(demand)
        # EAP says nothing of the method inside, which is often one with certificates: unless it
        # is preferred, something better known is proposed first, and EAP taken when insisted on.
        hesitate = (
            method is AuthMethod.EAP
            and self._accept[:1] != (AuthMethod.EAP,)
            and not any(known.demand == demand for known in self.answers)
        )
        if method in self._accept and not hesitate:
            self.answers.append(AuthAnswer(demand, True))
            return option
        if not self._accept:
            self.answers.append(AuthAnswer(demand, False))
            return None
        self.answers.append(AuthAnswer(demand, False, self._accept[0].demand))
        if exhausted:
            self.no_common_auth = True
        # What the peer has not asked for yet is proposed in turn, best first.
        refusals = sum(not known.accepted for known in self.answers)
        counter = self._accept[(refusals - 1) % len(self._accept)].demand
        self.answers[-1] = AuthAnswer(demand, False, counter)
        return counter.option()

"""How long to stay connected."""

from __future__ import annotations

import re

from vpndiag.records import record

SHORTEST = 5.0
LONGEST = 24 * 3600.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


@record(frozen=True, slots=True)
class SoakPlan:
    """``rekey``: renew the keys of IPsec after a third of the time and those of IKE after two."""

    seconds: float
    rekey: bool = True


def parse_duration(text: str) -> float:
    """Seconds in ``90s``, ``10m``, ``1h`` or ``90``.

    :raises ValueError: something else, or not between 5 seconds and a day; a line for people.
    """
    found = re.fullmatch(r"\s*([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([smh]?)\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is no time: say 90s, 10m or 1h")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"{text!r}: between 5s and 24h")
    return seconds

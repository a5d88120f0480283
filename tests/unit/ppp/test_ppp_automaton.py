"""The automaton is RFC 1661 section 4.1's table, cell by cell."""

from __future__ import annotations

import pytest

from vpndiag.protocols.ppp.automaton import TABLE, TIMED_STATES, Event, State

# Transcribed from RFC 1661 section 4.1; footnote letters p, r and x are dropped.
RFC_TABLE = """
Up    2            irc,scr/6    -            -              -       -       -           -           -           -
Down  -            -            0            tls/1          0       1       1           1           1           tld/1
Open  tls/1        1            irc,scr/6    3              5       5       6           7           8           9
Close 0            tlf/0        2            2              4       4       irc,str/4   irc,str/4   irc,str/4   tld,irc,str/4
TO+   -            -            -            -              str/4   str/5   scr/6       scr/6       scr/8       -
TO-   -            -            -            -              tlf/2   tlf/3   tlf/3       tlf/3       tlf/3       -
RCR+  -            -            sta/2        irc,scr,sca/8  4       5       sca/8       sca,tlu/9   sca/8       tld,scr,sca/8
RCR-  -            -            sta/2        irc,scr,scn/6  4       5       scn/6       scn/7       scn/6       tld,scr,scn/6
RCA   -            -            sta/2        sta/3          4       5       irc/7       scr/6       irc,tlu/9   tld,scr/6
RCN   -            -            sta/2        sta/3          4       5       irc,scr/6   scr/6       irc,scr/8   tld,scr/6
RTR   -            -            sta/2        sta/3          sta/4   sta/5   sta/6       sta/6       sta/6       tld,zrc,sta/5
RTA   -            -            2            3              tlf/2   tlf/3   6           6           8           tld,scr/6
RUC   -            -            scj/2        scj/3          scj/4   scj/5   scj/6       scj/7       scj/8       scj/9
RXJ+  -            -            2            3              4       5       6           6           8           9
RXJ-  -            -            tlf/2        tlf/3          tlf/2   tlf/3   tlf/3       tlf/3       tlf/3       tld,irc,str/5
RXR   -            -            2            3              4       5       6           7           8           ser/9
"""  # noqa: E501

CELLS = [
    (row.split()[0], number, cell)
    for row in RFC_TABLE.strip().splitlines()
    for number, cell in enumerate(row.split()[1:])
]


@pytest.mark.parametrize(("event", "state", "cell"), CELLS)
def test_cell(event: str, state: int, cell: str) -> None:
    ours = TABLE[Event(event)].get(State(state))
    if cell == "-":
        assert ours is None
        return
    actions, _, following = cell.rpartition("/")
    assert ours is not None
    assert [action.value for action in ours[0]] == [a for a in actions.split(",") if a]
    assert ours[1] == int(following)


def test_the_table_has_all_sixteen_events_and_ten_states() -> None:
    assert len(CELLS) == 160
    assert {Event(event) for event, _, _ in CELLS} == set(Event) == set(TABLE)


def test_the_restart_timer_can_expire_exactly_where_the_table_has_to() -> None:
    assert set(TABLE[Event.TIMEOUT_RETRY]) == set(TABLE[Event.TIMEOUT_GIVE_UP]) == TIMED_STATES

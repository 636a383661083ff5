"""The state transition table of RFC 1661 §4.1, as data: 16 events by 10 states, 160 cells.

A cell is (actions, next state), or None for an illegal event ("-"). Footnotes are left out: the
passive (p) and restart (r) options are not used, and a crossed connection (x) needs no other cell.
"""

from enum import IntEnum


class State(IntEnum):
    """States (RFC 1661 §4.2)."""

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


class Event(IntEnum):
    """Events (RFC 1661 §4.3), in the order of the table's rows."""

    UP = 0
    DOWN = 1
    OPEN = 2
    CLOSE = 3
    TO_PLUS = 4
    TO_MINUS = 5
    RCR_PLUS = 6
    RCR_MINUS = 7
    RCA = 8
    RCN = 9
    RTR = 10
    RTA = 11
    RUC = 12
    RXJ_PLUS = 13
    RXJ_MINUS = 14
    RXR = 15


class Do(IntEnum):
    """Actions of the automaton (RFC 1661 §4.4)."""

    TLU = 0
    TLD = 1
    TLS = 2
    TLF = 3
    IRC = 4
    ZRC = 5
    SCR = 6
    SCA = 7
    SCN = 8
    STR = 9
    STA = 10
    SCJ = 11
    SER = 12


Cell = tuple[tuple[Do, ...], State]

_ROWS = """
Up     2    irc,scr/6 -         -             -     -     -         -         -         -
Down   -    -         0         tls/1         0     1     1         1         1         tld/1
Open tls/1  1         irc,scr/6 3             5     5     6         7         8         9
Close  0    tlf/0     2         2             4     4     irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4
TO+    -    -         -         -             str/4 str/5 scr/6     scr/6     scr/8     -
TO-    -    -         -         -             tlf/2 tlf/3 tlf/3     tlf/3     tlf/3     -
RCR+   -    -         sta/2     irc,scr,sca/8 4     5     sca/8     sca,tlu/9 sca/8     tld,scr,sca/8
RCR-   -    -         sta/2     irc,scr,scn/6 4     5     scn/6     scn/7     scn/6     tld,scr,scn/6
RCA    -    -         sta/2     sta/3         4     5     irc/7     scr/6     irc,tlu/9 tld,scr/6
RCN    -    -         sta/2     sta/3         4     5     irc,scr/6 scr/6     irc,scr/8 tld,scr/6
RTR    -    -         sta/2     sta/3         sta/4 sta/5 sta/6     sta/6     sta/6     tld,zrc,sta/5
RTA    -    -         2         3             tlf/2 tlf/3 6         6         8         tld,scr/6
RUC    -    -         scj/2     scj/3         scj/4 scj/5 scj/6     scj/7     scj/8     scj/9
RXJ+   -    -         2         3             4     5     6         6         8         9
RXJ-   -    -         tlf/2     tlf/3         tlf/2 tlf/3 tlf/3     tlf/3     tlf/3     tld,irc,str/5
RXR    -    -         2         3             4     5     6         7         8         ser/9
"""  # noqa: E501 - the table keeps its shape


def _cell(text: str) -> Cell | None:
    if text == "-":
        return None
    actions, _, state = text.rpartition("/")
    return tuple(Do[name.upper()] for name in actions.split(",") if name), State(int(state))


TABLE: tuple[Cell | None, ...] = tuple(
    _cell(text) for row in _ROWS.strip().splitlines() for text in row.split()[1:]
)
"""All cells, row by row: index `event * len(State) + state`."""

TIMER_RUNS = tuple(TABLE[Event.TO_PLUS * len(State) + state] is not None for state in State)
"""Whether the Restart timer runs in a state: where there is a TO event (RFC 1661 §4.1)."""

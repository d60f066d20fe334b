"""
table.py - what failovers cost, side by side: for each event and each measure the median of all turns, and the worst one.

    outcomes.append(outcome("leader-killed", "pgsluice", report, verdict, writable))     # for each turn
    print(terminal(outcomes)); open("table.md", "w").write(markdown(outcomes)); behind(outcomes)

Less is better in every row. A row is "behind" when the median of the first program is above that of any other one by more
than what chance explains (Measure.slack): the noise of the machine, and how many statements were just under way. Of a gap that
holds all clients alike the time in which no node took writes is left out first: how long that is is Patroni's affair.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import statistics
from typing import Any, Callable, Iterable, Optional

from .ledger import Report, Verdict

WIDTH = 120  # columns of a terminal
FIRST = "pgsluice"  # whose table it is
WRITERS, READERS = ("writer", "extended", "prepared", "pipeline", "copy"), ("reader", "prepared reader")
CLASSES = {  # whose errors are shown together
    "writers": WRITERS,
    "transactions": ("block", "sitter"),
    "readers": (*READERS, "lookup"),
    "idle clients, logins": ("idle", "login"),
}


@dataclasses.dataclass
class Measure:
    name: str
    unit: str = ""  # "s": seconds; else a number of things
    slack: float = 0.0
    is_net: bool = False  # compared without the outage
    read: Callable[[Report, Verdict], float] = lambda report, verdict: 0.0


def _mark(report: Report) -> float:
    return float(report.marks[0][0]) if report.marks else 0.0


def _worst(report: Report, *kinds: str) -> float:
    return max((each.worst_gap for name, each in report.kinds.items() if name in kinds), default=0.0)


def _errors(*kinds: str) -> Callable[[Report, Verdict], float]:
    return lambda report, verdict: sum(report.errors(*kinds).values())


MEASURES = [
    Measure("new leader writable to first write", "s", 0.2),  # told by the caller
    Measure("no node took writes", "s", math.inf),  # told by the caller
    Measure("longest gap, writes", "s", 0.4, True, lambda report, verdict: report.longest_gap("writes", _mark(report))),
    Measure("longest gap, reads", "s", 0.4, False, lambda report, verdict: report.longest_gap("reads", _mark(report))),
    Measure("longest gap of one client, writes", "s", 0.6, True, lambda report, verdict: _worst(report, *WRITERS)),
    Measure("longest gap of one client, reads", "s", 0.6, False, lambda report, verdict: _worst(report, *READERS)),
    *(Measure("errors: " + name, slack=4, read=_errors(*kinds)) for name, kinds in CLASSES.items()),
    Measure("connections lost", read=lambda report, verdict: report.total("connections_lost")),
    Measure("logins refused", read=lambda report, verdict: sum(report.refused().values())),
    Measure("clients stuck", read=lambda report, verdict: len(report.stuck)),
    Measure("acknowledged rows lost", read=lambda report, verdict: verdict.lost),
    Measure("rows doubled", read=lambda report, verdict: verdict.doubled),
    Measure("rows there, told as not done", read=lambda report, verdict: verdict.undone_but_there + verdict.strangers),
    Measure("rows of unknown fate", slack=20, read=lambda report, verdict: verdict.unknown),
    Measure("wrong answers", read=lambda report, verdict: report.wrong_count),
    Measure("stale reads of the leader", read=lambda report, verdict: report.stale_count),
    Measure("writes on an outdated timeline", read=lambda report, verdict: len(report.late_writes)),
]


@dataclasses.dataclass
class Outcome:
    """Of one turn. Plain data: dataclasses.asdict() makes JSON of it, Outcome(**found) brings it back."""

    event: str
    program: str
    numbers: dict[str, Optional[float]]  # by measure; None: does not apply, or was not seen to end
    errors: dict[str, dict[str, int]]  # by class of clients and SQLSTATE
    done: int


def outcome(event: str, program: str, report: Report, verdict: Verdict, writable: Optional[float] = None, node: str = "",
            outage: float = 0.0) -> Outcome:
    """
    `writable`: when a new leader took writes; `node`: which one, HOST:PORT, so that a late answer of the old one is not counted;
    `outage`: for how long no node took any.
    """
    numbers: dict[str, Optional[float]] = {each.name: each.read(report, verdict) for each in MEASURES}
    first = report.first_after(writable, node=node) if writable is not None else math.inf
    numbers[MEASURES[0].name] = first - writable if writable is not None and math.isfinite(first) else None
    numbers[MEASURES[1].name] = outage or None
    errors = {name: dict(report.errors(*kinds)) for name, kinds in CLASSES.items()}
    return Outcome(event, program, numbers, errors, report.total("done"))


# Many turns.

@dataclasses.dataclass
class Cell:
    median: float
    fair: float  # the median of what is compared
    worst: float
    text: str


@dataclasses.dataclass
class Row:
    event: str
    measure: str
    cells: dict[str, Optional[Cell]]  # by program
    verdict: str  # "ahead", "level", "behind", or "" with nothing to compare


def rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """Rows in which nobody has anything to show are left out."""
    turns: dict[str, dict[str, list[Outcome]]] = {}
    for each in outcomes:
        turns.setdefault(each.event, {}).setdefault(each.program, []).append(each)
    found = []
    for event, programs in turns.items():
        for measure in MEASURES:
            cells = {program: _cell(measure, list_) for program, list_ in programs.items()}
            if any(cell and (cell.worst or measure.unit) for cell in cells.values()):
                found.append(Row(event, measure.name, cells, _verdict(measure, cells)))
    return found


def _cell(measure: Measure, turns: list[Outcome]) -> Optional[Cell]:
    known = [each for each in turns if each.numbers[measure.name] is not None]
    if not known:
        return None
    values = [each.numbers[measure.name] or 0.0 for each in known]
    median, worst = statistics.median(values), max(values)
    outages = [(each.numbers[MEASURES[1].name] or 0.0) if measure.is_net else 0.0 for each in known]
    fair = statistics.median(max(0.0, value - outage) for value, outage in zip(values, outages))
    text = f"{median:.2f} s" if measure.unit else f"{median:g}"
    if len(values) > 1:
        text += f" ({worst:.2f})" if measure.unit else f" ({worst:g})"
    return Cell(median, fair, worst, text + _codes(measure, turns))


def _codes(measure: Measure, turns: list[Outcome]) -> str:
    """Which errors, in all turns together, the most frequent first."""
    codes: collections.Counter[str] = collections.Counter()
    for each in turns:
        codes.update(each.errors.get(measure.name.removeprefix("errors: "), {}))
    return ": " + ", ".join(f"{code} {count}" for code, count in codes.most_common()) if codes else ""


def _verdict(measure: Measure, cells: dict[str, Optional[Cell]]) -> str:
    mine = cells.get(FIRST)
    others = [cell.fair for program, cell in cells.items() if program != FIRST and cell]
    if mine is None or not others or math.isinf(measure.slack):
        return ""
    if mine.fair > min(others) + measure.slack:
        return "behind"
    return "ahead" if mine.fair < max(others) - measure.slack else "level"


def behind(outcomes: Iterable[Outcome]) -> list[str]:
    """A sentence for each row in which another program does better."""
    return [f"{row.event}, {row.measure}: " + ", ".join(f"{program} {cell.text}" for program, cell in row.cells.items() if cell)
            for row in rows(outcomes) if row.verdict == "behind"]


def _programs(found: list[Row]) -> list[str]:
    return list(dict.fromkeys(program for row in found for program in row.cells))


def markdown(outcomes: Iterable[Outcome], titles: Optional[dict[str, str]] = None) -> str:
    """One table for each event. `titles`: of events and programs."""
    return _pages(rows(outcomes), titles or {}, lambda name: f"\n**{name}**\n", _as_markdown)


def terminal(outcomes: Iterable[Outcome], titles: Optional[dict[str, str]] = None) -> str:
    return _pages(rows(outcomes), titles or {}, lambda name: f"\n{name}", _as_text)


def _pages(found: list[Row], titles: dict[str, str], head: Callable[[str], str], body: Callable[[list[list[str]]], list[str]]) -> str:
    programs, lines = _programs(found), []
    for event in dict.fromkeys(row.event for row in found):
        lines.append(head(titles.get(event, event)))
        table = [["", *(titles.get(program, program) for program in programs), "verdict"]]
        for row in found:
            if row.event == event:
                cells = [row.cells.get(program) for program in programs]
                table.append([row.measure, *(cell.text if cell else "-" for cell in cells), row.verdict])
        lines += body(table)
    return "\n".join(lines) + "\n"


def _as_markdown(table: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(line) + " |" for line in table]
    return [lines[0], "|" + "---|" * len(table[0]), *lines[1:]]


def _as_text(table: list[list[str]]) -> list[str]:
    """Columns as wide as they must be; where that is too wide, the longest cells go on in the next lines."""
    name, verdict = max(len(line[0]) for line in table), len("verdict")
    room = (WIDTH - name - verdict - 2 * (len(table[0]) - 1)) // max(1, len(table[0]) - 2)
    widths = [name, *(min(room, max(len(line[i]) for line in table)) for i in range(1, len(table[0]) - 1)), verdict]
    lines = []
    for line in table:
        parts = [_wrapped(cell, width) for cell, width in zip(line, widths)]
        for i in range(max(len(part) for part in parts)):
            lines.append("  ".join((part[i] if i < len(part) else "").ljust(width) for part, width in zip(parts, widths)).rstrip())
    return lines


def _wrapped(cell: str, width: int) -> list[str]:
    """At blanks, and in the middle of a word that is too long."""
    lines = [""]
    for word in cell.split(" "):
        while len(word) > width:
            lines.append(word[:width])
            word = word[width:]
        if len(lines[-1]) + 1 + len(word) <= width and lines[-1]:
            lines[-1] += " " + word
        elif lines[-1]:
            lines.append(word)
        else:
            lines[-1] = word
    return lines


def to_json(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(each) for each in outcomes]


def from_json(found: list[dict[str, Any]]) -> list[Outcome]:
    return [Outcome(**each) for each in found]

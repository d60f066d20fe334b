"""
answers.py - is an answer what the protocol and the statement demand, and what became of the statement? Pure functions.

A right answer has exactly the messages that were asked for, the token that was asked for, and the status in which the
statement leaves the session. An error may come in place of what is still missing of it, never behind anything else.
"""

from __future__ import annotations

import dataclasses
from typing import Optional

from .wire import Answer, fields, row

NOT_SENT = "not sent"
# What is refused with a FATAL before anything is run: the session ends, and nothing has happened.
REFUSALS = ("57P03", "53300", "25006", "3D000", "42501")


@dataclasses.dataclass
class Wanted:
    """What success looks like."""

    letters: str  # of the messages before ReadyForQuery
    tag: str  # of CommandComplete; "": there is none
    token: str = ""  # the first value of the row
    status: str = "I"
    is_block: bool = False  # an error leaves a failed transaction


@dataclasses.dataclass
class Judged:
    is_done: bool = False
    is_lost: bool = False  # the connection
    code: str = ""  # what the failure is counted as: its SQLSTATE, else a word
    text: str = ""
    status: str = ""
    values: list[Optional[str]] = dataclasses.field(default_factory=list)  # of the row
    wrong: list[str] = dataclasses.field(default_factory=list)
    is_fatal: bool = False

    @property
    def fate(self) -> str:
        """Of a statement that commits for itself, or of a COMMIT: "done", "not done" for certain, or "unknown"."""
        if self.is_done:
            return "done"
        if self.wrong:
            return "unknown"
        if self.code == NOT_SENT:
            return "not done"
        if self.is_fatal:
            return "not done" if self.code in REFUSALS or self.code.startswith("28") else "unknown"
        if self.is_lost or self.code[:2] in ("08", "58", "XX"):
            return "unknown"
        return "not done"


def judge(answer: Answer, wanted: Wanted) -> Judged:
    found = Judged(status=answer.status)
    letters = answer.letters
    before, has_error, behind = letters.partition("E")
    if not wanted.letters.startswith(before):
        found.wrong.append(f"{letters!r} came where {wanted.letters!r} was due")
    if has_error and behind and not (answer.lost and not behind.strip("E")):  # why a session ends may be said twice
        found.wrong.append(f"{behind!r} came behind an error")
    _look_inside(answer, wanted, found)
    if has_error:
        said = answer.error
        found.code, found.text = said.get("C", "?"), said.get("M", "?")
        found.is_fatal = said.get("V", said.get("S")) in ("FATAL", "PANIC")
    if answer.lost:
        found.is_lost = True
        if not has_error:
            sent = not answer.lost.startswith("before it was sent")
            found.code, found.text = ("connection lost" if sent else NOT_SENT), answer.lost
        return found
    if has_error:
        # Only who does not know what became of a transaction is out of it without having ended it.
        allowed = ("E", "I") if wanted.is_block and found.code[:2] == "08" else ("E",) if wanted.is_block else ("I",)
        if answer.status not in allowed:
            found.wrong.append(f"status {answer.status!r} behind the error {found.code}, not {' or '.join(allowed)}")
        if found.is_fatal:
            found.wrong.append(f"FATAL {found.code}, and ReadyForQuery")
        return found
    if letters != wanted.letters:
        if wanted.letters.startswith(before):
            found.wrong.append(f"{letters!r} came where {wanted.letters!r} was due")
    if answer.status != wanted.status:
        found.wrong.append(f"status {answer.status!r}, not {wanted.status!r}")
    found.is_done = not found.wrong
    if found.wrong:
        found.code = "wrong"
    return found


def _look_inside(answer: Answer, wanted: Wanted, found: Judged) -> None:
    for letter, body in answer.messages:
        if letter == "D":
            try:
                found.values = row(body)
            except ValueError as error:
                found.wrong.append(str(error))
                continue
            if not found.values or found.values[0] != wanted.token:
                found.wrong.append(f"the row {found.values!r} in answer to {wanted.token!r}")
        elif letter == "C":
            tag = body[:-1].decode(errors="replace")
            if tag != wanted.tag:
                found.wrong.append(f"{tag!r} in answer to what makes {wanted.tag!r}")


def wrong_notices(notices: list[dict[str, str]]) -> list[str]:
    """Who never begins or ends a transaction twice is not told that there is one already, or none."""
    return [f"WARNING {said.get('C')}: {said.get('M')}" for said in notices if said.get("C") in ("25P01", "25001")]


__all__ = ["Judged", "NOT_SENT", "Wanted", "fields", "judge", "wrong_notices"]

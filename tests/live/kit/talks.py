"""
talks.py - the same words said to PostgreSQL and to a pooler in front of it, and the answers side by side.

A file of sessions/ holds talks. `== NAME key=value ...` begins one, on a connection of its own (user, needs, and parameters of the
startup packet); then each line is a step, and indented lines go on with the one above:

    SELECT 1                              a Query
    > P s SELECT $1::int | B - s 5 | E - | S    messages, sent at once: P name[:oid,oid] text, B portal statement values, D S|P name,
                                          E portal [rows], C S|P name, S, H, Q text, d data, c, f text (COPY), ?X: read up to an X
    @ NOTIFY c                            said by somebody else, directly to the server
    ? 2                                   waits for so many notifications

In a text, {{x*1000}} is so many x, {{ff 80}} are these bytes. "-" is the empty name; NULL and '' are values.
Of an answer everything is compared that is not left out in masked().
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import struct
from pathlib import Path
from typing import Any, Iterator

import psycopg

from . import wire
from .wire import Closed, Wire

FIRST_USER_OID = 16384


@dataclasses.dataclass
class Step:
    text: str


@dataclasses.dataclass
class Talk:
    name: str
    user: str = "app"
    needs: tuple[str, ...] = ()
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)
    steps: list[Step] = dataclasses.field(default_factory=list)


def read(path: Path) -> list[Talk]:
    talks: list[Talk] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            words = shlex.split(line[3:])
            name = " ".join(each for each in words if "=" not in each)
            given = dict(each.split("=", 1) for each in words if "=" in each)
            needs = tuple(filter(None, given.pop("needs", "").split(",")))
            talks.append(Talk(f"{path.stem}: {name}", given.pop("user", "app"), needs, given))
        elif line[:1] in (" ", "\t"):
            talks[-1].steps[-1].text += "\n" + line.strip()
        elif line and not line.startswith("#"):
            talks[-1].steps.append(Step(line))
    return talks


# ---- what is sent ----

def _bytes(text: str) -> bytes:
    parts = re.split(r"\{\{(.+?)\}\}", text)
    out = [part.encode() for part in parts]
    for at in range(1, len(parts), 2):
        repeated = re.fullmatch(r"(.+)\*(\d+)", parts[at], re.S)
        out[at] = repeated[1].encode() * int(repeated[2]) if repeated else bytes.fromhex(parts[at])
    return b"".join(out)


def _text(value: str) -> bytes:
    return b"\0" if value == "-" else _bytes(value) + b"\0"


def _value(word: str) -> bytes:
    if word == "NULL":
        return struct.pack("!i", -1)
    value = b"" if word == "''" else _bytes(word)
    return struct.pack("!i", len(value)) + value


def encoded(item: str) -> bytes:
    """One message of a line that begins with ">"."""
    letter, _, rest = item.partition(" ")
    words = rest.split(" ")
    if letter == "Q":
        body = _text(rest)
    elif letter == "P":
        name, _, sql = rest.partition(" ")
        name, _, oids = name.partition(":")
        types = [int(oid) for oid in oids.split(",") if oid]
        body = _text(name) + _bytes(sql) + b"\0" + struct.pack(f"!h{len(types)}I", len(types), *types)
    elif letter == "B":
        values = b"".join(map(_value, words[2:]))
        body = _text(words[0]) + _text(words[1]) + struct.pack("!hh", 0, len(words) - 2) + values + struct.pack("!h", 0)
    elif letter in "DC":
        body = words[0].encode() + _text(words[1])
    elif letter == "E":
        body = _text(words[0]) + struct.pack("!i", int(words[1]) if len(words) > 1 else 0)
    elif letter == "d":
        body = _bytes(rest.replace("\\t", "\t").replace("\\n", "\n"))
    elif letter == "f":
        body = _text(rest)
    else:
        assert letter in "SHc" and not rest, item
        body = b""
    return wire.message(letter.encode(), body)


# ---- what is heard ----

def _description(body: bytes) -> list[tuple[Any, ...]]:
    """Of a RowDescription. What a test makes has other oids each time."""
    count, at, columns = struct.unpack_from("!h", body)[0], 2, []
    for _ in range(count):
        end = body.index(b"\0", at)
        table, column, kind, size, modifier, form = struct.unpack_from("!IhIhih", body, end + 1)
        columns.append((body[at:end], table > 0, column, min(kind, FIRST_USER_OID), size, modifier, form))
        at = end + 19
    return columns


def masked(message: wire.Message) -> tuple[str, Any]:
    """Without what is another number each time: oids, the number of a temporary schema, who has sent a notification."""
    letter, body = message
    body = re.sub(rb"pg_(toast_)?temp_\d+", rb"pg_\1temp_N", body)
    if letter == b"T":
        return "T", _description(body)
    if letter == b"t":
        kinds = struct.unpack(f"!{(len(body) - 2) // 4}I", body[2:])
        return "t", [min(kind, FIRST_USER_OID) for kind in kinds]
    if letter == b"D":
        return "D", wire.row(body)
    if letter in (b"E", b"N"):
        return letter.decode(), wire.fields(body)
    if letter == b"A":
        return "A", body[4:]
    return letter.decode(), body


def ordered(answer: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """ParameterStatus messages that come together have no order: PostgreSQL's is that of a hash table."""
    out: list[tuple[str, Any]] = []
    for each in answer:
        at = len(out)
        while each[0] == "S" and at and out[at - 1][0] == "S" and out[at - 1] > each:
            at -= 1
        out.insert(at, each)
    return out


class Speaker:
    """One connection that says a talk. .answers: per step."""

    def __init__(self, talk: Talk, port: int, database: str, bystander: psycopg.Connection[Any]) -> None:
        self.talk, self.bystander = talk, bystander
        self.wire = Wire(port)
        self.wire.login(user=talk.user, database=database, **talk.parameters)
        self.is_over = False
        self.notified: list[tuple[str, Any]] = []
        self.answers: list[list[tuple[str, Any]]] = []

    def run(self) -> list[list[tuple[str, Any]]]:
        self.answers.append(sorted(masked((b"S", f"{name}\0{value}".encode()))
                                   for name, value in self.wire.parameters.items()))
        for step in self.talk.steps:
            self.answers.append([("closed", None)] if self.is_over else ordered(list(self._say(step.text))))
        self.answers.append(self.notified)
        self.answers.append(sorted(("S", f"{name} = {value}") for name, value in self.wire.parameters.items()))
        if not self.is_over:
            self.wire.send(wire.TERMINATE)
        self.wire.close()
        return self.answers

    def _say(self, text: str) -> Iterator[tuple[str, Any]]:
        if text.startswith("@ "):
            self.bystander.execute(text[2:])
        elif text.startswith("? "):
            count = int(text[2:])
            while len(self.notified) < count:
                yield from self._until("A")
            yield from self.notified[:count]
            del self.notified[:count]
        else:
            yield from self._exchange(text[2:].split(" | ") if text.startswith("> ") else ["Q " + text])

    def _exchange(self, items: list[str]) -> Iterator[tuple[str, Any]]:
        out, turns = b"", 0
        try:
            for item in items:
                if item.startswith("?"):
                    self.wire.send(out)
                    out = b""
                    yield from self._until(item[1:])
                else:
                    out += encoded(item)
                    turns += item[0] in "QSF"
            self.wire.send(out)
            for _ in range(turns):
                yield from self._until("Z")
        except (Closed, ConnectionError):
            yield "closed", None
            self.is_over = True

    def _until(self, letter: str) -> Iterator[tuple[str, Any]]:
        while True:
            found = masked(self.wire.next())
            self.wire.heard.clear()
            if found[0] == "A":
                self.notified.append(found)
            else:
                yield found
            if found[0] == letter:
                return

"""
The same words said to PostgreSQL and to pgsluice in transaction mode: the answers are the same, message by message.

Each talk of sessions/ is said three times, each time in a database of its own with the same things in it: directly; to a pgsluice
whose two servers take turns ("quiet": two transactions in a row never meet the same server, unless it is pinned); and in a
pool of two servers among ten other clients, who leave in them what they can ("noisy").
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any, Callable, Iterator

import psycopg
import pytest
from conftest import Start
from kit import talks
from kit.invented import invented
from kit.noise import Crowd
from kit.place import Place
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.talks import Speaker, Talk
from kit.wire import Wire


@dataclasses.dataclass
class Difference:
    reason: str
    is_it: Callable[[Any, Any], bool]
    is_met: bool = False


SESSIONS = Path(__file__).resolve().parent / "sessions"
PLACES = ("direct", "quiet", "noisy")
NOISE = 10  # clients
INVENTED = range(12)  # seeds
SOURCE = {"F", "L", "R"}  # fields of an ErrorResponse: file, line, routine

# What the talks need that is not there yet, and why.
NOT_YET: dict[str, str] = {
    "core": "the server is not asked yet what a session has",
    "prepare": "PREPARE in SQL is not followed yet",
    "replan": "a changed result type is not healed yet",
    "listen": "LISTEN is not followed yet",
    "pins": "nothing is pinned yet",
    "seed": "nothing is pinned yet",
    "lastval": "nothing is pinned yet",
    "names": "an error shows our name of a statement",
    "encodings": "statements in several encodings are one",
}

# Where the answer may be another one: which messages of PostgreSQL's are allowed to be which here, and why. Each has to be met.
DIFFERENCES = [
    Difference("what pgsluice refuses itself has no line of PostgreSQL's source", lambda a, b: a[0] == b[0] == "E" and
               b[1].keys() == a[1].keys() - SOURCE and all(a[1][key] == b[1][key] for key in b[1])),
    Difference("the name of a statement in the protocol may be in no encoding", lambda a, b: a[0] == "E" and
               a[1]["C"] == "22021" and b == ("1", b"")),
]

TALKS = [talk for path in sorted(SESSIONS.glob("*.talk")) for talk in talks.read(path)] + [invented(seed) for seed in INVENTED]
TALKS.sort(key=lambda talk: talk.user)  # one crowd after the other


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Postgres]:
    """One of our own: with roles that have settings."""
    own = Postgres(place, "talks", max_connections=60)
    own.add_user("app")
    own.sql("CREATE ROLE role_a; CREATE ROLE role_b; CREATE ROLE role_c; GRANT role_a, role_b TO app")
    own.sql("CREATE DATABASE made OWNER app")
    own.sql((SESSIONS / "objects.sql").read_text(encoding="utf-8"), dbname="made")
    for name in PLACES:
        own.sql(f"CREATE DATABASE {name} TEMPLATE made OWNER app")
    yield own
    own.stop()


@pytest.fixture(scope="module")
def front(module_sluices: Start, server: Postgres) -> Sluice:
    databases = {name: f"host={server.host} port={server.port} pool_size=2 min_pool_size=2" for name in PLACES}
    secrets = {name: server.secret(name) for name in ("app", "postgres")}
    return module_sluices(databases=databases, secrets=secrets, server_round_robin=1, max_prepared_statements=50)


@pytest.fixture(scope="module")
def bystanders(server: Postgres) -> Iterator[dict[str, psycopg.Connection[Any]]]:
    each = {name: server.connect(dbname=name) for name in PLACES}
    yield each
    for connection in each.values():
        connection.close()


class Crowds:
    """Of one user at a time."""

    def __init__(self, front: Sluice) -> None:
        self.front, self.user, self.crowd = front, "", Crowd(front.connect, 0)

    def of(self, user: str) -> None:
        if user != self.user:
            self.end()
            self.user = user
            self.crowd = Crowd(lambda: self.front.connect(user=user, dbname="noisy"), NOISE)
            self.crowd.__enter__()

    def end(self) -> None:
        crowd, self.crowd, self.user = self.crowd, Crowd(self.front.connect, 0), ""
        crowd.__exit__(None, None, None)


@pytest.fixture(scope="module")
def crowds(front: Sluice) -> Iterator[Crowds]:
    each = Crowds(front)
    yield each
    each.end()


def say(talk: Talk, where: str, server: Postgres, front: Sluice, bystander: psycopg.Connection[Any]) -> Any:
    speaker = Speaker(talk, server.port if where == "direct" else front.port, where, bystander)
    try:
        return speaker.run()
    except OSError as problem:
        step = (["login", *(step.text for step in talk.steps), "end"])[len(speaker.answers)]
        raise AssertionError(f"{where}: no answer to {step[:200]!r}: {problem!r}; so far {speaker.wire.heard!r:.300}") from problem


def is_allowed(a: Any, b: Any) -> bool:
    """May PostgreSQL's message a be b here?"""
    for difference in DIFFERENCES if a and b else []:
        if difference.is_it(a, b):
            difference.is_met = True
            return True
    return False


def compare(talk: Talk, direct: list[Any], pooled: list[Any], where: str) -> list[str]:
    """The steps whose answers are not as they must be."""
    names = ["login", *(step.text for step in talk.steps), "notifications nobody waited for"]
    wrong = []
    for name, a, b in itertools.zip_longest(names, direct, pooled):
        if a != b and not all(x == y or is_allowed(x, y) for x, y in itertools.zip_longest(a, b)):
            wrong.append(f"{name[:200]}\n  direct {a!r:.700}\n  {where:6} {b!r:.700}")
    return wrong


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
def test_nobody_can_tell(talk: Talk, server: Postgres, front: Sluice, bystanders: dict[str, psycopg.Connection[Any]],
                         crowds: Crowds) -> None:
    missing = [NOT_YET[need] for need in talk.needs if need in NOT_YET]
    if missing:
        pytest.skip(missing[0])
    said = {where: say(talk, where, server, front, bystanders[where]) for where in ("direct", "quiet")}
    wrong = compare(talk, said["direct"], said["quiet"], "quiet")
    assert not wrong, "\n".join(wrong)
    crowds.of(talk.user)
    wrong = compare(talk, said["direct"], say(talk, "noisy", server, front, bystanders["noisy"]), "noisy")
    assert not wrong, "\n".join(wrong)


def test_every_difference_is_met(request: pytest.FixtureRequest) -> None:
    """A reason that is none any more has to go. Only after all of the talks."""
    said = {item.name for item in request.session.items}
    if not all(f"test_nobody_can_tell[{talk.name}]" in said for talk in TALKS):
        pytest.skip("not all of the talks are said")
    assert [difference.reason for difference in DIFFERENCES if not difference.is_met] == []


def test_servers_take_turns(front: Sluice) -> None:
    """Without which all of this would show little."""
    with Wire(front.port).login(database="quiet") as client:
        pids = [client.ask("SELECT pg_backend_pid()")[0][0] for _ in range(20)]
    assert len(set(pids)) == 2 and all(a != b for a, b in zip(pids, pids[1:]))

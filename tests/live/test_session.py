"""
The same words said to PostgreSQL and to pgsluice in transaction mode: the answers are the same, message by message.

Each talk of sessions/ is said three times, each time in a database of its own with the same things in it: directly; to a pgsluice
whose two servers take turns ("quiet": two transactions in a row never meet the same server, unless it is pinned); and in a
pool of two servers among ten other clients, who leave in them what they can ("noisy").
"""

from __future__ import annotations

import dataclasses
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


Answer = list[tuple[str, Any]]


@dataclasses.dataclass
class Difference:
    reason: str
    is_it: Callable[[Talk, Answer, Answer], bool]
    is_met: bool = False
    is_by_chance: bool = False  # which server it meets decides whether it is met


def of_messages(is_it: Callable[[Any, Any], bool]) -> Callable[[Talk, Answer, Answer], bool]:
    """Of messages, one by one."""
    return lambda talk, a, b: len(a) == len(b) and all(x == y or is_it(x, y) for x, y in zip(a, b))


def errors(answer: Answer) -> list[str]:
    return [fields["C"] for letter, fields in answer if letter == "E"]


def values(answer: Answer) -> list[list[bytes | None]]:
    return [row for letter, row in answer if letter == "D"]


def told(answer: Answer) -> Answer:
    return [each for each in answer if each[0] == "S"]


def without_told(answer: Answer) -> Answer:
    return [each for each in answer if each[0] != "S"]


SESSIONS = Path(__file__).resolve().parent / "sessions"
PLACES = ("direct", "quiet", "noisy")
NOISE = 10  # clients
INVENTED = range(12)  # seeds
SOURCE = {"F", "L", "R"}  # fields of an ErrorResponse: file, line, routine

# What the talks need that is not there yet, and why.
NOT_YET: dict[str, str] = {}

# Words that the others do not say until then: they would keep their servers.
WITHOUT = ("SEQUENCE",)

# Where the answer may be another one, and why. Each has to be met.
DIFFERENCES = [
    Difference("what pgsluice refuses itself has no line of PostgreSQL's source", of_messages(
        lambda a, b: a[0] == b[0] == "E" and b[1] == {key: a[1][key] for key in a[1].keys() - SOURCE})),
    Difference("a Parse that pgsluice brings fails in the place of what needs it", of_messages(
        lambda a, b: a[0] == b[0] == "E" and b[1].get("R") == "exec_parse_message" and
        all(a[1][key] == b[1][key] for key in a[1].keys() - SOURCE))),
    Difference("the name of a statement in the protocol may be in no encoding", of_messages(
        lambda a, b: a[0] == "E" and a[1]["C"] == "22021" and b == ("1", b""))),
    Difference("a custom setting that nobody has set is empty where the server has heard its name, else NULL", of_messages(
        lambda a, b: a[0] == b[0] == "D" and [each or None for each in a[1]] == [each or None for each in b[1]])),
    Difference("a custom setting that nobody has set is empty where the server has heard its name, else unknown",
               lambda talk, a, b: (errors(a) == ["42704"] and values(b) == [[b""]]) or (errors(b) == ["42704"] and values(a) == [[b""]])),
    Difference("a custom setting whose name is put together while it runs is not known of, and stays behind",
               lambda talk, a, b: values(a) == [[b"left behind"]] and (errors(b) == ["42704"] or values(b) == [[b""]])),
    Difference("a statement can't be prepared again when client_encoding is another one",
               lambda talk, a, b: talk.name == "protocol: prepared in another encoding" and b[-1] == ("closed", None)),
    Difference("a statement whose result type has changed is prepared anew on a server that has not seen the old one",
               lambda talk, a, b: errors(a) == ["0A000"] and errors(b) == [] and len(b) > 2, is_by_chance=True),
    Difference("the temporary schema of a server stays in the search_path when its tables are gone", of_messages(
        lambda a, b: a[0] == b[0] == "D" and b[1] == [b"{pg_temp_N," + a[1][0][1:]])),
    Difference("what was set at login was set in the session, to pg_settings", of_messages(
        lambda a, b: a[0] == b[0] == "D" and [*a[1][:-1], b"session"] == b[1] and a[1][-1] == b"client")),
    Difference("RESET of what was set at login: the server's value is told first, that of the login with the next answer",
               lambda talk, a, b: talk.parameters and told(a) != told(b) and without_told(a) == without_told(b)),
    Difference("what EXECUTE returns is described as it is now, not as it was when that was parsed", of_messages(
        lambda a, b: a == ("n", b"") and b[0] == "T" and len(b[1]) == 1), is_by_chance=True),
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
            self.crowd = Crowd(lambda: self.front.connect(user=user, dbname="noisy"), NOISE, WITHOUT)
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
        step = ["login", *(step.text for step in talk.steps), "end", "end"][len(speaker.answers)]
        raise AssertionError(f"{where}: no answer to {step[:200]!r}: {problem!r}; the last ones {speaker.answers[-4:]!r:.900}") from problem


def is_allowed(talk: Talk, a: Answer, b: Answer) -> bool:
    """May PostgreSQL's answer a be b here?"""
    for difference in DIFFERENCES:
        if difference.is_it(talk, a, b):
            difference.is_met = True
            return True
    return False


def compare(talk: Talk, direct: list[Any], pooled: list[Any], where: str) -> list[str]:
    """The steps whose answers are not as they must be."""
    names = ["login", *(step.text for step in talk.steps), "notifications nobody waited for", "parameters at the end"]
    wrong = []
    for name, a, b in zip(names, direct, pooled):
        if a != b and not is_allowed(talk, a, b):
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
    assert [difference.reason for difference in DIFFERENCES
            if not difference.is_met and not difference.is_by_chance] == []


def test_servers_take_turns(front: Sluice) -> None:
    """Without which all of this would show little."""
    with Wire(front.port).login(database="quiet") as client:
        pids = [client.ask("SELECT pg_backend_pid()")[0][0] for _ in range(20)]
    # Where the server was asked what this may have done, the next one goes there, too.
    assert len(set(pids)) == 2 and sum(a != b for a, b in zip(pids, pids[1:])) > 10, pids

"""test_prepared.py - prepared statements, by SQL and by the protocol, are their client's on every server, and nobody else's."""

from __future__ import annotations

from typing import Any, Iterator

import psycopg
import pytest
from kit import wire
from kit.place import wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


@pytest.fixture(scope="module")
def front(module_sluices: Start) -> Sluice:
    """Each transaction meets the other server."""
    return module_sluices(default_pool_size=2, min_pool_size=2, server_round_robin=1)


@pytest.fixture
def both(front: Sluice, postgres: Postgres) -> Iterator[tuple[Wire, Wire]]:
    """The same client, directly and through pgsluice."""
    with Wire(postgres.port).login() as direct, Wire(front.port).login() as pooled:
        yield direct, pooled


def said(client: Wire, step: str | list[bytes]) -> list[Any]:
    """What is answered, but for what no two servers have in common."""
    client.send(*([wire.query(step)] if isinstance(step, str) else [*step, wire.SYNC]))
    answers: list[Any] = []
    for letter, body in client.ready():
        if letter == b"E":
            answers.append((letter, {key: value for key, value in wire.fields(body).items() if key in "SVCMDHP"}))
        elif letter not in b"TtS":
            answers.append((letter, body))
    return answers


def run(statement: str, *values: bytes) -> list[bytes]:
    return [wire.bind("", statement, values), wire.execute()]


def same(both: tuple[Wire, Wire], *steps: Any) -> None:
    for step in steps:
        direct, pooled = (said(client, step) for client in both)
        assert direct == pooled, step


def test_both_kinds_have_one_name_space(both: tuple[Wire, Wire]) -> None:
    same(both, "PREPARE a(int) AS SELECT $1 + 1", "EXECUTE a(1)", run("a", b"5"), "EXECUTE a(2)", "PREPARE a AS SELECT 2",
         [wire.parse("a", "SELECT 3")], [wire.parse("b", "SELECT $1::text")], "EXECUTE b('x')", "PREPARE b AS SELECT 4",
         run("b", b"y"), "DEALLOCATE b", run("b", b"z"), "DEALLOCATE b", [wire.close("S", "a")], "EXECUTE a(1)",
         "PREPARE a AS SELECT 'anew'", "EXECUTE a", "DEALLOCATE ALL", "EXECUTE a",
         [wire.parse("c", "SELECT 'c'"), *run("c")], "SELECT 1", "DISCARD ALL", run("c"))


def test_no_transaction_takes_them_back(both: tuple[Wire, Wire]) -> None:
    same(both, "BEGIN", "PREPARE a AS SELECT 'a'", "ROLLBACK", "EXECUTE a", "BEGIN", "DEALLOCATE a", "ROLLBACK", "EXECUTE a",
         "PREPARE a AS SELECT 'b'", "BEGIN", "SELECT 1/0", "DEALLOCATE a", "EXECUTE a", "ROLLBACK", "EXECUTE a",
         "PREPARE c AS SELECT 'c'; SELECT 1/0", "EXECUTE c", "SELECT 1; DEALLOCATE c; PREPARE c AS SELECT 'd'", "EXECUTE c",
         "BEGIN", "SAVEPOINT s", "DEALLOCATE c", "ROLLBACK TO s", "EXECUTE c", "COMMIT", "EXECUTE c")


def test_what_cannot_be_prepared_again_fails_as_it_would(both: tuple[Wire, Wire], postgres: Postgres) -> None:
    with postgres.connect(dbname="app", user="app") as admin:
        same(both, "SELECT 1")
        for step in ("EXECUTE gone", "SELECT 7; EXECUTE gone", [wire.parse("", "EXECUTE gone"), *run("")], run("named")):
            admin.execute("CREATE TABLE gone (x int)")
            admin.commit()
            same(both, "PREPARE gone AS SELECT * FROM gone", [wire.parse("named", "SELECT x FROM gone")], "EXECUTE gone")
            admin.execute("DROP TABLE gone")
            admin.commit()
            direct, pooled = (said(client, step) for client in both)
            assert direct[-2:] == pooled[-2:]
            same(both, "BEGIN", "SAVEPOINT s", "EXECUTE gone", "ROLLBACK TO s", "SELECT 1", "COMMIT", "BEGIN", "EXECUTE gone",
                 "ROLLBACK", "DEALLOCATE gone", "DEALLOCATE gone", "DEALLOCATE named", "DEALLOCATE named")


def test_the_view_shows_ones_own(both: tuple[Wire, Wire], front: Sluice) -> None:
    view = "SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements ORDER BY name"
    with Wire(front.port).login() as other:
        for i in range(4):
            said(other, f"PREPARE theirs{i} AS SELECT {i}")
            said(other, [wire.parse(f"protocol{i}", f"SELECT {i}")])
            said(other, f"EXECUTE protocol{i}")
        same(both, view, "PREPARE mine(int) AS /* */ SELECT $1 ;  ", [wire.parse("p", "SELECT $1::int8")], view,
             [wire.parse("", view), *run("")], [wire.parse("reads", view)], run("reads"), run("reads"), run("p", b"1"), view,
             "DEALLOCATE mine", view, "BEGIN", "PREPARE inside AS SELECT 1", view, "ROLLBACK", view)
        for i in range(4):
            assert [b for a, b in said(other, f"EXECUTE theirs{i}") if a == b"D"] == [b"\0\1\0\0\0\1" + str(i).encode()]
        assert wire.fields(said_error(other, "EXECUTE mine"))["C"] == "26000"


def said_error(client: Wire, text: str) -> bytes:
    client.send(wire.query(text))
    return next(body for letter, body in client.ready() if letter == b"E")


def test_nobody_meets_anothers(front: Sluice) -> None:
    with Wire(front.port).login() as one, Wire(front.port).login() as other:
        for i in range(6):
            said(one, f"PREPARE x{i} AS SELECT 'of one'")
            said(one, f"EXECUTE x{i}")
            assert wire.fields(said_error(other, f"EXECUTE x{i}"))["C"] == "26000"
            assert wire.fields(said_error(other, f"DEALLOCATE x{i}"))["C"] == "26000"
            assert other.ask("SELECT count(*) FROM pg_prepared_statements") == [[str(i).encode()]]
            said(other, f"PREPARE x{i} AS SELECT 'of other'")
            for _ in range(3):
                assert one.ask(f"EXECUTE x{i}") == [[b"of one"]]
                assert other.ask(f"EXECUTE x{i}") == [[b"of other"]]


def test_our_names_are_nobodys(both: tuple[Wire, Wire], front: Sluice) -> None:
    with Wire(front.port).login() as victim:
        said(victim, [wire.parse("v", "SELECT 'victim'")])
        for i in range(1, 60):
            same(both, f"DEALLOCATE pgsluice_{i}", f"EXECUTE pgsluice_{i}")
            said(victim, run("v"))
        assert said(victim, run("v"))[-2][0] == b"C"


@pytest.mark.parametrize("how", ["sql", "protocol"])
def test_ten_thousand_of_one_client(front: Sluice, how: str) -> None:
    count = 10000
    with Wire(front.port).login() as client:
        for start in range(0, count, 500):
            some = range(start, start + 500)
            if how == "sql":
                client.send(*(wire.query(f"PREPARE p{i} AS SELECT {i}") for i in some))
            else:
                client.send(*(wire.parse(f"p{i}", f"SELECT {i}") + wire.SYNC for i in some))
            for i in some:
                assert all(letter in b"C1Z" for letter, _ in client.ready()), i
        for i in (0, 1, 4711, count - 1):
            assert client.ask(f"EXECUTE p{i}") == [[str(i).encode()]]
        assert client.ask("SELECT count(*) FROM pg_prepared_statements") == [[str(count).encode()]]
        client.send(wire.parse("more", "SELECT 1"), wire.SYNC)
        assert wire.fields(client.ready()[0][1])["C"] == "53400"
        assert client.ask("EXECUTE p17") == [[b"17"]]
    with Wire(front.port).login() as other:
        for _ in range(3):
            assert other.ask("SELECT count(*) FROM pg_prepared_statements") == [[b"0"]]


def test_one_too_many(sluices: Start) -> None:
    small = sluices(default_pool_size=2, min_pool_size=2, server_round_robin=1, max_client_prepared_statements=2)
    with small.connect(prepare_threshold=None) as client:
        for i in range(4):
            client.execute(f"PREPARE p{i} AS SELECT {i}")
        for i in range(4):
            row = client.execute(f"EXECUTE p{i}").fetchone()
            assert row and row[0] == i
        pids = {client.execute("SELECT pg_backend_pid()").fetchone() for _ in range(4)}
        assert len(pids) == 1  # those beyond the limit stay where they are, and their client with them
        client.execute("DEALLOCATE p2")
        client.execute("DEALLOCATE p3")
        wait_until(lambda: len({client.execute("SELECT pg_backend_pid()").fetchone() for _ in range(2)}) == 2, what="release")


def test_one_text_means_to_each_his_own_tables(front: Sluice, postgres: Postgres) -> None:
    with postgres.connect(dbname="app", user="app") as admin:
        for name, kind in (("one", "int"), ("two", "text"), ("three", "bigint")):
            admin.execute(f"DROP SCHEMA IF EXISTS tenant_{name} CASCADE; CREATE SCHEMA tenant_{name};"
                          f"CREATE TABLE tenant_{name}.things (id {kind}, name text); INSERT INTO tenant_{name}.things VALUES (1, '{name}')")
    clients = {name: Wire(front.port).login() for name in ("one", "two", "three")}
    text = "SELECT id, name FROM things WHERE id = $1"
    for name, client in clients.items():
        said(client, f"SET search_path = tenant_{name}")
        said(client, [wire.parse("s", text)])
        said(client, f"PREPARE q AS {text}")
    for _ in range(4):
        for name, client in clients.items():
            answers = said(client, run("s", b"1")) + said(client, "EXECUTE q(1)")
            rows = [b for a, b in answers if a == b"D"]
            assert len(rows) == 2, answers
            assert [wire.row(each) for each in rows] == [[b"1", name.encode()]] * 2
            kind = {"one": 23, "two": 25, "three": 20}[name]
            client.send(wire.describe("S", "s"), wire.SYNC)
            assert client.ready()[0] == (b"t", b"\0\1" + kind.to_bytes(4, "big"))
    for client in clients.values():
        client.close()


def test_who_prepared_before_a_table_changed_is_told_once_and_others_are_not(front: Sluice, postgres: Postgres) -> None:
    text = "SELECT * FROM changing"
    with postgres.connect(dbname="app", user="app") as admin:
        admin.execute("DROP TABLE IF EXISTS changing; CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
        admin.commit()
        before = [Wire(front.port).login() for _ in range(3)]
        for client in before:
            said(client, [wire.parse("s", text)])
            for _ in range(2):
                assert said(client, run("s"))[-2][0] == b"C"
        admin.execute("ALTER TABLE changing ADD COLUMN b int DEFAULT 2")
    for client in before:
        letter, error = said(client, run("s"))[0]
        assert letter == b"E" and (error["C"], error["M"]) == ("0A000", "cached plan must not change result type")
        for _ in range(4):
            client.send(wire.bind("", "s"), wire.describe("P"), wire.execute(), wire.SYNC)
            assert [wire.row(body) for a, body in client.ready() if a == b"D"] == [[b"1", b"2"]]
    with Wire(front.port).login() as after:
        for name in ("s", "t"):
            said(after, [wire.parse(name, text), wire.describe("S", name)])
            for _ in range(3):
                assert [wire.row(b) for a, b in said(after, run(name)) if a == b"D"] == [[b"1", b"2"]]
    for client in before:
        client.close()


def test_of_a_client_that_vanishes_nothing_stays(front: Sluice) -> None:
    for i in range(4):
        one: psycopg.Connection[Any] = front.connect()
        one.execute("BEGIN")
        one.execute(f"PREPARE left{i} AS SELECT 1; PREPARE more{i} AS SELECT 2")
        one.close()
    with Wire(front.port).login() as other:
        for _ in range(4):
            assert other.ask("SELECT count(*) FROM pg_prepared_statements") == [[b"0"]]

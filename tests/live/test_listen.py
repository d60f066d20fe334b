"""test_listen.py - LISTEN and NOTIFY in transaction mode, as if each client had a session of its own."""

from __future__ import annotations

import os
import signal
import struct
import threading
from typing import Any, Iterator

import psycopg
import pytest
from kit.place import wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import SYNC, Message, Wire, bind, execute, fields, letters, parse, query
from psycopg import sql

Start = Any


@pytest.fixture(scope="module")
def front(module_sluices: Start) -> Sluice:
    """Each transaction meets the other server."""
    return module_sluices(default_pool_size=2, min_pool_size=2, server_round_robin=1, admin_users="boss",
                          secrets={"app": PASSWORD, "boss": PASSWORD})


def heard(messages: list[Message]) -> list[tuple[int, str, str]]:
    """pid, channel and payload of the notifications among them."""
    found = []
    for letter, body in messages:
        if letter == b"A":
            channel, payload = body[4:].split(b"\0")[:2]
            found.append((struct.unpack("!i", body[:4])[0], channel.decode(), payload.decode()))
    return found


def payloads(messages: list[Message]) -> list[str]:
    return [payload for _, _, payload in heard(messages)]


def wait_for(wire: Wire, last: str) -> list[str]:
    """The payloads up to this one."""
    found = []
    while not found or found[-1] != last:
        found += payloads([wire.next()])
    return found


@pytest.fixture
def teller(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """Who notifies, directly."""
    with postgres.connect(user="app", dbname="app") as connection:
        yield connection


def listening(front: Sluice, *channels: str, **given: Any) -> Wire:
    wire = Wire(front.port).login(**given)
    for channel in channels:
        wire.ask(f'LISTEN "{channel}"')
    return wire


def tell(teller: psycopg.Connection[Any], channel: str, *texts: Any) -> None:
    for text in texts:
        teller.execute("SELECT pg_notify(%s, %s)", (channel, str(text)))


def shown(front: Sluice, command: str) -> list[dict[str, Any]]:
    with front.connect(user="boss", dbname="pgsluice") as console:
        cursor = console.execute(command)
        names = [column.name for column in cursor.description or []]
        return [dict(zip(names, values)) for values in cursor.fetchall()]


def listener_pid(front: Sluice) -> int:
    found = [int(row["remote_pid"]) for row in shown(front, "SHOW SERVERS") if row["state"] == "listening"]
    assert len(found) == 1, shown(front, "SHOW SERVERS")
    return found[0]


def test_an_idle_client_is_told_at_once_and_in_order(front: Sluice, teller: psycopg.Connection[Any]) -> None:
    with listening(front, "a", "b") as one, listening(front, "b") as other:
        for i in range(50):
            tell(teller, "ab"[i % 2], i)
        assert wait_for(one, "49") == [str(i) for i in range(50)]
        assert wait_for(other, "49") == [str(i) for i in range(1, 50, 2)]
        assert one.ask("SELECT 1") == [[b"1"]]


def channels(wire: Wire) -> set[str]:
    return {str((value or b"").decode()) for (value,) in wire.ask("SELECT pg_listening_channels()")}


def test_pg_listening_channels_tells_what_the_client_listens_to(front: Sluice) -> None:
    with listening(front, "a", "b") as one, listening(front, "c") as other:
        for _ in range(4):
            assert channels(one) == {"a", "b"}
            assert channels(other) == {"c"}
            one.ask("SELECT 1")
        one.ask("UNLISTEN a")
        assert channels(one) == {"b"}
        one.ask("LISTEN d; LISTEN e")
        assert channels(one) == {"b", "d", "e"}
        one.ask("UNLISTEN *")
        assert channels(one) == set()
        other.ask("DISCARD ALL")
        assert channels(other) == set()
        with Wire(front.port).login() as third:
            assert [channels(third) for _ in range(4)] == [set()] * 4


TRANSACTIONS = {
    "BEGIN; LISTEN x; ROLLBACK": {"old"},
    "BEGIN; LISTEN x; COMMIT": {"old", "x"},
    "BEGIN; UNLISTEN old; ROLLBACK": {"old"},
    "BEGIN; UNLISTEN old; COMMIT": set(),
    "BEGIN; UNLISTEN *; LISTEN x; COMMIT": {"x"},
    "BEGIN; LISTEN x; SAVEPOINT s; LISTEN y; UNLISTEN old; ROLLBACK TO s; LISTEN z; COMMIT": {"old", "x", "z"},
    "BEGIN; SAVEPOINT s; UNLISTEN old; ROLLBACK TO s; UNLISTEN x; LISTEN x; COMMIT": {"old", "x"},
    "BEGIN; SELECT 1; LISTEN x; DO $$ BEGIN EXECUTE 'LISTEN y'; END $$; COMMIT": {"old", "x", "y"},
}


@pytest.mark.parametrize("text", TRANSACTIONS)
@pytest.mark.parametrize("how", ("one by one", "in one", "extended", "pipelined"))
def test_what_is_listened_to_goes_by_transactions(front: Sluice, teller: psycopg.Connection[Any], text: str, how: str) -> None:
    with listening(front, "old") as one:
        parts = text.split("; ")
        if "DO" in text:
            parts = text.split("; ", 3)[:3] + ["DO $$ BEGIN EXECUTE 'LISTEN y'; END $$", "COMMIT"]
        if how == "in one":
            one.ask(text)
        elif how == "pipelined":
            one.send(*(query(part) for part in parts))
            for _ in parts:
                assert b"E" not in letters(one.ready()).encode()
        for part in parts if how in ("one by one", "extended") else ():
            if how == "extended":
                one.send(parse("", part), bind(), execute(), SYNC)
                assert "E" not in letters(one.ready())
            else:
                one.ask(part)
        for channel in ("old", "x", "y", "z"):
            tell(teller, channel, channel)
        one.ask("LISTEN the_end")
        tell(teller, "the_end", "end")
        wait_for(one, "end")
        assert set(payloads(one.heard)) == TRANSACTIONS[text] | {"end"}
        assert channels(one) == TRANSACTIONS[text] | {"the_end"}


def test_own_notifications_come_before_the_end_of_the_answer(front: Sluice, teller: psycopg.Connection[Any]) -> None:
    with listening(front, "mine") as one, listening(front, "mine") as other:
        for i in range(10):
            tell(teller, "mine", f"before {i}")
            answer = one.send(query(f"NOTIFY mine, 'own {i}'")).ready()
            own = [(pid, payload) for pid, _, payload in heard(answer) if payload.startswith("own")]
            assert own == [(one.pid, f"own {i}")]
        one.send(parse("", "SELECT pg_notify('mine', 'extended')"), bind(), execute(), SYNC)
        assert heard(one.ready())[-1] == (one.pid, "mine", "extended")
        one.ask("BEGIN")
        answer = one.send(query("NOTIFY mine, 'in a transaction'")).ready()
        assert heard(answer) == []
        assert heard(one.send(query("COMMIT")).ready()) == [(one.pid, "mine", "in a transaction")]
        with listening(front, "mine", "own") as third:
            third.ask("BEGIN")
            third.ask("LISTEN new")
            third.ask("NOTIFY new, 'x'")
            assert heard(third.send(query("COMMIT")).ready()) == [(third.pid, "new", "x")]
        told = wait_for(other, "in a transaction")
        assert [t for t in told if t.startswith("before")] == [f"before {i}" for i in range(10)]
        assert other.pid not in {pid for pid, _, _ in heard(other.heard)}


def test_who_is_in_a_transaction_is_told_when_it_is_over(front: Sluice, teller: psycopg.Connection[Any]) -> None:
    with listening(front, "a") as one, listening(front, "a") as witness:
        one.ask("BEGIN")
        tell(teller, "a", *range(5))
        assert wait_for(witness, "4") == list("01234")
        for _ in range(3):
            assert payloads(one.send(query("SELECT 1")).ready()) == []
        told = payloads(one.send(query("COMMIT")).ready())
        assert told + (wait_for(one, "4") if told[-1:] != ["4"] else []) == list("01234")
        one.ask("BEGIN")
        tell(teller, "a", "lost?")
        assert wait_for(witness, "lost?")
        one.ask("UNLISTEN a")
        assert payloads(one.send(query("COMMIT")).ready()) == []
        assert one.ask("LISTEN b") == []
        tell(teller, "b", "end")
        assert wait_for(one, "end") == ["end"]


@pytest.mark.parametrize("way, text", [(way, text) for way in ("settled", "at once", "extended")
                                       for text in ("UNLISTEN x", "UNLISTEN *", "DISCARD ALL", "UNLISTEN x; LISTEN y")
                                       if way != "extended" or ";" not in text])
def test_what_was_notified_before_unlisten_is_told_before_its_answer(front: Sluice, teller: psycopg.Connection[Any], way: str,
                                                                         text: str) -> None:
    with Wire(front.port).login() as one, listening(front, "x") as other:
        for i in range(30):
            one.ask("LISTEN x")
            if way != "at once":
                assert channels(one) >= {"x"}
            tell(teller, "x", i)
            one.send(*((parse("", text), bind(), execute(), SYNC) if way == "extended" else (query(text),)))
            answer = one.ready()
            assert payloads(answer) == [str(i)], i
            tell(teller, "x", "too late")
            assert wait_for(other, "too late") == [str(i), "too late"]
            assert payloads(one.send(query("SELECT 1")).ready()) == []


NAMES = ["UPPER case", 'with "quotes" \' in it', "ü" * 31 + "x", "n" * 63, "; DROP TABLE x; --", "\\", "a\tb\nc", "select"]


def test_channels_may_be_called_anything(front: Sluice, teller: psycopg.Connection[Any]) -> None:
    with front.connect() as one:
        for name in NAMES:
            one.execute(sql.SQL("LISTEN {}").format(sql.Identifier(name)))
        assert {row[0] for row in one.execute("SELECT pg_listening_channels()")} == set(NAMES)
        long = "x" * 7999
        for name in NAMES:
            tell(teller, name, long)
        found = [(n.channel, n.payload) for _, n in zip(NAMES, one.notifies())]
        assert found == [(name, long) for name in NAMES]
        one.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(NAMES[1])))
        assert {row[0] for row in one.execute("SELECT pg_listening_channels()")} == set(NAMES) - {NAMES[1]}
        one.execute('LISTEN "' + "y" * 64 + '"')
        assert ("y" * 63,) in one.execute("SELECT pg_listening_channels()").fetchall()


def test_nothing_is_lost_and_nothing_is_told_twice_when_listening_begins(front: Sluice, postgres: Postgres) -> None:
    """Somebody notifies all the while: from the first that is told on, all are."""
    enough, last = threading.Event(), 0

    def ticks(connection: psycopg.Connection[Any]) -> None:
        nonlocal last
        while not enough.is_set():
            last += 1
            connection.execute(f"SELECT pg_notify('tick', '{last}'), pg_notify('tock', '{last}')")

    with postgres.connect(user="app", dbname="app") as connection:
        thread = threading.Thread(target=ticks, args=(connection,), daemon=True)
        thread.start()
        wires = []
        for i in range(16):
            wires.append(listening(front, *("tick", "tock")[:1 + i % 2]))
            for _ in range(i % 3):
                wires[-1].ask("SELECT 1")
        began = last
        wait_until(lambda: last > began + 200, what="some more of them")
        enough.set()
        thread.join(60)
        connection.execute("SELECT pg_notify('tick', 'end')")
        for i, wire in enumerate(wires):
            wait_for(wire, "end")
            told = heard(wire.heard)[:-1]
            for name in ("tick", "tock")[:1 + i % 2]:
                found = [int(payload) for _, channel, payload in told if channel == name]
                assert found == list(range(found[0], last + 1)), (i, name)
            wire.close()


def test_the_listening_connection_is_lost_and_the_clients_know(front: Sluice, postgres: Postgres, teller: psycopg.Connection[Any]) -> None:
    with listening(front, "a", "b") as one, listening(front, "b") as other:
        tell(teller, "b", 1)
        assert wait_for(one, "1") == wait_for(other, "1") == ["1"]
        postgres.sql("SELECT pg_terminate_backend(%s)", listener_pid(front))
        for wire, names in ((one, ('"a"', '"b"')), (other, ('"b"',))):
            while True:
                letter, body = wire.next()
                if letter == b"N":
                    break
            said = fields(body)
            assert (said["S"], said["C"], said["M"]) == ("WARNING", "01000", "notifications may have been missed")
            assert all(name in said["D"] for name in names) and "UTC" in said["D"]
        tell(teller, "b", 2)
        assert wait_for(one, "2")[-1:] == wait_for(other, "2")[-1:] == ["2"]


def test_the_console_shows_the_listening_connection(front: Sluice, teller: psycopg.Connection[Any]) -> None:
    with listening(front, "seen") as one:
        tell(teller, "seen", "x")
        assert wait_for(one, "x") == ["x"]
        row = shown(front, "SHOW LISTENERS")[0]
        assert (row["database"], row["user"], row["state"], row["clients"], row["channels"]) == ("app", "app", "listening", 1, 1)
        assert row["notifications"] > 0 and row["told"] > 0
        assert listener_pid(front) not in {int(pid or 0) for (pid,) in one.ask("SELECT pg_backend_pid()")}
    wait_until(lambda: shown(front, "SHOW LISTENERS")[0]["clients"] == 0, what="its end")


def test_a_client_that_does_not_read_is_closed_and_nobody_else(sluices: Start, teller: psycopg.Connection[Any]) -> None:
    front = sluices(default_pool_size=2, listen_queue_limit="256kB")
    with listening(front, "storm") as deaf, listening(front, "storm") as busy, listening(front, "storm") as one:
        busy.ask("BEGIN")
        for i in range(3000):
            teller.execute("SELECT pg_notify('storm', %s)", (f"{i} " + "x" * 7000,))
            wait_for(one, f"{i} " + "x" * 7000)
        log = front.log_text()
        assert log.count("too many notifications wait for this connection (listen_queue_limit) (53400") == 2
        assert busy.refused()["C"] == "53400"
        assert len(deaf.closed()) < 3000
        assert len(payloads(one.heard)) == 3000


def test_many_listeners_hear_everything(sluices: Start, postgres: Postgres) -> None:
    front = sluices(default_pool_size=5, max_client_conn=300)
    wires = [listening(front, "all", f"own {i}") for i in range(200)]
    with postgres.connect(user="app", dbname="app") as connection:
        connection.execute("DO $$ BEGIN FOR i IN 0..1999 LOOP PERFORM pg_notify(CASE WHEN i % 2 = 0 THEN 'all' ELSE 'own '"
                           " || i / 2 % 200 END, i::text); IF i % 100 = 99 THEN COMMIT; END IF; END LOOP; END $$")
        connection.execute("NOTIFY \"all\", 'end'")
    for i, wire in enumerate(wires):
        told = [int(payload) for payload in wait_for(wire, "end")[:-1]]
        assert told == [n for n in range(2000) if n % 2 == 0 or n // 2 % 200 == i]
        wire.close()


def test_limits_may_leave_no_room_for_a_listening_connection(sluices: Start) -> None:
    front = sluices(max_db_connections=1)
    with listening(front, "a") as one:
        notices = [fields(body) for letter, body in one.heard if letter == b"N"]
        while not notices:
            letter, body = one.next()
            notices += [fields(body)] if letter == b"N" else []
        assert notices[0]["C"] == "01000" and "max_db_connections" in notices[0]["D"]
        assert one.ask("SELECT 1") == [[b"1"]]


def test_unlisten_does_not_wait_for_a_listening_connection_that_is_gone(sluices: Start, teller: psycopg.Connection[Any]) -> None:
    front = sluices(admin_users="boss", secrets={"app": PASSWORD, "boss": PASSWORD})
    with listening(front, "a") as one, listening(front, "a") as vanishes:
        tell(teller, "a", "x")
        assert wait_for(one, "x") == wait_for(vanishes, "x") == ["x"]
        pid = listener_pid(front)
        os.kill(pid, signal.SIGSTOP)
        try:
            one.send(query("UNLISTEN a"))
            vanishes.send(query("UNLISTEN a"))
            vanishes.abort()
            with front.connect(user="boss", dbname="pgsluice") as console:
                console.execute("RECONNECT")
            assert letters(one.ready()).replace("N", "") == "CZ"
        finally:
            os.kill(pid, signal.SIGCONT)
        assert channels(one) == set()
        wait_until(lambda: shown(front, "SHOW LISTENERS")[0]["clients"] == 0, what="the end of the clients")


def test_pause_and_reconnect_are_announced(sluices: Start, teller: psycopg.Connection[Any]) -> None:
    front = sluices(admin_users="boss", secrets={"app": PASSWORD, "boss": PASSWORD}, listen_gap_payload="gap")
    with listening(front, "a") as one:
        tell(teller, "a", "x")
        assert wait_for(one, "x") == ["x"]
        for commands in (("PAUSE", "RESUME"), ("RECONNECT",)):
            with front.connect(user="boss", dbname="pgsluice") as console:
                for command in commands:
                    console.execute(command)
            assert wait_for(one, "gap") == ["gap"]
            tell(teller, "a", "y")
            assert wait_for(one, "y") == ["y"]


def test_session_pooling_is_as_it_was(sluices: Start, teller: psycopg.Connection[Any]) -> None:
    front = sluices(pool_mode="session", admin_users="boss", secrets={"app": PASSWORD, "boss": PASSWORD})
    with listening(front, "a") as one:
        tell(teller, "a", "x")
        assert wait_for(one, "x") == ["x"]
        assert shown(front, "SHOW LISTENERS") == []


def test_clients_that_vanish_leave_nothing_behind(front: Sluice, teller: psycopg.Connection[Any]) -> None:
    steps = ("LISTEN a", "BEGIN", "LISTEN b; NOTIFY a, 'x'", "COMMIT", "NOTIFY b, 'y'", "UNLISTEN *")
    for i in range(4 * len(steps)):
        wire = Wire(front.port).login()
        wire.send(*(query(step) for step in steps[:1 + i % len(steps)]))
        tell(teller, "a", i)
        for _ in range(i % len(steps) if i % 2 else 0):
            wire.ready()
        wire.abort()
    wait_until(lambda: shown(front, "SHOW LISTENERS")[0]["clients"] == 0, what="the end of the clients")
    with Wire(front.port).login() as one:
        assert [channels(one) for _ in range(4)] == [set()] * 4

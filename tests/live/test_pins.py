"""test_pins.py - who keeps a server connection for what is there, who may not, and what becomes of it."""

from __future__ import annotations

import re
import time
import urllib.request
from typing import Any

import psycopg
import pytest
from kit.place import HOST, wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any

TEMPORARY = "CREATE TEMP TABLE mine (x int)"
NAMED = {
    TEMPORARY: "temporary objects",
    "SELECT 1 AS x INTO TEMP mine": "temporary objects",
    "SELECT pg_advisory_lock(4711)": "advisory locks",
    "SELECT pg_try_advisory_lock_shared(47, 11)": "advisory locks",
    "DECLARE held CURSOR WITH HOLD FOR SELECT 1": "WITH HOLD cursors",
    "SELECT setseed(0.5)": "setseed()",
}


def value(connection: psycopg.Connection[Any], text: str) -> Any:
    row = connection.execute(text).fetchone()
    return row[0] if row else None


def pins(front: Sluice) -> list[dict[str, Any]]:
    with front.connect(dbname="pgsluice") as console:
        with console.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute("SHOW PINS").fetchall()


def metrics(front: Sluice) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{front.settings['http_port']}/metrics", timeout=30) as answer:
        return answer.read().decode()


def start(sluices: Start, **settings: Any) -> Sluice:
    return sluices(admin_users="app", http_port=sluices.place.port(), **settings)


def test_whoever_keeps_a_server_is_shown(sluices: Start) -> None:
    front = start(sluices, default_pool_size=2)
    with front.connect(application_name="keeper") as one, front.connect() as other:
        one.execute(TEMPORARY)
        one.execute("SELECT pg_advisory_lock(1)")
        pid = value(one, "SELECT pg_backend_pid()")
        row, = wait_until(lambda: [r for r in pins(front) if "locks" in r["reasons"]], what="the pin")
        assert (row["database"], row["user"], row["application_name"], row["server_pid"]) == ("app", "app", "keeper", pid)
        assert row["reasons"] == "temporary objects, advisory locks" and row["addr"] == HOST
        text = metrics(front)
        for reason in ("temporary objects", "advisory locks"):
            assert f'pgsluice_pinned_clients{{database="app",user="app",reason="{reason}"}} 1\n' in text
        assert 'pgsluice_pinned_servers{database="app",user="app"} 1\n' in text
        assert 'pgsluice_pins_total{database="app"} 1\n' in text
        assert value(other, "SELECT pg_backend_pid()") != pid
        one.execute("DROP TABLE mine; SELECT pg_advisory_unlock(1)")
        wait_until(lambda: not pins(front), what="the release")
        found = re.search(r'pgsluice_pin_seconds_total{database="app"} (\S+)', metrics(front))
        assert found and float(found[1]) > 0
        assert 'pgsluice_pinned_servers{database="app",user="app"} 0\n' in metrics(front)
    front.wait_log("pinned to server .*temporary objects")
    front.wait_log("released from server")
    with urllib.request.urlopen(f"http://{HOST}:{front.settings['http_port']}/", timeout=30) as answer:
        assert "keep their server connection" in answer.read().decode()


@pytest.fixture(scope="module")
def refusing(module_sluices: Start) -> Sluice:
    return start(module_sluices, default_pool_size=2, pinning="refuse", server_round_robin=1)


@pytest.mark.parametrize("statement", NAMED)
def test_what_names_such_state_is_refused(refusing: Sluice, statement: str) -> None:
    with refusing.connect() as one:
        for parameters in (None, []):  # a Query, and Parse and Bind
            with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
                one.execute(statement, parameters)
            assert refused.value.diag.message_primary == f"not supported in transaction pooling mode: {NAMED[statement]}"
            assert refused.value.diag.message_hint and "pinning" in refused.value.diag.message_hint
            with pytest.raises(psycopg.errors.FeatureNotSupported):
                one.execute(statement, parameters, prepare=True if parameters is not None else None)
        assert value(one, "SELECT 1") == 1
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            one.execute("SELECT 1; " + statement)
        one.execute("BEGIN")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            one.execute(statement)
        for again in ("SELECT 1", statement):
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                one.execute(again)
        one.execute("ROLLBACK")
        one.execute("BEGIN; SAVEPOINT a")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            one.execute(statement, [])
        one.execute("ROLLBACK TO a; COMMIT")
    assert not pins(refusing)


def test_a_pipeline_with_what_is_refused_fails_from_there_on(refusing: Sluice) -> None:
    with refusing.connect() as one:
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            with one.pipeline():
                first = one.execute("SELECT 1")
                one.execute(TEMPORARY)
                one.execute("SELECT 3")
        assert first.fetchone() == (1,)
        assert value(one, "SELECT 4") == 4


def test_what_ends_with_the_transaction_is_not_refused(refusing: Sluice) -> None:
    with refusing.connect() as one:
        one.execute("BEGIN; CREATE TEMP TABLE mine (x int) ON COMMIT DROP; SELECT pg_advisory_xact_lock(4711)")
        one.execute("DECLARE c CURSOR FOR SELECT 1")
        assert value(one, "FETCH c") == 1
        one.execute("COMMIT; SELECT pg_advisory_unlock_all(); CLOSE ALL; DISCARD TEMP")


def test_what_a_function_does_unseen_ends_with_the_transaction(refusing: Sluice, postgres: Postgres) -> None:
    notices: list[Any] = []
    with refusing.connect() as one:
        one.execute("CREATE OR REPLACE FUNCTION locks() RETURNS void LANGUAGE plpgsql AS "
                    "$$ BEGIN PERFORM pg_advisory_lock(4711); END $$")
        one.add_notice_handler(lambda n: notices.append((n.severity, n.message_primary)))
        one.execute("SELECT locks()")
        wait_until(lambda: not postgres.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"), what="the lock to be gone")
        for _ in range(3):
            one.execute("SELECT locks()")
        one.execute("SELECT 1")
        assert notices == [
            ("WARNING", "ends with the transaction: advisory locks (pinning = refuse)")]
    refusing.wait_log("pool app/app: ends with the transaction: advisory locks")


def test_off_lets_nobody_keep_anything(sluices: Start) -> None:
    front = start(sluices, default_pool_size=1, pinning="off")
    with front.connect() as one, front.connect() as other:
        one.execute(TEMPORARY)
        with pytest.raises(psycopg.errors.UndefinedTable):
            one.execute("SELECT * FROM mine")
        one.execute("BEGIN; " + TEMPORARY + "; INSERT INTO mine VALUES (7)")
        assert value(one, "SELECT x FROM mine") == 7
        one.execute("COMMIT")
        assert value(other, "SELECT to_regclass('pg_temp.mine') IS NULL")
        one.execute("SELECT pg_advisory_lock(4711)")
        one.execute("DECLARE held CURSOR WITH HOLD FOR SELECT 1")
        assert value(other, "SELECT count(*) FROM pg_cursors WHERE is_holdable") == 0
        assert value(other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") == 0
        assert not pins(front)


def test_a_user_has_a_rule_of_its_own_and_reload_changes_it(sluices: Start) -> None:
    front = start(sluices, default_pool_size=2, pinning="refuse", users={"app": "pinning=auto max_pinned_servers=1"})
    with front.connect() as one, front.connect() as other:
        one.execute(TEMPORARY)
        wait_until(lambda: pins(front), what="the pin")
        front.users["app"] = "pinning=refuse"
        front.write_ini()
        front.reload()
        assert value(one, "SELECT count(*) FROM mine") == 0  # what it has it keeps
        for each in (one, other):
            with pytest.raises(psycopg.errors.FeatureNotSupported):
                each.execute("CREATE TEMP TABLE second (x int)")
        one.execute("DROP TABLE mine")
        wait_until(lambda: not pins(front), what="the release")


def test_no_more_than_so_many_keep_a_server(sluices: Start) -> None:
    front = start(sluices, default_pool_size=3, max_pinned_servers=1, pin_idle_timeout="2s")
    with front.connect() as one, Wire(front.port) as other:
        one.execute(TEMPORARY)
        assert len(wait_until(lambda: pins(front), what="the pin")) == 1
        one.execute("CREATE TABLE IF NOT EXISTS pins_done (x int)")
        one.execute("TRUNCATE pins_done")
        other.login().ask("BEGIN; INSERT INTO pins_done VALUES (1); " + TEMPORARY + "; COMMIT")
        told = other.refused()
        assert told["C"] == "53400" and "max_pinned_servers" in told["M"] and "temporary objects" in told["D"]
        with front.connect() as third:
            assert value(third, "SELECT count(*) FROM pins_done") == 1
            third.execute("DROP TABLE pins_done")
        one.execute("SELECT 1")
        wait_until(lambda: not pins(front), what="pin_idle_timeout")
        with pytest.raises(psycopg.OperationalError) as cut:
            one.execute("SELECT 1")
        assert "pin_idle_timeout" in str(cut.value)


def test_who_waits_is_told_who_keeps_the_servers(sluices: Start) -> None:
    front = start(sluices, default_pool_size=1, query_wait_timeout="3s", query_wait_notify="1s")
    notices: list[Any] = []
    with front.connect() as one, front.connect() as other:
        other.add_notice_handler(lambda n: notices.append(n.message_detail))
        one.execute(TEMPORARY)
        wait_until(lambda: pins(front), what="the pin")
        with pytest.raises(psycopg.OperationalError) as late:
            other.execute("SELECT 1")
        says = r"1 of the pool's 1 server connections are kept by their clients: C\d+ \(temporary objects, for \d+ s\)"
        assert re.search(says, str(late.value)) and "SHOW PINS" in str(late.value)
        assert re.search(says, notices[0])
    front.wait_log(r"app/app: 1 clients wait; 1 of the pool's 1 server connections are kept")


def test_what_a_client_leaves_is_taken_away_and_nothing_else(sluices: Start) -> None:
    front = start(sluices, default_pool_size=1)
    with front.connect(prepare_threshold=0) as other:
        value(other, "SELECT 5 AS shared")
        pid = value(other, "SELECT pg_backend_pid()")
        kept = value(other, "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 5 AS shared'")
        with front.connect() as one:
            one.execute(TEMPORARY)
            one.execute("SELECT pg_advisory_lock(4711)")
            one.execute("DECLARE held CURSOR WITH HOLD FOR SELECT 1")
            one.execute("SELECT setseed(0.5)")
        assert value(other, "SELECT pg_backend_pid()") == pid
        assert value(other, "SELECT to_regclass('pg_temp.mine') IS NULL")
        assert value(other, "SELECT count(*) FROM pg_cursors WHERE is_holdable") == 0
        assert value(other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") == 0
        assert kept == value(other, "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 5 AS shared'")


def test_a_server_with_a_library_goes_with_its_client(sluices: Start, postgres: Postgres) -> None:
    postgres.sql("DROP ROLE IF EXISTS loader")
    postgres.add_user("loader")
    postgres.sql("ALTER ROLE loader SUPERUSER")
    front = start(sluices, default_pool_size=1, secrets={"app": PASSWORD, "loader": PASSWORD})
    with front.connect(user="loader") as other:
        pid = value(other, "SELECT pg_backend_pid()")
        with front.connect(user="loader") as one:
            one.execute("LOAD 'auto_explain'")
            assert "LOAD" in wait_until(lambda: pins(front), what="the pin")[0]["reasons"]
            assert value(one, "SELECT pg_backend_pid()") == pid
        assert value(other, "SELECT pg_backend_pid()") != pid
    front.stop()
    postgres.sql("DROP ROLE loader")


def test_whose_server_is_lost_reads_what_was_there(sluices: Start, postgres: Postgres) -> None:
    front = start(sluices, default_pool_size=2)
    with front.connect() as one:
        one.execute(TEMPORARY)
        pid = value(one, "SELECT pg_backend_pid()")
        postgres.sql(f"SELECT pg_terminate_backend({pid})")
        wait_until(lambda: not pins(front), what="the end")
        with pytest.raises(psycopg.OperationalError) as lost:
            one.execute("SELECT 1")
        assert "can't be rebuilt: temporary objects" in str(lost.value)


def test_commands_meet_clients_that_keep_their_server(sluices: Start) -> None:
    front = start(sluices, default_pool_size=2)
    with front.connect() as one, front.connect(dbname="pgsluice") as console:
        one.execute(TEMPORARY)
        pid = value(one, "SELECT pg_backend_pid()")
        console.execute("RECONNECT")
        assert value(one, "SELECT pg_backend_pid()") == pid
        one.execute("DROP TABLE mine")
        wait_until(lambda: value(one, "SELECT pg_backend_pid()") != pid, what="another server")
        one.execute(TEMPORARY)
        console.execute("KILL app")
        with pytest.raises(psycopg.OperationalError):
            one.execute("SELECT 1")
        console.execute("RESUME app")
    with front.connect() as one:
        one.execute(TEMPORARY)
        began = time.monotonic()
        front.stop()
        assert time.monotonic() - began < 30
        with pytest.raises(psycopg.OperationalError) as ended:
            one.execute("SELECT 1")
        assert "shutting down" in str(ended.value)

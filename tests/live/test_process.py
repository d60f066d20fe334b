"""Starting, reloading, stopping: signals, ports, files, limits of the process."""

from __future__ import annotations

import signal
import socket
import threading
from typing import Any

import psycopg
import pytest
from kit import sluice as kit_sluice
from kit import wire
from kit.company import neighbour
from kit.place import HOST, Place, wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


# Reload.

def test_a_reload_takes_what_is_new(sluices: Start, backend: str) -> None:
    front: Sluice = sluices(databases={"app": backend})
    with neighbour(front.connect):
        with pytest.raises(psycopg.OperationalError, match='database "alias" does not exist'):
            front.connect(dbname="alias")
        front.databases["alias"] = f"{backend} dbname=postgres"
        front.secrets["other"] = PASSWORD
        front.write_auth_file()
        front.write_ini(max_client_conn=50)
        said = front.reload()
        assert 'max_client_conn: "100" -> "50"' in said and "reloaded" in said
        with front.connect(dbname="alias", user="other") as connection:
            assert connection.execute("SELECT current_database(), current_user").fetchone() == ("postgres", "other")


def test_a_wrong_file_changes_nothing_and_says_each_line(sluices: Start) -> None:
    front: Sluice = sluices()
    with neighbour(front.connect):
        right = front.ini.read_text()
        front.place.write(front.ini, right + "pool_mode = sometimes\nmax_client_conn = -1\nno_such_setting = 1\n")
        said = front.reload()
        lines = right.count("\n")
        for number, word in ((lines + 1, "pool_mode"), (lines + 2, "max_client_conn"), (lines + 3, "no_such_setting")):
            assert any(f"{front.ini.name}:{number}: {word}" in line for line in said.splitlines()), said
        assert "old configuration stays in force" in said
        assert can_connect_with(front, PASSWORD)
        front.place.write(front.ini, right)
        assert "reload failed" not in front.reload()


def can_connect_with(front: Sluice, password: str) -> bool:
    try:
        front.connect(password=password).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_missing_file_at_a_reload_changes_nothing(sluices: Start) -> None:
    front: Sluice = sluices()
    front.auth_file.unlink()
    said = front.reload()
    assert "reload failed" in said and "users.txt" in said
    assert can_connect_with(front, PASSWORD)
    front.write_auth_file()
    front.ini.unlink()
    assert "reload failed" in front.reload()
    assert can_connect_with(front, PASSWORD)


def test_what_needs_a_restart_is_kept_and_said(sluices: Start) -> None:
    front: Sluice = sluices()
    front.write_ini(listen_port=front.place.port())
    said = front.reload()
    assert "listen_port" in said and "needs a restart" in said
    assert can_connect_with(front, PASSWORD)


def test_a_database_that_is_removed(sluices: Start, backend: str) -> None:
    front: Sluice = sluices(databases={"app": backend, "gone": f"{backend} dbname=postgres"})
    with front.connect(dbname="gone") as leaving, front.connect() as staying:
        leaving.execute("SELECT 1")
        staying.execute("SELECT 1")
        del front.databases["gone"]
        front.write_ini()
        front.reload()
        with pytest.raises(psycopg.OperationalError, match="database removed|server closed|closed"):
            leaving.execute("SELECT 1")
        assert staying.execute("SELECT 1").fetchone() == (1,)


def test_a_database_that_moves_to_another_server(sluices: Start, backend: str, postgres: Postgres) -> None:
    front: Sluice = sluices(databases={"app": backend})
    with front.connect() as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("app",)
        front.databases["app"] = f"{backend} dbname=postgres"
        front.write_ini()
        front.reload()
        assert connection.execute("SELECT current_database()").fetchone() == ("postgres",)


# Ends.

def test_sigterm_lets_a_transaction_finish(sluices: Start) -> None:
    front: Sluice = sluices(shutdown_timeout=30)
    busy, idle = Wire(front.port).login(), Wire(front.port).login()
    busy.ask("DROP TABLE IF EXISTS finished; CREATE TABLE finished (id int)")
    busy.ask("BEGIN")
    busy.ask("INSERT INTO finished VALUES (1)")
    front.send(signal.SIGTERM)
    assert idle.refused()["C"] == "57P01"
    wait_until(lambda: not front.can_connect(), what="closed ports")
    busy.ask("INSERT INTO finished VALUES (2)")
    answer = busy.send(wire.query("COMMIT")).ready()
    assert wire.letters(answer) == "CZ"
    assert busy.refused()["C"] == "57P01"
    assert front.expect_exit() == 0


def test_sigterm_gives_up_after_shutdown_timeout(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(shutdown_timeout=1)
    busy = Wire(front.port).login()
    busy.ask("BEGIN")
    front.send(signal.SIGTERM)
    assert front.expect_exit() == 0
    wait_until(lambda: postgres.backends("datname = 'app' AND state LIKE 'idle in%'") == 0, what="no transaction left")


def test_a_second_sigterm_goes_at_once(sluices: Start) -> None:
    front: Sluice = sluices(shutdown_timeout=600)
    busy = Wire(front.port).login()
    busy.ask("BEGIN")
    front.send(signal.SIGTERM)
    wait_until(lambda: not front.can_connect(), what="closed ports")
    front.send(signal.SIGTERM)
    assert front.expect_exit() == 0


def test_sigint_waits_for_servers_and_a_second_one_does_not(sluices: Start) -> None:
    front: Sluice = sluices(shutdown_timeout=0)
    busy, idle = Wire(front.port).login(), Wire(front.port).login()
    busy.ask("BEGIN")
    front.send(signal.SIGINT)
    assert idle.refused()["C"] == "57P01"
    since = len(front.log_text())
    front.send(signal.SIGUSR2)
    front.wait_log("RESUME does not undo", since)
    front.send(signal.SIGUSR1)
    assert busy.ask("SELECT 1") == [[b"1"]]
    assert not front.can_connect()
    front.send(signal.SIGINT)
    busy.closed()
    assert front.expect_exit() == 0


def test_sigint_ends_with_the_last_transaction(sluices: Start) -> None:
    front: Sluice = sluices(shutdown_timeout=0)
    busy = Wire(front.port).login()
    busy.ask("BEGIN")
    front.send(signal.SIGINT)
    wait_until(lambda: not front.can_connect(), what="closed ports")
    assert wire.letters(busy.send(wire.query("COMMIT")).ready()) == "CZ"
    assert front.expect_exit() == 0


def test_sigquit_does_not_wait(sluices: Start) -> None:
    front: Sluice = sluices(shutdown_timeout=600)
    busy = Wire(front.port).login()
    busy.ask("BEGIN")
    front.send(signal.SIGQUIT)
    busy.closed()
    assert front.expect_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_the_other_ways_to_stop(sluices: Start, number: signal.Signals) -> None:
    front: Sluice = sluices()
    with Wire(front.port) as client:
        client.login()
        client.ask("SELECT 1")
        front.send(number)
        client.closed()
        assert front.expect_exit() == 0


def test_sigpipe_and_the_like_do_not_matter(sluices: Start) -> None:
    front: Sluice = sluices()
    with neighbour(front.connect):
        front.send(signal.SIGPIPE)
        for _ in range(20):
            client = Wire(front.port).login()
            client.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 20)"))
            client.abort()


def test_pause_and_resume_by_signals(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices()
    client = Wire(front.port).login()
    pid = client.ask("SELECT pg_backend_pid()")[0][0].decode()
    front.send(signal.SIGUSR1)
    wait_until(lambda: postgres.backends(f"pid = {pid}") == 0, what="no servers while paused")
    client.send(wire.query("SELECT 2"))
    front.send(signal.SIGUSR2)
    assert wire.letters(client.ready()) == "TDCZ"
    client.close()


# Beginnings.

def run(place: Place, front: Sluice) -> tuple[int, str]:
    """Status and output of one that is to end at once."""
    front.start(wait=False)
    return front.expect_exit(60), front.log_text()


def one_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    return lines[0]


def test_a_used_port_is_one_line(place: Place, backend: str) -> None:
    with socket.create_server((HOST, place.port())) as taken:
        port = taken.getsockname()[1]
        status, said = run(place, Sluice(place, databases={"*": backend}, listen_port=port))
        assert status == 1 and str(port) in one_line(said) and "in use" in said


def test_a_used_http_port_is_one_line(place: Place, backend: str) -> None:
    with socket.create_server((HOST, place.port())) as taken:
        port = taken.getsockname()[1]
        status, said = run(place, Sluice(place, databases={"*": backend}, http_port=port))
        assert status == 1 and str(port) in one_line(said) and "in use" in said


def test_a_unix_socket_of_somebody_else_is_left_alone(sluices: Start) -> None:
    first: Sluice = sluices()
    second: Sluice = sluices(listen_addr="127.0.0.2", listen_port=first.port, unix_socket_dir=first.dir)
    assert "no Unix socket" in second.log_text()
    with second.connect(host="127.0.0.2") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    second.stop()
    with first.connect(host=str(first.dir)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("settings, words", [
    ({"auth_file": "/nonexistent/users.txt"}, ["auth_file", "/nonexistent/users.txt"]),
    ({"client_tls_sslmode": "require", "client_tls_key_file": "/nonexistent/a.key",
      "client_tls_cert_file": "/nonexistent/a.crt"}, ["/nonexistent/a."]),
    ({"listen_addr": "203.0.113.77"}, ["203.0.113.77"]),
    ({"listen_addr": "no.such.host.invalid"}, ["no.such.host.invalid"]),
    ({"pidfile": "/nonexistent/pgsluice.pid"}, ["pidfile", "/nonexistent/pgsluice.pid"]),
    ({"logfile": "/nonexistent/pgsluice.log"}, ["/nonexistent/pgsluice.log"]),
    ({"user": "no_such_user_here"}, ["no_such_user_here"]),
], ids=str)
def test_what_cannot_be_opened_is_one_line(place: Place, backend: str, settings: dict[str, str], words: list[str]) -> None:
    status, said = run(place, Sluice(place, databases={"*": backend}, **settings))
    assert status == 1
    for word in words:
        assert word in one_line(said)


def test_no_file_and_no_environment(place: Place) -> None:
    status, said = run(place, Sluice(place, arguments=[]))
    assert status == 1 and "PGSLUICE_PATRONI" in said and len(said.splitlines()) <= 2, said


def test_a_missing_configuration_file(place: Place) -> None:
    status, said = run(place, Sluice(place, arguments=["/nonexistent.ini"]))
    assert status == 1 and "/nonexistent.ini" in one_line(said)


def test_a_pidfile_is_written_and_removed(sluices: Start) -> None:
    front: Sluice = sluices(pidfile="pid")
    path = front.dir / "pid"
    assert int(path.read_text()) == front.pid
    other = Sluice(front.place, databases=front.databases, pidfile=path)
    status, said = run(front.place, other)
    assert status == 1 and "running already" in said
    front.stop()
    assert not path.exists()


def test_version_help_and_checks(place: Place, sluice: Sluice) -> None:
    program = str(kit_sluice.installed(place))
    for argument, words in (("--version", ["pgsluice", "libevent", "OpenSSL"]), ("--help", ["usage", "--check-config"]),
                            ("--help-settings", ["listen_port", "query_wait_timeout", "server_tls_sslmode"])):
        done = place.run([program, argument], env=kit_sluice.SANITIZERS)
        assert done.returncode == 0 and all(word in done.stdout for word in words), done
    done = place.run([program, "--check-config", str(sluice.ini)], env=kit_sluice.SANITIZERS)
    assert done.returncode == 0, done
    done = place.run([program, "--no-such-option"], env=kit_sluice.SANITIZERS)
    assert done.returncode not in (0, -6), done


def test_json_logs(sluices: Start) -> None:
    import json

    front: Sluice = Sluice(sluices().place, databases={"*": "host=127.0.0.1 port=1"}, log_format="json")
    front.start(wait=False)
    try:
        wait_until(lambda: "ready" in front.log_text(), what="a log")
        for line in front.log_text().splitlines():
            assert isinstance(json.loads(line), dict), line
    finally:
        front.stop()


# Descriptors.

def test_when_descriptors_run_out(sluices: Start) -> None:
    """Who comes too late is told by an SQLSTATE, everybody else goes on, and with room there is room again."""
    front: Sluice = sluices(nofile=120, max_client_conn=1000, default_pool_size=5)
    with neighbour(front.connect):
        crowd: list[Wire] = []
        refused = {}
        for _ in range(300):
            client = Wire(front.port)
            crowd.append(client)
            try:
                client.login()
            except AssertionError as error:
                refused = eval(str(error))  # noqa: S307  (our own dictionary of fields)
                break
            except wire.Closed:
                continue
        assert refused.get("C") == "53300" and "descriptors" in refused["M"], refused
        for client in crowd:
            client.close()
        wait_until(lambda: can_connect_with(front, PASSWORD), what="room again")
    before = front.descriptors
    for _ in range(50):
        Wire(front.port).close()
    wait_until(lambda: front.descriptors <= before, what="no descriptor lost")


def test_too_many_clients_for_the_limit_is_warned_of(sluices: Start) -> None:
    front: Sluice = sluices(nofile=120, max_client_conn=1000)
    assert "max_client_conn" in front.log_text()


def test_nothing_is_lost_in_a_thousand_connections(sluices: Start) -> None:
    front: Sluice = sluices(max_client_conn=500)
    with front.connect() as connection:
        connection.execute("SELECT 1")
    before = front.descriptors

    def work() -> None:
        for _ in range(50):
            with front.connect() as connection:
                connection.execute("SELECT 1")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    wait_until(lambda: front.descriptors <= before + 20, what="descriptors given back")  # + the servers of the pool

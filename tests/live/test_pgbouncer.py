"""
In the place of PgBouncer: the same file, the same commands, the same monitoring, beside Debian's PgBouncer itself.

What differs on purpose is listed here, and nowhere else may anything differ.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from kit import wire
from kit.place import CHECKOUT, HOST, Place, wait_until
from kit.postgres import PASSWORD
from kit.sluice import Sluice, user_list
from kit.wire import Closed, Wire
from psycopg import pq

Start = Any
Answer = tuple[Any, ...]
SECRETS = {"app": PASSWORD, "boss": PASSWORD, "mon": PASSWORD}

INI = """
[databases]
app = {backend} dbname=app
other = {backend} dbname=app
[users]
app = max_user_connections=9
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {directory}
auth_type = scram-sha-256
auth_file = {directory}/users.txt
admin_users = boss
stats_users = mon
pool_mode = transaction
default_pool_size = 5
ignore_startup_parameters = extra_float_digits
"""


def configure(place: Place, backend: str, port: int) -> str:
    directory = place.make_dir("p")
    place.write(directory / "users.txt", user_list(SECRETS))
    text = INI.format(backend=backend, port=port, directory=directory)
    place.write(directory / "pgbouncer.ini", text)
    return text


class Bouncer:
    """Debian's PgBouncer, as far as these tests need it."""

    def __init__(self, place: Place, backend: str) -> None:
        self.port = place.port()
        text = configure(place, backend, self.port)
        found = re.search(r"unix_socket_dir = (.*)", text)
        assert found
        self.dir = Path(found[1])
        self.process: subprocess.Popen[bytes] = place.spawn(["pgbouncer", str(self.dir / "pgbouncer.ini")], cwd=self.dir,
                                                            log=self.dir / "log")
        wait_until(self._is_up, what="PgBouncer's readiness")

    def _is_up(self) -> bool:
        return (self.dir / f".s.PGSQL.{self.port}").exists()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="module")
def bouncer(place: Place, backend: str) -> Iterator[Bouncer]:
    if not shutil.which("pgbouncer"):
        pytest.skip("Debian's package pgbouncer is not installed")
    it = Bouncer(place, backend)
    yield it
    it.stop()


@pytest.fixture
def front(sluices: Start, place: Place, backend: str) -> Sluice:
    port = place.port()
    return sluices(text=configure(place, backend, port), listen_port=port)


def connect(port: int, user: str = "boss", dbname: str = "pgbouncer") -> psycopg.Connection[Any]:
    return psycopg.connect(host=HOST, port=port, user=user, password=PASSWORD, dbname=dbname, autocommit=True)


class Console:
    """Says commands by the simple protocol, and gives back everything that a tool could look at."""

    def __init__(self, port: int, user: str) -> None:
        self.connection = connect(port, user)
        self.notices: list[tuple[Any, ...]] = []
        self.connection.add_notice_handler(self._on_notice)

    def _on_notice(self, note: psycopg.errors.Diagnostic) -> None:
        self.notices.append((note.severity, note.sqlstate, note.message_primary))

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *_: Any) -> None:
        self.connection.close()

    def say(self, command: str) -> Answer:
        """(tag, columns, types, notices), or ("ERROR", SQLSTATE, text)."""
        self.notices.clear()
        result = self.connection.pgconn.exec_(command.encode())
        if result.status == pq.ExecStatus.FATAL_ERROR:
            wanted = (pq.DiagnosticField.SEVERITY, pq.DiagnosticField.SQLSTATE, pq.DiagnosticField.MESSAGE_PRIMARY)
            return tuple((result.error_field(each) or b"").decode() for each in wanted)
        columns = [((result.fname(i) or b"").decode(), result.ftype(i)) for i in range(result.nfields)]
        return (result.command_status or b"").decode(), columns, list(self.notices)

    def values(self, command: str) -> dict[str, str]:
        """The first two columns of all rows."""
        return {str(row[0]): row[1] or "" for row in self.connection.execute(command.encode()).fetchall()}


# Commands.

# In this order: what one pauses the next resumes.
COMMANDS = [
    "SHOW HELP", "show version", "SHOW VERSION;", "SELECT version", "SELECT 1", "SHOW", "SHOW NOTHING", "SHOW CONFIG",
    "SHOW LISTS", "SHOW MEM", "SHOW FDS", "SHOW DNS_HOSTS", "SHOW DNS_ZONES", "SHOW TOTALS", "SHOW POOLS x",
    "SHOW POOLS; SHOW POOLS", "SHOW POOLS;;", "\nSHOW\tTOTALS\r\n;\n", 'SHOW "TOTALS"', '"SHOW" TOTALS',
    "SHOW client_encoding", "SHOW default_transaction_isolation", "SHOW standard_conforming_strings", "SHOW datestyle",
    "SHOW TimeZone",
    *(f"{word} {name}" for name in ("nil", "pgbouncer") for word in
      ("PAUSE", "RESUME", "DISABLE", "ENABLE", "KILL", "RECONNECT", "WAIT_CLOSE")),
    "PAUSE", "PAUSE", "PAUSE app", "SUSPEND", "KILL app", "RESUME", "RESUME",
    "PAUSE app", "PAUSE app", "SUSPEND", "RESUME app", "RESUME app", "RESUME other",
    "DISABLE", "ENABLE", "DISABLE app", "DISABLE app", "ENABLE app", "ENABLE app",
    "KILL app", "RESUME app", "KILL app", "PAUSE app", "RESUME app",
    "RECONNECT", "RECONNECT app", "WAIT_CLOSE", "WAIT_CLOSE app", "RELOAD",
    "SUSPEND", "SUSPEND", "PAUSE app", "PAUSE", "KILL app", "RESUME", "RESUME x y",
    "SET", "SET x", "SET x = 1", "SET max_client_conn = 77", "SET max_client_conn TO 78", "SET max_client_conn TO '79'",
    'SET max_client_conn = "81"', "SET max_client_conn=82", "SET max_client_conn = many", "SET pool_mode = nothing",
    "SET pool_mode = session", "SET pool_mode = 'transaction'", "SET listen_port = 7", "SET listen_port = nonsense",
    "SET client_encoding = utf8", "SET client_encoding TO 'utf8'", "SET datestyle = 'ISO'", "SET timezone = 'GMT'",
    "SET standard_conforming_strings = on", "SET default_transaction_isolation = 'read committed'",
    "SET server_lifetime = 12.5", "SET server_lifetime = '12.5'", "SET server_reset_query = 'select ''1'''",
    "SET server_reset_query = ''", "SET log_stats = 1", "SET tcp_defer_accept = 45", "SET min_pool_size = 0x10",
    "SET min_pool_size = 010", "SET query_timeout = '.5'", "SET query_timeout = '1e3'", "SET client_tls_sslmode = disable",
    "RELOAD", "BEGIN", "SELECT", "select 1;", "'", '"', 'PAUSE "app"', 'RESUME "app"', 'PAUSE "a""b"', "PAUSE " + "a" * 64,
    "A" * 16, "PAUSE app, other", "PAUSE 'app'", "SHOW TOTALS -- hi", "/* x */ SHOW TOTALS", "SHUTDOWN x",
]

# Where pgsluice is another release or means to be better, and how.
DIFFERENT = {
    "ENABLE pgbouncer": "1.18 says that it cannot be disabled; 1.25 says it right, and so do we",
    "SHOW STATE": "since 1.19", "KILL_CLIENT 5": "since 1.24",
    "RELOAD x": "a syntax error since 1.19", "SUSPEND x": "a syntax error since 1.19",
    "set MAX_CLIENT_CONN = 80": "names of settings in any case",
    "SET log_stats = off": "more words for no", "SET query_timeout = '5s'": "units",
    "SHOW max_client_conn": "a single setting by its name",
    " ;": "an empty query, as drivers send it to see whether anybody is there",
    "SHOW\vPOOLS": "control characters are not repeated",
}
# Of these the user who may only look is told nothing but that he may only look, by both.
SAME_FOR_MON = {"ENABLE pgbouncer", "set MAX_CLIENT_CONN = 80", "SET log_stats = off", "SET query_timeout = '5s'"}


@pytest.mark.parametrize("user", ["boss", "mon"])
def test_commands_are_answered_alike(bouncer: Bouncer, front: Sluice, user: str) -> None:
    expected, found = {}, {}
    with Console(bouncer.port, user) as theirs, Console(front.port, user) as ours:
        for number, command in enumerate(COMMANDS):
            if command in DIFFERENT or (user == "mon" and command == "SHUTDOWN x"):  # 1.18 says first what is wrong with it
                continue
            expected[number, command], found[number, command] = theirs.say(command), ours.say(command)
        assert found == expected
        differing = {command for command in DIFFERENT if theirs.say(command) != ours.say(command)}
        assert differing == set(DIFFERENT) - (SAME_FOR_MON if user == "mon" else set())
        theirs.say("RELOAD")


RENAMED = {"reserve_pool": "reserve_pool_size"}


def test_tables_have_all_columns_of_the_older_release_in_order(bouncer: Bouncer, front: Sluice) -> None:
    with Console(bouncer.port, "mon") as theirs, Console(front.port, "mon") as ours:
        for table in ("USERS", "SOCKETS", "ACTIVE_SOCKETS", "STATS", "STATS_TOTALS", "STATS_AVERAGES", "POOLS", "CLIENTS",
                      "SERVERS", "DATABASES", "LISTS", "CONFIG", "MEM", "TOTALS"):
            old = [(RENAMED.get(name, name), kind) for name, kind in theirs.say(f"SHOW {table}")[1]]
            new = ours.say(f"SHOW {table}")[1]
            assert [column for column in new if column in old] == old, table


# What 1.25 changed of the defaults, and what this test configures differently.
NEWER_DEFAULTS = {"auth_query", "client_tls_ciphers", "server_tls_ciphers", "server_check_query", "server_tls_sslmode"}


def test_the_same_file_means_the_same(bouncer: Bouncer, front: Sluice) -> None:
    with Console(bouncer.port, "mon") as one, Console(front.port, "mon") as other:
        theirs, ours = one.values("SHOW CONFIG"), other.values("SHOW CONFIG")
    own = {"conffile", "listen_port", "unix_socket_dir", "auth_file", "unix_socket_mode"} | NEWER_DEFAULTS
    assert {name: ours.get(name) for name in theirs if name not in own} == \
        {name: value for name, value in theirs.items() if name not in own}


# SET.

def setting(console: psycopg.Connection[Any], name: str) -> Any:
    row = console.execute(f"SHOW {name}".encode()).fetchone()
    return row[0] if row else None


def test_set_holds_until_the_next_reload(front: Sluice) -> None:
    with connect(front.port) as console, connect(front.port, "app", "app") as client:
        client.execute("SELECT 1")
        console.execute("SET query_wait_timeout = '1'")
        console.execute("SET default_pool_size = 1")
        console.execute("SET max_client_conn = 2")
        with connect(front.port, "app", "app") as second:
            with pytest.raises(psycopg.OperationalError, match="no more connections allowed"):
                connect(front.port, "app", "app")
            with client.transaction():
                client.execute("SELECT 1")
                with pytest.raises(psycopg.OperationalError, match="query_wait_timeout"):
                    second.execute("SELECT 2")
        console.execute("RELOAD")
        assert [setting(console, name) for name in ("query_wait_timeout", "default_pool_size", "max_client_conn")] == \
            ["120", "5", "100"]
        with connect(front.port, "app", "app") as second, client.transaction():
            client.execute("SELECT 1")
            second.execute("SELECT 2")
    log = front.log_text()
    assert log.count('console: SET max_client_conn: "100" -> "2"') == 1
    assert 'max_client_conn: "2" -> "100"' in log and "reloaded" in log


def test_set_after_a_reload_and_a_file_that_has_gone(front: Sluice) -> None:
    with connect(front.port) as console:
        console.execute("RELOAD")
        right = front.ini.read_text()
        front.ini.unlink()
        for size in (6, 7):
            console.execute(f"SET default_pool_size = {size}".encode())
            assert setting(console, "default_pool_size") == str(size)
        with connect(front.port, "app", "app") as client:
            assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.Error, match="RELOAD failed"):
            console.execute("RELOAD")
        front.place.write(front.ini, right)
        console.execute("RELOAD")
        assert setting(console, "default_pool_size") == "5"


def test_set_changes_who_may_come_in(front: Sluice, place: Place) -> None:
    other = place.write(front.dir / "others.txt", user_list({**SECRETS, "app": "another"}))
    with connect(front.port) as console, connect(front.port, "app", "app") as client:
        console.execute(f"SET auth_file = '{other}'".encode())
        with pytest.raises(psycopg.OperationalError, match="password authentication failed|authentication failed"):
            connect(front.port, "app", "app")
        assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.Error, match="SET failed") as problem:
            console.execute("SET auth_file = '/no/such/file'")
        assert "No such file" in (problem.value.diag.message_detail or "")
        console.execute("""SET auth_users = '"mon" "by-the-console"'""")
        assert setting(console, "auth_users") == "********"
        psycopg.connect(host=HOST, port=front.port, user="mon", password="by-the-console", dbname="pgbouncer").close()
    assert "by-the-console" not in front.log_text()


def test_set_of_tls_applies_at_once_or_says_that_it_waits(front: Sluice, tls: Path) -> None:
    with connect(front.port) as console:
        said: list[str] = []
        console.add_notice_handler(lambda note: said.append(f"{note.message_primary}: {note.message_detail}"))
        console.execute("SET client_tls_sslmode = require")
        assert len(said) == 1 and said[0].startswith("TLS settings could not be applied, still using old configuration: ")
        assert setting(console, "client_tls_sslmode") == "disable"
        connect(front.port, "app", "app").close()
        console.execute(f"SET client_tls_key_file = '{tls}/server.key'".encode())
        assert len(said) == 2
        console.execute(f"SET client_tls_cert_file = '{tls}/server.crt'".encode())
        assert len(said) == 2 and setting(console, "client_tls_sslmode") == "require"
        with connect(front.port, "app", "app") as client:
            assert client.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match="SSL"):
            psycopg.connect(host=HOST, port=front.port, user="app", password=PASSWORD, dbname="app", sslmode="disable")
        console.execute("RELOAD")
        psycopg.connect(host=HOST, port=front.port, user="app", password=PASSWORD, dbname="app", sslmode="disable").close()


def test_set_that_is_wrong_says_why_and_changes_nothing(front: Sluice) -> None:
    with connect(front.port) as console:
        before = console.execute("SHOW CONFIG").fetchall()
        for command, why in (("SET max_client_conn = 0", "out of range; allowed: 1 to"),
                             ("SET pool_mode = sometimes", "allowed: session, transaction, statement"),
                             ("SET nothing_of_that_name = 1", "no such setting"),
                             ("SET patroni = 'ftp://x'", "not a URL"), ("SET hosts = 'a:b'", "not a port")):
            with pytest.raises(psycopg.Error, match="SET failed") as problem:
                console.execute(command.encode())
            assert problem.value.sqlstate == "08P01" and why in (problem.value.diag.message_detail or ""), command
        assert console.execute("SHOW CONFIG").fetchall() == before


# SUSPEND.

def test_suspend_stops_everybody_until_resume(front: Sluice) -> None:
    with connect(front.port) as console, connect(front.port) as second, connect(front.port, "app", "app") as client:
        client.execute("BEGIN")
        console.execute("SUSPEND")
        assert dict(second.execute("SHOW STATE").fetchall())["suspended"] == "yes"
        client.pgconn.send_query(b"SELECT 42; COMMIT")
        for table in ("CLIENTS", "SERVERS", "POOLS"):
            second.execute(f"SHOW {table}".encode())
        client.pgconn.consume_input()
        assert client.pgconn.is_busy()
        second.execute("RESUME")
        result = client.pgconn.get_result()
        assert result and result.get_value(0, 0) == b"42"
        while client.pgconn.get_result():
            pass


def test_a_suspend_ends_when_its_console_leaves_and_by_a_signal(front: Sluice) -> None:
    with connect(front.port) as second, connect(front.port, "app", "app") as client:
        done = front.psql("-c", "SUSPEND", user="boss", dbname="pgbouncer")
        assert (done.returncode, done.stdout) == (0, "SUSPEND\n"), done.stderr
        wait_until(lambda: dict(second.execute("SHOW STATE").fetchall())["active"] == "yes")
        assert client.execute("SELECT 1").fetchone() == (1,)
        second.execute("SUSPEND")
        front.send(signal.SIGUSR2)
        assert client.execute("SELECT 2").fetchone() == (2,)
        second.execute("SUSPEND")
        front.send(signal.SIGTERM)
    assert front.expect_exit() == 0


# Files.

def test_the_file_of_debians_package_starts_unchanged(sluices: Start, place: Place) -> None:
    ini = Path("/etc/pgbouncer/pgbouncer.ini")
    if not ini.exists() or place.user != "postgres":
        pytest.skip("needs Debian's package pgbouncer, and the user postgres, to whom its files belong")
    where = place.make_dir("debian")
    port = place.port()
    env = {"PGSLUICE_LISTEN_PORT": str(port), "PGSLUICE_UNIX_SOCKET_DIR": str(where), "PGSLUICE_LOGFILE": f"{where}/log",
           "PGSLUICE_PIDFILE": f"{where}/pid"}
    front: Sluice = sluices(arguments=[str(ini)], listen_port=port, env=env)
    done = front.psql("-c", "SHOW CONFIG", host=str(where), user="pgbouncer", dbname="pgbouncer", password="")
    assert done.returncode == 0, done.stderr
    shown = {line.split("|")[0]: line.split("|")[1] for line in done.stdout.splitlines()}
    written = re.findall(r"^([a-z_]+) *= *(.*)$", ini.read_text(), re.MULTILINE)
    assert len(written) >= 7, "is it still Debian's?"
    for name, value in written:
        if f"PGSLUICE_{name.upper()}" not in env:
            assert shown[name] == value, name
    assert (where / "pid").read_text().strip() == str(front.pid)
    assert "ready" in (where / "log").read_text()
    assert [line for line in front.log_text().splitlines() if " warning " in line and "[databases] has no entry" not in line] == []


def test_a_long_configuration_with_every_key_starts_unchanged(sluices: Start, place: Place, tls: Path) -> None:
    """tests/conf has it; only its files, its port, its user, and what OpenSSL would not take are ours."""
    where = place.make_dir("long")
    port = place.port()
    text = (CHECKOUT / "tests/conf/good.every-key-of-pgbouncer.ini").read_text()
    text = text[text.index("[databases]"):]
    given = {"listen_port": port, "unix_socket_dir": where, "unix_socket_group": place.user, "user": place.user,
             "pidfile": where / "pid", "logfile": where / "log", "conffile": where / "next.ini",
             "auth_file": place.write(where / "users", user_list({"some_auth_user": "x"})),
             "auth_hba_file": place.write(where / "hba", "local all all trust\n"),
             "auth_ident_file": place.write(where / "ident", "map a b\n"),
             "resolv_conf": place.write(where / "resolv", "nameserver 127.0.0.1\n"),
             "client_tls_key_file": tls / "server.key", "client_tls_cert_file": tls / "server.crt",
             "client_tls_ca_file": tls / "ca.crt", "server_tls_key_file": tls / "client.key",
             "server_tls_cert_file": tls / "client.crt", "server_tls_ca_file": tls / "ca.crt",
             "client_tls_ciphers": "HIGH:!aNULL", "client_tls13_ciphers": "TLS_AES_256_GCM_SHA384",
             "server_tls_ciphers": "HIGH", "server_tls13_ciphers": "TLS_AES_128_GCM_SHA256", "tcp_socket_buffer": 65536}
    for name, value in given.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    front: Sluice = sluices(text=text, listen_port=port)
    done = front.psql("-c", "SHOW CONFIG", host=str(where), user="pgbouncer", dbname="pgbouncer", password="")
    assert done.returncode == 0, done.stderr
    shown = {line.split("|")[0]: line.split("|")[1] for line in done.stdout.splitlines()}
    section = text[text.index("[pgbouncer]"):]
    written = dict(re.findall(r"^([a-z_0-9]+) *= *(.*)$", section, re.MULTILINE))
    assert len(written) == 100
    written["unix_socket_mode"] = str(int(written["unix_socket_mode"], 8))
    assert {name: shown[name] for name in written} == written


# Monitoring.

def tool(place: Place, argv: list[str], port: int, **env: str) -> str:
    """What it prints, and how it ends, without what is of the moment."""
    done = place.run(argv, env={"PGHOST": HOST, "PGPORT": str(port), "PGUSER": "mon", "PGPASSWORD": PASSWORD,
                                "PERL_BADLANG": "0", **env})
    said = f"{done.returncode}: {done.stdout}{done.stderr}".replace(str(port), "PORT")
    return re.sub(r"time=[0-9.]+s", "time=", said)


ACTIONS = ["pgb_pool_cl_active", "pgb_pool_cl_waiting", "pgb_pool_maxwait", "pgb_pool_sv_active", "pgb_pool_sv_idle",
           "pgb_pool_sv_login", "pgb_pool_sv_tested", "pgb_pool_sv_used", "pgbouncer_backends"]


def test_check_postgres(bouncer: Bouncer, front: Sluice, place: Place) -> None:
    if not shutil.which("check_postgres"):
        pytest.skip("Debian's package check-postgres is not installed")

    def check(port: int, action: str, *arguments: str) -> str:
        return tool(place, ["check_postgres", f"--action={action}", "--dbname=pgbouncer", *arguments], port)

    with connect(bouncer.port, "app", "app") as one, connect(front.port, "app", "app") as other:
        for client in (one, other):
            client.execute("BEGIN")
        for number, action in enumerate(ACTIONS):
            limit = 1 + 50 * (number % 2)  # some reach it
            theirs, ours = (check(each.port, action, f"--warning={limit}", f"--critical={limit}") for each in (bouncer, front))
            assert ours == theirs and 'DB "pgbouncer"' in ours, (action, ours, theirs)
    found = re.search("[0-9a-f]{32}", check(front.port, "pgbouncer_checksum", "--critical=0"))
    assert found
    checksum = found[0]
    assert check(front.port, "pgbouncer_checksum", f"--critical={checksum}").startswith("0: ")
    with connect(front.port) as console:
        console.execute("SET max_client_conn = 99")
    assert check(front.port, "pgbouncer_checksum", f"--critical={checksum}").startswith("2: ")


def test_munin(bouncer: Bouncer, front: Sluice, place: Place) -> None:
    plugins = Path("/usr/share/munin/plugins")
    if not (plugins / "pgbouncer_connections").exists() or place.run(["perl", "-MDBD::Pg", "-e1"]).returncode != 0:
        pytest.skip("Debian's packages munin-plugins-core, munin-plugins-extra and libdbd-pg-perl are not installed")

    def ask(port: int, plugin: str, *what: str) -> str:
        said = tool(place, ["perl", str(plugins / plugin), *what], port, MUNIN_LIBDIR="/usr/share/munin")
        assert said.startswith("0: "), said
        return said

    def requests(port: int) -> int:
        return int(ask(port, "pgbouncer_requests").split("other.value ")[1].split()[0])

    more = []
    for port in (bouncer.port, front.port):
        with connect(port, "app", "other") as client:
            client.prepare_threshold = None
            client.execute("SELECT 1")
            before = requests(port)
            for _ in range(7):
                client.execute("SELECT 1")
            more.append(requests(port) - before)
    assert more == [7, 7]
    for plugin, what in (("pgbouncer_connections", ["autoconf"]), ("pgbouncer_connections", ["config"]),
                         ("pgbouncer_connections", []), ("pgbouncer_requests", ["autoconf"])):
        assert ask(front.port, plugin, *what) == ask(bouncer.port, plugin, *what), (plugin, what)
    assert "other.label other" in ask(front.port, "pgbouncer_requests", "config")


# Refusals.

def last_words(port: int, user: str = "app", dbname: str = "app", password: str = PASSWORD, data: bytes = b"",
               **parameters: str) -> tuple[str, str, str]:
    """Severity, SQLSTATE and text of the error with which a connection ends."""
    with Wire(port) as client:
        try:
            client.login(user, dbname, password, **parameters)
            client.send(data).closed()
        except (AssertionError, Closed):
            pass
        errors = [wire.fields(body) for letter, body in client.heard if letter == b"E"]
        return tuple(errors[-1][letter] for letter in "SCM") if errors else ("", "", "")  # type: ignore[return-value]


# What is done before, how it is asked for, and our SQLSTATE: PgBouncer's is always 08P01. With a text where that differs, too:
# PostgreSQL's own words, mostly.
REFUSALS: dict[str, tuple[list[str], dict[str, Any], tuple[str, ...]]] = {
    "no database": ([], {"dbname": "nil"}, ("3D000", 'database "nil" does not exist')),
    "no user": ([], {"user": "nobody"}, ("28P01", 'password authentication failed for user "nobody"')),
    "wrong password": ([], {"password": "no"}, ("28P01", 'password authentication failed for user "app"')),
    "console": ([], {"dbname": "pgbouncer"}, ("28000",)),
    "unknown parameter": ([], {"nil": "1"}, ("42704", 'unrecognized configuration parameter "nil"')),
    "disabled database": (["DISABLE other"], {"dbname": "other"}, ("08004",)),
    "query_wait_timeout": (["SET query_wait_timeout = 1", "PAUSE other"],
                           {"dbname": "other", "data": wire.query("SELECT 1")}, ("57P03",)),
    "query_timeout": (["SET query_timeout = 1"], {"data": wire.query("SELECT pg_sleep(60)")}, ("57014",)),
    "idle_transaction_timeout": (["SET idle_transaction_timeout = 1"], {"data": wire.query("BEGIN")}, ("25P03",)),
    "client_idle_timeout": (["SET client_idle_timeout = 1"], {}, ("57P05",)),
    "large message": (["SET max_packet_size = 100000"], {"data": wire.query("SELECT 1 --" + " " * 200000)},
                      ("08P01", "invalid message length")),
    "unknown message": ([], {"data": b"\xff\0\0\0\4"}, ("08P01", "invalid frontend message type 255")),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals_are_worded_alike(bouncer: Bouncer, front: Sluice, what: str) -> None:
    commands, given, mine = REFUSALS[what]

    def refused(port: int) -> tuple[str, ...]:
        with Console(port, "boss") as console:
            for command in commands:
                assert console.say(command)[0] != "ERROR", command
            try:
                return last_words(port, **given)
            finally:
                for command in ("RELOAD", "ENABLE other", "RESUME other"):
                    console.say(command)

    with ThreadPoolExecutor() as pool:
        theirs, ours = pool.map(refused, (bouncer.port, front.port))
    assert theirs[:2] == ("FATAL", "08P01")
    assert ours == ("FATAL", mine[0], mine[1] if mine[1:] else theirs[2])
    assert not mine[1:] or mine[1] != theirs[2], "the same after all"

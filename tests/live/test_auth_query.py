"""Users that are in no list are looked up in a database, as it is at that moment."""

from __future__ import annotations

import hashlib
import re
import struct
import threading
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from kit import fake, wire
from kit.company import neighbour
from kit.fake import FakePostgres, Session
from kit.place import CHECKOUT, HOST, Place, wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire
from psycopg import sql

Start = Any
REFUSED = "password authentication failed"
DEFAULTS = {"secrets": {"postgres": PASSWORD}, "auth_user": "postgres"}  # superuser: may read pg_authid

# As that of README.md, with a table that counts.
RECIPE = """
CREATE TABLE asked (name text);
CREATE FUNCTION user_lookup(INOUT name text, OUT secret text) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO public.asked VALUES (name);
    SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END INTO name, secret
    FROM pg_authid WHERE rolname = name AND rolcanlogin AND NOT rolsuper;
END $$;
REVOKE ALL ON FUNCTION user_lookup FROM public;
GRANT EXECUTE ON FUNCTION user_lookup TO asker, tls_only, r_trust, r_scram;
"""
LOOKUP = "SELECT name, secret FROM user_lookup($1)"


@pytest.fixture(scope="module")
def lookup(postgres: Postgres) -> Postgres:
    """With the database `lookup` of the recipe, and its user `asker`."""
    postgres.add_user("asker")
    postgres.sql("CREATE DATABASE lookup")
    with postgres.connect(dbname="lookup") as connection:
        connection.execute(RECIPE)
    return postgres


@pytest.fixture
def front(sluices: Start, lookup: Postgres, backend: str) -> Sluice:
    """As the recipe says: one database to ask in for all."""
    return sluices(**recipe(), databases={"*": backend})


def recipe(**settings: Any) -> dict[str, Any]:
    return {"secrets": {"asker": PASSWORD}, "auth_user": "asker", "auth_dbname": "lookup", "auth_query": LOOKUP,
            "http_port": 0, **settings}


def asked(postgres: Postgres, name: str) -> int:
    return postgres.sql("SELECT count(*) FROM asked WHERE name = %s", name, dbname="lookup")[0][0]


def comes_in(front: Sluice, user: str, password: str = PASSWORD, **given: Any) -> bool:
    """Refused: by these words, and no others."""
    try:
        with front.connect(user=user, password=password, **{"dbname": "app", **given}) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (user,)
        return True
    except psycopg.OperationalError as error:
        assert REFUSED in str(error), error
        return False


def set_password(postgres: Postgres, user: str, password: str) -> None:
    with postgres.connect() as connection:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), password))


def test_the_recipe_of_the_readme(sluices: Start, postgres: Postgres, backend: str) -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("### Users from the database"):]
    found = re.search(r"```sql\n(.*?)```.*?```ini\n(.*?)```", section, re.DOTALL)
    assert found
    postgres.sql(found[1])
    try:
        settings = dict(re.findall(r"^(auth_\w+) = (.*?)(?:\s*;.*)?$", found[2], re.MULTILINE))
        front: Sluice = sluices(databases={"*": backend}, secrets={"pgsluice_lookup": "..."}, **settings)
        assert comes_in(front, "app") and not comes_in(front, "app", "wrong")
        assert not comes_in(front, "postgres") and not comes_in(front, "nobody")
    finally:
        postgres.sql("DROP SCHEMA pgsluice CASCADE")


@pytest.mark.parametrize("auth_type", ["scram-sha-256", "md5", "plain"])
def test_users_come_in_as_with_the_server(sluices: Start, postgres: Postgres, auth_type: str) -> None:
    front: Sluice = sluices(**DEFAULTS, auth_type=auth_type)
    for user in ("r_scram", "r_md5", "r_trust"):
        # An MD5 secret can't serve a SCRAM exchange.
        assert comes_in(front, user) == (user != "r_md5" or auth_type != "scram-sha-256"), user
        assert not comes_in(front, user, "wrong")
    assert not comes_in(front, "nobody_at_all")
    assert PASSWORD not in front.log_text() and "SCRAM-SHA-256$" not in front.log_text()


def test_who_may_not_log_in(sluices: Start, postgres: Postgres) -> None:
    postgres.sql(f"CREATE ROLE gone LOGIN PASSWORD '{PASSWORD}' VALID UNTIL '2001-01-01';"
                 f"CREATE ROLE locked NOLOGIN PASSWORD '{PASSWORD}'; CREATE ROLE bare LOGIN")
    front: Sluice = sluices(**DEFAULTS)
    for user in ("gone", "locked", "bare"):
        assert not comes_in(front, user)


def test_changes_count_at_once(front: Sluice, lookup: Postgres) -> None:
    assert not comes_in(front, "moving")
    lookup.add_user("moving")
    assert comes_in(front, "moving")
    for number in range(3):
        set_password(lookup, "moving", f"word {number}")
        assert comes_in(front, "moving", f"word {number}")
        assert not comes_in(front, "moving", f"word {number - 1}")
    with front.connect(user="moving", password="word 2") as lasting:
        set_password(lookup, "moving", PASSWORD)
        assert lasting.execute("SELECT 1").fetchone() == (1,)
    assert comes_in(front, "moving")
    lookup.sql("DROP ROLE moving")
    assert not comes_in(front, "moving")


@pytest.mark.parametrize("auth_type", ["scram-sha-256", "plain"])
def test_a_password_is_changed_under_load(sluices: Start, lookup: Postgres, backend: str, auth_type: str) -> None:
    """Also new server connections are made all the while, with what the last right login taught."""
    front: Sluice = sluices(**recipe(auth_type=auth_type), databases={"*": backend}, server_lifetime=0)
    lookup.add_user("busy")
    set_password(lookup, "busy", "word 0")
    word: list[str | None] = ["word 0"]  # None: it is being changed
    stop = threading.Event()
    problems: list[str] = []
    rounds = [0]

    def keep_logging_in() -> None:
        while not stop.is_set():
            mine = word[0]
            if mine is None:
                continue
            try:
                came = comes_in(front, "busy", mine)
            except Exception as error:  # noqa: BLE001  (shown below)
                came = False
                if word[0] == mine:
                    problems.append(repr(error))
            if not came and word[0] == mine:
                problems.append(f"{mine} was refused")
            rounds[0] += 1

    threads = [threading.Thread(target=keep_logging_in, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 6):
            seen = rounds[0]
            wait_until(lambda: rounds[0] > seen + 5 or problems, 60, "logins")
            word[0] = None
            set_password(lookup, "busy", f"word {number}")
            word[0] = f"word {number}"
            assert comes_in(front, "busy", f"word {number}")
            assert not comes_in(front, "busy", f"word {number - 1}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems, problems


def test_the_console(sluices: Start, lookup: Postgres, backend: str) -> None:
    lookup.add_user("adm")
    front: Sluice = sluices(**recipe(), databases={"*": backend}, admin_users="adm")
    with front.connect(user="adm", dbname="pgsluice") as console:
        assert {"adm", "asker"} <= {row[0] for row in console.execute("SHOW USERS").fetchall()}
        console.execute("PAUSE")
        assert comes_in_console(front, "adm", PASSWORD)  # paused or not
        console.execute("RESUME")
    assert not comes_in_console(front, "adm", "wrong")
    # Without auth_dbname there is no database to ask in.
    front.write_ini(auth_dbname=None, auth_query="SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1")
    front.reload()
    assert not comes_in_console(front, "adm", PASSWORD)


def comes_in_console(front: Sluice, user: str, password: str) -> bool:
    try:
        front.connect(user=user, password=password, dbname="pgsluice").close()
        return True
    except psycopg.OperationalError as error:
        assert REFUSED in str(error), error
        return False


BAD = {
    "SELECT name, secret FROM user_lookup($1), generate_series(1, 2)": "more than one row",
    "SELECT name, secret FROM user_lookup($1), (SELECT generate_series(1, 100000000)) s": "more than one row",
    "SELECT secret FROM user_lookup($1)": "expected 2 columns from auth_query, not 1",
    "SELECT name, secret, 1 FROM user_lookup($1)": "expected 2 columns from auth_query, not 3",
    "SELECT 'asker', secret FROM user_lookup($1)": "another user than it was asked for",
    "SELECT name, secret::int::text FROM user_lookup($1)": "SQLSTATE 22P02",
    "SELECT name, secret FROM no_such_function($1)": "no_such_function",
    "SELECT name, repeat('x', 2000000) FROM user_lookup($1)": "too long",
    "SELECT name, repeat('x', 70000) FROM user_lookup($1)": "too long",
    "SELECT name, 'SCRAM-SHA-256$4096:broken' FROM user_lookup($1)": "broken",
    "SELECT name, secret FROM user_lookup($1), pg_sleep(3600)": "statement timeout",
    "COPY (SELECT 1, 2) TO STDOUT": "",
    "SELECT name, secret FROM user_lookup('app')": "",
    "nonsense": "syntax error",
}


def test_answers_that_are_none(sluices: Start, lookup: Postgres, backend: str) -> None:
    front: Sluice = sluices(**recipe(auth_query_timeout="2s"), databases={"*": backend})
    front.secrets["other"] = PASSWORD
    front.write_auth_file()
    front.reload()
    with neighbour(lambda: front.connect(user="other", dbname="app")):
        for query, reason in BAD.items():
            front.write_ini(auth_query=query)
            front.reload()
            since = len(front.log_text())
            with pytest.raises(psycopg.OperationalError, match="bouncer config error"):
                front.connect()
            line = front.wait_log(r'user "app" can.t be looked up in database "lookup" as "asker": ', since)
            assert reason in line, query
            assert "SCRAM-SHA-256$" not in front.log_text()[since:].replace(query, "")
    front.write_ini(auth_query="SELECT NULL, NULL FROM user_lookup($1)")
    front.reload()
    assert not comes_in(front, "app")
    front.write_ini(auth_query=LOOKUP)
    front.reload()
    assert comes_in(front, "app")


def row(name: str, secret: str) -> bytes:
    return wire.message(b"1") + wire.message(b"2") + fake.row_description("name", "secret") + fake.data_row(name, secret)


def asked_of(session: Session) -> None:
    session.login()
    while session.next()[0] != b"S":
        pass


def flood(session: Session, what: bytes) -> None:
    while True:  # until it is cut
        session.send(what)


NOTICE = fake.error("00000", "x" * 1000, "NOTICE")
NOTICE = b"N" + NOTICE[1:]
SERVERS: dict[str, tuple[Any, str]] = {
    "silent": (lambda s: s.wait_closed(), "no connection in time"),
    "closes at once": (lambda s: None, "closed the connection unexpectedly"),
    "garbage": (lambda s: (s.read_startup(), s.send(b"\xff" * 1000)), ""),
    "too much at login": (lambda s: (s.read_startup(), s.send(fake.authentication(0)), flood(s, NOTICE * 100)), "too much"),
    "FATAL at login": (lambda s: (s.read_startup(), s.send(fake.error("57P03", "not now", "FATAL"))), "57P03: not now"),
    "no answer": (lambda s: (asked_of(s), s.wait_closed()), "no answer in time"),
    "closes instead of an answer": (asked_of, "closed the connection unexpectedly"),
    "garbage for an answer": (lambda s: (asked_of(s), s.send(b"\xff" * 1000)), ""),
    "a row without end": (lambda s: (asked_of(s), s.send(b"D" + struct.pack("!ihi", 1 << 29, 2, 3), b"app"),
                                     flood(s, b"x" * 100000)), "too long"),
    "notices without end": (lambda s: (asked_of(s), flood(s, NOTICE * 100)), "too long"),
    "dies in the middle": (lambda s: (asked_of(s), s.send(row("app", PASSWORD))), "closed the connection unexpectedly"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_servers_that_are_none(sluices: Start, place: Place, backend: str, kind: str) -> None:
    """Nobody comes in, nobody waits for ever, nobody else notices, and an honest server serves the next one."""
    script, reason = SERVERS[kind]
    port = place.port()
    front: Sluice = sluices(**recipe(auth_query_timeout="400ms", secrets={"other": PASSWORD}, auth_query="SELECT $1, 2"),
                            databases={"app": backend, "lookup": f"host={HOST} port={port}"})

    def honest(session: Session) -> None:
        asked_of(session)
        session.send(row("app", PASSWORD), fake.complete("SELECT 1"), fake.ready())
        session.wait_closed()

    with neighbour(lambda: front.connect(user="other")), FakePostgres(port, script) as server:
        with pytest.raises(psycopg.OperationalError, match="bouncer config error|no server can be asked"):
            front.connect()
        line = front.wait_log('user "app" can.t be looked up')
        assert reason in line
        server.script = honest
        wait_until(lambda: knows(front), 30, "a login by the honest server")
    assert PASSWORD not in front.log_text()


def knows(front: Sluice) -> bool:
    """What was refused a moment ago may be refused once more without being asked."""
    try:
        return comes_in(front, "app")
    except AssertionError:
        return False


NAMES = ["it's", 'a "quoted" name', "back\\slash", "$1", "; DROP TABLE asked; --", "new\nline", "\u00fcml\u00e4ut", "%s%n",
         "x" * 63, "NULL", "now()"]


def test_hostile_names(front: Sluice, lookup: Postgres) -> None:
    for name in NAMES:
        assert not comes_in(front, name)
        with lookup.connect() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), PASSWORD))
        assert comes_in(front, name), name
        assert not comes_in(front, name, "wrong"), name
    assert not comes_in(front, "x" * 127)  # its first 63 bytes are somebody's name
    with Wire(front.port) as client:  # no characters in the server's encoding: nobody's name
        body = b"\0\3\0\0user\0\xff\xfe\xc3\0database\0app\0\0"
        client.send((4 + len(body)).to_bytes(4, "big") + body)
        assert client.next()[0] == b"R"
    assert asked(lookup, "app") >= 0  # the table is still there


def figures(front: Sluice, name: str) -> int:
    with urllib.request.urlopen(f"http://{HOST}:{front.settings['http_port']}/metrics", timeout=30) as answer:
        found = re.search(rf"^pgsluice_auth_query_{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found
    return int(float(found[1]))


def test_200_logins_of_a_new_user_share_a_question(sluices: Start, lookup: Postgres, backend: str, place: Place) -> None:
    lookup.add_user("crowd")
    front: Sluice = sluices(**recipe(http_port=place.port(), auth_query_timeout=60, max_login_clients=300), databases={"*": backend})
    clients: list[Wire] = []
    with lookup.connect(dbname="lookup", autocommit=False) as lock:
        lock.execute("LOCK TABLE asked")
        for number in range(200):
            clients.append(Wire(front.port))
            clients[-1].send(wire.startup(user="crowd", database="app"))
            if number == 0:  # on its way before the others come
                wait_until(lambda: figures(front, "asked_total") == 1)
        wait_until(lambda: figures(front, "waiting") == 200)
        assert figures(front, "asked_total") == 1
    for client in clients:
        assert client.next()[0] == b"R"
        client.close()
    # The first had its own; those who came after it was sent share the second.
    assert asked(lookup, "crowd") == 2
    assert figures(front, "joined_total") == 199
    assert figures(front, "connections") == 1


def test_answers_are_kept_for_their_ttl(sluices: Start, lookup: Postgres, backend: str) -> None:
    lookup.add_user("kept")
    front: Sluice = sluices(**recipe(auth_query_ttl="1h"), databases={"*": backend})
    for _ in range(5):
        assert comes_in(front, "kept")
    assert asked(lookup, "kept") == 1
    set_password(lookup, "kept", "another")
    assert not comes_in(front, "kept", "another")  # this one was judged by the old salt
    assert comes_in(front, "kept", "another")      # and has made the answer doubtful
    assert not comes_in(front, "kept")
    front.reload()
    assert comes_in(front, "kept", "another")


def test_no_server(sluices: Start, place: Place) -> None:
    front: Sluice = sluices(**recipe(), databases={"*": f"host={HOST} port={place.port()}"})
    with pytest.raises(psycopg.OperationalError, match="no server can be asked"):
        front.connect()
    assert "Connection refused" in front.log_text()


def test_connections_that_are_cut_are_made_anew(front: Sluice, lookup: Postgres) -> None:
    where = "datname = 'lookup' AND usename = 'asker' AND application_name = 'pgsluice'"
    for _ in range(3):
        assert comes_in(front, "app")
        assert lookup.backends(where) == 1
        lookup.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}")


def test_what_auth_user_needs(sluices: Start, lookup: Postgres, backend: str) -> None:
    front: Sluice = sluices(**recipe(secrets={"asker": lookup.secret("asker"), "r_scram": "wrong"}),
                            databases={"*": backend}, log_pooler_errors=1)
    with pytest.raises(psycopg.OperationalError, match="bouncer config error"):
        front.connect()
    front.wait_log("the server asks auth_user for a password, and auth_file has only its SCRAM secret: put the plain")
    front.write_ini(auth_user="r_trust")
    front.reload()
    assert comes_in(front, "app")
    assert not comes_in(front, "r_trust")  # nobody asks for the one who asks
    front.write_ini(auth_user="r_scram")
    front.reload()
    with pytest.raises(psycopg.OperationalError, match="bouncer config error"):
        front.connect()
    front.wait_log('28P01: password authentication failed for user "r_scram"')
    front.write_ini(auth_user="asker", auth_dbname="no_such_database")
    front.secrets["asker"] = PASSWORD
    front.write_auth_file()
    front.reload()
    with pytest.raises(psycopg.OperationalError, match="bouncer config error"):
        front.connect()
    front.wait_log('3D000: database "no_such_database" does not exist')


def test_settings_of_a_database(sluices: Start, lookup: Postgres, backend: str) -> None:
    front: Sluice = sluices(secrets={"asker": PASSWORD, "postgres": PASSWORD}, databases={
        "lookup": backend,
        "app": f"{backend} auth_user=asker auth_dbname=lookup auth_query='{LOOKUP}'",
        "own": f"{backend} dbname=app auth_user=postgres",
        "wrong": f"{backend} dbname=app auth_user=asker auth_dbname=nowhere",
        "none": f"{backend} dbname=app"})
    assert comes_in(front, "app") and comes_in(front, "app", dbname="own")
    assert not comes_in(front, "app", dbname="none")
    assert '[databases] wrong: auth_dbname: "nowhere" is not in [databases]' in front.log_text()
    with pytest.raises(psycopg.OperationalError, match="bouncer config error"):
        front.connect(dbname="wrong")


def test_tls_and_a_strange_environment(sluices: Start, lookup: Postgres, backend: str, tls: Path) -> None:
    """tls_only is let in by TLS alone. Nothing of psql's environment counts."""
    strange = {"PGHOST": "192.0.2.1", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGUSER": "postgres", "PGPASSWORD": "wrong",
               "PGDATABASE": "nowhere", "PGSSLMODE": "disable", "PGSSLROOTCERT": "/nowhere", "PGSERVICE": "nowhere",
               "PGOPTIONS": "-c nonsense=1", "PGCLIENTENCODING": "nonsense", "PGTARGETSESSIONATTRS": "standby",
               "PGPASSFILE": "/nowhere", "PGREQUIREPEER": "nobody", "PGCHANNELBINDING": "require"}
    front: Sluice = sluices(**recipe(auth_user="tls_only", secrets={"tls_only": PASSWORD}), databases={"*": backend},
                            server_tls_sslmode="verify-full", server_tls_ca_file=tls / "ca.crt", env=strange)
    assert comes_in(front, "app")
    front.write_ini(server_tls_ca_file=tls / "other_ca.crt")
    front.reload()
    with pytest.raises(psycopg.OperationalError, match="bouncer config error"):
        front.connect()
    front.wait_log("certificate verify failed")


def test_an_md5_secret_serves_its_server(sluices: Start, postgres: Postgres) -> None:
    """r_md5's server asks for MD5: what auth_query gave answers that, though no client ever shows its password."""
    assert postgres.secret("r_md5") == "md5" + hashlib.md5((PASSWORD + "r_md5").encode()).hexdigest()
    front: Sluice = sluices(**DEFAULTS, auth_type="md5")
    with front.connect(user="r_md5", dbname="app") as one, front.connect(user="r_md5", dbname="app") as two:
        with one.transaction(), two.transaction():
            assert one.execute("SELECT pg_backend_pid()").fetchone() != two.execute("SELECT pg_backend_pid()").fetchone()


def test_rules_come_first(sluices: Start, lookup: Postgres, backend: str, place: Place) -> None:
    """Who is rejected is not asked for; who is trusted has to exist."""
    rules = place.write(place.make_dir("hba") / "hba.conf", "local all all trust\nhost all other all reject\n"
                        "host all r_trust,ghost all trust\nhost all all all scram-sha-256\n", 0o644)
    front: Sluice = sluices(**recipe(auth_type="hba", auth_hba_file=rules), databases={"*": backend})
    with pytest.raises(psycopg.OperationalError, match="login rejected"):
        front.connect(user="other")
    assert asked(lookup, "other") == 0
    assert comes_in(front, "r_trust", "wrong") and comes_in(front, "app") and not comes_in(front, "app", "wrong")
    with pytest.raises(psycopg.OperationalError, match="login rejected"):
        front.connect(user="ghost")
    assert asked(lookup, "ghost") == 1


@pytest.fixture(autouse=True)
def clean(postgres: Postgres) -> Iterator[None]:
    """Roles that a test has made go with it."""
    before = {row[0] for row in postgres.sql("SELECT rolname FROM pg_roles")}
    yield
    with postgres.connect() as connection:
        for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall():
            if name not in before and name != "asker":
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))

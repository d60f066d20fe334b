"""Who may log in, how each side is asked for a password, and what those who may not can learn."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.postgres import ASKS, PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any
KINDS = ("plain", "md5", "scram")
# What clients are asked for, and with which kinds of secret that can be answered.
CLIENTS = {"any": KINDS, "trust": KINDS, "plain": KINDS, "md5": KINDS, "scram-sha-256": ("plain", "scram")}


def md5_secret(user: str, password: str) -> str:
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


def secret(kind: str, user: str, postgres: Postgres) -> str:
    if kind == "plain":
        return PASSWORD
    if kind == "md5":
        return md5_secret(user, PASSWORD)
    return postgres.secret(user if ASKS.get(user) != "md5" else "r_scram")


def server_accepts(user: str, auth_type: str, kind: str) -> bool:
    """With what pgsluice has after the client's login: the secret of the list, and what the client showed."""
    knows_password = kind == "plain" or auth_type == "plain"
    asked = ASKS[user]
    if asked == "trust" or knows_password:
        return True
    if asked == "md5":
        return kind == "md5"
    if asked == "scram-sha-256":  # the keys of the client's own login
        return kind == "scram" and auth_type in ("md5", "scram-sha-256")
    return False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("auth_type", CLIENTS)
def test_every_way_to_log_in(sluices: Start, postgres: Postgres, backend: str, auth_type: str, kind: str) -> None:
    secrets = {user: secret(kind, user, postgres) for user in ASKS}
    as_whom = " user={}" if auth_type == "any" else ""  # else nobody comes in
    databases = {user: f"{backend} dbname=app" + as_whom.format(user) for user in ASKS}
    front: Sluice = sluices(databases=databases, auth_type=auth_type, secrets=secrets)
    for user in ASKS:
        may_enter = kind in CLIENTS[auth_type]
        expected = may_enter and server_accepts(user, auth_type, kind)
        try:
            with front.connect(user=user, dbname=user) as connection:
                came = connection.execute("SELECT current_user, session_user").fetchone()
            assert came == (user, user) and expected, f"{user} came in"
        except psycopg.OperationalError as error:
            assert not expected, f"{user} was refused: {error}"
            if not may_enter:
                assert "password authentication failed" in str(error)
            else:
                assert "server asks for" in str(error), error  # what is missing, and what to do about it
        # A wrong password never comes in, whatever the server would say.
        if auth_type not in ("any", "trust"):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                front.connect(user=user, password="wrong")


def test_unknown_users_look_like_wrong_passwords(sluices: Start) -> None:
    front: Sluice = sluices(auth_type="scram-sha-256")

    def attempt(user: str) -> tuple[str, dict[str, str], float]:
        """The letters that came, the error, and how long it took."""
        started = time.monotonic()
        with Wire(front.port) as client:
            client.send(wire.startup(user=user, database="app"))
            try:
                while True:
                    letter, body = client.next()
                    if letter == b"R":
                        client._answer(body, user, "wrong")
                    if letter == b"E":
                        break
            finally:
                took = time.monotonic() - started
            return wire.letters(client.heard), wire.fields(body), took

    known, unknown = attempt("app"), attempt("nobody")
    assert known[0] == unknown[0]
    assert known[1]["C"] == unknown[1]["C"] == "28P01"
    assert known[1]["M"].replace("app", "") == unknown[1]["M"].replace("nobody", "")
    # The same salt each time, as a real user has.
    def salt(user: str) -> bytes:
        with Wire(front.port) as client:
            client.send(wire.startup(user=user, database="app"))
            client._answer(client.next()[1], user, "wrong")
            return dict(part.split(b"=", 1) for part in client.next()[1][4:].split(b","))[b"s"]

    assert salt("nobody") == salt("nobody") != salt("nobody2")


def test_a_wrong_database_is_the_servers_error(sluices: Start) -> None:
    front: Sluice = sluices()
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        front.connect(dbname="nowhere")
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_only_configured_databases(sluices: Start, backend: str) -> None:
    front: Sluice = sluices(databases={"app": backend, "alias": f"{backend} dbname=app"})
    with front.connect(dbname="alias") as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("app",)
    with pytest.raises(psycopg.OperationalError, match='database "postgres" does not exist'):
        front.connect(dbname="postgres")


def test_a_forced_user(sluices: Start, backend: str) -> None:
    front: Sluice = sluices(databases={"app": f"{backend} user=other password={PASSWORD}"})
    with front.connect() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("other",)


def test_a_wrong_server_password_is_said_clearly_and_heals(sluices: Start) -> None:
    """The client's own password is right; it is pgsluice's list that is wrong for the server."""
    front: Sluice = sluices(secrets={"r_md5": "not the server's", "app": PASSWORD}, server_login_retry="500ms",
                            query_wait_timeout="20s")
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "r_md5"'):
        front.connect(user="r_md5", password="not the server's")
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    front.secrets["r_md5"] = PASSWORD
    front.write_auth_file()
    assert "reloaded" in front.reload()
    deadline = time.monotonic() + 30
    while True:
        try:
            with front.connect(user="r_md5") as connection:
                assert connection.execute("SELECT current_user").fetchone() == ("r_md5",)
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline


def test_passwords_of_any_letters(sluices: Start, postgres: Postgres) -> None:
    password = "p\u00e4ss \"w\u00f6rd\" \u2460 \\ ; '=,"
    postgres.sql("DROP ROLE IF EXISTS letters")
    with postgres.connect() as connection:
        connection.execute(psycopg.sql.SQL("CREATE ROLE letters LOGIN PASSWORD {}").format(password))
    for kind in ("plain", "scram"):
        front: Sluice = sluices(secrets={"letters": password if kind == "plain" else postgres.secret("letters")})
        with front.connect(user="letters", password=password) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("letters",)


def test_users_of_the_environment(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(env={"PGSLUICE_AUTH_USERS": f'"other" "{postgres.secret("other")}"; "app" "{PASSWORD}"'},
                            secrets={})
    for user in ("app", "other"):
        with front.connect(user=user) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (user,)


def test_unix_socket(sluices: Start) -> None:
    front: Sluice = sluices(unix_socket_mode="0770", client_tls_sslmode="disable")
    path = front.dir / f".s.PGSQL.{front.port}"
    assert path.is_socket() and path.stat().st_mode & 0o777 == 0o770
    with front.connect(host=str(front.dir)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        front.connect(host=str(front.dir), password="wrong")
    front.stop()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(sluices: Start) -> None:
    front: Sluice = sluices()
    front.process.kill()  # type: ignore[union-attr]
    front.process.wait()  # type: ignore[union-attr]
    path = front.dir / f".s.PGSQL.{front.port}"
    assert path.exists()
    front.start()
    with front.connect(host=str(front.dir)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_hosts_that_are_named(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(databases={"*": f"host=localhost port={postgres.port}"})
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_by_its_unix_socket(sluices: Start, postgres: Postgres) -> None:
    front: Sluice = sluices(databases={"*": f"host={postgres.dir} port={postgres.port}"})
    with front.connect() as connection:
        assert connection.execute("SELECT inet_server_addr()").fetchone() == (None,)

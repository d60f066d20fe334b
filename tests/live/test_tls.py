"""TLS on both hops: who insists, who checks, and that nothing is lost on the way."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.fake import FakePostgres, Session
from kit.place import wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


def server_files(tls: Path, name: str = "server") -> dict[str, str]:
    return {"client_tls_key_file": f"{tls}/{name}.key", "client_tls_cert_file": f"{tls}/{name}.crt"}


def is_encrypted(connection: psycopg.Connection[Any]) -> bool:
    """Of the hop to the server."""
    row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    return bool(row and row[0])


@pytest.mark.parametrize("mode, without, with_tls", [
    ("disable", True, False), ("allow", True, True), ("prefer", True, True), ("require", False, True)])
def test_who_needs_tls_with_clients(sluices: Start, tls: Path, mode: str, without: bool, with_tls: bool) -> None:
    front: Sluice = sluices(client_tls_sslmode=mode, **server_files(tls))
    for sslmode, works in (("disable", without), ("require", with_tls)):
        if works:
            with front.connect(sslmode=sslmode) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
                assert connection.pgconn.ssl_in_use == (sslmode == "require")
        else:
            with pytest.raises(psycopg.OperationalError, match="SSL"):
                front.connect(sslmode=sslmode)


def test_clients_check_the_certificate(sluices: Start, tls: Path) -> None:
    front: Sluice = sluices(client_tls_sslmode="require", **server_files(tls))
    for host in ("localhost", "127.0.0.1"):
        with front.connect(host=host, sslmode="verify-full", sslrootcert=f"{tls}/ca.crt") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        front.connect(sslmode="verify-full", sslrootcert=f"{tls}/other_ca.crt")


def test_client_certificates(sluices: Start, tls: Path) -> None:
    front: Sluice = sluices(client_tls_sslmode="verify-full", client_tls_ca_file=f"{tls}/ca.crt", **server_files(tls))
    # libpq wants a key that belongs to whoever runs it; PEM in place of the file would need libpq 16.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(f"{tls}/ca.crt")
    context.load_cert_chain(f"{tls}/client.crt", f"{tls}/client.key")
    with Wire(front.port) as client:
        assert client.tls(context).login().ask("SELECT 1") == [[b"1"]]
    with pytest.raises((psycopg.OperationalError, ssl.SSLError, wire.Closed)):
        front.connect(sslmode="require", sslcert="/nonexistent", sslkey="/nonexistent")


def test_tls_13_and_12(sluices: Start, tls: Path) -> None:
    front: Sluice = sluices(client_tls_sslmode="require", **server_files(tls))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(f"{tls}/ca.crt")
        context.minimum_version = context.maximum_version = version
        with Wire(front.port) as client:
            assert client.tls(context).login().ask("SELECT 1") == [[b"1"]]


@pytest.mark.parametrize("mode, files, works, encrypted", [
    ("disable", {}, True, False),
    ("allow", {}, True, True),
    ("prefer", {}, True, True),
    ("require", {}, True, True),
    ("verify-ca", {"server_tls_ca_file": "ca.crt"}, True, True),
    ("verify-full", {"server_tls_ca_file": "ca.crt"}, True, True),
    ("verify-ca", {"server_tls_ca_file": "other_ca.crt"}, False, False),
    ("verify-full", {"server_tls_ca_file": "other_ca.crt"}, False, False),
], ids=str)
def test_tls_with_servers(sluices: Start, tls: Path, mode: str, files: dict[str, str], works: bool,
                          encrypted: bool) -> None:
    given = {name: f"{tls}/{value}" for name, value in files.items()}
    front: Sluice = sluices(server_tls_sslmode=mode, query_wait_timeout="15s", **given)
    if not works:
        with pytest.raises(psycopg.OperationalError, match="TLS|certificate"):
            front.connect()
        return
    with front.connect() as connection:
        assert is_encrypted(connection) == encrypted


def test_the_name_in_the_servers_certificate_counts(sluices: Start, tls: Path, place: Any) -> None:
    server = Postgres(place, "pg_elsewhere")
    server.stop()
    with open(server.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"ssl = on\nssl_cert_file = '{tls}/elsewhere.crt'\nssl_key_file = '{tls}/elsewhere.key'\n")
    server.start()
    try:
        where = f"host={server.host} port={server.port}"
        given = {"databases": {"*": where}, "server_tls_ca_file": f"{tls}/ca.crt", "query_wait_timeout": "15s",
                 "secrets": {"postgres": "sesame"}}
        with sluices(server_tls_sslmode="verify-ca", **given).connect(user="postgres", dbname="postgres") as connection:
            assert is_encrypted(connection)
        with pytest.raises(psycopg.OperationalError, match="TLS|certificate|name"):
            sluices(server_tls_sslmode="verify-full", **given).connect(user="postgres", dbname="postgres")
    finally:
        server.stop()


def test_a_server_without_tls(sluices: Start, place: Any) -> None:
    server = Postgres(place, "pg_without_tls")
    try:
        given = {"databases": {"*": f"host={server.host} port={server.port}"}, "secrets": {"postgres": "sesame"},
                 "query_wait_timeout": "15s"}
        with sluices(server_tls_sslmode="prefer", **given).connect(user="postgres", dbname="postgres") as connection:
            assert not is_encrypted(connection)
        with pytest.raises(psycopg.OperationalError, match="TLS"):
            sluices(server_tls_sslmode="require", **given).connect(user="postgres", dbname="postgres")
    finally:
        server.stop()


def test_much_through_tls_on_both_hops(sluices: Start, tls: Path, postgres: Postgres) -> None:
    front: Sluice = sluices(client_tls_sslmode="require", server_tls_sslmode="verify-full",
                            server_tls_ca_file=f"{tls}/ca.crt", **server_files(tls))
    with front.connect(sslmode="verify-full", sslrootcert=f"{tls}/ca.crt") as connection:
        assert is_encrypted(connection)
        value = "0123456789abcdef" * (1 << 19)  # 8 MB
        assert connection.execute("SELECT %s::text", (value,)).fetchone() == (value,)
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int, repeat('x', 5000)", (i,)) for i in range(300)]
        assert [(cursor.fetchone() or (0,))[0] for cursor in cursors] == list(range(300))
    with Wire(front.port) as client:  # a cancel request comes by TLS as well, or not
        client.tls().login()
        for encrypted in (True, False):
            client.send(wire.query("SELECT pg_sleep(600)"))
            wait_until(lambda: postgres.backends("query = 'SELECT pg_sleep(600)' AND state = 'active'") == 1)
            with Wire(front.port) as asking:
                if encrypted:
                    asking.tls()
                asking.send(wire.cancel(client.pid, client.key)).closed()
            assert client.error()["C"] == "57014"


def test_asking_for_tls_where_there_is_none(sluice: Sluice) -> None:
    with Wire(sluice.port) as client:
        client.send(wire.SSL_REQUEST)
        assert client.exactly(1) == b"N"
        client.send(wire.GSSENC_REQUEST)
        assert client.exactly(1) == b"N"
        assert client.login().ask("SELECT 1") == [[b"1"]]


def test_certificates_are_read_anew_at_a_reload(sluices: Start, tls: Path) -> None:
    front: Sluice = sluices(client_tls_sslmode="require", **server_files(tls, "elsewhere"))
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        front.connect(host="localhost", sslmode="verify-full", sslrootcert=f"{tls}/ca.crt")
    front.write_ini(**server_files(tls))
    assert "reloaded" in front.reload()
    with front.connect(host="localhost", sslmode="verify-full", sslrootcert=f"{tls}/ca.crt") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_direct_tls_must_name_the_protocol(sluices: Start, tls: Path) -> None:
    front: Sluice = sluices(client_tls_sslmode="allow", **server_files(tls))
    for protocols in (["postgresql"], []):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(f"{tls}/ca.crt")
        if protocols:
            context.set_alpn_protocols(protocols)
        with Wire(front.port) as client:
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            if protocols:
                assert client.login().ask("SELECT 1") == [[b"1"]]
            else:
                assert client.refused()["C"] == "08P01"


def test_tls_by_database(sluices: Start, backend: str, tls: Path) -> None:
    modes = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
    front: Sluice = sluices(databases={mode: f"{backend} dbname=app sslmode={mode}" for mode in modes},
                            server_tls_sslmode="disable", server_tls_ca_file=f"{tls}/ca.crt")
    for mode in modes:
        with front.connect(dbname=mode) as connection:
            assert is_encrypted(connection) == (mode != "disable"), mode


def test_servers_by_the_old_rule_are_not_used_after_a_reload(sluices: Start, tls: Path, backend: str) -> None:
    front: Sluice = sluices(server_tls_sslmode="disable", databases={"app": backend, "b": f"{backend} dbname=app"})
    with front.connect() as connection, front.connect() as busy, front.connect(dbname="b") as other:
        assert not is_encrypted(connection) and not is_encrypted(other)
        with busy.transaction():
            assert not is_encrypted(busy)
            front.write_ini(server_tls_sslmode="require")
            assert "reloaded" in front.reload()
            assert not is_encrypted(busy)  # a transaction is not cut
            assert is_encrypted(connection) and is_encrypted(other)
        assert is_encrypted(busy)
        pid = connection.execute("SELECT pg_backend_pid()").fetchone()
        front.databases["b"] = f"{backend} dbname=app sslmode=disable"
        front.write_ini(client_tls_protocols="tlsv1.3")
        assert "reloaded" in front.reload()
        assert not is_encrypted(other) and is_encrypted(connection)
        assert connection.execute("SELECT pg_backend_pid()").fetchone() == pid  # nothing has changed for this one


def behind(front: Sluice, **more: str) -> str:
    return f"host=localhost port={front.port} " + " ".join(f"{key}={value}" for key, value in more.items())


def test_direct_tls_towards_servers(sluices: Start, tls: Path, place: Any, postgres: Postgres) -> None:
    """The server is a pgsluice, as there is no PostgreSQL 17 here. Cancel requests go the same way."""
    server: Sluice = sluices(client_tls_sslmode="require", **server_files(tls))
    given = {"server_tls_negotiation": "direct", "server_tls_ca_file": f"{tls}/ca.crt", "query_wait_timeout": "20s"}
    front: Sluice = sluices(databases={"app": behind(server)}, server_tls_sslmode="verify-full",
                            server_channel_binding="require", **given)
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with Wire(front.port) as client:
        client.login().send(wire.query("SELECT pg_sleep(601)"))
        wait_until(lambda: postgres.backends("query = 'SELECT pg_sleep(601)' AND state = 'active'") == 1)
        with Wire(front.port) as asking:
            asking.send(wire.cancel(client.pid, client.key)).closed()
        assert client.error()["C"] == "57014"
    # Who knows nothing of it must not get what looks like a startup packet.
    for script, said in ((lambda session: session.send(b"N"), "TLS"), (lambda session: None, "TLS")):
        with FakePostgres(place.port(), script) as fake:
            with pytest.raises(psycopg.OperationalError, match=said):
                sluices(databases={"*": f"host=localhost port={fake.port}"}, server_tls_sslmode="require", **given).connect()
    # PostgreSQL 15 takes the hello for a startup packet, and says nothing.
    with pytest.raises(psycopg.OperationalError, match="TLS"):
        sluices(databases={"*": f"host=localhost port={postgres.port}"}, server_tls_sslmode="require", **given).connect()


@pytest.mark.parametrize("chosen", [None, "http/1.1"])
def test_a_server_that_takes_direct_tls_for_another_protocol(sluices: Start, tls: Path, place: Any, chosen: str | None) -> None:
    def script(session: Session) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{tls}/server.crt", f"{tls}/server.key")
        if chosen:
            context.set_alpn_protocols([chosen])
        session.socket = context.wrap_socket(session.socket, server_side=True)
        session.login()
        raise AssertionError("it was taken for a PostgreSQL")

    with FakePostgres(place.port(), script) as fake:
        front: Sluice = sluices(databases={"*": f"host=localhost port={fake.port}"}, server_tls_sslmode="require",
                                auth_type="trust", server_tls_negotiation="direct", query_wait_timeout="20s")
        with pytest.raises(psycopg.OperationalError, match="ALPN"):
            front.connect()


def test_sessions_are_resumed_where_that_is_set(sluices: Start, tls: Path) -> None:
    def comes_back(front: Sluice, session: Any) -> tuple[bool, Any]:
        context.maximum_version = version
        with Wire(front.port) as client:
            client.send(wire.SSL_REQUEST)
            assert client.exactly(1) == b"S"
            secure = context.wrap_socket(client.socket, server_hostname="localhost", session=session)
            client.socket = secure
            assert client.login().ask("SELECT 1") == [[b"1"]]
            return bool(secure.session_reused), secure.session

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for given, resumes in (({}, False), ({"client_tls_session_resumption": "on"}, True),
                               ({"client_tls_session_resumption": "on", "client_tls_ca_file": f"{tls}/ca.crt"}, False)):
            front: Sluice = sluices(client_tls_sslmode="require", **server_files(tls), **given)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(f"{tls}/ca.crt")
            was, session = comes_back(front, None)
            assert not was
            was, session = comes_back(front, session)
            assert was == resumes, (version, given)
            assert "reloaded" in front.reload()
            was, _ = comes_back(front, session)
            assert not was  # the keys of the tickets went with the old context
            with front.connect(sslmode="require", channel_binding="require") as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)


def test_nothing_is_negotiated_anew(sluices: Start, tls: Path) -> None:
    front: Sluice = sluices(client_tls_sslmode="require", **server_files(tls))
    done = subprocess.run(["openssl", "s_client", "-starttls", "postgres", "-tls1_2", "-connect", f"127.0.0.1:{front.port}"],
                          input="R\n", capture_output=True, text=True, timeout=60, check=False)
    assert "RENEGOTIATING" in done.stderr and "no renegotiation" in done.stderr, done
    assert "Compression: NONE" in done.stdout
    with front.connect(sslmode="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_many_queries_in_one_record(sluices: Start, tls: Path) -> None:
    """And records as large as they get: what OpenSSL has decrypted already is not waited for."""
    front: Sluice = sluices(client_tls_sslmode="require", **server_files(tls))
    for size in (100, 16000, 16384, 40000):
        with Wire(front.port) as client:
            client.tls().login()
            text = "x" * (size - 40)
            queries = [wire.query(f"SELECT '{text}'::text, {i}") for i in range(8)]
            client.send(*queries)
            for i in range(8):
                rows = [wire.row(body) for letter, body in client.ready() if letter == b"D"]
                assert rows == [[text.encode(), str(i).encode()]]
            client.send(b"".join(wire.query(f"SELECT {i}") for i in range(300)))
            for i in range(300):
                assert [wire.row(body) for letter, body in client.ready() if letter == b"D"] == [[str(i).encode()]]


WORDS = [  # settings after client_ or server_, and what is spoken then; None: whatever it is
    ({"tls_protocols": "tlsv1.2"}, "TLSv1.2", None),
    ({"tls_protocols": "tlsv1.3"}, "TLSv1.3", None),
    ({"tls_protocols": "tlsv1.2", "tls_ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, "TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ({"tls13_ciphers": "TLS_CHACHA20_POLY1305_SHA256"}, "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"),
]


@pytest.mark.parametrize("given, version, cipher", WORDS, ids=str)
def test_versions_and_ciphers(sluices: Start, tls: Path, given: dict[str, str], version: str, cipher: str | None) -> None:
    both = {f"{side}_{name}": value for side in ("client", "server") for name, value in given.items()}
    front: Sluice = sluices(client_tls_sslmode="require", server_tls_sslmode="require", **server_files(tls), **both)
    with Wire(front.port) as client:
        secure: Any = client.tls().socket
        assert secure.version() == version and cipher in (None, secure.cipher()[0])
        rows = client.login().ask("SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert rows[0][0] == version.encode() and cipher in (None, (rows[0][1] or b"").decode())


def test_the_curve_of_the_key_exchange(sluices: Start, tls: Path) -> None:
    for curve, offered, works in (("secp384r1", "P-384", True), ("secp384r1", "P-256", False), ("auto", "P-256", True)):
        front: Sluice = sluices(client_tls_sslmode="require", client_tls_ecdhcurve=curve, **server_files(tls))
        done = subprocess.run(["openssl", "s_client", "-starttls", "postgres", "-groups", offered, "-connect",
                               f"127.0.0.1:{front.port}"], input="", capture_output=True, text=True, timeout=60, check=False)
        assert ("Cipher is TLS_" in done.stdout) == works, done

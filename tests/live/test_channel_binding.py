"""SCRAM bound to the server's certificate, on both hops: who asks for it gets it, and nobody can stand in the middle."""

from __future__ import annotations

from typing import Any, Iterator

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from kit import scram, wire
from kit.certs import Certs
from kit.middle import Middle, without_plus
from kit.place import HOST, Place
from kit.postgres import PASSWORD, Postgres
from kit.scram import BOUND, PLAIN, PLUS, Scram
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


@pytest.fixture(scope="module")
def certs(place: Place) -> Certs:
    """server (SHA-256), sha384, rsa, ed25519, and one of somebody else: middle."""
    certs = Certs(place)
    certs.issue("server")
    certs.issue("middle")
    certs.issue("sha384", digest=hashes.SHA384())
    certs.issue("rsa", key="rsa", digest=hashes.SHA512())
    certs.issue("ed25519", key="ed25519", signer="")
    return certs


@pytest.fixture(scope="module")
def front(module_sluices: Start, certs: Certs) -> Sluice:
    return module_sluices(client_tls_sslmode="allow", **certs.for_clients())


# Towards clients.


def test_what_is_offered(front: Sluice) -> None:
    with Wire(front.port) as client:
        assert scram.mechanisms(client) == [PLAIN]
    with Wire(front.port) as client:
        assert scram.mechanisms(client.tls()) == [PLUS, PLAIN]
    with Wire(front.port) as client:  # nor can be seen who exists
        assert scram.mechanisms(client.tls(), user="nobody") == [PLUS, PLAIN]


@pytest.mark.parametrize("certificate", ["server", "sha384", "rsa"])
def test_clients_may_require_it(sluices: Start, postgres: Postgres, certs: Certs, certificate: str) -> None:
    secrets = {"app": postgres.secret("app"), "other": PASSWORD}
    front: Sluice = sluices(client_tls_sslmode="require", secrets=secrets, **certs.for_clients(certificate))
    for user in secrets:
        with front.connect(user=user, sslmode="require", channel_binding="require") as connection:
            assert connection.execute("SELECT current_user").fetchone() == (user,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            front.connect(user=user, sslmode="require", channel_binding="require", password="wrong")
    done = front.psql("-c", "SELECT 42", env={"PGSSLMODE": "require", "PGCHANNELBINDING": "require"})
    assert done.stdout == "42\n", done.stderr


def test_a_certificate_without_a_hash_for_it(sluices: Start, certs: Certs) -> None:
    """Ed25519. PostgreSQL itself offers the binding and then fails; nobody could log in."""
    front: Sluice = sluices(client_tls_sslmode="require", **certs.for_clients("ed25519"))
    with Wire(front.port) as client:
        assert scram.mechanisms(client.tls()) == [PLAIN]
    with front.connect(sslmode="require", channel_binding="prefer") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        front.connect(sslmode="require", channel_binding="require")


def test_somebody_between_client_and_us(front: Sluice, certs: Certs, place: Place) -> None:
    """Who checks no certificate is led to him, and is still not let in."""
    with Middle(place.port(), front.port, certs.server("middle")) as middle:
        with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding check failed") as refused:
            front.connect(port=middle.port, sslmode="require")
        assert refused.value.sqlstate in (None, "28000") and middle.passed == 1
        with front.connect(port=middle.port, sslmode="require", channel_binding="disable") as connection:  # the choice is theirs
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with Middle(place.port(), front.port, certs.server("middle"), without_plus) as middle:
        with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding negotiation error"):
            front.connect(port=middle.port, sslmode="require")


# As no driver does it. None of these may log in, and each is told so by one error.
WRONG = {
    "y, though it was offered": (PLAIN, b"y,,", "none", "28000"),
    "n with the mechanism that binds": (PLUS, b"n,,", "none", "08P01"),
    "y with the mechanism that binds": (PLUS, b"y,,", "none", "08P01"),
    "a binding with the mechanism that does not": (PLAIN, BOUND, "right", "08P01"),
    "another type of binding": (PLUS, b"p=tls-unique,,", "right", "08P01"),
    "a type without a name": (PLUS, b"p=,,", "right", "08P01"),
    "another certificate": (PLUS, BOUND, "wrong", "28000"),
    "no certificate": (PLUS, BOUND, "none", "28000"),
    "half of the certificate's hash": (PLUS, BOUND, "half", "28000"),
    "more than the certificate's hash": (PLUS, BOUND, "long", "28000"),
    "in the name of somebody else": (PLUS, b"p=tls-server-end-point,a=postgres,", "right", "08P01"),
    "another mechanism": ("SCRAM-SHA-1-PLUS", BOUND, "right", "08P01"),
    "no mechanism": ("", BOUND, "right", "08P01"),
}


@pytest.mark.parametrize("case", WRONG)
def test_channel_binding_done_wrong(front: Sluice, case: str) -> None:
    mechanism, gs2, data, sqlstate = WRONG[case]
    with Wire(front.port) as client:
        scram.mechanisms(client.tls())
        right = scram.certificate_hash(client)
        binding = {"none": b"", "right": right, "wrong": bytes(32), "half": right[:16], "long": right + b"\0"}[data]
        exchange = Scram(PASSWORD, gs2, binding)
        letter, body = scram.answer_to(client, scram.initial(mechanism, exchange.first()))
        if letter == b"R":
            client.send(wire.message(b"p", exchange.final(body[4:])))
            assert client.refused()["C"] == sqlstate
        else:
            assert wire.fields(body)["C"] == sqlstate
            client.closed()


def test_channel_binding_by_hand(front: Sluice) -> None:
    with Wire(front.port) as client:
        scram.mechanisms(client.tls())
        exchange = Scram(PASSWORD, BOUND, scram.certificate_hash(client))
        challenge = client.send(scram.initial(PLUS, exchange.first())) and scram.expect(client, 11)
        client.send(wire.message(b"p", exchange.final(challenge)))
        assert scram.expect(client, 12).startswith(b"v=")
        client.ready()
    with Wire(front.port) as client:  # in clear there is nothing to bind to
        scram.mechanisms(client)
        client.send(scram.initial(PLUS, Scram(PASSWORD, BOUND, bytes(32)).first()))
        assert client.refused()["C"] == "08P01"


def test_with_a_client_that_could_but_gets_no_offer(front: Sluice) -> None:
    with Wire(front.port) as client:
        scram.mechanisms(client)
        exchange = Scram(PASSWORD, b"y,,")
        challenge = client.send(scram.initial(PLAIN, exchange.first())) and scram.expect(client, 11)
        client.send(wire.message(b"p", exchange.final(challenge)))
        scram.expect(client, 12)


def test_a_login_that_a_reload_overtakes(sluices: Start, certs: Certs) -> None:
    """It is bound to the certificate that it was shown."""
    front: Sluice = sluices(client_tls_sslmode="require", **certs.for_clients())
    with Wire(front.port) as client:
        scram.mechanisms(client.tls())
        exchange = Scram(PASSWORD, BOUND, scram.certificate_hash(client))
        front.write_ini(**certs.for_clients("rsa"))
        assert "reloaded" in front.reload()
        challenge = client.send(scram.initial(PLUS, exchange.first())) and scram.expect(client, 11)
        client.send(wire.message(b"p", exchange.final(challenge)))
        scram.expect(client, 12)
        client.ready()


# Towards servers.


@pytest.fixture(scope="module")
def strict(place: Place, certs: Certs) -> Iterator[Postgres]:
    """A PostgreSQL that has TLS, with the certificate of `certs`."""
    server = Postgres(place, "pg_binding", tls=certs.dir)
    server.add_user("app")
    server.sql("CREATE DATABASE app OWNER app")
    yield server
    server.stop()


def test_servers_are_bound_to_as_well(sluices: Start, strict: Postgres) -> None:
    """With a password, and with the keys of the client's own login. That it was required and has worked proves it."""
    where = f"host={strict.host} port={strict.port}"
    for secret in (PASSWORD, strict.secret("app")):
        front: Sluice = sluices(databases={"app": where, "never": f"{where} dbname=app channel_binding=disable"},
                                server_tls_sslmode="require", server_channel_binding="require", secrets={"app": secret})
        for database in ("app", "never"):
            with front.connect(dbname=database) as connection:
                assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)


def test_a_server_that_can_not(sluices: Start, strict: Postgres) -> None:
    where = f"host={strict.host} port={strict.port}"
    front: Sluice = sluices(databases={"*": where, "free": f"{where} dbname=app channel_binding=prefer"},
                            server_channel_binding="require", server_tls_sslmode="disable", query_wait_timeout="20s")
    with pytest.raises(psycopg.OperationalError, match="channel binding is required .* without TLS"):
        front.connect()
    assert front.wait_log("login to .* failed: channel binding is required")
    with front.connect(dbname="free") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_servers_that_let_in_without_it(sluices: Start, postgres: Postgres) -> None:
    """Neither trust nor a password in clear nor md5 shows who the server is."""
    front: Sluice = sluices(server_channel_binding="require", server_tls_sslmode="require", query_wait_timeout="20s",
                            secrets={user: PASSWORD for user in ("r_trust", "r_password", "r_md5")})
    for user, said in (("r_trust", "asks for no proof"), ("r_password", "does not ask for SCRAM"),
                       ("r_md5", "does not ask for SCRAM")):
        with pytest.raises(psycopg.OperationalError, match=said):
            front.connect(user=user)


def test_somebody_between_us_and_the_server(sluices: Start, strict: Postgres, certs: Certs, place: Place) -> None:
    """Certificates are not checked here, and it is found out all the same."""
    given: dict[str, Any] = {"server_tls_sslmode": "require", "query_wait_timeout": "20s"}
    for secret in (PASSWORD, strict.secret("app")):
        with Middle(place.port(), strict.port, certs.server("middle")) as middle:
            where = f"host={HOST} port={middle.port}"
            front: Sluice = sluices(databases={"app": where, "blind": f"{where} dbname=app channel_binding=disable"},
                                    secrets={"app": secret}, **given)
            with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding check failed"):
                front.connect()
            with front.connect(dbname="blind") as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
    with Middle(place.port(), strict.port, certs.server("middle"), without_plus) as middle:
        where = f"host={HOST} port={middle.port}"
        with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding negotiation error"):
            sluices(databases={"*": where}, **given).connect()  # the server's words: we said that we could
        with pytest.raises(psycopg.OperationalError, match="does not offer SCRAM-SHA-256-PLUS"):
            sluices(databases={"*": where}, server_channel_binding="require", **given).connect()

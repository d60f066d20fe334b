"""Certificates, keys and revocation lists with everything that can be wrong with them, on both hops."""

from __future__ import annotations

import datetime
import re
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.certs import HOUR, NAMES, Certs, shown
from kit.company import neighbour
from kit.fake import FakePostgres, Session
from kit.place import HOST, Place
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any


@pytest.fixture(scope="module")
def certs(place: Place) -> Certs:
    """Leaves by the kind of what is wrong with them; `server` and `client` are good."""
    certs = Certs(place)
    certs.authority("stranger")
    for name in ("server", "client", "revoked", "again"):
        certs.issue(name)
    certs.issue("expired", end=-60)
    certs.issue("early", start=HOUR)
    certs.issue("soon", end=24 * HOUR, start=-240 * HOUR)
    certs.issue("elsewhere", names=("elsewhere.test", "10.1.1.1"))
    certs.issue("alone", signer="")
    certs.issue("strange", signer="stranger")
    certs.issue("locked", passphrase="sesame")
    certs.issue("rsa", key="rsa")
    certs.revoke("crl.pem", "revoked")
    certs.revoke("old_crl.pem", end=-HOUR)
    certs.write("empty.pem", b"")
    certs.write("garbage.pem", bytes(range(256)) * 8)
    return certs


def enters(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client with this context comes in; the refusal must be TLS's own."""
    with Wire(port) as client:
        try:
            return client.tls(context).login().ask("SELECT 1") == [[b"1"]]
        except (ssl.SSLError, wire.Closed, BrokenPipeError, ConnectionResetError):
            return False


# Certificates of clients.

CLIENTS = {"": False, "client": True, "expired": False, "early": False, "alone": False, "strange": False, "revoked": False,
           "elsewhere": True, "rsa": True}  # a client has no host name to compare


def test_certificates_of_clients(sluices: Start, certs: Certs) -> None:
    front: Sluice = sluices(client_tls_sslmode="verify-ca", client_tls_ca_file=certs.dir / "ca.crt",
                            client_tls_crl_file=certs.dir / "crl.pem", **certs.for_clients())
    for name, may_enter in CLIENTS.items():
        assert enters(front.port, certs.client(name)) == may_enter, name
    for said in ("certificate has expired", "certificate is not yet valid", "certificate revoked", "self-signed certificate",
                 "unable to get local issuer certificate", "peer did not return a certificate"):
        assert front.wait_log(f"TLS handshake with 127.0.0.1 failed: .*{said}")
    done = front.psql("-c", "SELECT 42", env={"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(certs.dir / "ca.crt"),
                                              "PGSSLCERT": str(certs.dir / "client.crt"),
                                              "PGSSLKEY": str(certs.dir / "client.key")})
    assert done.stdout == "42\n", done.stderr


@pytest.mark.parametrize("mode", ["allow", "require"])
def test_a_certificate_that_need_not_be_shown(sluices: Start, certs: Certs, mode: str) -> None:
    """With a CA file it must be good if shown, as for PgBouncer; without one nobody asks."""
    files = certs.for_clients()
    asks: Sluice = sluices(client_tls_sslmode=mode, client_tls_ca_file=certs.dir / "ca.crt", **files)
    silent: Sluice = sluices(client_tls_sslmode=mode, **files)
    for name, may_enter in (("", True), ("client", True), ("strange", False), ("expired", False)):
        assert enters(asks.port, certs.client(name)) == may_enter, name
        assert enters(silent.port, certs.client(name)), name


def test_a_revocation_list_that_is_too_old_or_of_somebody_else(sluices: Start, certs: Certs) -> None:
    """It says nothing about anybody, so nobody comes in: as PostgreSQL's ssl_crl_file."""
    certs.revoke("foreign.pem", signer="stranger")
    for name, said in (("old_crl.pem", "CRL has expired"), ("foreign.pem", "unable to get certificate CRL")):
        front: Sluice = sluices(client_tls_sslmode="verify-ca", client_tls_ca_file=certs.dir / "ca.crt",
                                client_tls_crl_file=certs.dir / name, **certs.for_clients())
        assert not enters(front.port, certs.client("client"))
        assert front.wait_log(said)
    assert not enters(front.port, certs.client("client"))
    certs.revoke("foreign.pem")
    assert "reloaded" in front.reload()
    assert enters(front.port, certs.client("client"))
    certs.revoke("foreign.pem", end=-HOUR)
    said_then = front.reload()  # a list that would shut everybody out does not replace one that is good
    assert 'foreign.pem" expired at' in said_then and "reloaded" not in said_then
    assert enters(front.port, certs.client("client"))
    certs.revoke("foreign.pem", "client")
    assert enters(front.port, certs.client("client"))  # the file is read at a RELOAD
    assert "reloaded" in front.reload()
    assert not enters(front.port, certs.client("client"))


# Certificates of servers.

SERVERS = {  # by certificate: does the login work with require, verify-ca, verify-full; and what is said
    "server": (True, True, True, ""),
    "rsa": (True, True, True, ""),
    "elsewhere": (True, True, False, "IP address mismatch"),
    "expired": (True, False, False, "certificate has expired"),
    "early": (True, False, False, "certificate is not yet valid"),
    "alone": (True, False, False, "self-signed certificate"),
    "strange": (True, False, False, "unable to get local issuer certificate"),
    "revoked": (True, False, False, "certificate revoked"),
}


def serve_with(certs: Certs, name: str) -> Any:
    """A script of a server that has TLS with this certificate."""
    def script(session: Session) -> None:
        assert session.exactly(8) == wire.SSL_REQUEST
        session.send(b"S")
        session.socket = certs.server(name).wrap_socket(session.socket, server_side=True)
        session.login()
        session.serve()

    return script


@pytest.mark.parametrize("name", SERVERS)
def test_certificates_of_servers(sluices: Start, certs: Certs, place: Place, name: str) -> None:
    *works, said = SERVERS[name]
    with FakePostgres(place.port(), serve_with(certs, name)) as server:
        where = f"host={HOST} port={server.port}"
        modes = ("require", "verify-ca", "verify-full")
        front: Sluice = sluices(databases={mode: f"{where} sslmode={mode}" for mode in modes}, auth_type="trust",
                                server_tls_sslmode="disable", server_tls_ca_file=certs.dir / "ca.crt",
                                server_tls_crl_file=certs.dir / "crl.pem", query_wait_timeout="20s")
        for mode, works_so in zip(modes, works):
            if works_so:
                with front.connect(dbname=mode) as connection:
                    assert connection.execute("SELECT 1").fetchone() == ("fake",)
            else:
                with pytest.raises(psycopg.OperationalError, match=f"TLS: certificate of the peer: {said}"):
                    front.connect(dbname=mode)


def test_the_name_that_is_asked_for(sluices: Start, certs: Certs, place: Place) -> None:
    """SNI is the host's name, and nothing where it is an address."""
    asked: list[str | None] = []

    def script(session: Session) -> None:
        session.exactly(8)
        session.send(b"S")
        context = certs.server()
        context.sni_callback = lambda _, name, __: asked.append(name)
        session.socket = context.wrap_socket(session.socket, server_side=True)
        session.login()
        session.serve()

    with FakePostgres(place.port(), script) as server:
        front: Sluice = sluices(databases={name: f"host={name} port={server.port}" for name in NAMES}, auth_type="trust",
                                server_tls_sslmode="verify-full", server_tls_ca_file=certs.dir / "ca.crt")
        for name in NAMES:
            with front.connect(dbname=name) as connection:
                connection.execute("SELECT 1")
        assert asked == ["localhost", None]


def test_our_certificate_for_servers(sluices: Start, certs: Certs, place: Place) -> None:
    seen: list[Any] = []

    def script(session: Session) -> None:
        session.exactly(8)
        session.send(b"S")
        context = certs.server()
        context.load_verify_locations(str(certs.dir / "ca.crt"))
        context.verify_mode = ssl.CERT_OPTIONAL
        tls = context.wrap_socket(session.socket, server_side=True)
        session.socket = tls
        seen.append(shown(tls) if tls.getpeercert() else None)
        session.login()
        session.serve()

    with FakePostgres(place.port(), script) as server:
        databases = {"*": f"host={HOST} port={server.port}"}
        for given, expected in (({}, None), (certs.for_servers("client"), certs.fingerprint("client"))):
            with sluices(databases=databases, auth_type="trust", server_tls_sslmode="require", **given).connect() as each:
                each.execute("SELECT 1")
            assert seen.pop() == expected


# Files that can't be used: at the start, and at a reload.

MISTAKES = {
    "no key": ({"client_tls_key_file": "/nonexistent"}, 'key file "/nonexistent": No such file'),
    "no certificate": ({"client_tls_cert_file": "/nonexistent"}, 'certificate file "/nonexistent": No such file'),
    "a key of another": ({"client_tls_key_file": "again.key"}, 'again.key" does not fit certificate file'),
    "a key of another kind": ({"client_tls_key_file": "rsa.key"}, 'rsa.key" does not fit certificate file'),
    "a locked key": ({"client_tls_key_file": "locked.key"}, 'locked.key" has a passphrase'),
    "an empty key": ({"client_tls_key_file": "empty.pem"}, 'empty.pem": nothing of that kind is in it'),
    "a garbage key": ({"client_tls_key_file": "garbage.pem"}, 'garbage.pem": nothing of that kind is in it'),
    "an empty certificate": ({"client_tls_cert_file": "empty.pem"}, 'empty.pem": nothing of that kind is in it'),
    "a garbage certificate": ({"client_tls_cert_file": "garbage.pem"}, 'garbage.pem": nothing of that kind is in it'),
    "a key as certificate": ({"client_tls_cert_file": "server.key"}, 'server.key": nothing of that kind is in it'),
    "a secret file": ({"client_tls_key_file": "secret.key"}, 'secret.key": Permission denied'),
    "an empty CA": ({"client_tls_ca_file": "empty.pem"}, 'empty.pem": no certificate is in it'),
    "a garbage CRL": ({"client_tls_crl_file": "garbage.pem"}, 'garbage.pem": nothing of that kind is in it'),
    "a certificate as CRL": ({"client_tls_crl_file": "ca.crt"}, 'ca.crt": nothing of that kind is in it'),
    "no such cipher": ({"client_tls_ciphers": "HARDLY"}, 'client_tls: ciphers "HARDLY"'),
    "no such suite": ({"client_tls13_ciphers": "TLS_HARDLY"}, 'client_tls: TLS 1.3 ciphers "TLS_HARDLY"'),
    "no such curve": ({"client_tls_ecdhcurve": "P-1"}, 'client_tls: curve "P-1"'),
    "servers: no key": ({"server_tls_key_file": "/nonexistent", "server_tls_cert_file": "client.crt"},
                        'server_tls: key file "/nonexistent": No such file'),
    "servers: a garbage CA": ({"server_tls_ca_file": "garbage.pem"}, 'garbage.pem": no certificate is in it'),
    "an expired certificate": ({"client_tls_key_file": "expired.key", "client_tls_cert_file": "expired.crt"},
                               'expired.crt" expired at'),
    "an early certificate": ({"client_tls_key_file": "early.key", "client_tls_cert_file": "early.crt"},
                             'early.crt" is not valid before'),
}


def test_files_that_can_not_be_used(sluices: Start, certs: Certs) -> None:
    """A reload with them changes nothing and says why; nobody notices."""
    secret = certs.dir / "secret.key"
    secret.write_bytes((certs.dir / "server.key").read_bytes())
    secret.chmod(0)
    good = {"client_tls_ca_file": certs.dir / "ca.crt", **certs.for_clients()}
    front: Sluice = sluices(client_tls_sslmode="require", admin_users="app", **good)
    keys = {key for changes, _ in MISTAKES.values() for key in changes}
    back = {key: good.get(key) for key in keys}
    with neighbour(lambda: front.connect(sslmode="require")) as company:
        for case, (changes, said) in MISTAKES.items():
            files = {key: certs.dir / value if "_file" in key and not str(value).startswith("/") else value
                     for key, value in changes.items()}
            if case == "a secret file" and not readable_by_nobody_else(front, secret):
                continue
            front.write_ini(**{**back, **files})
            said_then = front.reload()
            assert said in said_then and "reloaded" not in said_then, (case, said_then)
            with Wire(front.port) as client:
                assert shown(client.tls(certs.client()).socket) == certs.fingerprint("server")  # type: ignore[arg-type]
            company.works_on()
    front.write_ini(**back)
    assert "reloaded" in front.reload()


def readable_by_nobody_else(front: Sluice, path: Path) -> bool:
    """Root reads everything."""
    return front.place.run(["cat", str(path)]).returncode != 0


def test_it_does_not_start_with_files_that_can_not_be_used(sluices: Start, certs: Certs) -> None:
    for files, said in (({"client_tls_key_file": certs.dir / "locked.key"}, "locked.key\" has a passphrase"),
                        ({"client_tls_key_file": certs.dir / "again.key"}, "does not fit certificate file"),
                        ({"client_tls_cert_file": certs.dir / "empty.pem"}, "nothing of that kind is in it")):
        front: Sluice = sluices(client_tls_sslmode="require", wait=False, **{**certs.for_clients(), **files})
        assert front.expect_exit() != 0
        assert said in front.log_text()


def test_what_ends_is_told(sluices: Start, certs: Certs, place: Place) -> None:
    """It starts with what has expired: who does not check is served; and there is a warning, and a figure."""
    port = place.port()
    for name, said in (("expired", 'certificate file ".*expired.crt" expired at 20'),
                       ("soon", 'certificate file ".*soon.crt" expires at 20'),
                       ("early", 'certificate file ".*early.crt" is not valid before 20')):
        front: Sluice = sluices(client_tls_sslmode="require", http_port=port, **certs.for_clients(name))
        assert front.wait_log(f"warning tls {said}")
        with front.connect(sslmode="require") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=30) as answer:
            metrics = answer.read().decode()
        labels = rf'with="clients",kind="certificate",file="[^"]*/{name}.crt"'
        found = re.search(rf"pgsluice_tls_certificate_expiry_seconds{{{labels}}} (\d+)\n", metrics)
        end = certs.certificates[name].not_valid_after.replace(tzinfo=datetime.timezone.utc)
        assert found and int(found[1]) == int(end.timestamp()), metrics
        front.stop()
    front = sluices(client_tls_sslmode="require", **certs.for_clients("expired"))
    assert "reloaded" in front.reload()  # that nothing became better is no reason to refuse everything else
    front.write_ini(**certs.for_clients("server"))
    assert "reloaded" in front.reload()
    assert "warning tls " not in front.log_text().split("reloaded")[-1]

"""auth_type hba, cert and peer: as PostgreSQL itself decides by the same file; and an end to guessing."""

from __future__ import annotations

import os
import pwd
import re
import ssl
import struct
import subprocess
import urllib.request
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from kit import sluice as kit_sluice
from kit import wire
from kit.place import HOST, Place
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any
ME = pwd.getpwuid(os.getuid()).pw_name  # whose process these tests are, for peer
USERS = {"u_scram": "scram-sha-256", "u_md5": "md5", "Odd User": "scram-sha-256", "listed": "scram-sha-256",
         "deep": "scram-sha-256", "all": "scram-sha-256", "me": "scram-sha-256"}
DATABASES = ("app", "u_scram", "all", "replication")
PEOPLE = {"u_scram": "/CN=u_scram", "mapped": "/O=Example/CN=u_md5@example.org", "other": "/CN=somebody"}

# All of it in the form of PostgreSQL 15, which is what runs beside it here.
RULES = rf"""
# who           database        user            address         method
local           all             {ME}            peer
local           app             me              peer            map=m
local           all             u_scram         scram-sha-256
local           "all"           all             trust
local           all             u_md5           reject
local           app             all             md5
hostssl         all             u_scram         127.0.0.1/32    cert
hostssl         app             u_md5           127.0.0.1/32    cert map=c
hostssl         all             u_scram         127.0.0.5/32    scram-sha-256 clientcert=verify-full
hostssl         all             all             127.0.0.5/32    md5 clientcert=verify-ca
hostssl         u_scram         all             127.1.0.0       255.255.0.0 \
                                cert clientname=DN map="d"
hostnossl       all             u_md5,"Odd User" 127.0.0.0/24   md5     # and
host            app,"all"       u_scram         ::1/128         password
host            "replication"   u_scram, u_md5  ::1/128         trust
host            replication     listed          all             trust
host            sameuser        all             127.1.0.1/32    trust
host            all             @names          127.0.0.1/32    trust
host            app             "all"           all             md5
host            all             u_md5           samehost        scram-sha-256
hostssl         all             u_md5           127.0.0.0/8     reject
host            app             all             127.1.0.0/16    scram-sha-256
"""
NAMES = 'listed  # a comment\n@more\n'
MAPS = rf"""
m   {ME}                        me
m   /^(.*)x$                    \1
c   /^(.*)@example\.org$        \1
d   "CN=u_md5@example.org,O=Example" "Odd User"
"""


@dataclass(frozen=True)
class Question:
    transport: str  # local, host, hostssl; physical: host, for replication
    person: str     # whose certificate is shown, or ""
    source: str
    database: str
    user: str
    password: str


def questions() -> Iterator[Question]:
    everybody = [*USERS, ME, "nobody"]
    for database, user in product(DATABASES, everybody):
        yield Question("local", "", "", database, user, PASSWORD)
    for database, source, user in product(DATABASES, ("127.0.0.1", "127.0.0.5", "127.1.0.1", "::1"), everybody):
        yield Question("host", "", source, database, user, PASSWORD)
    # A handshake costs more: fewer of these.
    for person, source, user in product(["", *PEOPLE], ("127.0.0.1", "127.0.0.5"), ("u_scram", "u_md5", "listed")):
        yield Question("hostssl", person, source, "app", user, PASSWORD)
    for person, user in product(PEOPLE, ("u_scram", "Odd User")):
        yield Question("hostssl", person, "127.1.0.1", "u_scram", user, PASSWORD)
    for transport, person, source, user in (("local", "", "", "u_scram"), ("host", "", "127.0.0.1", "u_md5"),
                                            ("hostssl", "", "::1", "u_scram"), ("host", "", "::1", "u_scram"),
                                            ("hostssl", "u_scram", "127.0.0.5", "u_scram")):
        yield Question(transport, person, source, "app", user, "wrong")
    for user in ("u_scram", "listed", "all"):
        yield Question("physical", "", "127.0.0.1", "app", user, PASSWORD)


@pytest.fixture(scope="module")
def people(tls: Path, place: Place) -> dict[str, ssl.SSLContext]:
    """Certificates of the CA that servers of these tests trust."""
    contexts = {"": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
    for name, subject in PEOPLE.items():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "3650", "-subj", subject, "-keyout", f"of_{name}.key", "-out", f"of_{name}.crt", "-CA",
                        "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"], cwd=tls,
                       check=True, capture_output=True)
        os.chown(tls / f"of_{name}.key", place.uid, place.gid)
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        contexts[name].load_cert_chain(tls / f"of_{name}.crt", tls / f"of_{name}.key")
    for context in contexts.values():
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return contexts


@pytest.fixture(scope="module")
def beside(place: Place, tls: Path) -> Iterator[Postgres]:
    """A PostgreSQL that decides by RULES."""
    server = Postgres(place, "pg_hba", tls=tls, listen_addresses="*")
    with server.connect() as connection:
        for user, encryption in [*USERS.items(), (ME, "scram-sha-256")]:
            if user != "postgres":
                connection.execute(f"SET password_encryption = '{encryption}'")
                connection.execute(f"CREATE ROLE \"{user}\" LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("ALTER ROLE listed REPLICATION")
        for database in DATABASES:
            connection.execute(f'CREATE DATABASE "{database}"')
        secrets = connection.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
    server.secrets = {name: secret for name, secret in secrets if name in [*USERS, ME]}  # type: ignore[attr-defined]
    for file, content in (("pg_hba.conf", RULES), ("names", NAMES), ("more", "deep"), ("pg_ident.conf", MAPS)):
        place.write(server.data / file, content)
    server.stop()
    started = len(server.log.read_text())
    server._answers = lambda: "ready to accept connections" in server.log.read_text()[started:]  # type: ignore[method-assign]
    server.start()
    assert "configuration file" not in server.log.read_text()[started:]
    yield server
    server.stop()


def write_rules(place: Place, directory: Path, rules: str, maps: str = "") -> dict[str, Any]:
    """As settings."""
    for file, content in (("names", NAMES), ("more", "deep"), ("pg_hba.conf", rules), ("pg_ident.conf", maps)):
        place.write(directory / file, content)
    return {"auth_type": "hba", "auth_hba_file": directory / "pg_hba.conf",
            "auth_ident_file": directory / "pg_ident.conf" if maps else ""}


def with_certificates(tls: Path) -> dict[str, Any]:
    return {"client_tls_sslmode": "allow", "client_tls_ca_file": f"{tls}/ca.crt",
            "client_tls_key_file": f"{tls}/server.key", "client_tls_cert_file": f"{tls}/server.crt"}


@pytest.fixture(scope="module")
def front(module_sluices: Start, place: Place, tls: Path, backend: str, beside: Postgres) -> Sluice:
    """One that decides by the same files, with the same secrets; who is in is served by another server, as postgres."""
    directory = place.make_dir("rules")
    behind = f"{backend} dbname=postgres user=postgres password={PASSWORD}"
    return module_sluices(databases={f"'{name}'": behind for name in DATABASES}, listen_addr="*",
                          secrets=beside.secrets, auth_failure_limit=0, **with_certificates(tls),  # type: ignore
                          **write_rules(place, directory, RULES, MAPS))


def ask(port: int, directory: Path, contexts: dict[str, ssl.SSLContext], q: Question) -> tuple[bool, str, str]:
    """Was it let in; what was it asked for first; else the SQLSTATE."""
    asked = ""
    if q.transport == "local":
        client = Wire(port, unix=f"{directory}/.s.PGSQL.{port}")
    else:
        client = Wire(port, host="::1" if q.source == "::1" else HOST, source=q.source)
    with client:
        if q.transport == "hostssl":
            client.tls(contexts[q.person])
        more = {"replication": "true"} if q.transport == "physical" else {}
        client.send(wire.startup(user=q.user, database=q.database, **more))
        while True:
            letter, body = client.next()
            if letter == b"R":
                code = struct.unpack("!i", body[:4])[0]
                asked = asked or {0: "nothing", 3: "password", 5: "md5", 10: "scram"}[code]
                client._answer(body, q.user, q.password)
            elif letter == b"Z":
                return True, asked, ""
            elif letter == b"E":
                return False, asked, wire.fields(body)["C"]


def test_the_same_files_decide_the_same(front: Sluice, beside: Postgres, people: dict[str, ssl.SSLContext]) -> None:
    counts = {True: 0, False: 0}
    differ = []
    for q in questions():
        theirs = ask(beside.port, beside.dir, people, q)
        ours = ask(front.port, front.dir, people, q)
        if q.user == "nobody":  # what who does not exist is asked for is made up
            theirs, ours = (theirs[0], "", theirs[2]), (ours[0], "", ours[2])
        counts[theirs[0]] += 1
        if theirs != ours:
            differ.append(f"{q}: PostgreSQL {theirs}, pgsluice {ours}")
    assert not differ, "\n".join(differ)
    assert counts[True] > 40 and counts[False] > 100, counts  # the table is worth something


def test_psql_by_every_way(front: Sluice, tls: Path, place: Place) -> None:
    def says(**given: Any) -> str:
        done = front.psql("-c", "SELECT 'in'", **given)
        return done.stdout.strip() or done.stderr.strip()

    clear, encrypted = {"PGSSLMODE": "disable"}, {"PGSSLMODE": "require"}
    with_certificate = {**encrypted, "PGSSLCERT": f"{tls}/of_u_scram.crt", "PGSSLKEY": f"{tls}/of_u_scram.key"}
    assert says(host=front.dir, user="u_scram") == "in"
    assert "password authentication failed" in says(host=front.dir, user="u_scram", password="wrong")
    assert "login rejected" in says(host=front.dir, user="u_md5")
    assert says(user="u_md5", env=clear) == "in"
    assert "TLS client certificate required" in says(user="u_md5", env=encrypted)
    assert says(user="u_scram", env=with_certificate) == "in"
    assert "TLS certificate name mismatch" in says(user="u_md5", env=with_certificate)
    assert "no authentication method is found" in says(user="u_scram", dbname="u_scram", env=clear)
    # psql runs as another user than these tests when they run as root, then peer is not for it
    name = pwd.getpwuid(place.uid).pw_name
    assert ("in" if name == ME else "unix socket login rejected") in says(host=front.dir, user=ME)


def test_rules_of_postgresql_16(sluices: Start, place: Place) -> None:
    directory = place.make_dir("rules")
    (directory / "more.d").mkdir()
    place.write(directory / "more.d" / "1.conf", "local /^a..$ /^app_\\d+$,app trust\n")
    front: Sluice = sluices(secrets={"app": PASSWORD}, **write_rules(place, directory, "include_dir more.d\n"))
    with front.connect(host=str(front.dir), password="") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="no authentication method is found"):
        front.connect()


def test_peer_and_the_console(sluices: Start, place: Place) -> None:
    name = pwd.getpwuid(place.uid).pw_name  # who runs pgsluice and psql
    front: Sluice = sluices(auth_type="peer", secrets={name: PASSWORD, "app": PASSWORD})
    assert front.psql("-c", "SELECT current_user", host=front.dir, user=name, dbname="postgres",
                      env={"PGPASSWORD": ""}).stdout.strip() == name
    for given in ({"host": front.dir}, {"user": name}):
        assert "unix socket login rejected" in front.psql("-c", "SELECT 1", **given).stderr
    assert "pgsluice" in front.psql("-c", "SHOW VERSION", host=front.dir, user="pgsluice", dbname="pgsluice").stdout
    front.wait_log(f'login failed from=unix reason="its Unix user is "{name}"" user="app" database="app"')


def test_auth_type_cert(sluices: Start, tls: Path, place: Place, people: dict[str, ssl.SSLContext]) -> None:
    front: Sluice = sluices(auth_type="cert", secrets={"u_scram": PASSWORD, "app": PASSWORD},
                            databases={"*": "host=127.0.0.1 port=1"},
                            **{**with_certificates(tls), "client_tls_sslmode": "verify-full"})
    assert ask(front.port, front.dir, people, Question("hostssl", "u_scram", HOST, "pgsluice", "u_scram", ""))[:2] == (
        False, "")  # in, but not one of those who may use the console
    front.wait_log("not allowed")
    for user, person, expected in (("app", "u_scram", "28000"), ("somebody", "other", "28000")):
        assert ask(front.port, front.dir, people, Question("hostssl", person, HOST, "app", user, ""))[2] == expected
    log = front.log_text()
    assert 'from=127.0.0.1 reason="its certificate is of "u_scram"" user="app" database="app"' in log
    assert 'from=127.0.0.1 reason="the user is not known" user="somebody" database="app"' in log
    # without verify-full nobody could be told from anybody
    front.write_ini(client_tls_sslmode="require")
    assert "client_tls_sslmode: is require; auth_type cert needs verify-full" in front.reload()


def test_a_file_with_mistakes_changes_nothing(sluices: Start, place: Place) -> None:
    directory = place.make_dir("rules")
    front: Sluice = sluices(secrets={"app": PASSWORD}, **write_rules(place, directory, "host all all 127.0.0.1/32 password\n"))
    program = str(kit_sluice.installed(place))

    def mistakes(rules: str, maps: str = "") -> str:
        """All that --check-config says, which is all that a reload says; and the old rules stay."""
        front.write_ini(**write_rules(place, directory, rules, maps))
        checked = place.run([program, "--check-config", str(front.ini)], env=kit_sluice.SANITIZERS)
        assert checked.returncode == 1
        said = front.reload()
        assert "the old configuration stays in force" in said
        for line in checked.stderr.strip().splitlines():
            assert line in said
        front.connect().close()
        return checked.stderr

    said = mistakes("host all all 127.0.0.1/32 rejct\nhost all +staff all md5\n", "m a\n")
    assert f'{directory}/pg_hba.conf:1: method "rejct" is unknown; allowed: trust, reject,' in said
    assert f'{directory}/pg_hba.conf:2: "+staff" can\'t be known here' in said
    assert f"{directory}/pg_ident.conf:1: there are 2 fields" in said
    assert "map \"m\" is not in auth_ident_file" in mistakes("local all all peer map=m\n", "n a b\n")
    assert "there is no rule in it" in mistakes("# nobody\n")
    (directory / "pg_hba.conf").unlink()
    front.write_ini(auth_hba_file=directory / "pg_hba.conf", auth_ident_file="")
    assert "No such file or directory" in front.reload()
    front.connect().close()
    front.write_ini(**write_rules(place, directory, "host all all 127.0.0.1/32 reject\n"))
    assert "reloaded" in front.reload()
    with pytest.raises(psycopg.OperationalError, match="login rejected"):
        front.connect()
    # and at a start it is the end
    place.write(directory / "pg_hba.conf", "host all all all what\n")
    front.stop()
    front.start(wait=False)
    assert front.expect_exit() == 1
    assert 'method "what" is unknown' in front.log_text()


def metric(front: Sluice, name: str) -> int:
    with urllib.request.urlopen(f"http://{HOST}:{front.settings['http_port']}/metrics", timeout=30) as answer:
        return int(re.search(rf"^{name} (\d+)$", answer.read().decode(), re.M).group(1))  # type: ignore[union-attr]


def test_guessing_has_an_end(sluices: Start, place: Place) -> None:
    front: Sluice = sluices(auth_type="md5", secrets={"app": PASSWORD, "other": PASSWORD}, auth_failure_limit=6,
                            auth_failure_window="1h", http_port=place.port(), log_format="json")

    def comes_in(user: str, password: str, source: str) -> str:
        with Wire(front.port, source=source) as client:
            client.send(wire.startup(user=user, database="app"))
            while True:
                letter, body = client.next()
                if letter == b"E":
                    return wire.fields(body)["M"]
                if body[:4] == b"\0\0\0\0":
                    return "in"
                client._answer(body, user, password)

    for _ in range(3):
        assert "password authentication failed" in comes_in("app", "guess-1234", "127.0.0.9")
    for _ in range(3):
        assert comes_in("app", PASSWORD, "127.0.0.9") == "too many failed logins from this address"
    assert comes_in("other", PASSWORD, "127.0.0.9") == "in"
    assert comes_in("app", PASSWORD, "127.0.0.10") == "in"
    front.connect(host=str(front.dir)).close()
    assert metric(front, "pgsluice_logins_failed_total") == 3
    assert metric(front, "pgsluice_logins_throttled_total") == 3
    log = front.log_text()
    assert log.count("too many failed logins of this user from this address") == 1  # once
    assert log.count("too many failed logins") == 1  # and nothing else: who does not give up does not fill the disk
    assert log.count('reason=\\"wrong password\\"') == 3 and "from=127.0.0.9" in log
    assert "guess-1234" not in log and PASSWORD not in log
    front.write_ini(auth_failure_limit=0)
    front.reload()
    assert comes_in("app", PASSWORD, "127.0.0.9") == "in"

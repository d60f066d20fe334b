"""
Who comes in, and who does not: every auth type, kind of secret, TLS mode and driver, judged by PostgreSQL itself.

The same attempts go to a PostgreSQL and to a pgsluice, with the same HBA file, the same certificates, the same secrets: the
verdict, the user and the SQLSTATE of a refusal have to be the same. The databases m_* choose the rule; behind pgsluice they
all lead to one database that asks nobody for anything, so that it is pgsluice's verdict alone.
The table of it all is written to matrix.md in the directory of the run, or in PGSLUICE_MATRIX.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Iterator

import pytest
from kit.drivers import MISSING, Attempt, Came, Driver, drivers
from kit.place import HOST, Place
from kit.postgres import PASSWORD, Postgres

Start = Any

RULES = {
    "m_trust": ["host m_trust all 127.0.0.0/8 trust"],
    "m_reject": ["host m_reject all 127.0.0.0/8 reject"],
    "m_password": ["host m_password all 127.0.0.0/8 password"],
    "m_md5": ["host m_md5 all 127.0.0.0/8 md5"],
    "m_scram": ["host m_scram all 127.0.0.0/8 scram-sha-256"],
    "m_cert": ["hostssl m_cert all 127.0.0.0/8 cert"],
    "m_hostssl": ["hostssl m_hostssl all 127.0.0.0/8 scram-sha-256"],
    "m_hostnossl": ["hostnossl m_hostnossl all 127.0.0.0/8 scram-sha-256"],
    "m_clientcert": ["hostssl m_clientcert all 127.0.0.0/8 md5 clientcert=verify-full"],
    "m_peer": ["local m_peer all peer map=roots"],
    "m_nothing": [],
}
# The kind of secret each user has. u_plain's is in clear in the auth file; PostgreSQL has no such kind, and keeps SCRAM keys.
USERS = {"u_scram": "scram", "u_md5": "md5", "u_plain": "plain", "u_none": "none", "nobody": "unknown", "client": "scram"}
WRONG = "not " + PASSWORD
# Settings of auth_type, and the rule that asks for the same.
AUTH_TYPES = {"trust": "m_trust", "plain": "m_password", "md5": "m_md5", "scram-sha-256": "m_scram"}


@pytest.fixture(scope="module")
def certificates(tls: Path) -> dict[str, Path]:
    import subprocess
    subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "client.key", "-outform", "DER", "-out", "client.pk8"],
                   cwd=tls, check=True, capture_output=True)
    return {"sslcert": tls / "client.crt", "sslkey": tls / "client.key", "sslkey_der": tls / "client.pk8"}


@pytest.fixture(scope="module")
def rules(place: Place) -> tuple[Path, Path]:
    """The HBA file and the ident file that both have."""
    at = place.make_dir("rules")
    lines = ["host postgres postgres 127.0.0.0/8 scram-sha-256", "host inside all 127.0.0.0/8 trust"]
    lines += [line for each in RULES.values() for line in each]
    return (place.write(at / "hba.conf", "\n".join(lines) + "\n"),
            place.write(at / "ident.conf", "roots root u_scram\nroots postgres u_scram\n"))


@pytest.fixture(scope="module")
def reference(place: Place, tls: Path, rules: tuple[Path, Path]) -> Iterator[Postgres]:
    server = Postgres(place, "reference", tls=tls, max_connections=400)
    for user, kind in USERS.items():
        if kind == "none":
            server.sql(f"CREATE ROLE {user} LOGIN")
        elif kind != "unknown":
            server.add_user(user, "md5" if kind == "md5" else "scram-sha-256")
    for name in ("inside", *RULES):
        server.sql(f"CREATE DATABASE {name}")
    place.write(server.data / "pg_hba.conf", rules[0].read_text())
    place.write(server.data / "pg_ident.conf", rules[1].read_text())
    server.sql("SELECT pg_reload_conf()")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def auth_file(reference: Postgres) -> dict[str, str]:
    secrets = {"u_md5": "md5" + hashlib.md5((PASSWORD + "u_md5").encode()).hexdigest(), "u_plain": PASSWORD, "u_none": ""}
    return secrets | {user: reference.secret(user) for user in ("u_scram", "client")}


@pytest.fixture(scope="module")
def settings(tls: Path, auth_file: dict[str, str]) -> dict[str, Any]:
    return {"client_tls_sslmode": "prefer", "client_tls_cert_file": tls / "server.crt", "client_tls_key_file": tls / "server.key",
            "client_tls_ca_file": tls / "ca.crt", "secrets": auth_file, "max_client_conn": 1000,
            "auth_failure_limit": 0, "default_pool_size": 2}


@pytest.fixture(scope="module")
def cars(place: Place) -> dict[str, Driver]:
    return drivers(place)


def attempts_for(dbname: str, driver: str, ca: Path, certificates: dict[str, Path]) -> list[Attempt]:
    """One after the other: each user with the right and a wrong password, in clear and over TLS; u_scram in all modes."""
    def attempt(user: str, sslmode: str, password: str = PASSWORD, **more: Any) -> Attempt:
        verify = {"sslrootcert": ca} if sslmode.startswith("verify") else {}
        return {"dbname": dbname, "user": user, "password": password, "sslmode": sslmode, **verify, **more}

    list_ = [attempt(user, sslmode, password)
             for sslmode in ("disable", "require") for user in USERS for password in (PASSWORD, WRONG)]
    list_ += [attempt("u_scram", "verify-full", host="localhost")]
    if driver != "node-postgres":  # has no such mode
        list_ += [attempt("u_scram", "prefer"), attempt("u_scram", "verify-ca")]
    list_ += [attempt(user, "require", password, **certificates)
              for user, password in (("client", PASSWORD), ("client", WRONG), ("u_scram", PASSWORD))]
    return list_


def at(attempts: list[Attempt], host: str, port: int) -> list[Attempt]:
    return [{"host": host, **a, "port": port} for a in attempts]


def told(a: Attempt) -> str:
    return "{user} to {dbname}, {how}, {tls}{cert}".format(
        user=a["user"], dbname=a["dbname"], how="right" if a["password"] == PASSWORD else "wrong password", tls=a["sslmode"],
        cert=" with certificate" if "sslcert" in a else "")


class Table:
    """For matrix.md: what each auth type says of each kind of secret, over which TLS mode, and who agrees."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, auth_type: str, a: Attempt, driver: str, came: Came) -> None:
        kind = USERS[a["user"]] + (", wrong password" if a["password"] != PASSWORD else "")
        mode = a["sslmode"] + ("+cert" if "sslcert" in a else "")
        if a["user"] == "client":
            kind += ", named by the certificate"
        self.cells[auth_type, kind, mode]["in" if came.ok else came.sqlstate or "refused"].add(driver)

    def text(self) -> str:
        lines = ["| auth type | secret | TLS | verdict (by how many drivers) |", "|---|---|---|---|"]
        for (auth_type, kind, mode), verdicts in self.cells.items():
            says = ", ".join(f"{verdict} ({len(who)})" for verdict, who in sorted(verdicts.items()))
            lines.append(f"| {auth_type} | {kind} | {mode} | {says} |")
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def table(place: Place) -> Iterator[Table]:
    one = Table()
    yield one
    Path(os.environ.get("PGSLUICE_MATRIX", place.root / "matrix.md")).write_text(one.text(), encoding="utf-8")


def differences(driver: str, attempts: list[Attempt], ours: list[Came], theirs: list[Came]) -> list[str]:
    wrong = []
    for a, mine, its in zip(attempts, ours, theirs, strict=True):
        same = mine.ok == its.ok and mine.who == its.who
        if same and not mine.ok and mine.sqlstate and its.sqlstate:
            same = mine.sqlstate == its.sqlstate
        if not same:
            wrong.append(f"{driver}: {told(a)}:\n    PostgreSQL: {its}\n    pgsluice:   {mine}")
    return wrong


# What a PostgreSQL with TLS says is asked once for each driver and kept.
@pytest.fixture(scope="module")
def verdicts(reference: Postgres, cars: dict[str, Driver], tls: Path, certificates: dict[str, Path]) -> Any:
    known: dict[tuple[str, str], tuple[list[Attempt], list[Came]]] = {}

    def of(driver: str, dbname: str) -> tuple[list[Attempt], list[Came]]:
        if (driver, dbname) not in known:
            attempts = attempts_for(dbname, driver, tls / "ca.crt", certificates)
            known[driver, dbname] = attempts, cars[driver](at(attempts, HOST, reference.port))
        return known[driver, dbname]

    return of


@pytest.fixture(scope="module")
def inside(reference: Postgres) -> str:
    return f"host={reference.host} port={reference.port} dbname=inside"


DRIVERS = ("psql", "psycopg 3", "psycopg2", "asyncpg", "node-postgres", "JDBC")


@pytest.mark.parametrize("driver", DRIVERS)
def test_hba_rules_as_in_postgresql(module_sluices: Start, rules: tuple[Path, Path], inside: str, settings: dict[str, Any],
                                    cars: dict[str, Driver], verdicts: Any, table: Table, driver: str) -> None:
    if driver not in cars:
        pytest.skip(MISSING[driver])
    front = module_sluices(databases={name: inside for name in RULES}, auth_type="hba", auth_hba_file=rules[0],
                           auth_ident_file=rules[1], **settings)
    wrong = []
    for dbname in RULES:
        attempts, theirs = verdicts(driver, dbname)
        ours = cars[driver](at(attempts, HOST, front.port))
        for a, came in zip(attempts, ours, strict=True):
            table.add("hba: " + dbname[2:], a, driver, came)
        wrong += differences(driver, attempts, ours, theirs)
    assert not wrong, "\n".join(wrong)
    front.stop()


@pytest.mark.parametrize("driver", DRIVERS)
def test_auth_types_as_the_rule_that_asks_the_same(module_sluices: Start, inside: str, settings: dict[str, Any],
                                                   cars: dict[str, Driver], verdicts: Any, table: Table,
                                                   driver: str) -> None:
    if driver not in cars:
        pytest.skip(MISSING[driver])
    wrong = []
    for auth_type, rule in AUTH_TYPES.items():
        front = module_sluices(databases={rule: inside}, auth_type=auth_type, **settings)
        attempts, theirs = verdicts(driver, rule)
        ours = cars[driver](at(attempts, HOST, front.port))
        for a, came in zip(attempts, ours, strict=True):
            table.add(auth_type, a, driver, came)
        wrong += differences(driver, attempts, ours, theirs)
        front.stop()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("driver", DRIVERS)
def test_any_lets_everybody_in_as_the_forced_user(module_sluices: Start, inside: str, settings: dict[str, Any], tls: Path,
                                                  certificates: dict[str, Path], cars: dict[str, Driver], table: Table,
                                                  driver: str) -> None:
    if driver not in cars:
        pytest.skip(MISSING[driver])
    front = module_sluices(databases={"m_any": inside + " user=u_scram"}, auth_type="any", **settings)
    attempts = attempts_for("m_any", driver, tls / "ca.crt", certificates)
    came = cars[driver](at(attempts, HOST, front.port))
    for a, each in zip(attempts, came, strict=True):
        table.add("any", a, driver, each)
    assert [(each.ok, each.who) for each in came] == [(True, "u_scram")] * len(attempts), came
    front.stop()


@pytest.mark.parametrize("driver", DRIVERS)
def test_cert_is_the_name_in_the_certificate(module_sluices: Start, inside: str, settings: dict[str, Any], tls: Path,
                                             certificates: dict[str, Path], cars: dict[str, Driver], verdicts: Any,
                                             table: Table, driver: str) -> None:
    if driver not in cars:
        pytest.skip(MISSING[driver])
    front = module_sluices(databases={"m_cert": inside}, auth_type="cert",
                           **{**settings, "client_tls_sslmode": "verify-full"})
    attempts, theirs = verdicts(driver, "m_cert")
    ours = cars[driver](at(attempts, HOST, front.port))
    for a, came in zip(attempts, ours, strict=True):
        table.add("cert", a, driver, came)
    wrong = [each for each in differences(driver, attempts, ours, theirs) if "Came(ok=True" in each]
    assert not wrong, "\n".join(wrong)  # who has no certificate learns it from TLS here, from a rule there
    front.stop()


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_tls(module_sluices: Start, place: Place, reference: Postgres, inside: str, settings: dict[str, Any],
                     tls: Path, certificates: dict[str, Path], cars: dict[str, Driver], table: Table, driver: str) -> None:
    """Neither has any: who insists on it stays out, who prefers it comes in."""
    if driver not in cars:
        pytest.skip(MISSING[driver])
    front = module_sluices(databases={"m_scram": inside}, auth_type="scram-sha-256",
                           **{**settings, "client_tls_sslmode": "disable"})
    attempts = attempts_for("m_scram", driver, tls / "ca.crt", certificates)
    reference.sql("ALTER SYSTEM SET ssl = off")
    reference.sql("SELECT pg_reload_conf()")
    try:
        theirs = cars[driver](at(attempts, HOST, reference.port))
    finally:
        reference.sql("ALTER SYSTEM RESET ssl")
        reference.sql("SELECT pg_reload_conf()")
    ours = cars[driver](at(attempts, HOST, front.port))
    for a, came in zip(attempts, ours, strict=True):
        table.add("scram-sha-256, no TLS offered", a, driver, came)
    wrong = differences(driver, attempts, ours, theirs)
    assert not wrong, "\n".join(wrong)
    front.stop()


@pytest.mark.parametrize("driver", ("psql", "psycopg 3", "psycopg2", "asyncpg", "node-postgres"))  # JDBC has TCP only
def test_peer_through_the_unix_socket(module_sluices: Start, place: Place, rules: tuple[Path, Path], reference: Postgres,
                                      inside: str, settings: dict[str, Any], cars: dict[str, Driver], table: Table,
                                      driver: str) -> None:
    if driver not in cars:
        pytest.skip(MISSING[driver])
    front = module_sluices(databases={"m_peer": inside, "m_md5": inside}, auth_type="hba", auth_hba_file=rules[0],
                           auth_ident_file=rules[1], **settings)
    attempts = [{"dbname": dbname, "user": user, "password": PASSWORD, "sslmode": "disable"}
                for dbname in ("m_peer", "m_md5") for user in USERS]
    theirs = cars[driver](at(attempts, str(reference.dir), reference.port))
    ours = cars[driver](at(attempts, str(front.dir), front.port))
    for a, came in zip(attempts, ours, strict=True):
        table.add("hba, local: " + a["dbname"][2:], {**a, "sslmode": "Unix socket"}, driver, came)
    wrong = differences(driver, attempts, ours, theirs)
    assert not wrong, "\n".join(wrong)
    front.stop()


@pytest.mark.parametrize("driver", ("psql", "psycopg 3", "psycopg2"))
def test_channel_binding_required(module_sluices: Start, reference: Postgres, inside: str, settings: dict[str, Any],
                                  tls: Path, cars: dict[str, Driver], driver: str) -> None:
    """By the client of pgsluice; and it is refused where PostgreSQL refuses it."""
    front = module_sluices(databases={"m_scram": inside, "m_md5": inside}, auth_type="scram-sha-256", **settings)
    attempts = [{"dbname": "m_scram", "user": user, "password": password, "sslmode": sslmode, "channel_binding": "require"}
                for user in ("u_scram", "u_plain", "u_md5") for sslmode in ("require", "disable")
                for password in (PASSWORD, WRONG)]
    theirs = cars[driver](at(attempts, HOST, reference.port))
    ours = cars[driver](at(attempts, HOST, front.port))
    assert ours[0].ok
    wrong = differences(driver, attempts, ours, theirs)
    assert not wrong, "\n".join(wrong)
    front.stop()

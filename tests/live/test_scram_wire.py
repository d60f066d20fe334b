"""SCRAM as no driver speaks it: out of order, repeated, forged; and passwords of every length and alphabet."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any, Callable

import psycopg
import pytest
from kit import scram, wire
from kit.postgres import PASSWORD, Postgres
from kit.scram import PLAIN, Scram
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any
LONG = "0123456789" * 100
# What SASLprep makes the same of: a soft hyphen goes, a Roman numeral and an ordinal become letters, a wide blank a blank.
PREPARED = {"soft": ("I\u00adX", "IX"), "roman": ("\u2168", "IX"), "ordinal": ("\u00aa", "a"), "blank": ("a\u3000b", "a b"),
            "umlaut": ("a\u0308", "\u00e4")}
SECRETS = {"app": PASSWORD, "long": LONG, "nothing": "", **{name: secret for name, (secret, _) in PREPARED.items()}}


@pytest.fixture(scope="module")
def long_user(postgres: Postgres) -> None:
    """The server has that password, too."""
    with postgres.connect() as connection:
        connection.execute(psycopg.sql.SQL("CREATE ROLE long LOGIN PASSWORD {}").format(LONG))


@pytest.fixture(scope="module")
def front(module_sluices: Start, long_user: None) -> Sluice:
    return module_sluices(secrets=SECRETS, auth_type="scram-sha-256")


def login(client: Wire, exchange: Scram, user: str = "app") -> dict[str, str] | None:
    """All of it; None: it was let in, else the error."""
    scram.mechanisms(client, user=user)
    challenge = client.send(scram.initial(PLAIN, exchange.first())) and scram.expect(client, 11)
    letter, body = client.send(wire.message(b"p", exchange.final(challenge))).next()
    return None if letter == b"R" else wire.fields(body)


def test_it_works_by_hand(front: Sluice) -> None:
    with Wire(front.port) as client:
        assert login(client, Scram(PASSWORD)) is None
        client.ready()
        assert client.ask("SELECT 1") == [[b"1"]]


def sasl(data: bytes) -> bytes:
    return wire.message(b"p", data)


Steps = Callable[[Scram, bytes], list[bytes]]
FIRSTS: dict[str, Callable[[Scram], bytes]] = {
    "a client-final at once": lambda s: scram.initial(PLAIN, b"c=biws,r=" + s.nonce + b",p=" + base64.b64encode(bytes(32))),
    "nothing": lambda s: scram.initial(PLAIN, b""),
    "no data at all": lambda s: sasl(PLAIN.encode() + b"\0" + struct.pack("!i", -1)),
    "a length of -2": lambda s: sasl(PLAIN.encode() + b"\0" + struct.pack("!i", -2) + s.first()),
    "more than is there": lambda s: sasl(PLAIN.encode() + b"\0" + struct.pack("!i", 5000) + s.first()),
    "less than is there": lambda s: sasl(PLAIN.encode() + b"\0" + struct.pack("!i", 5) + s.first()),
    "a mechanism without end": lambda s: sasl(PLAIN.encode()),
    "a mechanism of others": lambda s: scram.initial("SCRAM-SHA-1", s.first()),
    "an empty message": lambda s: sasl(b""),
    "a password": lambda s: sasl(PASSWORD.encode() + b"\0"),
    "no nonce": lambda s: scram.initial(PLAIN, b"n,,n=,r="),
    "a nonce with a blank": lambda s: scram.initial(PLAIN, b"n,,n=,r=a b"),
    "a nonce with NUL": lambda s: scram.initial(PLAIN, b"n,,n=,r=ab\0cd"),
    "a nonce that is not ASCII": lambda s: scram.initial(PLAIN, b"n,,n=,r=\xc3\xa4"),
    "somebody else's name": lambda s: scram.initial(PLAIN, b"n,a=postgres,n=,r=" + s.nonce),
    "an extension that must be understood": lambda s: scram.initial(PLAIN, b"n,,m=x,n=,r=" + s.nonce),
    "no flag": lambda s: scram.initial(PLAIN, b",,n=,r=" + s.nonce),
    "another flag": lambda s: scram.initial(PLAIN, b"x,,n=,r=" + s.nonce),
    "no name": lambda s: scram.initial(PLAIN, b"n,,r=" + s.nonce),
    "a comma at the end": lambda s: scram.initial(PLAIN, s.first() + b","),
    "a message that is too long": lambda s: scram.initial(PLAIN, s.first() + b",x=" + b"y" * 2000),
    "a query": lambda s: wire.query("SELECT 1"),
    "a startup packet": lambda s: wire.startup(user="app", database="app"),
}


@pytest.mark.parametrize("case", FIRSTS)
def test_first_messages_that_are_wrong(front: Sluice, case: str) -> None:
    with Wire(front.port) as client:
        scram.mechanisms(client)
        assert client.send(FIRSTS[case](Scram(PASSWORD))).refused()["C"] == "08P01"


MALFORMED, WRONG, BINDING = "08P01", "28P01", "28000"
FINALS: dict[str, tuple[Callable[[Scram, bytes], bytes], str]] = {
    "the first message again": (lambda s, c: scram.initial(PLAIN, s.first()), MALFORMED),
    "the first message again, bare": (lambda s, c: sasl(s.first()), MALFORMED),
    "the challenge": (lambda s, c: sasl(c), MALFORMED),
    "our own half of the nonce": (lambda s, c: sasl(s.final(c, nonce=s.nonce)), MALFORMED),
    "another nonce": (lambda s, c: sasl(s.final(c, nonce=s.nonce + b"x" * 24)), MALFORMED),
    "a longer nonce": (lambda s, c: sasl(s.final(c, nonce=c[2:].split(b",")[0] + b"x")), MALFORMED),
    "no nonce": (lambda s, c: sasl(s.final(c, nonce=b"")), MALFORMED),
    "a wrong proof": (lambda s, c: sasl(s.final(c, proof=base64.b64encode(bytes(32)))), WRONG),
    "a short proof": (lambda s, c: sasl(s.final(c, proof=base64.b64encode(bytes(31)))), MALFORMED),
    "a long proof": (lambda s, c: sasl(s.final(c, proof=base64.b64encode(bytes(33)))), MALFORMED),
    "no proof": (lambda s, c: sasl(s.final(c, proof=b"")), MALFORMED),
    "a proof that is not base64": (lambda s, c: sasl(s.final(c, proof=b"!" * 44)), MALFORMED),
    "something behind the proof": (lambda s, c: sasl(s.final(c) + b",x=y"), MALFORMED),
    "NUL behind the proof": (lambda s, c: sasl(s.final(c) + b"\0"), MALFORMED),
    "another flag than at first": (lambda s, c: sasl(s.final(c, attribute=base64.b64encode(b"y,,"))), BINDING),
    "a binding that was not begun": (lambda s, c: sasl(s.final(c, attribute=base64.b64encode(b"n,," + bytes(32)))), BINDING),
    "nothing": (lambda s, c: sasl(b""), MALFORMED),
    "a message that is too long": (lambda s, c: sasl(s.final(c, between=b",x=" + b"y" * 2000)), MALFORMED),
    "a query": (lambda s, c: wire.query("SELECT 1"), MALFORMED),
}


@pytest.mark.parametrize("case", FINALS)
def test_final_messages_that_are_wrong(front: Sluice, case: str) -> None:
    make, sqlstate = FINALS[case]
    with Wire(front.port) as client:
        scram.mechanisms(client)
        exchange = Scram(PASSWORD)
        challenge = client.send(scram.initial(PLAIN, exchange.first())) and scram.expect(client, 11)
        assert client.send(make(exchange, challenge)).refused()["C"] == sqlstate


def test_a_proof_is_good_for_one_login(front: Sluice) -> None:
    """What was overheard does not fit the next challenge, and an extension that need not be understood is left alone."""
    with Wire(front.port) as client:
        scram.mechanisms(client)
        exchange = Scram(PASSWORD)
        challenge = client.send(scram.initial(PLAIN, exchange.first())) and scram.expect(client, 11)
        overheard = exchange.final(challenge, between=b",x=whatever")
        client.send(sasl(overheard))
        scram.expect(client, 12)
        client.ready()
        assert client.send(sasl(overheard)).refused()["C"] == "08P01"  # nor is it a message of a session
    with Wire(front.port) as client:
        scram.mechanisms(client)
        client.send(scram.initial(PLAIN, exchange.first()))
        scram.expect(client, 11)
        assert client.send(sasl(overheard)).refused()["C"] == "08P01"


# Passwords.


def test_long_and_empty_passwords(front: Sluice) -> None:
    for password, right in ((LONG, True), (LONG[:-1], False), (LONG + "0", False), ("", False), ("x" * 60000, False)):
        with Wire(front.port) as client:
            refused = login(client, Scram(password), "long")
            assert (refused is None) == right and (right or refused and refused["C"] == "28P01")
    for user in ("nothing", "nobody"):  # who has no password has none that is right
        for password in ("", "\0", " ", LONG):
            with Wire(front.port) as client:
                refused = login(client, Scram(password), user)
                assert refused and refused["C"] == "28P01", user


@pytest.mark.parametrize("auth_type", ["plain", "md5"])
def test_passwords_in_clear_and_md5(sluices: Start, long_user: None, auth_type: str) -> None:
    front: Sluice = sluices(secrets=SECRETS, auth_type=auth_type)

    def answer(user: str, body: Callable[[bytes], bytes]) -> str:
        with Wire(front.port) as client:
            client.send(wire.startup(user=user, database="app"))
            return client.send(sasl(body(client.next()[1]))).next()[1].decode(errors="replace")

    def right(user: str, password: str, behind: bytes = b"\0") -> Callable[[bytes], bytes]:
        def make(asked: bytes) -> bytes:
            sent: list[bytes] = []
            fake = type("Fake", (), {"send": lambda self, data: sent.append(data)})()
            Wire._answer(fake, asked, user, password)
            return sent[0][5:-1] + behind
        return make

    for behind, enters in ((b"\0", True), (b"", False), (b"\0more\0", False), (b"\0\0", False)):
        said = answer("long", right("long", LONG, behind))
        assert ("C08P01" not in said and "C28P01" not in said) == enters, (behind, said)
    for user, password in (("long", LONG[:-1]), ("nothing", ""), ("nobody", ""), ("app", "")):
        assert "C28P01" in answer(user, right(user, password))


def test_passwords_that_saslprep_makes_the_same(sluices: Start, postgres: Postgres, front: Sluice) -> None:
    """On both hops: what we have written differently is the same password to the server."""
    for name, (secret, plain) in PREPARED.items():
        postgres.sql(f"DROP ROLE IF EXISTS {name}")
        with postgres.connect() as connection:
            connection.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(psycopg.sql.Identifier(name), plain))
        for given in (secret, plain):
            with front.connect(user=name, password=given) as client:
                assert client.execute("SELECT current_user").fetchone() == (name,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            front.connect(user=name, password=secret + "x")
    invalid = b"\xff\xfe not UTF-8"  # as it is: PostgreSQL does so, too
    with Wire(front.port) as client:
        refused = login(client, Scram(invalid))
        assert refused and refused["C"] == "28P01"


def test_no_message_is_waited_for_that_is_too_long(front: Sluice, sluices: Start) -> None:
    """Thousands who begin one and never end it would fill the memory."""
    with Wire(front.port) as client:
        scram.mechanisms(client)
        letter, body = client.send(b"p" + struct.pack("!i", 30000)).next()
        assert letter == b"E" and wire.fields(body)["C"] == "08P01"
    with Wire(sluices(auth_type="md5", secrets={"app": PASSWORD}).port) as client:
        client.send(wire.startup(user="app", database="app")).next()
        letter, body = client.send(b"p" + struct.pack("!i", 30000)).next()
        assert letter == b"E" and wire.fields(body)["C"] == "08P01"


def salt_of(front: Sluice, user: str) -> bytes:
    with Wire(front.port) as client:
        scram.mechanisms(client, user=user)
        challenge = scram.expect(client.send(scram.initial(PLAIN, Scram("x").first())), 11)
        return dict(part.split(b"=", 1) for part in challenge.split(b","))[b"s"]


def test_who_does_not_exist_has_one_salt_in_all_processes(sluices: Start, tls: Path) -> None:
    """As who does exist: or else it shows, to who asks several of them, or again after a restart."""
    given = {"client_tls_sslmode": "allow", "client_tls_key_file": tls / "server.key", "client_tls_cert_file": tls / "server.crt"}
    one, two = (sluices(secrets={"app": PASSWORD}, auth_type="scram-sha-256", **given) for _ in range(2))
    before = salt_of(one, "nobody")
    assert salt_of(two, "nobody") == before != salt_of(two, "somebody")
    one.stop()
    one.start()
    assert salt_of(one, "nobody") == before

"""
scram.py - the client's side of SCRAM by hand, right unless told otherwise: for what drivers can't do wrong.

Source: RFC 5802, 3, 5 and 7; RFC 5929, 4.1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct

from .wire import Message, Wire, fields, message, startup

PLUS, PLAIN = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"
BOUND = b"p=tls-server-end-point,,"


def initial(mechanism: str, first: bytes) -> bytes:
    return message(b"p", mechanism.encode() + b"\0" + struct.pack("!i", len(first)) + first)


class Scram:
    """Of one login: `first()`, `final(challenge)` with what is to be another than it should."""

    def __init__(self, password: bytes | str, gs2: bytes = b"n,,", binding: bytes = b"") -> None:
        self.password = password.encode() if isinstance(password, str) else password
        self.gs2, self.binding = gs2, binding
        self.nonce = base64.b64encode(os.urandom(18))

    @property
    def bare(self) -> bytes:
        return b"n=,r=" + self.nonce

    def first(self) -> bytes:
        return self.gs2 + self.bare

    def final(self, challenge: bytes, nonce: bytes | None = None, attribute: bytes | None = None, proof: bytes | None = None,
              between: bytes = b"") -> bytes:
        """nonce, c= and proof instead of the right ones; `between` goes in front of the proof."""
        parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        bound = attribute if attribute is not None else base64.b64encode(self.gs2 + self.binding)
        without_proof = b"c=" + bound + b",r=" + (parts[b"r"] if nonce is None else nonce) + between
        signed = self.bare + b"," + challenge + b"," + without_proof
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        right = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature)))
        return without_proof + b",p=" + (right if proof is None else proof)


def mechanisms(client: Wire, user: str = "app", database: str = "app") -> list[str]:
    """Say who we are; what is offered then."""
    client.send(startup(user=user, database=database))
    letter, body = client.next()
    assert letter == b"R" and body[:4] == struct.pack("!i", 10), fields(body)
    return [name.decode() for name in body[4:].split(b"\0") if name]


def expect(client: Wire, kind: int) -> bytes:
    """The data of an Authentication message of this kind: 11 goes on, 12 ends."""
    letter, body = client.next()
    assert letter == b"R", fields(body)
    assert struct.unpack("!i", body[:4])[0] == kind
    return body[4:]


def certificate_hash(client: Wire) -> bytes:
    return hashlib.sha256(client.socket.getpeercert(binary_form=True)).digest()  # type: ignore[attr-defined]


def answer_to(client: Wire, said: bytes) -> Message:
    """What comes next after these bytes."""
    return client.send(said).next()

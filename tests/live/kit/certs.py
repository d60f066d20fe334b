"""
certs.py - an authority of our own, and every kind of certificate and revocation list that it may or may not sign.

Everything is a file NAME.crt or NAME.key in one directory, which belongs to the user who runs PostgreSQL and pgsluice.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from .place import Place

PEM = serialization.Encoding.PEM
NAMES = ("localhost", "127.0.0.1")
HOUR = 3600


def _new_key(kind: str) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def _at(seconds: float) -> datetime.datetime:
    return datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Certs:
    def __init__(self, place: Place, name: str = "certs") -> None:
        self.place = place
        self.dir = place.make_dir(name)
        self.certificates: dict[str, x509.Certificate] = {}
        self._authorities: dict[str, Any] = {}
        self.authority("ca")

    def authority(self, name: str) -> None:
        key = _new_key("ec")
        builder = (x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(name)).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(_at(-HOUR)).not_valid_after(_at(240 * HOUR))
                   .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True))
        self._authorities[name] = key
        self._keep(name, key, builder.sign(key, hashes.SHA256()))

    def issue(self, name: str, common: str = "", names: tuple[str, ...] = NAMES, *, key: str = "ec", start: float = -HOUR,
              end: float = 240 * HOUR, signer: str = "ca", digest: Any = hashes.SHA256(), passphrase: str = "") -> Path:
        """Its path without the suffix. signer "": by itself."""
        secret = _new_key(key)
        subject = _name(common or name)
        issuer = self.certificates[signer].subject if signer else subject
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(secret.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(_at(start)).not_valid_after(_at(end))
                   .add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), critical=False))
        by = self._authorities[signer] if signer else secret
        self._keep(name, secret, builder.sign(by, None if isinstance(by, ed25519.Ed25519PrivateKey) else digest), passphrase)
        return self.dir / name

    def revoke(self, file: str, *revoked: str, signer: str = "ca", end: float = HOUR) -> Path:
        """A list of these certificates as FILE."""
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.certificates[signer].subject)
                   .last_update(_at(-2 * HOUR)).next_update(_at(end)))
        for name in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(self.certificates[name].serial_number)
                .revocation_date(_at(-60)).build())
        return self.write(file, builder.sign(self._authorities[signer], hashes.SHA256()).public_bytes(PEM))

    def write(self, file: str, content: bytes, mode: int = 0o600) -> Path:
        """At once: nobody sees half of it."""
        path, new = self.dir / file, self.dir / (file + ".new")
        new.write_bytes(content)
        os.chown(new, self.place.uid, self.place.gid)
        new.chmod(mode)
        new.rename(path)
        return path

    def _keep(self, name: str, key: Any, certificate: x509.Certificate, passphrase: str = "") -> None:
        lock: Any = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
        self.certificates[name] = certificate
        self.write(f"{name}.key", key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, lock))
        self.write(f"{name}.crt", certificate.public_bytes(PEM), 0o644)

    def fingerprint(self, name: str) -> str:
        return self.certificates[name].fingerprint(hashes.SHA256()).hex()

    # Settings of pgsluice.

    def for_clients(self, name: str = "server", **more: Any) -> dict[str, Any]:
        return {"client_tls_key_file": self.dir / f"{name}.key", "client_tls_cert_file": self.dir / f"{name}.crt", **more}

    def for_servers(self, name: str) -> dict[str, Any]:
        return {"server_tls_key_file": self.dir / f"{name}.key", "server_tls_cert_file": self.dir / f"{name}.crt"}

    # Contexts of Python's ssl.

    def client(self, certificate: str = "", authority: str = "ca", alpn: bool = False) -> ssl.SSLContext:
        """Of a client that checks authority and name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(str(self.dir / f"{authority}.crt"))
        if certificate:
            context.load_cert_chain(str(self.dir / f"{certificate}.crt"), str(self.dir / f"{certificate}.key"))
        if alpn:
            context.set_alpn_protocols(["postgresql"])
        return context

    def server(self, certificate: str = "server") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.dir / f"{certificate}.crt"), str(self.dir / f"{certificate}.key"))
        return context


def shown(connection: ssl.SSLSocket) -> str:
    """The fingerprint of the certificate that the other side shows."""
    certificate = connection.getpeercert(binary_form=True)
    assert certificate
    return hashlib.sha256(certificate).hexdigest()

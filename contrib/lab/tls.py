"""tls.py - a CA of the lab and one server certificate for all its nodes and for pgsluice, made by openssl(1)."""

from __future__ import annotations

import os
import subprocess

from .layout import NODES_MAX, LabError, Layout


def make_certificates(layout: Layout) -> None:
    """Once per lab. Both keys belong to the lab's user alone: PostgreSQL refuses a key that others may read."""
    if layout.ca.exists():
        return
    layout.make_dir(layout.tls_dir)
    names = ["DNS:localhost", "IP:127.0.0.1"]
    names += [f"DNS:n{i}" for i in range(1, NODES_MAX + 1)]
    names += [f"IP:{layout.host('n' + str(i))}" for i in range(1, NODES_MAX + 1)]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
    _openssl(layout, ["req", "-x509", *key, "-subj", "/CN=pgsluice lab CA", "-keyout", "ca.key", "-out", "ca.new",
                      "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign"])
    _openssl(layout, ["req", "-x509", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.crt",
                      "-CA", "ca.new", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE",
                      "-addext", "subjectAltName=" + ",".join(names)])
    for each in layout.tls_dir.iterdir():
        os.chown(each, layout.uid, layout.gid)
        each.chmod(0o600 if each.suffix == ".key" else 0o644)
    (layout.tls_dir / "ca.new").rename(layout.ca)  # last: its presence says that all of it is there


def _openssl(layout: Layout, arguments: list[str]) -> None:
    try:
        done = subprocess.run(["openssl", *arguments], cwd=layout.tls_dir, capture_output=True, text=True,
                              check=False)
    except FileNotFoundError:
        raise LabError("the program openssl is missing: install the package openssl") from None
    if done.returncode != 0:
        raise LabError("openssl could not make the certificates: " + done.stderr.strip().splitlines()[-1])

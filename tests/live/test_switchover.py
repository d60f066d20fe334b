"""
A Patroni whose REST API wants TLS, a client certificate and a password; and switchovers that are asked for at pgsluice's
console, under load: nobody sees an error.
"""

from __future__ import annotations

import re
from typing import Any, Iterator

import psycopg
import pytest
from kit.place import Place
from kit.sluice import Sluice
from lab import layout
from lab.cluster import Lab
from lab.layout import Options

Start = Any


@pytest.fixture(scope="module")
def lab(place: Place) -> Iterator[Lab]:
    lab = Lab(place.root / "secure")
    lab.up(Options(port_base=place.lab_ports(), fsync=False, rest_tls=True))
    yield lab
    lab.down()


def identity(lab: Lab, **changes: Any) -> dict[str, Any]:
    tls = lab.layout.tls_dir
    return {"patroni_ca_file": lab.layout.ca, "patroni_cert_file": tls / "server.crt", "patroni_key_file": tls / "server.key",
            "patroni_user": layout.REST_USER, "patroni_password": layout.REST_PASSWORD, **changes}


def urls(lab: Lab) -> str:
    return ",".join(lab.layout.rest_url(name) for name in lab.layout.names)


def in_front(sluices: Start, lab: Lab, cluster: str = "", **settings: Any) -> Sluice:
    """Given settings replace those of identity()."""
    front: Sluice = sluices(clusters={"main": f"patroni={urls(lab)} {cluster}"}, databases={"*": "cluster=main"}, read=True,
                            secrets={"app": "app"}, admin_users="app", **{**identity(lab), **settings})
    return front


def console(front: Sluice, text: str) -> list[dict[str, Any]]:
    with front.connect(password="app", dbname="pgsluice") as connection:
        found = connection.execute(text)
        columns = [column.name for column in found.description or []]
        return [dict(zip(columns, row)) for row in found.fetchall()] if columns else []


# Who may ask Patroni.

def test_patroni_is_followed_through_tls_with_a_client_certificate(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab)
    with front.connect(password="app") as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    assert {row["reachable"] for row in console(front, "SHOW MEMBERS")} == {"yes"}
    shown = {row["key"]: row["value"] for row in console(front, "SHOW CONFIG")}
    assert shown["patroni_password"] == "********" and shown["patroni_user"] == layout.REST_USER
    assert layout.REST_PASSWORD not in front.log_text()


@pytest.mark.parametrize("name, wrong, says", [
    # TLS 1.3: it says so after the handshake, and its reset may overtake that.
    ("no certificate of ours", {"patroni_cert_file": "", "patroni_key_file": ""}, "no answer"),
    ("another authority", {"patroni_ca_file": "other_ca.crt"}, "certificate"),
    ("the authorities of the system", {"patroni_ca_file": ""}, "certificate"),
])
def test_who_cannot_be_trusted_does_not_answer(sluices: Start, lab: Lab, tls: Any, name: str, wrong: dict[str, str], says: str) -> None:
    wrong = {key: str(tls / value) if value.endswith(".crt") else value for key, value in wrong.items()}
    front = in_front(sluices, lab, failover_hold_timeout="1s", **wrong)
    line = front.wait_log("Patroni at .*no answer")
    assert re.search(says, line), line
    with pytest.raises(psycopg.OperationalError):
        front.connect(password="app")
    front.write_ini(**identity(lab))
    assert "reloaded" in front.reload()
    front.connect(password="app").close()


def test_an_entry_may_check_less_than_the_settings(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab, cluster="patroni_tls_verify=ca")
    front.connect(password="app").close()
    front = in_front(sluices, lab, cluster="patroni_tls_verify=none", patroni_ca_file="")
    front.connect(password="app").close()


def test_files_that_are_no_good_are_told_of_at_the_start(sluices: Start, lab: Lab, place: Place) -> None:
    junk = place.write(place.make_dir("junk") / "junk.pem", "nothing\n")
    front = in_front(sluices, lab)
    for wrong in ({"patroni_ca_file": junk}, {"patroni_cert_file": junk}, {"patroni_key_file": "/nowhere.key"}):
        front.write_ini(**{**identity(lab), **wrong})
        said = front.reload()
        assert "cluster main" in said and "patroni" in said and "reloaded" not in said, said
    front.connect(password="app").close()

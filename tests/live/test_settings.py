"""Settings whose effect shows nowhere else in these tests: each does what it says."""

from __future__ import annotations

import grp
import os
import re
import shutil
import socket
import stat
import struct
from typing import Any

import psycopg
import pytest
from kit import wire
from kit.place import HOST, Place, wait_until
from kit.postgres import PASSWORD
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any
SECRETS = {"app": PASSWORD, "boss": PASSWORD}


def boss(front: Sluice) -> psycopg.Connection[Any]:
    return front.connect(user="boss", dbname="pgsluice")


def sockets(front: Sluice, *arguments: str) -> str:
    """What the kernel says of those on our port, our end."""
    done = front.place.run(["ss", "-nH", *arguments, f"sport = :{front.port}"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sockets_are_as_configured(sluices: Start, place: Place) -> None:
    if not shutil.which("ss"):
        pytest.skip("ss (iproute2) is not installed")
    groups = os.getgrouplist(place.user, place.gid)
    group = grp.getgrgid(groups[-1])
    front: Sluice = sluices(listen_backlog=77, tcp_keepidle=555, tcp_socket_buffer=20000, unix_socket_mode="0750",
                            unix_socket_group=group.gr_name, http_addr="127.0.0.2", http_port=place.port())
    assert re.search(r"^\S+ +0 +77 ", sockets(front, "-lt"), re.MULTILINE)
    with front.connect():
        established = sockets(front, "-tom", "state", "established")
        seconds = re.search(r"timer:\(keepalive,(?:(\d+)min)?([\d.]*)(?:sec)?", established)
        assert seconds and 500 < int(seconds[1] or 0) * 60 + float(seconds[2] or 0) <= 555, established
        assert "rb40000," in established, established  # the kernel doubles it
    about = os.stat(front.dir / f".s.PGSQL.{front.port}")
    assert (stat.S_IMODE(about.st_mode), about.st_gid) == (0o750, group.gr_gid)
    socket.create_connection(("127.0.0.2", front.settings["http_port"]), 20).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, front.settings["http_port"]), 20)


def test_conffile_is_what_the_next_reload_reads(sluices: Start) -> None:
    front: Sluice = sluices(secrets=SECRETS, admin_users="boss")
    other = front.place.write(front.dir / "other.ini", front.ini.read_text() + "max_client_conn = 33\n")
    with boss(front) as console:
        console.execute(f"SET conffile = '{other}'".encode())
        assert console.execute("SHOW max_client_conn").fetchone() == ("100",)
        console.execute("RELOAD")
        assert console.execute("SHOW max_client_conn").fetchone() == ("33",)


def test_what_nobody_uses_is_forgotten(sluices: Start) -> None:
    front: Sluice = sluices(secrets=SECRETS, admin_users="boss", pool_idle_timeout=1, autodb_idle_timeout=1,
                            server_idle_timeout=1)
    with boss(front) as console:
        front.connect().close()
        assert "app" in {row[0] for row in console.execute("SHOW POOLS").fetchall()}
        assert "app" in {row[0] for row in console.execute("SHOW DATABASES").fetchall()}
        wait_until(lambda: "app" not in {row[0] for row in console.execute("SHOW POOLS").fetchall()})
        wait_until(lambda: "app" not in {row[0] for row in console.execute("SHOW DATABASES").fetchall()})
        front.connect().close()


def test_disable_pqexec(sluices: Start) -> None:
    front: Sluice = sluices(secrets=SECRETS, admin_users="boss", disable_pqexec=1)
    with Wire(front.port) as client:
        assert "PQexec disallowed" in client.login().send(wire.query("SELECT 1; SELECT 2")).refused()["M"]
    with Wire(front.port) as client:
        answer = client.login().send(wire.parse("", "SELECT 1"), wire.bind(), wire.execute(), wire.SYNC).ready()
        assert wire.letters(answer) == "12DCZ"
    with boss(front) as console:  # to whom it does not apply
        assert console.pgconn.exec_(b"SHOW VERSION").command_status == b"SHOW"


@pytest.mark.parametrize("always", [0, 1])
def test_server_reset_query_always(sluices: Start, always: int) -> None:
    front: Sluice = sluices(default_pool_size=1, server_reset_query="RESET work_mem", server_reset_query_always=always,
                            session_tracking="off")
    with front.connect() as one, front.connect() as other:
        one.execute("SET work_mem = '7MB'")
        left = other.execute("SHOW work_mem").fetchone()
        assert left is not None and (left[0] == "7MB") == (always == 0)
        one.execute("RESET work_mem")


def test_login_notify_message(sluices: Start) -> None:
    front: Sluice = sluices(login_notify_message="moving on Sunday")
    with Wire(front.port) as client:
        notes = [wire.fields(body)["M"] for letter, body in client.login().heard if letter == b"N"]
        assert notes == ["moving on Sunday"]


@pytest.mark.parametrize("fast", [0, 1])
def test_server_fast_close(sluices: Start, fast: int) -> None:
    front: Sluice = sluices(secrets=SECRETS, admin_users="boss", pool_mode="session", server_fast_close=fast)
    with boss(front) as console, front.connect() as session:
        with session.transaction():
            pid = session.execute("SELECT pg_backend_pid()").fetchone()
            console.execute("RECONNECT")
            session.execute("SELECT 1")
        if fast:
            console.execute("WAIT_CLOSE")
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
        else:
            assert session.execute("SELECT pg_backend_pid()").fetchone() == pid


def test_scram_iterations(sluices: Start) -> None:
    front: Sluice = sluices(scram_iterations=5000)
    with Wire(front.port) as client:
        client.login()
        challenges = [body[4:] for letter, body in client.heard if letter == b"R" and struct.unpack("!i", body[:4])[0] == 11]
        assert len(challenges) == 1 and challenges[0].endswith(b",i=5000")


def test_stats_period(sluices: Start) -> None:
    front: Sluice = sluices(secrets=SECRETS, admin_users="boss", stats_period=1)
    with front.connect() as client:
        for _ in range(20):
            client.execute("SELECT 1")
    assert "xacts/s" in front.wait_log(r" stats .*[1-9]\d* queries/s")
    with boss(front) as console:
        console.execute("SET log_stats = 0")
        since = len(front.log_text())
        console.execute("SET stats_period = 2")
        wait_until(lambda: all(row[13] == 0 for row in console.execute("SHOW STATS").fetchall()))  # averages roll on
        assert " stats " not in front.log_text()[since:]

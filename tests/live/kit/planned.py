"""
planned.py - what tests of planned changes of leader ask and tell pgsluice: by its console, by POST /hold.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from lab.cluster import Lab

from .place import wait_until
from .sluice import Sluice

TOKEN = "who may hold"


def console(front: Sluice, text: str) -> list[dict[str, Any]]:
    with front.connect(password=front.secrets["app"], dbname="pgsluice") as connection:
        found = connection.execute(text)
        columns = [column.name for column in found.description or []]
        return [dict(zip(columns, row)) for row in found.fetchall()] if columns else []


def leader_of(lab: Lab) -> str:
    return lab.wait_leader().name


def wait_known(front: Sluice, lab: Lab) -> None:
    """Until pgsluice, too, knows that all of it is well."""
    lab.wait_healthy(90)

    def is_known() -> bool:
        rows = console(front, "SHOW MEMBERS")
        return {row["reachable"] for row in rows} == {"yes"} and \
            [row["read"] for row in rows if row["name"] != leader_of(lab)] == ["yes"] * (len(lab.layout.names) - 1)

    wait_until(is_known, 60, "what pgsluice knows")


def switchover(front: Sluice, order: str = "SWITCHOVER") -> str:
    """What the console says of it."""
    said: list[str] = []
    with front.connect(password=front.secrets["app"], dbname="pgsluice") as connection:
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        connection.execute(order)
    return " ".join(said)


def post(front: Sluice, path: str, token: str = TOKEN) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{front.settings['http_port']}{path}", method="POST",
                                     headers={"Authorization": "Bearer " + token} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def is_holding(front: Sluice) -> bool:
    return [row["holding"] for row in console(front, "SHOW CLUSTERS")] == ["yes"]

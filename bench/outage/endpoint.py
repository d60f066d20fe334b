"""endpoint.py - where the clients connect to, and as whom."""

from __future__ import annotations

import dataclasses
from typing import Any

Address = tuple[str, int]


@dataclasses.dataclass
class Endpoint:
    write: Address
    read: Address
    user: str
    password: str
    dbname: str

    @staticmethod
    def from_json(found: dict[str, Any]) -> "Endpoint":
        read, write = tuple(found.pop("read")), tuple(found.pop("write"))
        return Endpoint(write=write, read=read, **found)

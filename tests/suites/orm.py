"""orm.py - ORMs, migrations, queues and listeners of node: npm/orm.js, with packages from npm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from stage import SUPERUSER, Result, Results, Suite, Target

HERE = Path(__file__).resolve().parent / "npm"
TIMEOUT = 700


class Orm(Suite):
    about = "knex, sequelize, typeorm, node-pg-migrate, postgres.js, pg-boss, graphile-worker: migrations, locks, LISTEN"
    packages = ["nodejs", "npm"]
    databases = ["orm"]

    def prepare(self) -> str:
        for name in ("package.json", "package-lock.json", "orm.js"):
            self.place.write(self.dir / name, (HERE / name).read_text(encoding="utf-8"))
        node = self._node("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
        return "" if node.returncode == 0 else "npm ci: " + node.stderr.strip()[-200:]

    def run(self, target: Target) -> Results:
        url = f"postgres://{SUPERUSER}@{target.host}:{target.port}/orm"
        done = self._node("node", "orm.js", url)
        (target.logs / "orm.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return {each["name"]: Result(each["status"], each["output"]) for each in told if self.wants(each["name"])}

    def _node(self, program: str, *arguments: str):  # type: ignore[no-untyped-def]
        found = shutil.which(program)
        assert found, f"there is no {program}"
        return self.place.run([found, *arguments], cwd=self.dir, timeout=TIMEOUT)

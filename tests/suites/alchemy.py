"""alchemy.py - the suite that SQLAlchemy has for dialects, from Debian's package, through psycopg2 and through asyncpg."""

from __future__ import annotations

import xml.etree.ElementTree as tree

from stage import SUPERUSER, Result, Results, Suite, Target

CONFTEST = """
import pytest
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
from sqlalchemy.testing.plugin.pytestplugin import *
"""
REQUIREMENTS = """
from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements


class Requirements(SuiteRequirements):
    @property
    def schemas(self):
        return exclusions.open()

    def get_isolation_levels(self, config):
        return {"default": "READ COMMITTED",
                "supported": ["SERIALIZABLE", "READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "AUTOCOMMIT"]}
"""
OPEN = ("isolation_level", "autocommit", "savepoints", "two_phase_transactions", "temp_table_reflection", "temporary_views", "ctes", "ctes_on_dml",
        "sequences", "server_side_cursors", "json_type", "array_type", "comment_reflection", "window_functions", "views", "returning",
        "update_returning", "delete_returning", "legacy_unconditional_json_extract", "computed_columns", "identity_columns",
        "unicode_ddl", "reflects_pk_names", "emulated_lastrowid", "tuple_in", "regexp_match", "full_returning", "materialized_views")


class Alchemy(Suite):
    about = "SQLAlchemy's suite for dialects: reflection, types, isolation levels, two phases, server-side cursors"
    packages = ["python3-sqlalchemy", "python3-pytest", "python3-psycopg2", "python3-asyncpg"]
    databases = ["alchemy"]

    def prepare(self) -> str:
        more = "".join(f"\n    @property\n    def {name}(self):\n        return exclusions.open()\n" for name in OPEN)
        files = {"conftest.py": CONFTEST, "requirements.py": REQUIREMENTS + more,
                 "test_suite.py": "from sqlalchemy.testing.suite import *\n",
                 "setup.cfg": "[tool:pytest]\npython_files=test_*.py\n[sqla_testing]\nrequirement_cls=requirements:Requirements\n"
                              "profile_file=profiles.txt\n"}
        for name, text in files.items():
            self.place.write(self.dir / name, text)
        return ""

    def fill(self, target: Target) -> None:
        for schema in ("test_schema", "test_schema_2"):
            self.stage.postgres.sql(f"CREATE SCHEMA {schema} AUTHORIZATION {SUPERUSER}", dbname="alchemy")

    def run(self, target: Target) -> Results:
        results: Results = {}
        for driver in ("psycopg2", "asyncpg"):
            results.update(self._run(driver, target))
        return results

    def _run(self, driver: str, target: Target) -> Results:
        url = f"postgresql+{driver}://{SUPERUSER}@{target.host}:{target.port}/alchemy"
        told = target.logs / f"{driver}.xml"
        done = self.place.run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={told}",
                               "--dburi", url, "test_suite.py"], cwd=self.dir, env={"PYTHONDONTWRITEBYTECODE": "1"}, timeout=900)
        (target.logs / f"{driver}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        results: Results = {}
        for case in tree.parse(told).iter("testcase") if told.exists() else []:
            name = f"{case.get('classname')}.{case.get('name')}"
            wrong = [each for each in case if each.tag in ("failure", "error")]
            status = "failed" if wrong else "skipped" if case.find("skipped") is not None else "passed"
            if self.wants(name):
                results[name] = Result(status, "\n".join(each.text or "" for each in wrong))
        return results

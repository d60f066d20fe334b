"""
invented.py - talks that nobody has written: statements around the state of a session, drawn from a seed.

The names are few, so that statements meet what others have left: settings that were set, statements that exist or do not, savepoints.
"""

from __future__ import annotations

from random import Random

from .talks import Step, Talk

STEPS = 60
BLOCK = 7  # steps, at most
SETTINGS = {"work_mem": ["5MB", "64kB", "nonsense", "6MB"], "application_name": ["a", "b"], "app.name": ["x", "y", ""],
            "DateStyle": ["German", "SQL, DMY", "ISO"], "TimeZone": ["UTC", "Asia/Tokyo", "Nowhere"], "lock_timeout": ["5s", "-1"],
            "search_path": ["other", "public", "other, public"], "role": ["role_a", "none", "role_c"]}
READS = ["SHOW {s}", "SELECT current_setting('{s}', true)", "SELECT a, b FROM t ORDER BY a LIMIT 1", "SELECT current_user",
         "SELECT name, setting FROM pg_settings WHERE setting IS DISTINCT FROM reset_val "
         "AND name !~ '^(transaction|tcp)_' ORDER BY 1",
         "SELECT date '2024-02-01'"]
WRITES = ["SET {s} = '{v}'", "SET SESSION {s} TO '{v}'", "SET LOCAL {s} = '{v}'", "RESET {s}", "SET {s} TO DEFAULT",
          "SELECT set_config('{s}', '{v}', {b})", "SELECT remember('{s}', '{v}')", "SELECT swallow('{v}')",
          "DO $$BEGIN PERFORM set_config('{s}', '{v}', {b}); END$$", "INSERT INTO log (what) VALUES ('{v}')",
          "SET {s} = '{v}'; SELECT 1/0", "SET {s} = '{v}'; SHOW {s}", "RESET ALL", "SELECT 1/0", "SELEKT"]
BLOCKS = ["BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "SAVEPOINT {p}", "SAVEPOINT {p}", "ROLLBACK TO {p}", "RELEASE {p}",
          "BEGIN; SET {s} = '{v}'; COMMIT; SELECT 1", "ROLLBACK AND CHAIN"]
NAMED = ["> P {n} SELECT current_setting('{s}', true), {i} | S", "> B - {n} | D P - | E - | S", "> C S {n} | S", "> D S {n} | S",
         "> P {n} SET {s} = '{v}' | B - {n} | E - | S", "> P {n} SELECT {i} | B - {n} | E - | S | B - {n} | E - | S",
         "> P - SET {s} = '{v}' | B - - | E - | S | P - SHOW {s} | B - - | E - | S", "> P - SELECT 1/0 | B - - | E - | S | B - {n} | E - | S",
         "> Q SET {s} = '{v}' | Q SHOW {s} | B - {n} | E - | S"]
PREPARED = ["PREPARE {n} AS SELECT {i}, current_setting('{s}', true)", "EXECUTE {n}", "EXECUTE {n}", "DEALLOCATE {n}", "DEALLOCATE ALL",
            "SELECT name, statement, from_sql FROM pg_prepared_statements ORDER BY 1", "DISCARD PLANS"]
PINNING = ["CREATE TEMP TABLE {p} (a int)", "DROP TABLE IF EXISTS {p}", "SELECT count(*) FROM {p}", "SELECT pg_advisory_lock({i})",
           "SELECT pg_advisory_unlock({i})", "SELECT pg_advisory_unlock_all()", "DECLARE {p} CURSOR WITH HOLD FOR SELECT {i}",
           "FETCH ALL FROM {p}", "CLOSE {p}", "CLOSE ALL", "DISCARD ALL", "DISCARD TEMP",
           "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1"]
# What the even ones and the odd ones are made of, with how often.
PLAIN = [(READS, 6), (WRITES, 6), (BLOCKS, 4), (NAMED, 3)]
ALL = [*PLAIN, (PREPARED, 5), (PINNING, 4)]


def invented(seed: int) -> Talk:
    random = Random(seed)
    kinds = ALL if seed % 2 else PLAIN
    talk = Talk(f"invented: {seed}", needs=("core", "prepare", "pins") if seed % 2 else ("core",))
    begun, is_open = 0, False
    for at in range(STEPS):
        (words, ) = random.choices([words for words, _ in kinds], [often for _, often in kinds])
        if at - begun > BLOCK:
            words = ["COMMIT", "ROLLBACK"]
        setting = random.choice(list(SETTINGS))
        text = random.choice(words).format(
            s=setting, v=random.choice(SETTINGS[setting]), b=random.choice(["true", "false"]), p=random.choice("abc"),
            n=random.choice(["p1", "p2", "p3"]), i=random.randint(1, 4))
        is_open = text == "BEGIN" or (is_open and text not in ("COMMIT", "ROLLBACK"))
        begun = begun if is_open else at + 1
        talk.steps.append(Step(text))
    talk.steps += [Step("ROLLBACK"), *(Step(f"SELECT current_setting('{name}', true)") for name in SETTINGS)]
    return talk

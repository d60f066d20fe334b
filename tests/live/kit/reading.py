"""
reading.py - a database with much in it that acts although a SELECT is all one sees, and statements that meet it or don't.

Whatever acts calls act(): it appends the application_name of its session to a file, which no rollback and no crash undoes.
Each statement naps (pg_sleep) after that, for as long as table nap says: so that it is in flight when its server ends.
"""

from __future__ import annotations

OBJECTS = r"""
CREATE TABLE nap (s float8);
INSERT INTO nap VALUES (0);
CREATE FUNCTION act() RETURNS int VOLATILE LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	COPY (SELECT current_setting('application_name')) TO PROGRAM 'cat >> FILE';
	RETURN 1;
END $$;
CREATE FUNCTION acts_sql() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT act()';
CREATE FUNCTION is_act(int) RETURNS boolean VOLATILE LANGUAGE sql AS 'SELECT act() = 1';
CREATE FUNCTION two() RETURNS int STABLE LANGUAGE sql AS 'SELECT 2';
CREATE FUNCTION three(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 3; END';
CREATE FUNCTION rows_of(int) RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT generate_series(1, $1)';
CREATE FUNCTION with_default(a int, b int DEFAULT act()) RETURNS int STABLE LANGUAGE sql AS 'SELECT a + b';
CREATE FUNCTION with_plain_default(a int, b int DEFAULT 7) RETURNS int STABLE LANGUAGE sql AS 'SELECT a + b';
CREATE FUNCTION mixed(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION mixed(text) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT act()';

-- names of PostgreSQL's that mean something else here
CREATE SCHEMA other;
CREATE FUNCTION other.upper(text) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT act()::text';
CREATE FUNCTION "substr"(text, int, int, int) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT act()::text';
CREATE FUNCTION other.initcap(text) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION plus_acts(int, text) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT act()';
CREATE OPERATOR other.# (LEFTARG = int, RIGHTARG = text, FUNCTION = plus_acts);
CREATE OPERATOR <~> (LEFTARG = int, RIGHTARG = text, FUNCTION = plus_acts);
CREATE FUNCTION plus_reads(int, text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE OPERATOR <@@> (LEFTARG = int, RIGHTARG = text, FUNCTION = plus_reads);
CREATE FUNCTION not_plus(int, text) RETURNS boolean VOLATILE LANGUAGE sql AS 'SELECT act() = 1';
CREATE FUNCTION is_plus(int, text) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR !!> (LEFTARG = int, RIGHTARG = text, FUNCTION = not_plus);
CREATE OPERATOR ==> (LEFTARG = int, RIGHTARG = text, FUNCTION = is_plus, NEGATOR = !!>);
CREATE FUNCTION sum_acts(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT $1 + act()';
CREATE AGGREGATE total_acts(int) (SFUNC = sum_acts, STYPE = int, INITCOND = 0);
CREATE FUNCTION sum_reads(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + coalesce($2, 0)';
CREATE AGGREGATE total(int) (SFUNC = sum_reads, STYPE = int, INITCOND = 0);
CREATE FUNCTION final_acts(int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT act()';
CREATE AGGREGATE total_late(int) (SFUNC = sum_reads, STYPE = int, FINALFUNC = final_acts, INITCOND = 0);

CREATE TABLE t (id int PRIMARY KEY, a int, b text, j jsonb, tags int[]);
INSERT INTO t SELECT i, i, 'x' || i, '{"k": 1}', ARRAY[i] FROM generate_series(1, 5) i;
CREATE TABLE "Tä""b le" ("c ö" int);
INSERT INTO "Tä""b le" VALUES (1);
CREATE TABLE parted (id int, v int) PARTITION BY LIST (v);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
INSERT INTO parted VALUES (1, 1);
CREATE SEQUENCE seq;
CREATE TYPE mood AS ENUM ('ok', 'bad');
CREATE TYPE pair AS (x int, y int);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE typed (m mood, p pair, d positive);
INSERT INTO typed VALUES ('ok', (1, 2), 3);
CREATE MATERIALIZED VIEW kept AS SELECT a, act() AS acted FROM t WHERE id < 3;

CREATE VIEW view_reads AS SELECT a, upper(b) AS b FROM t WHERE two() > 1;
CREATE VIEW view_acts AS SELECT a, act() AS acted FROM t WHERE id = 1;
CREATE VIEW view_of_view AS SELECT a FROM view_acts;
CREATE VIEW view_of_view_of_view AS SELECT v.a FROM t JOIN (SELECT * FROM view_of_view) v USING (a);
CREATE VIEW view_draws AS SELECT nextval('seq') AS n;
CREATE VIEW view_locks AS SELECT pg_try_advisory_lock(7) AS got;
CREATE VIEW view_sets AS SELECT set_config('my.v', 'x', false);
CREATE VIEW view_sub AS SELECT a FROM t WHERE EXISTS (SELECT 1 WHERE act() = 1) AND id = 1;
CREATE VIEW view_union AS SELECT 1 AS a UNION ALL SELECT act();
CREATE VIEW view_window AS SELECT sum(act()) OVER () AS s FROM t WHERE id = 1;
CREATE VIEW view_case AS SELECT CASE WHEN a = 1 THEN act() END AS x FROM t;
CREATE VIEW view_operator AS SELECT a <~> b AS x FROM t WHERE id = 1;
CREATE VIEW view_aggregate AS SELECT total_acts(a) AS x FROM t WHERE id = 1;
CREATE VIEW view_lateral AS SELECT f FROM t, LATERAL act() f WHERE id = 1;
CREATE VIEW view_default AS SELECT with_default(1) AS x;
CREATE VIEW view_id AS SELECT txid_current() AS x;
CREATE VIEW view_clock AS SELECT clock_timestamp() AS at, random() AS r;
CREATE RECURSIVE VIEW view_recursive (n) AS SELECT 1 UNION ALL SELECT n + act() FROM view_recursive WHERE n < 2;
CREATE VIEW view_ruled AS SELECT 1 AS a;
CREATE RULE instead AS ON INSERT TO view_ruled DO INSTEAD SELECT act();

CREATE TABLE policed (id int);
INSERT INTO policed VALUES (1);
ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON policed USING (is_act(id));
CREATE TABLE policed_by_query (id int);
INSERT INTO policed_by_query VALUES (1);
ALTER TABLE policed_by_query ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON policed_by_query USING (EXISTS (SELECT 1 FROM view_acts));
CREATE TABLE policed_well (id int, owner text);
INSERT INTO policed_well VALUES (1, 'app');
ALTER TABLE policed_well ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON policed_well USING (owner = current_user AND two() = 2);
CREATE VIEW view_policed AS SELECT * FROM policed;
CREATE TABLE ruled (id int);
INSERT INTO ruled VALUES (1);
CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT act();
CREATE TABLE plain (id int);

CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE elsewhere (l text) SERVER files OPTIONS (program 'echo reads >> FILE; echo 1');
CREATE TABLE parted_far (id int, v int) PARTITION BY LIST (v);
CREATE FOREIGN TABLE parted_far_1 PARTITION OF parted_far FOR VALUES IN (1) SERVER files OPTIONS (program 'echo 1,1', format 'csv');
CREATE FUNCTION full_name(t) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT act()::text';
CREATE FUNCTION short_name(t) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1.b';
CREATE SCHEMA tenant;
CREATE VIEW tenant.shared_name AS SELECT act() AS a;
CREATE TABLE shared_name (a int);
INSERT INTO shared_name VALUES (1);
GRANT ALL ON SCHEMA other, tenant TO app;
GRANT ALL ON ALL TABLES IN SCHEMA public, tenant TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
GRANT pg_execute_server_program TO app;
"""

NAP = "(SELECT pg_sleep(s) FROM nap)"

# Each of them can be run twice, and nobody could tell.
READS = r"""
SELECT {nap}
SELECT 1, 'a', {nap}
SELECT now(), {nap}
SELECT a + 1, {nap} FROM t WHERE id = 3
SELECT a, b, j -> 'k', tags[1], {nap} FROM t WHERE j @> '{"k": 1}' ORDER BY a DESC LIMIT 2
SELECT count(*), max(a), string_agg(b, ',') FROM t, (SELECT {nap}) n
SELECT DISTINCT a % 2 FROM t, (SELECT {nap}) n GROUP BY a HAVING count(*) > 0
SELECT rank() OVER (ORDER BY a), {nap} FROM t
SELECT x.a FROM t x JOIN t y USING (id) LEFT JOIN t z ON z.id = y.a, (SELECT {nap}) n
WITH c AS (SELECT a FROM t), d AS (SELECT {nap}) SELECT * FROM c, d
WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3) SELECT n, {nap} FROM c
SELECT 1 UNION SELECT 2 FROM (SELECT {nap}) n INTERSECT SELECT 2
VALUES (1, 'x'), (2, {nap}::text)
TABLE t UNION ALL SELECT 1, 1, 'x', NULL, NULL FROM (SELECT {nap}) n
SELECT clock_timestamp(), random(), gen_random_uuid(), {nap}
SELECT current_user, current_date, current_setting('search_path'), version(), {nap}
SELECT pg_backend_pid(), pg_is_in_recovery(), inet_server_port(), {nap}
SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, coalesce(b, 'z'), nullif(a, 2), greatest(a, 3), {nap} FROM t
SELECT a::text, '2020-01-01'::date + interval '1 day', CAST(b AS varchar(10)), {nap} FROM t
SELECT a IN (1, 2, 3), a BETWEEN 1 AND 3, b LIKE 'x%', b ~ 'x', b SIMILAR TO 'x', {nap} FROM t
SELECT EXISTS (SELECT 1 FROM t WHERE a = 2), a = ANY (ARRAY[1, 2]), {nap} FROM t
SELECT extract(year FROM now()), date_trunc('day', now()), to_char(now(), 'YYYY'), {nap}
SELECT json_agg(t), row_to_json(t), jsonb_build_object('a', a), {nap} FROM t GROUP BY t.a, t.*
SELECT g, {nap} FROM generate_series(1, 3) g
SELECT unnest(tags), {nap} FROM t
SELECT 'a' || b || 'c', length(b), lower(b), {nap} FROM t
SELECT initcap('x'), {nap}
SELECT two(), three(1), {nap}
SELECT public.two(), {nap}
SELECT r, {nap} FROM rows_of(3) r
SELECT with_plain_default(1), {nap}
SELECT a <@@> b, {nap} FROM t
SELECT a OPERATOR(public.<@@>) b, {nap} FROM t
SELECT total(a), {nap} FROM t
SELECT total(a) OVER (ORDER BY id), {nap} FROM t
SELECT * FROM view_reads, (SELECT {nap}) n
SELECT * FROM view_clock, (SELECT {nap}) n
SELECT * FROM kept, (SELECT {nap}) n
SELECT last_value, {nap} FROM seq
SELECT *, {nap} FROM parted WHERE v = 1
SELECT *, {nap} FROM ruled
SELECT *, {nap} FROM policed_well
SELECT *, {nap} FROM view_ruled
SELECT "c ö", {nap} FROM "Tä""b le"
SELECT T.A, {nap} FROM T t
SELECT m, (p).x, d, {nap} FROM typed
SELECT 'ok'::mood, '(1,2)'::pair, 3::positive, {nap}
SELECT t.short_name, {nap} FROM t
SELECT /* act() */ 'act()', {nap} -- act()
SELECT $$act()$$, E'\'act()', U&'\0041', {nap}
SELECT relname, {nap} FROM pg_class WHERE relname = 't'
SELECT table_name, {nap} FROM information_schema.tables WHERE table_name = 't'
SELECT datname, {nap} FROM pg_stat_database
SELECT count(*), {nap} FROM pg_locks
SELECT name, {nap} FROM pg_settings WHERE name = 'work_mem'
SELECT *, {nap} FROM t WHERE id = 1 FOR UPDATE
SELECT *, {nap} FROM t WHERE id = 2 FOR SHARE OF t SKIP LOCKED
SELECT *, {nap} FROM t TABLESAMPLE BERNOULLI (100)
SELECT a, {nap} FROM t ORDER BY a FETCH FIRST 2 ROWS WITH TIES
EXPLAIN ANALYZE SELECT {nap}
EXPLAIN (ANALYZE, COSTS OFF) SELECT a, {nap} FROM t
COPY (SELECT a, {nap} FROM t) TO STDOUT
COPY (SELECT {nap} FROM view_reads) TO STDOUT WITH (FORMAT csv)
SELECT 1; SELECT 2, {nap}
SHOW work_mem; SELECT {nap}
SELECT xmlelement(name a, b), {nap} FROM t
SELECT GROUPING(a), a, {nap} FROM t GROUP BY ROLLUP (a)
SELECT array_agg(a ORDER BY a) FILTER (WHERE a > 1), {nap} FROM t
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), {nap} FROM t
SELECT (SELECT max(id) FROM t t2 WHERE t2.a <= t.a), {nap} FROM t
SELECT pg_catalog.lower('X'), {nap}
SELECT to_tsvector('english', b) @@ to_tsquery('x'), {nap} FROM t
"""

# None of them may be run a second time.
DOUBTS = r"""
SELECT act(), {nap}
SELECT acts_sql(), {nap}
SELECT public.act(), {nap}
SELECT PUBLIC.ACT(), {nap}
SELECT "act"(), {nap}
SELECT act() AS "select 1", {nap}
SELECT a, act(), {nap} FROM t WHERE id = 1
SELECT 1, {nap} FROM t WHERE act() = 1 AND id = 1
SELECT (SELECT act()), {nap}
SELECT {nap}, x FROM (SELECT act() AS x OFFSET 0) y
WITH c AS MATERIALIZED (SELECT act()) SELECT *, {nap} FROM c
SELECT 1, {nap} ORDER BY act()
SELECT 1, {nap} LIMIT act()
SELECT CASE WHEN true THEN act() END, {nap}
SELECT coalesce(NULL, act()), {nap}
SELECT f, {nap} FROM act() f
SELECT f, {nap} FROM t, LATERAL act() f WHERE id = 1
SELECT f, {nap} FROM ROWS FROM (act()) f
VALUES (act(), {nap}::text)
SELECT sum(act()), {nap}
SELECT 1 UNION ALL SELECT act() FROM (SELECT {nap}) n
SELECT 1; SELECT act(), {nap}
SELECT act(); SELECT {nap}
SHOW work_mem; SELECT act(), {nap}
SELECT mixed('x'), {nap}
SELECT mixed(1), {nap}
SELECT upper('x'), {nap}
SELECT UPPER(b), {nap} FROM t WHERE id = 1
SELECT other.upper('x'), {nap}
SELECT substr('abc', 1, 2, 3), {nap}
SELECT with_default(1), {nap}
SELECT with_default(1, 2), {nap}
SELECT 1 # 2, {nap}
SELECT 1 OPERATOR(other.#) 'x', {nap}
SELECT a <~> b, {nap} FROM t WHERE id = 1
SELECT a ==> b, {nap} FROM t WHERE id = 1
SELECT total_acts(a), {nap} FROM t WHERE id = 1
SELECT total_acts(a) OVER (), {nap} FROM t WHERE id = 1
SELECT total_late(a), {nap} FROM t WHERE id = 1
SELECT *, {nap} FROM view_acts
SELECT *, {nap} FROM view_of_view
SELECT a, {nap} FROM view_of_view_of_view
TABLE view_acts UNION ALL SELECT 1, 1 FROM (SELECT {nap}) n
SELECT *, {nap} FROM view_draws
SELECT *, {nap} FROM view_locks
SELECT *, {nap} FROM view_sets
SELECT *, {nap} FROM view_sub
SELECT *, {nap} FROM view_union
SELECT *, {nap} FROM view_window
SELECT *, {nap} FROM view_case WHERE x = 1
SELECT *, {nap} FROM view_operator
SELECT *, {nap} FROM view_aggregate
SELECT *, {nap} FROM view_lateral
SELECT *, {nap} FROM view_default
SELECT *, {nap} FROM view_id
SELECT *, {nap} FROM view_recursive
SELECT *, {nap} FROM policed
SELECT *, {nap} FROM policed_by_query
SELECT *, {nap} FROM view_policed
SELECT *, {nap} FROM elsewhere
SELECT *, {nap} FROM parted_far
SELECT t.full_name, {nap} FROM t WHERE id = 1
SELECT (t).full_name, {nap} FROM t WHERE id = 1
SELECT full_name(t), {nap} FROM t WHERE id = 1
SELECT *, {nap} FROM shared_name
SELECT *, {nap} FROM tenant.shared_name
SELECT *, {nap} FROM public.shared_name s JOIN tenant.shared_name USING (a)
COPY (SELECT act(), {nap}) TO STDOUT
COPY (SELECT *, {nap} FROM view_acts) TO STDOUT
EXPLAIN ANALYZE SELECT act(), {nap}
EXPLAIN ANALYZE SELECT *, {nap} FROM view_acts
SELECT nextval('seq'), {nap}
SELECT pg_catalog.nextval('seq'), {nap}
SELECT setval('seq', 5), {nap}
SELECT set_config('my.v', 'x', false), {nap}
SELECT pg_advisory_lock(1), {nap}
SELECT pg_advisory_xact_lock(2), {nap}
SELECT pg_try_advisory_lock(3), {nap}
SELECT txid_current(), {nap}
SELECT pg_current_xact_id(), {nap}
SELECT pg_notify('c', 'x'), {nap}
SELECT lo_create(0), {nap}
SELECT lo_from_bytea(0, 'x'), {nap}
SELECT query_to_xml('SELECT act()', true, true, ''), {nap}
SELECT table_to_xml('view_acts', true, true, ''), {nap}
SELECT * FROM ts_stat('SELECT to_tsvector(act()::text)'), (SELECT {nap}) n
SELECT pg_stat_clear_snapshot(), {nap}
SELECT pg_logical_emit_message(false, 'a', 'b'), {nap}
SELECT pg_cancel_backend(0), {nap}
SELECT a.acted, {nap} FROM view_acts a
INSERT INTO t (id) SELECT 100 + act() FROM (SELECT {nap} OFFSET 0) n
INSERT INTO view_ruled SELECT 1 FROM (SELECT {nap}) n
INSERT INTO ruled SELECT 1 FROM (SELECT {nap}) n
UPDATE t SET a = a + act() - 1 FROM (SELECT {nap} OFFSET 0) n WHERE id = 4
DELETE FROM t WHERE id = 1000 + act() OR {nap} IS NULL
WITH c AS (INSERT INTO plain VALUES (2) RETURNING id) SELECT *, {nap} FROM c
WITH c AS (UPDATE t SET a = a RETURNING id) SELECT id, {nap} FROM c
MERGE INTO t USING (SELECT 5 AS i, {nap} AS n OFFSET 0) s ON id = s.i WHEN MATCHED THEN UPDATE SET a = a + act()
SELECT act() AS i, {nap}::text AS n INTO made_by_select
CREATE TABLE made AS SELECT act(), {nap}::text AS n
COPY (INSERT INTO plain VALUES (3) RETURNING {nap}) TO STDOUT
EXPLAIN ANALYZE INSERT INTO plain SELECT act() FROM (SELECT {nap} OFFSET 0) n
DO 'BEGIN PERFORM act(); PERFORM pg_sleep(s) FROM nap; END'
"""


# They fail; and nobody can say what they would be if they did not.
MISSING = r"""
SELECT no_such_function(), {nap}
SELECT *, {nap} FROM no_such_table
SELECT 'x'::no_such_type, {nap}
SELECT 1 OPERATOR(public.@@@@) 2, {nap}
"""

# What makes everything doubtful, or much; and a statement that is.
POISON = {
    "cast": ("CREATE FUNCTION acts(text) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';"
             "CREATE CAST (text AS int) WITH FUNCTION acts(text)", "SELECT a FROM t"),
    "operator_class": ("CREATE FUNCTION acts(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';"
                       "CREATE OPERATOR CLASS mine FOR TYPE int USING btree AS FUNCTION 1 acts(int, int)",
                       "SELECT a FROM t ORDER BY a"),
    "range": ("CREATE FUNCTION acts(text, text) RETURNS float8 VOLATILE LANGUAGE sql AS 'SELECT 1.0::float8';"
              "ALTER FUNCTION acts(text, text) IMMUTABLE;"
              "CREATE TYPE textrange AS RANGE (SUBTYPE = text, SUBTYPE_DIFF = acts);"
              "ALTER FUNCTION acts(text, text) VOLATILE", "SELECT a FROM t"),
    "domain": ("CREATE DOMAIN positive AS int CHECK (acts(VALUE) > 0)", "SELECT 1::positive"),
    "domain_of_a_column": ("CREATE DOMAIN positive AS int CHECK (acts(VALUE) > 0); CREATE TABLE u (p positive)",
                           "SELECT p FROM u"),
    "domain_elsewhere": ("CREATE DOMAIN positive AS int CHECK (acts(VALUE) > 0);"
                         "CREATE FUNCTION reads() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'", "SELECT reads()"),
}


def lines(block: str) -> list[str]:
    return [line.replace("{nap}", NAP) for line in block.strip().splitlines()]

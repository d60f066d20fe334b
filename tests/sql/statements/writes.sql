--- Data
-- insert writes | r:t!
INSERT INTO t(id, a) VALUES (1, 2)

-- insert writes | r:t!
INSERT INTO t DEFAULT VALUES

-- insert writes | r:public.t! r:s
INSERT INTO public.t SELECT * FROM s

-- insert writes | r:t!
INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a RETURNING *

-- update writes | r:t!
UPDATE t SET a = a + 1 WHERE id = 1

-- update writes | r:t! r:s
UPDATE t SET (a, b) = (SELECT 1, 'x') FROM s WHERE s.id = t.id

-- update writes session ask-session | fetch(c) | r:t!
UPDATE t SET a = 1 WHERE CURRENT OF c

-- delete writes | r:t! r:s
DELETE FROM t USING s WHERE s.id = t.id RETURNING t.id

-- merge writes | r:t! r:s
MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT (id) VALUES (1)

-- select writes | r:d~ r:t!
WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d

-- select writes | r:e~ r:t!
WITH d AS (INSERT INTO t(id) VALUES (1) RETURNING id), e AS (SELECT 1) SELECT * FROM e

-- select writes | r:x~ r:t!
SELECT * FROM (WITH x AS (UPDATE t SET a = 1 RETURNING a) SELECT * FROM x) y

-- insert writes | r:t! r:c~
WITH c AS (SELECT 1) INSERT INTO t(id) SELECT * FROM c

-- other writes | r:t
TRUNCATE t

-- other writes | r:t
TRUNCATE t RESTART IDENTITY CASCADE

-- select locks leader-only | r:t
SELECT * FROM t FOR UPDATE

-- select locks leader-only | r:t
SELECT * FROM t FOR SHARE OF t SKIP LOCKED

-- select locks leader-only | r:t
SELECT * FROM t FOR NO KEY UPDATE NOWAIT

-- select locks leader-only | r:t
SELECT * FROM (SELECT * FROM t FOR KEY SHARE) x

-- select locks leader-only | r:c~ r:t
WITH c AS (SELECT * FROM t FOR UPDATE) SELECT * FROM c

-- select writes | r:x
SELECT 1 INTO x

-- select writes session | temporary(x) | r:x r:t
SELECT a INTO TEMP x FROM t

-- select writes | r:y
SELECT 1 UNION SELECT 2 INTO y

-- copy writes copy-in | r:t!
COPY t FROM STDIN

-- copy writes | r:t!
COPY t (a) FROM '/tmp/x'

-- copy writes | r:t
COPY t TO '/tmp/x'

-- copy writes | r:t
COPY t TO PROGRAM 'cat'

-- copy writes copy-out | r:t!
COPY (DELETE FROM t RETURNING a) TO STDOUT

-- copy writes session ask-names copy-out | sequence | f:nextval/1
COPY (SELECT nextval('seq')) TO STDOUT

-- explain writes | r:t!
EXPLAIN ANALYZE DELETE FROM t

-- explain writes | r:t!
EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1

-- explain writes | r:t!
EXPLAIN (ANALYZE true) INSERT INTO t(id) VALUES (1)

-- explain writes | r:t!
EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM t

-- explain writes | r:t!
EXPLAIN (ANALYZE 1) DELETE FROM t

-- explain writes | r:t!
EXPLAIN (ANALYZE 'on') DELETE FROM t

-- explain writes | r:x
EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1

-- explain writes session ask-names | sequence | f:nextval/1
EXPLAIN ANALYZE SELECT nextval('seq')

-- select reads ; delete writes | r:t!
SELECT 1; DELETE FROM t

-- begin reads begins ; delete writes ; commit ends | r:t!
BEGIN; DELETE FROM t; COMMIT

--- Functions
-- select writes session ask-names | sequence | f:nextval/1
SELECT nextval('seq')

-- select writes session ask-names | sequence sequence-read sequence-read | f:setval/2 f:currval/1 f:lastval/0
SELECT setval('seq', 1), currval('seq'), lastval()

-- select writes session ask-names | sequence | f:pg_catalog.nextval/1
SELECT pg_catalog.nextval('seq')

-- select ask-names | f:mine.nextval/1
SELECT mine.nextval('seq')

-- select ask-names | f:f/2 f:s.f/1 f:f/*
SELECT f(1, 2), s.f(1), f(VARIADIC ARRAY[1])

-- select ask-names | f:f/1
SELECT * FROM f(1) AS x

-- select ask-names | r:t f:f/1
SELECT * FROM t WHERE f(a)

-- select ask-names | f:f/1 r:t
SELECT count(*) FILTER (WHERE f(a)) FROM t

-- select ask-names | r:t f:f/1
SELECT * FROM t ORDER BY f(a)

-- select ask-names | r:t f:f/1
SELECT * FROM t LIMIT f(1)

-- select ask-names | r:t f:f/1
SELECT 1 FROM t GROUP BY f(a)

-- select ask-names | f:f/1 r:t
SELECT sum(a) OVER (PARTITION BY f(a)) FROM t

-- select ask-names | f:f/1 r:t
SELECT CASE WHEN true THEN f(a) END FROM t

-- select ask-names | f:f/1 r:t
SELECT ARRAY[f(1)], arr[f(1)], ROW(f(1)), COALESCE(NULL, f(1)), GREATEST(1, f(1)) FROM t

-- select ask-names | f:f/1
SELECT (SELECT f(1)), EXISTS (SELECT f(1))

-- select ask-names | f:f/1
SELECT x.* FROM LATERAL f(1) x

-- select ask-names | f:f/1 f:g/1
SELECT * FROM ROWS FROM (f(1), g(2)) AS r

-- select ask-names | f:f/1
SELECT xmlelement(name a, f(1))

-- select ask-names | f:mine/1 r:t
SELECT * FROM t TABLESAMPLE mine (1)

-- select ask-names | r:t f:f/1
SELECT * FROM t TABLESAMPLE system (f(1))

-- select ask-names | f:f/1 f:g/1
SELECT * FROM XMLTABLE('/r' PASSING f(1) COLUMNS n int PATH '.' DEFAULT g(1))

-- select ask-names | f:f/1
VALUES (f(1))

-- select ask-names | f:txid_current/0
SELECT txid_current()

-- select ask-names | f:pg_current_xact_id/0
SELECT pg_current_xact_id()

-- select ask-names | f:query_to_xml/4
SELECT query_to_xml('delete from t', true, true, '')

-- select ask-names | f:table_to_xml/4
SELECT table_to_xml('v', true, true, '')

-- select writes ask-names | notify(channel) | f:pg_notify/2
SELECT pg_notify('channel', 'x')

-- select ask-names | f:lo_create/1 f:lo_unlink/1 f:lo_import/1
SELECT lo_create(0), lo_unlink(1), lo_import('/x')

-- select ask-names | f:dblink_exec/2
SELECT dblink_exec('x', 'delete from t')

-- select ask-names | f:pg_terminate_backend/1 f:pg_reload_conf/0 f:pg_switch_wal/0
SELECT pg_terminate_backend(1), pg_reload_conf(), pg_switch_wal()

-- select ask-names | f:pg_is_in_recovery/0 f:pg_current_wal_lsn/0
SELECT pg_is_in_recovery(), pg_current_wal_lsn()

-- select ask-names | o:### r:t
SELECT a ### b FROM t

-- select ask-names | o:mine.+ r:t
SELECT a OPERATOR(mine.+) b FROM t

-- select ask-names | o:public.= r:t
SELECT a OPERATOR(public.=) ANY (SELECT 1) FROM t

-- select ask-names | r:t o:###
SELECT a FROM t ORDER BY a USING ###

-- select ask-names | o:### r:t
SELECT ### a FROM t

-- select ask-names | t:mytype t:public.mytype r:t
SELECT 'x'::mytype, CAST(a AS public.mytype), mytype 'x', '{}'::mytype[] FROM t

-- select ask-names | f:f/1 t:mytype
SELECT * FROM f(1) AS x(a mytype)

-- select reads | r:t
SELECT t.f, (t).g, (t.j).h FROM t

--- Definitions
-- other writes ask-names | r:x f:f/1
CREATE TABLE x (a int PRIMARY KEY, b text DEFAULT f(1))

-- other writes | r:x
CREATE TABLE x AS SELECT 1

-- other writes | r:x r:t
CREATE TABLE x PARTITION OF t FOR VALUES IN (1)

-- other writes | r:t
CREATE INDEX ON t (a)

-- other writes no-block | r:t
CREATE INDEX CONCURRENTLY i ON t (a)

-- other writes no-block
DROP INDEX CONCURRENTLY i

-- other writes
DROP TABLE x

-- other writes | r:t
ALTER TABLE t ADD c int

-- other writes no-block | r:t r:x
ALTER TABLE t DETACH PARTITION x CONCURRENTLY

-- other writes | r:t r:x
ALTER TABLE t DETACH PARTITION x

-- other writes | r:w
CREATE VIEW w AS SELECT 1

-- other writes | r:m
CREATE MATERIALIZED VIEW m AS SELECT 1

-- other writes | r:m
REFRESH MATERIALIZED VIEW m

-- other writes
CREATE FUNCTION h() RETURNS int LANGUAGE sql AS 'select 1'

-- other writes
CREATE FUNCTION h() RETURNS int BEGIN ATOMIC; SELECT 1; END

-- other writes
CREATE TYPE e AS ENUM ('a')

-- other writes | r:x
CREATE SCHEMA n CREATE TABLE x (a int)

-- other writes
CREATE EXTENSION x

-- other writes
CREATE ROLE r PASSWORD 'x'

-- other writes | r:t
GRANT SELECT ON t TO r

-- other writes
COMMENT ON TABLE t IS 'x'

-- other writes
ALTER ROLE r SET work_mem = '1MB'

-- other writes
ALTER DATABASE d SET work_mem = '1MB'

-- other writes no-block
ALTER DATABASE d SET TABLESPACE x

-- other writes no-block
ALTER SYSTEM SET work_mem = '1MB'

-- other writes no-block
CREATE DATABASE d

-- other writes no-block
DROP DATABASE d

-- other writes no-block
CREATE TABLESPACE x LOCATION '/x'

-- other writes no-block
VACUUM

-- other writes no-block | r:t
VACUUM (ANALYZE) t

-- other writes | r:t
ANALYZE t

-- other writes no-block
CLUSTER

-- other writes | r:t
CLUSTER t USING i

-- other writes | r:t
REINDEX TABLE t

-- other writes no-block | r:t
REINDEX TABLE CONCURRENTLY t

-- other writes no-block | r:i
REINDEX (CONCURRENTLY) INDEX i

-- other writes no-block
REINDEX DATABASE d

-- other writes | r:m
REFRESH MATERIALIZED VIEW CONCURRENTLY m

-- other writes locks leader-only | r:w r:t
CREATE VIEW w AS SELECT * FROM t FOR UPDATE

-- other writes
CHECKPOINT

-- other writes no-block
CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p

-- other writes no-block
DROP SUBSCRIPTION s

-- other writes | r:t r:s!
CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; DELETE FROM s)

-- call writes ask-names code | f:p/2
CALL p(1, 'x')

-- call writes ask-names code | f:public.p/0
CALL public.p()

-- do writes code
DO $$BEGIN PERFORM set_config('a', 'b', false); END$$

-- lock locks leader-only | r:t
LOCK TABLE t

-- lock locks leader-only | r:t
LOCK t IN ACCESS SHARE MODE

-- other writes transaction
SET CONSTRAINTS ALL IMMEDIATE

-- other writes
SECURITY LABEL ON TABLE t IS 'x'

-- other writes
IMPORT FOREIGN SCHEMA s FROM SERVER f INTO public

-- other writes
REASSIGN OWNED BY r TO s


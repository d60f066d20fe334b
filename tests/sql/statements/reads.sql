--- Plain reading. The tables are those of tests/live/test_sql.py, which runs all that is said to read.
-- select reads
SELECT 1

-- select reads
select 1 as one, 'two', 3.5, null, true, $$four$$, E'fi\\ve', b'101', x'1f'

-- select reads | r:t
SELECT a, b FROM t WHERE id = 1

-- select reads | r:t
SELECT * FROM t

-- select reads | r:t
SELECT t.* FROM t

-- select reads | r:t
SELECT t FROM t

-- select reads | r:public.t
SELECT public.t.a FROM public.t

-- select reads | r:t
TABLE t

-- select reads | r:t
TABLE ONLY t

-- select reads
VALUES (1, 'a'), (2, 'b')

-- select reads | r:t
SELECT FROM t

-- select reads | r:t
SELECT DISTINCT a FROM t ORDER BY a DESC NULLS LAST LIMIT 10 OFFSET 2

-- select reads | r:t
SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b USING <

-- select reads | r:t
SELECT a, count(*), sum(a) FILTER (WHERE a > 1), array_agg(b ORDER BY b) FROM t GROUP BY a HAVING count(*) > 0

-- select reads | r:t
SELECT a, b, grouping(a) FROM t GROUP BY GROUPING SETS ((a), (b), ())

-- select reads | r:t
SELECT a FROM t GROUP BY ROLLUP (a)

-- select reads | r:t
SELECT rank() OVER w, row_number() OVER (PARTITION BY a ORDER BY b) FROM t WINDOW w AS (ORDER BY a)

-- select reads | r:t
SELECT sum(a) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t

-- select reads | r:t
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t

-- select reads | r:t r:s
SELECT x.a FROM t AS x JOIN s USING (id) LEFT JOIN t y ON x.id = y.id

-- select reads | r:t r:s
SELECT count(*) FROM t NATURAL JOIN s

-- select reads | r:t r:s
SELECT * FROM t CROSS JOIN s

-- select reads | r:t r:s
SELECT * FROM t, LATERAL (SELECT s.id FROM s WHERE s.id = t.id) l

-- select reads | r:t r:s
SELECT a FROM t UNION SELECT id FROM s

-- select reads | r:t r:s
SELECT a FROM t UNION ALL SELECT id FROM s EXCEPT SELECT 1 INTERSECT SELECT 2

-- select reads
(SELECT 1) UNION ALL (SELECT 2 ORDER BY 1 LIMIT 1)

-- select reads | r:c~ r:t
WITH c AS (SELECT a FROM t) SELECT * FROM c

-- select reads | r:c~
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT n FROM c

-- select reads | r:c~ r:d~ r:t
WITH c AS MATERIALIZED (SELECT 1 AS x), d AS (SELECT x FROM c) SELECT * FROM c, d, t

-- select reads | r:c~
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SEARCH DEPTH FIRST BY n SET o CYCLE n SET k USING p SELECT n FROM c

-- select reads | r:t r:s
SELECT (SELECT max(a) FROM t), EXISTS (SELECT 1 FROM s), ARRAY(SELECT id FROM s)

-- select reads | r:s r:t
SELECT a IN (1, 2, 3), a NOT IN (SELECT id FROM s), a = ANY (SELECT id FROM s), a <> ALL (ARRAY[1, 2]) FROM t

-- select reads | r:t
SELECT a BETWEEN 1 AND 2, a NOT BETWEEN SYMMETRIC 2 AND 1, b LIKE 'x%', b NOT ILIKE 'x%', b SIMILAR TO 'x' FROM t

-- select reads | r:t
SELECT a IS DISTINCT FROM 1, a IS NULL, (a > 1) IS TRUE, NULLIF(a, 1), COALESCE(a, 0), GREATEST(a, 1), LEAST(a, 1) FROM t

-- select reads | r:t
SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN a > 1 THEN 1 END FROM t

-- select reads | r:t
SELECT (a, b) = (1, 'x'), ROW(1, 2), ROW(a, b) < ROW(1, 'x') FROM t

-- select reads | r:t
SELECT arr[1], arr[1:2], array_length(arr, 1), ARRAY[1, 2] || arr FROM t

-- select reads | r:t
SELECT a::text, CAST(a AS bigint), '1'::int, int '1', date '2020-01-01', interval '1 day', timestamptz 'now' FROM t

-- select reads
SELECT 'x'::varchar(10), 1::numeric(10, 2), 'a'::"char", '{1}'::int[], 'pg_class'::regclass

-- select reads
SELECT CURRENT_DATE, CURRENT_TIMESTAMP(3), LOCALTIME, CURRENT_USER, SESSION_USER, CURRENT_CATALOG, CURRENT_SCHEMA

-- select reads
SELECT now(), statement_timestamp(), clock_timestamp(), random() < 2, gen_random_uuid() IS NULL

-- select reads
SELECT extract(year FROM now()), date_trunc('day', now()), now() AT TIME ZONE 'UTC', age(now()), to_char(now(), 'YYYY')

-- select reads
SELECT substring('abc' FROM 2 FOR 1), trim(both 'x' FROM 'xax'), position('a' IN 'bab'), overlay('abc' placing 'x' FROM 2), normalize('a')

-- select reads | r:t
SELECT lower(b), upper(b), length(b), b || 'x', replace(b, 'a', 'b'), split_part(b, '.', 1), format('%s', b) FROM t

-- select reads | r:t
SELECT j -> 'a', j ->> 'a', j #> '{a,b}', j @> '{}', j ? 'a', jsonb_path_query(j, '$.a') FROM t

-- select reads | r:t
SELECT jsonb_build_object('a', 1), row_to_json(t), json_agg(a), to_jsonb(a) FROM t GROUP BY t.id, a

-- select reads
SELECT * FROM jsonb_to_recordset('[]') AS x(a int, b text)

-- select reads
SELECT * FROM generate_series(1, 3) g, unnest(ARRAY[1, 2]) WITH ORDINALITY u

-- select reads
SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY['a'])) AS r(x, y)

-- select reads
SELECT pg_catalog.lower('A'), 1 OPERATOR(pg_catalog.+) 2, '1'::pg_catalog.int4

-- select reads | r:t
SELECT to_tsvector('english', b) @@ plainto_tsquery('x') FROM t

-- select reads | r:t
SELECT regexp_replace(b, 'a', 'b'), b ~ 'x', regexp_matches(b, 'x') FROM t

-- select reads | r:t
SELECT * FROM t TABLESAMPLE SYSTEM (10)

-- select reads | r:t
SELECT * FROM t TABLESAMPLE bernoulli (10) REPEATABLE (1)

-- select reads
SELECT xmlelement(name a, xmlattributes(1 AS b), 'c'), xmlforest(1 AS x), xmlconcat('<a/>', '<b/>')

-- select reads
SELECT * FROM XMLTABLE('/r/x' PASSING ('<r><x>1</x></r>'::xml) COLUMNS n int PATH '.')

-- select reads
SELECT xmlserialize(content '<a/>'::xml AS text)

-- select reads | r:t
SELECT b COLLATE "C" FROM t ORDER BY b COLLATE "C"

-- select reads
SELECT $1::int + $2

-- select reads | r:t
SELECT a FROM t ORDER BY a FETCH FIRST 2 ROWS WITH TIES

-- select reads
SELECT make_interval(days => 2), make_interval(1, days => 2)

-- select reads
SELECT concat(VARIADIC ARRAY['a', 'b'])

-- select reads
SELECT pg_relation_size('t'), pg_total_relation_size('t'), pg_size_pretty(pg_database_size(current_database()))

-- select reads | r:pg_class
SELECT relname FROM pg_class WHERE oid = 't'::regclass

-- select reads | r:information_schema.tables
SELECT table_name FROM information_schema.tables LIMIT 1

-- select reads
SELECT current_setting('work_mem'), version(), pg_backend_pid() > 0

-- select reads
SELECT pg_sleep(0)

-- select reads
SELECT has_table_privilege('t', 'SELECT'), pg_get_viewdef('v'::regclass), pg_typeof(1)

-- select reads | r:My Table
SELECT "weird name", "a""b" FROM "My Table"

-- select reads
SELECT 1 /* a /* nested */ comment */ -- and one more

-- select reads
/* hint */ SELECT 1

-- select reads
SELECT 1;

-- select reads
SELECT 1;;

-- select reads ; select reads | r:t
SELECT 1; SELECT a FROM t

-- nothing
;

-- select reads
SELECT 'a'
'b'

-- select reads
SELECT U&'\0061', U&"\0061" FROM (SELECT 1 AS a) x

-- show reads | show(work_mem)
SHOW work_mem

-- show reads | show(all)
SHOW ALL

-- show reads | show(timezone)
SHOW TIME ZONE

-- show reads | show(transaction_isolation)
SHOW TRANSACTION ISOLATION LEVEL

-- show reads | show(session_authorization)
SHOW SESSION AUTHORIZATION

-- explain reads | r:t
EXPLAIN SELECT a FROM t

-- explain reads | r:t
EXPLAIN (COSTS off, FORMAT json) SELECT a FROM t

-- explain reads | r:t
EXPLAIN ANALYZE SELECT a FROM t

-- explain reads leader-only | r:t!
EXPLAIN (ANALYZE off) DELETE FROM t

-- explain reads leader-only | r:t!
EXPLAIN DELETE FROM t

-- explain reads
EXPLAIN SELECT nextval('seq')

-- explain reads leader-only | r:t!
EXPLAIN (VERBOSE) INSERT INTO t(id) VALUES (99)

-- copy reads copy-out | r:t
COPY t TO STDOUT

-- copy reads copy-out | r:t
COPY t (a, b) TO STDOUT WITH (FORMAT csv, HEADER)

-- copy reads copy-out | r:t
COPY (SELECT a FROM t) TO STDOUT

-- begin reads begins
BEGIN

-- begin reads begins read-only
BEGIN READ ONLY

-- begin reads begins read-only
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE

-- begin reads begins read-write
START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE

-- begin reads begins ; select reads
BEGIN; SELECT 1


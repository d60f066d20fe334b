--- Transactions
-- begin reads begins
START TRANSACTION

-- begin reads begins read-write
BEGIN WORK READ WRITE

-- commit ends
COMMIT

-- commit ends
END

-- commit ends and-chain
COMMIT AND CHAIN

-- commit ends
COMMIT AND NO CHAIN

-- rollback ends
ROLLBACK

-- rollback ends
ABORT

-- rollback ends and-chain
ROLLBACK AND CHAIN

-- savepoint(s1) subtransaction
SAVEPOINT s1

-- savepoint(S 1) subtransaction
SAVEPOINT "S 1"

-- release(s1) subtransaction
RELEASE SAVEPOINT s1

-- rollback-to(s1) subtransaction
ROLLBACK TO SAVEPOINT s1

-- rollback-to(s1) subtransaction
ROLLBACK TO s1

-- prepare-transaction(gid) writes ends
PREPARE TRANSACTION 'gid'

-- commit-prepared(gid) writes no-block
COMMIT PREPARED 'gid'

-- rollback-prepared(gid) writes no-block
ROLLBACK PREPARED 'gid'

-- set-transaction transaction read-only
SET TRANSACTION READ ONLY

-- set-transaction transaction read-write
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE

-- set-transaction transaction
SET TRANSACTION SNAPSHOT '00000003-0000001B-1'

-- set-transaction transaction read-only
SET LOCAL TRANSACTION READ ONLY

-- begin reads begins read-only ; select reads ; commit ends
BEGIN READ ONLY; SELECT 1; COMMIT

-- begin reads begins ; savepoint(a) subtransaction ; select reads ; rollback-to(a) subtransaction ; commit ends and-chain
BEGIN; SAVEPOINT a; SELECT 1; ROLLBACK TO a; COMMIT AND CHAIN

--- Settings
-- set session | set(search_path=a)
SET search_path = a

-- set session | set(search_path)
SET search_path = a, "B", 'c'

-- set session | reset(search_path)
SET search_path TO DEFAULT

-- set session | set(work_mem=4096)
SET SESSION work_mem = 4096

-- set session | set(work_mem=4MB)
SET work_mem = '4MB'

-- set transaction | set(work_mem=4MB)-local
SET LOCAL work_mem = '4MB'

-- set transaction | reset(work_mem)-local
SET LOCAL work_mem TO DEFAULT

-- set session | set(work_mem=1)
SET Work_Mem = 1

-- set session | set(datestyle)
SET "DateStyle" TO iso, dmy

-- set session | set(my.variable=x)
SET my.variable = 'x'

-- set session | set(my.variable=)
SET my.variable = ''

-- set session | set(seq_page_cost=1.5)
SET seq_page_cost = 1.5

-- set session | set(enable_seqscan=off)
SET enable_seqscan = off

-- set session | set(enable_seqscan=true)
SET enable_seqscan = true

-- set session | set(cursor_tuple_fraction)
SET cursor_tuple_fraction = -1

-- set session | set(timezone=UTC)
SET TIME ZONE 'UTC'

-- set session | reset(timezone)
SET TIME ZONE LOCAL

-- set session | reset(timezone)
SET TIME ZONE DEFAULT

-- set session | set(timezone)
SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE

-- set session | set(timezone)
SET TIME ZONE -7

-- set transaction | set(timezone=UTC)-local
SET LOCAL TIME ZONE 'UTC'

-- set session | set(client_encoding=utf8)
SET NAMES 'utf8'

-- set session | set(search_path=x)
SET SCHEMA 'x'

-- set session | set(role=r)
SET ROLE r

-- set session | set(role=none)
SET ROLE NONE

-- set transaction | set(role=r)-local
SET LOCAL ROLE r

-- set session | reset(role)
RESET ROLE

-- set session | set(session_authorization=u)
SET SESSION AUTHORIZATION u

-- set session | reset(session_authorization)
SET SESSION AUTHORIZATION DEFAULT

-- set session | reset(session_authorization)
RESET SESSION AUTHORIZATION

-- set session | set(default_transaction_read_only=on)
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY

-- set session | set(default_transaction_isolation=serializable) set(default_transaction_read_only=off) set(default_transaction_deferrable=off)
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE, NOT DEFERRABLE

-- set session | set(xmloption=DOCUMENT)
SET XML OPTION DOCUMENT

-- set session | reset(work_mem)
RESET work_mem

-- set session | reset(timezone)
RESET TIME ZONE

-- set session | reset(transaction_isolation)
RESET TRANSACTION ISOLATION LEVEL

-- set session | reset-all
RESET ALL

-- select session | set-config(work_mem=1MB)
SELECT set_config('work_mem', '1MB', false)

-- select transaction | set-config(work_mem=1MB)-local
SELECT set_config('Work_Mem', '1MB', true)

-- select session | set-config(search_path=)
SELECT pg_catalog.set_config('search_path', '', false)

-- select session | set-config(a.b)
SELECT set_config('a.b', $1, false)

-- select session | set-config-perhaps-local
SELECT set_config($1, $2, $3)

-- select session | set-config(?=x)-perhaps-local | r:t
SELECT set_config(b, 'x', a > 1) FROM t

-- select transaction | set-config(work_mem=1MB)-local
SELECT set_config('work_mem'::text, '1MB'::text, 't'::boolean)

-- select session | set-config(work_mem=1MB)-perhaps-local
SELECT set_config('work_mem', '1MB', 'yes')

-- select ask-names | f:mine.set_config/3
SELECT mine.set_config('work_mem', '1MB', true)

-- select transaction session | set-config(a.b=1) set-config(a.c=2)-local
SELECT set_config('a.b', '1', false), set_config('a.c', '2', true)

-- explain reads
EXPLAIN SELECT set_config('work_mem', '1MB', false)

-- explain session | set-config(work_mem=1MB)
EXPLAIN ANALYZE SELECT set_config('work_mem', '1MB', false)

-- set session ; select reads ; set transaction ; set session | set(a.b=1) set(a.c=2)-local reset(a.d)
SET a.b = 1; SELECT 1; SET LOCAL a.c = 2; RESET a.d

--- Prepared statements
-- prepare session of reads | prepare(p)
PREPARE p AS SELECT 1

-- prepare session of ask-names | prepare(p) | t:mytype-later r:t-later
PREPARE p (int, mytype) AS SELECT a FROM t WHERE id = $1

-- prepare session of writes | prepare(P) | r:t!-later
PREPARE "P" AS DELETE FROM t

-- prepare session of session ask-names | prepare(p) set-config(a.b=1)-later | f:f/1-later
PREPARE p AS SELECT set_config('a.b', '1', false), f(1)

-- execute session ask-session | execute(p)
EXECUTE p

-- execute session ask-names ask-session | execute(p) | f:f/1
EXECUTE p (1, f(2))

-- deallocate session | deallocate(p)
DEALLOCATE p

-- deallocate session | deallocate(p)
DEALLOCATE PREPARE p

-- deallocate session | deallocate
DEALLOCATE ALL

-- explain session | execute(p)
EXPLAIN EXECUTE p

-- explain session ask-session | execute(p)
EXPLAIN ANALYZE EXECUTE p

-- other writes session ask-session | execute(p) | r:x
CREATE TABLE x AS EXECUTE p

-- prepare session of ask-names ; select ask-names | prepare(p) | f:f/1
PREPARE p AS SELECT f(1); SELECT f(1)

--- Cursors
-- declare session | declare(c)-local | r:t
DECLARE c CURSOR FOR SELECT a FROM t

-- declare session | declare(c) | r:t
DECLARE c CURSOR WITH HOLD FOR SELECT a FROM t

-- declare session | declare(c)
DECLARE c BINARY INSENSITIVE SCROLL CURSOR WITH HOLD FOR SELECT 1

-- declare writes session ask-names | declare(c)-local sequence | f:nextval/1
DECLARE c CURSOR WITHOUT HOLD FOR SELECT nextval('seq')

-- declare locks session leader-only | declare(c)-local | r:t
DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE

-- fetch session ask-session | fetch(c)
FETCH c

-- fetch session ask-session | fetch(c)
FETCH FORWARD 10 FROM c

-- fetch session ask-session | fetch(c)
FETCH ALL IN c

-- fetch session ask-session | fetch(c)
MOVE c

-- close session | close(c)
CLOSE c

-- close session | close
CLOSE ALL

--- Notifications
-- listen session leader-only | listen(a)
LISTEN a

-- listen session leader-only | listen(A b)
LISTEN "A b"

-- unlisten session | unlisten(a)
UNLISTEN a

-- unlisten session | unlisten
UNLISTEN *

-- notify writes | notify(a)
NOTIFY a

-- notify writes | notify(a)
NOTIFY a, 'payload'

-- select writes ask-names | notify | f:pg_notify/2
SELECT pg_notify($1, $2)

--- Locks
-- select locks session ask-names | advisory-lock | f:pg_advisory_lock/1
SELECT pg_advisory_lock(1)

-- select locks session ask-names | advisory-lock advisory-lock | f:pg_advisory_lock/2 f:pg_try_advisory_lock_shared/1
SELECT pg_advisory_lock(1, 2), pg_try_advisory_lock_shared(3)

-- select locks session ask-names | advisory-unlock | f:pg_advisory_unlock/1
SELECT pg_advisory_unlock(1)

-- select locks session ask-names | advisory-unlock-all | f:pg_advisory_unlock_all/0
SELECT pg_advisory_unlock_all()

-- select locks ask-names | f:pg_advisory_xact_lock/1 f:pg_try_advisory_xact_lock/1
SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)

-- select locks session ask-names | advisory-lock | f:pg_advisory_lock/1 r:t
SELECT CASE WHEN a = 1 THEN pg_advisory_lock(1) END FROM t

--- Temporary objects
-- other writes session | temporary(x) | r:x
CREATE TEMP TABLE x (a int)

-- other writes session | temporary(x)-local | r:x
CREATE TEMPORARY TABLE x (a int) ON COMMIT DROP

-- other writes session | temporary(x) | r:x
CREATE TEMP TABLE x (a int) ON COMMIT DELETE ROWS

-- other writes session | temporary(x) | r:x
CREATE TEMP TABLE IF NOT EXISTS x AS SELECT 1

-- other writes session | temporary(x)-local | r:x
CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1

-- other writes session | temporary(w) | r:w
CREATE LOCAL TEMPORARY VIEW w AS SELECT 1

-- other writes session | temporary(s) | r:s
CREATE TEMP SEQUENCE s

-- other writes session | temporary(x) | r:pg_temp.x
CREATE TABLE pg_temp.x (a int)

-- other writes session | temporary
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'select 1'

-- other writes session | temporary
CREATE TYPE pg_temp.e AS ENUM ('a')

-- select session | temporary(x) | r:pg_temp.x
SELECT * FROM pg_temp.x

-- select session ask-names | temporary(f) | f:pg_temp.f/0
SELECT pg_temp.f()

-- select session ask-names | temporary(f) | f:pg_temp_3.f/0
SELECT pg_temp_3.f()

-- insert writes session | temporary(x) | r:pg_temp.x!
INSERT INTO pg_temp.x VALUES (1)

-- other writes session | temporary
DROP TABLE pg_temp.x

-- other writes | r:x r:t
CREATE TABLE x (LIKE t)

--- The rest
-- discard writes session no-block | discard(all)
DISCARD ALL

-- discard writes session | discard(temp)
DISCARD TEMP

-- discard writes session | discard(temp)
DISCARD TEMPORARY

-- discard writes session | discard(plans)
DISCARD PLANS

-- discard writes session | discard(sequences)
DISCARD SEQUENCES

-- other session | load(auto_explain)
LOAD 'auto_explain'

-- select session ask-names | seed | f:setseed/1
SELECT setseed(0.5)

-- select writes session ask-names | origin | f:pg_replication_origin_session_setup/1
SELECT pg_replication_origin_session_setup('x')

--- Inside an EXPLAIN, what the session has is needed; nothing is made but the schema of temporary tables
-- explain session | temporary(x) | r:pg_temp.x
EXPLAIN SELECT * FROM pg_temp.x

-- explain session leader-only | temporary(x) | r:x
EXPLAIN CREATE TEMP TABLE x AS SELECT 1

-- explain session leader-only | temporary(x) | r:x
EXPLAIN SELECT 1 INTO TEMP x

-- explain session
EXPLAIN DECLARE c CURSOR FOR SELECT 1

-- explain session | temporary(e)
EXPLAIN SELECT 'a'::pg_temp.e

--- Not understood
-- not-parsed
SELEC 1

-- not-parsed
SELECT 1 FROM

-- not-parsed
SELECT 'open

-- not-parsed
SELECT 1)

-- not-parsed
SELECT "

-- not-parsed
SELECT 1__0

-- not-parsed
SELECT 1 1

-- not-parsed
SELECT json_array(1 RETURNING json ABSENT ON NULL)


-- What the talks find in each database. role_a and role_b are granted to app, role_c is not.
CREATE TABLE t (a int PRIMARY KEY, b text);
INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 5) g;
CREATE TABLE log (id serial, what text);
CREATE TABLE noise (i int);
CREATE SEQUENCE seq;
CREATE SCHEMA other;
CREATE TABLE other.t (a int, b text);
INSERT INTO other.t VALUES (99, 'other');
CREATE FUNCTION remember(name text, value text) RETURNS text LANGUAGE plpgsql AS
	'BEGIN RETURN set_config(name, value, false); END';
CREATE FUNCTION remember_deep(name text, value text) RETURNS text LANGUAGE sql AS 'SELECT remember(name, value)';
CREATE FUNCTION remember_set(value int) RETURNS int LANGUAGE plpgsql AS
	$$BEGIN EXECUTE format('SET statement_timeout = %s', value); RETURN value; END$$;
CREATE FUNCTION with_own(value text) RETURNS text LANGUAGE plpgsql SET work_mem = '9MB' AS
	$$BEGIN PERFORM set_config('app.name', value, false); RETURN current_setting('work_mem'); END$$;
CREATE FUNCTION hold(key bigint) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(key); END';
CREATE FUNCTION let_go(key bigint) RETURNS bool LANGUAGE sql AS 'SELECT pg_advisory_unlock(key)';
CREATE FUNCTION make_temp() RETURNS int LANGUAGE plpgsql AS
	'BEGIN CREATE TEMP TABLE made (a int); INSERT INTO made VALUES (1), (2); RETURN 2; END';
CREATE FUNCTION prepare_it(name text, statement text) RETURNS void LANGUAGE plpgsql AS
	$$BEGIN EXECUTE format('PREPARE %I AS %s', name, statement); END$$;
CREATE FUNCTION listen_to(channel text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE format('LISTEN %I', channel); END$$;
CREATE FUNCTION draw() RETURNS bigint LANGUAGE sql AS $$SELECT nextval('seq')$$;
CREATE FUNCTION swallow(value text) RETURNS text LANGUAGE plpgsql AS
	$$BEGIN BEGIN PERFORM set_config('app.name', value, false); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;
	RETURN current_setting('app.name', true); END$$;
CREATE PROCEDURE in_pieces() LANGUAGE plpgsql AS
	$$BEGIN SET lock_timeout = '11s'; COMMIT; SET idle_session_timeout = '12s'; ROLLBACK; PERFORM set_config('app.name', 'piece', false); COMMIT; END$$;
CREATE FUNCTION on_log() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN PERFORM set_config('app.last', NEW.what, false); RETURN NEW; END$$;
CREATE TRIGGER on_log BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION on_log();
CREATE VIEW settings AS SELECT current_setting('app.name', true) AS app_user, current_setting('work_mem') AS work_mem;
CREATE TABLE locked (a int);
CREATE FUNCTION on_locked() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN PERFORM pg_advisory_lock(NEW.a); RETURN NEW; END$$;
CREATE TRIGGER on_locked AFTER INSERT ON locked FOR EACH ROW EXECUTE FUNCTION on_locked();
GRANT ALL ON ALL TABLES IN SCHEMA public, other TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
GRANT ALL ON SCHEMA public, other TO PUBLIC;

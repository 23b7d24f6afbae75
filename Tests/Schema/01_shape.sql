-- Every object is commented, nothing is open to everybody, and roles may do what they shall and no more.
\ir helpers.sql

SELECT pg_temp.expect(count(*) = 0, 'every table has a comment; without: ' || coalesce(string_agg(c.oid::regclass::text, ' '), ''))
FROM pg_class AS c
WHERE c.relnamespace IN ('ha'::regnamespace, 'ingest'::regnamespace, 'telemetry'::regnamespace, 'report'::regnamespace)
  AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NULL;

SELECT pg_temp.expect(count(*) = 0, 'every function has a comment; without: ' || coalesce(string_agg(p.oid::regprocedure::text, ' '), ''))
FROM pg_proc AS p
WHERE p.pronamespace IN ('ha'::regnamespace, 'ingest'::regnamespace, 'telemetry'::regnamespace, 'report'::regnamespace)
  AND obj_description(p.oid, 'pg_proc') IS NULL;

SELECT pg_temp.expect(count(*) = 0, 'no function is open to everybody: ' || coalesce(string_agg(p.oid::regprocedure::text, ' '), ''))
FROM pg_proc AS p
WHERE p.pronamespace IN ('ha'::regnamespace, 'ingest'::regnamespace, 'telemetry'::regnamespace, 'report'::regnamespace)
  AND has_function_privilege('public', p.oid, 'EXECUTE');

SELECT pg_temp.expect(count(*) = 0, 'every function fixes its search_path: ' || coalesce(string_agg(p.oid::regprocedure::text, ' '), ''))
FROM pg_proc AS p
WHERE p.pronamespace IN ('ha'::regnamespace, 'ingest'::regnamespace, 'telemetry'::regnamespace, 'report'::regnamespace)
  AND p.prosqlbody IS NULL -- whose names are resolved already
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE starts_with(s, 'search_path='));

SELECT pg_temp.expect(count(*) = 0, 'all belongs to the owner: ' || coalesce(string_agg(c.oid::regclass::text, ' '), ''))
FROM pg_class AS c
WHERE c.relnamespace IN ('ha'::regnamespace, 'ingest'::regnamespace, 'telemetry'::regnamespace, 'report'::regnamespace)
  AND c.relowner <> CASE WHEN c.relkind IN ('p', 'I') THEN 'standwatch_keeper'::regrole ELSE 'standwatch_owner'::regrole END;

SELECT pg_temp.expect(count(*) = 0, 'no advisory lock function is open to everybody')
FROM pg_proc AS p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname LIKE 'pg%advisory%'
  AND has_function_privilege('public', p.oid, 'EXECUTE');

SELECT pg_temp.expect(NOT has_database_privilege('standwatch_analyst', current_database(), 'TEMPORARY'), 'analysts make no temporary tables');
SELECT pg_temp.expect(has_database_privilege('standwatch_auditor', current_database(), 'TEMPORARY'), 'the verifier does');
-- Only for the assertions below, which are temporary functions.
DO $grant$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO standwatch_analyst, standwatch_node', current_database()); END $grant$;

\connect - standwatch_analyst
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE;
\ir helpers.sql
SELECT pg_temp.expect(current_setting('statement_timeout') = '5min', 'analysts have a statement_timeout');
SELECT pg_temp.expect_error('SELECT pg_advisory_lock(1)', '42501');
SELECT pg_temp.expect_error('SELECT pg_try_advisory_xact_lock(1, 2)', '42501');
SELECT pg_temp.expect_error('SELECT ha.wait_leader(1)', '42501');
SELECT pg_temp.expect_error('SELECT token FROM ha.leadership', '42501');
SELECT pg_temp.expect_error('SELECT raw FROM ingest.rejected', '42501');
SELECT pg_temp.expect_error('SELECT telemetry.ensure_partitions(1, 1)', '42501');
SELECT pg_temp.expect_error('INSERT INTO telemetry.log (ts, app_id, host_id, severity, message) VALUES (now(), 1, 1, 1, '''')', '42501');
SELECT pg_temp.expect_error('LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE', '42501');
SELECT pg_temp.expect(reset_val = 'on', 'analysts only read') FROM pg_settings WHERE name = 'default_transaction_read_only';
SELECT count(*) FROM telemetry.queue \g /dev/null
SELECT count(*) FROM telemetry.host \g /dev/null
SELECT epoch, node FROM ha.leadership \g /dev/null

\connect - standwatch
\ir helpers.sql
SELECT pg_temp.expect(NOT rolsuper, 'the nodes'' login is no superuser') FROM pg_roles WHERE rolname = current_user;
SELECT pg_temp.expect_error('CREATE TABLE telemetry.mine (a int)', '42501');
SELECT pg_temp.expect_error('UPDATE ingest.claim SET last = 1', '42501');
SELECT pg_temp.expect_error('DELETE FROM ha.leadership', '42501');
SELECT pg_temp.expect_error('DROP TABLE telemetry.queue', '42501');
SELECT pg_temp.expect_error('TRUNCATE telemetry.queue', '42501');
SELECT pg_temp.expect_error('ALTER TABLE telemetry.queue DETACH PARTITION telemetry.queue_x', '42501');
SELECT pg_temp.expect_error('SET ROLE standwatch_owner', '42501');

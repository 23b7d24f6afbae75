-- Retention: what a node may do as the keeper, and what has to stay.
\connect - standwatch
\ir helpers.sql

-- What the tests before have left asleep.
SELECT pg_temp.expect_soon('SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = ''telemetry.rollup_state''::regclass AND mode = ''RowShareLock'' AND pid <> pg_backend_pid())', 'nobody else merges');
SELECT pg_temp.expect_a_minute_of_today();

-- A node that was taken over can become the keeper, and make its tables run what it wants: as the keeper, not the owner.
SELECT pg_temp.expect_error('UPDATE telemetry.rollup_state SET hour_until = now()', '42501');
SET ROLE standwatch_keeper;
SELECT pg_temp.expect_error('UPDATE ha.leadership SET epoch = 99', '42501');
SELECT pg_temp.expect_error('CREATE FUNCTION telemetry.f() RETURNS int LANGUAGE sql AS ''SELECT 1''', '42501');
CREATE POLICY trap ON telemetry.rollup_minute USING (true) WITH CHECK (current_user = 'standwatch_keeper');
ALTER TABLE telemetry.rollup_minute ENABLE ROW LEVEL SECURITY;
ALTER TABLE telemetry.rollup_minute FORCE ROW LEVEL SECURITY;
RESET ROLE;
INSERT INTO telemetry.rollup_delta (at, app_id, host_id, measure, key_id, n, errors)
VALUES (date_trunc('minute', now()) - interval '3 minutes', 77, 2, 13, 3, 1, 0);
SELECT pg_temp.expect(telemetry.merge_rollups('5 s', 100) = 1, 'the trap runs as the keeper');
SET ROLE standwatch_keeper;
ALTER TABLE telemetry.rollup_minute NO FORCE ROW LEVEL SECURITY;
ALTER TABLE telemetry.rollup_minute DISABLE ROW LEVEL SECURITY;
DROP POLICY trap ON telemetry.rollup_minute;
RESET ROLE;

-- A site that was off for long: minutes that are not in their hours yet stay, however old.
SELECT ha.set_setting('keep_days_rollup_minute', '1', 'test'), ha.set_setting('accept_past_days', '1', 'test');
CREATE TEMP TABLE state AS SELECT * FROM telemetry.rollup_state;
GRANT SELECT ON state TO standwatch_keeper;
SET ROLE standwatch_keeper;
UPDATE telemetry.rollup_state SET hour_until = date_trunc('day', now(), 'UTC') - interval '4 days', day_until = date_trunc('day', now(), 'UTC') - interval '4 days';
RESET ROLE;
SELECT pg_temp.expect(max(until_ts) = date_trunc('day', now(), 'UTC') - interval '4 days', 'only what is folded goes')
FROM telemetry.retention_plan() AS r JOIN telemetry.partitions() AS p USING (partition) WHERE r.parent = 'rollup_minute';
SET ROLE standwatch_keeper;
UPDATE telemetry.rollup_state SET (hour_until, day_until) = (SELECT s.hour_until, s.day_until FROM pg_temp.state AS s);
RESET ROLE;
SELECT pg_temp.expect(max(until_ts) = date_trunc('day', now(), 'UTC') - interval '1 day', 'then the others, too')
FROM telemetry.retention_plan() AS r JOIN telemetry.partitions() AS p USING (partition) WHERE r.parent = 'rollup_minute';

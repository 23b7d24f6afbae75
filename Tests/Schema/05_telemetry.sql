-- Partitions, the accepted range, and names.
\connect - standwatch
\ir helpers.sql

SELECT pg_temp.expect_a_minute_of_today();
SELECT pg_temp.expect(from_us IS NULL, 'nothing is accepted before there are partitions') FROM telemetry.accepted_range();
SELECT pg_temp.expect(telemetry.ensure_partitions(2, 1) = 36, 'four days of nine types');
SELECT pg_temp.expect(telemetry.ensure_partitions(2, 1) = 0, 'once');

-- An analyst in the middle of a long read is in nobody's way.
\! PGUSER=standwatch_analyst psql -qAtX -c "SELECT count(*), pg_sleep(20) FROM telemetry.queue" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_locks WHERE relation = ''telemetry.queue''::regclass AND pid <> pg_backend_pid())', 'an analyst reads');
SELECT pg_temp.expect(telemetry.ensure_partitions(7, 3) = 63, 'the rest of the range');
SET lock_timeout = '200ms';
INSERT INTO telemetry.queue (ts, app_id, host_id, queue_id, depth) VALUES (now(), 1, 2, 3, 4);

SELECT pg_temp.expect((from_ts, until_ts) = (date_trunc('day', now(), 'UTC') - interval '7 days', date_trunc('day', now(), 'UTC') + interval '4 days'), 'the accepted range')
FROM telemetry.accepted_range();
SELECT pg_temp.expect('2000-01-01 00:00:00+00'::timestamptz + from_us * interval '1 us' = from_ts
  AND '2000-01-01 00:00:00+00'::timestamptz + until_us * interval '1 us' = until_ts, 'in µs since 2000')
FROM telemetry.accepted_range();
SELECT pg_temp.expect_error('INSERT INTO telemetry.log (ts, app_id, host_id, severity, message) VALUES (now() + interval ''5 days'', 1, 1, 1, '''')', '23514');
SELECT pg_temp.expect(count(*) = 99 * 2 + 33, 'every partition has both indexes, and those with traces one on them') FROM pg_index AS i
JOIN pg_inherits AS h ON h.inhrelid = i.indrelid JOIN pg_class AS c ON c.oid = h.inhparent
WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind = 'p';
SELECT pg_temp.expect(count(*) = 0, 'no DEFAULT partition') FROM pg_partitioned_table WHERE partdefid <> 0;

SET timezone = 'Asia/Seoul';
SELECT pg_temp.expect(telemetry.ensure_partitions(7, 3) = 0, 'days are UTC, whatever the session''s zone');

-- Upkeep is single.
\! psql -qAtX -d "$PGDATABASE" -U postgres -c "BEGIN; LOCK TABLE telemetry.upkeep IN EXCLUSIVE MODE; SELECT pg_sleep(3)" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_locks WHERE relation = ''telemetry.upkeep''::regclass AND pid <> pg_backend_pid())', 'another upkeep');
SELECT pg_temp.expect_error('SELECT telemetry.ensure_partitions(7, 4)', '55P03');

-- Names.
INSERT INTO telemetry.name_inbox (kind, id, name) VALUES (0, 5, 'h'), (1, 5, 'h'), (7, 9, 'deployed'), (0, 5, 'h');
SELECT pg_temp.expect(count(*) = 0, 'new names don''t collide') FROM telemetry.store_names();
INSERT INTO telemetry.name_inbox (kind, id, name) VALUES (0, 5, 'h'), (0, 5, 'other'), (0, 6, 'i');
SELECT pg_temp.expect(count(*) = 1 AND min(name) = 'other', 'a name whose id is taken is told') FROM telemetry.store_names();
SELECT pg_temp.expect(array_agg(name ORDER BY id) = ARRAY['h', 'i'], 'hosts') FROM telemetry.host;
SELECT pg_temp.expect((SELECT count(*) FROM telemetry.event_kind) = 1 AND (SELECT count(*) FROM telemetry.app) = 1, 'others');
SELECT pg_temp.expect(count(*) = 0, 'the inbox is empty') FROM telemetry.name_inbox;

-- Rollups: merging and folding move every record once, whenever they happen.
\connect - standwatch
\ir helpers.sql

-- One minute for all of it, however long it takes.
SELECT pg_temp.expect_a_minute_of_today();
SELECT date_trunc('minute', now()) AS minute \gset

-- What the tests before have left asleep.
SELECT pg_temp.expect_soon('SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = ''telemetry.upkeep''::regclass)', 'nobody else is at it');
SELECT pg_temp.expect(telemetry.merge_rollups('5 s', 10) = 0, 'nothing is merged before there are partitions');
SELECT pg_temp.expect(telemetry.ensure_rollups(7, 3) BETWEEN 13 AND 15, 'eleven days, one or two months, one or two years');
SELECT pg_temp.expect(telemetry.ensure_rollups(7, 3) = 0, 'once');
SELECT pg_temp.expect_error('SELECT telemetry.add_rollups(''rollup_minute'', ''SELECT 1'', NULL, NULL, NULL)', '42501');
SELECT pg_temp.expect_error('DELETE FROM telemetry.rollup_delta', '42501');
SELECT pg_temp.expect_error('UPDATE telemetry.rollup_state SET hour_until = now()', '42501');

SELECT pg_temp.expect(bool_and(abs(telemetry.sketch_value(20000 + ceil(ln(v) / ln(1.02::float8 / 0.98))::int) / v - 1) <= 0.02000001), 'a bucket is within 2 % of its values')
FROM (SELECT exp(x / 7.0) AS v FROM generate_series(-4000, 4000) AS x) AS values;
SELECT pg_temp.expect(telemetry.sketch_value(0) = 0 AND telemetry.sketch_value(-20001) = -telemetry.sketch_value(20001), 'zero and below');
SELECT pg_temp.expect((buckets, counts) = ('{-5,1,2,9}'::int[], '{1,2,7,4}'::bigint[]), 'sketches are added bucket by bucket')
FROM telemetry.sketch_sum('{1,2}', '{2,3}', '{-5,2,9}', '{1,4,4}');
SELECT pg_temp.expect((buckets, counts) = ('{1}'::int[], '{2}'::bigint[]), 'nothing adds nothing') FROM telemetry.sketch_sum('{1}', '{2}', NULL, NULL);
SELECT pg_temp.expect(buckets IS NULL AND counts IS NULL, 'and stays nothing') FROM telemetry.sketch_sum(NULL, NULL, NULL, NULL);

-- Two minutes, two batches, of a key with values and of one without; one record five days late, one of tomorrow.
INSERT INTO telemetry.rollup_delta (at, app_id, host_id, measure, key_id, n, errors, sum, min, max, buckets, counts)
SELECT :'minute'::timestamptz - m.minutes * interval '1 minute', 1, 2, 6, 3, 2, 1, 30, 10, 20, '{20058,20075}'::int[], '{1,1}'::bigint[]
FROM (VALUES (3), (3), (2), (7200), (-1440)) AS m(minutes)
UNION ALL SELECT :'minute'::timestamptz - interval '3 minutes', 1, 2, 13, 4, 1, 0, NULL, NULL, NULL, NULL, NULL;
CREATE TEMP VIEW totals AS
  SELECT 'minute' AS unit, sum(n) AS n, sum(errors) AS errors, sum(sum) AS sum, sum((SELECT sum(c) FROM unnest(counts) AS c)) AS count FROM telemetry.minute
  UNION ALL SELECT 'hour', sum(n), sum(errors), sum(sum), sum((SELECT sum(c) FROM unnest(counts) AS c)) FROM telemetry.hour
  UNION ALL SELECT 'day', sum(n), sum(errors), sum(sum), sum((SELECT sum(c) FROM unnest(counts) AS c)) FROM telemetry.day;
-- What reports read, with bounds that the planner knows, is what the views have: deltas, minutes, hours and days.
CREATE TEMP VIEW told_apart AS
  WITH asked AS (
    SELECT u.unit, m.measure, b.from_at, b.until_at, b.hour_until, b.day_until
    FROM unnest(ARRAY['minute', 'hour', 'day']) AS u(unit), unnest(ARRAY[6, 7, 13]) AS m(measure),
      report.bounds(u.unit, now() - interval '5 days 10 seconds', now() + interval '1 day 1 minute') AS b
  ), of_cells AS (
    SELECT a.unit, a.measure, c.at, c.app_id, c.host_id, c.key_id, c.n, c.errors, c.sum, c.min, c.max, c.buckets, c.counts
    FROM asked AS a, report.cells(a.measure, a.unit, a.from_at, a.until_at, a.hour_until, a.day_until) AS c
  ), of_views AS (
    SELECT a.unit, a.measure, c.at, c.app_id, c.host_id, c.key_id, c.n, c.errors, c.sum, c.min, c.max, c.buckets, c.counts
    FROM asked AS a JOIN report.cell AS c ON c.unit = a.unit AND c.measure = a.measure
      AND c.at >= date_trunc(a.unit, now() - interval '5 days 10 seconds', 'UTC') AND c.at < now() + interval '1 day 1 minute'
  )
  (TABLE of_cells EXCEPT ALL TABLE of_views) UNION ALL (TABLE of_views EXCEPT ALL TABLE of_cells);
-- Up to report.split() no cell comes in two rows.
CREATE TEMP VIEW twice AS
  SELECT u.unit, c.at FROM unnest(ARRAY['minute', 'hour', 'day']) AS u(unit),
    report.bounds(u.unit, now() - interval '7 days', now() + interval '2 days') AS b,
    report.cells(6, u.unit, b.from_at, report.split(ARRAY[6], u.unit, b.from_at, b.until_at), b.hour_until, b.day_until) AS c
  GROUP BY u.unit, c.at, c.app_id, c.host_id, c.key_id HAVING count(*) > 1;
SELECT pg_temp.expect(NOT EXISTS (SELECT FROM told_apart) AND NOT EXISTS (SELECT FROM twice), 'report.cells has the same');
CREATE TEMP TABLE before AS SELECT * FROM totals;
SELECT pg_temp.expect(count(*) = 3 AND bool_and((n, errors, sum, count) = (11, 5, 150, 10)), 'all is seen at once') FROM before;
SELECT pg_temp.expect(telemetry.merge_rollups('5 s', 2) = 2, 'no more than asked for');
SELECT pg_temp.expect(NOT EXISTS (SELECT FROM totals EXCEPT SELECT FROM before) AND (SELECT bool_and((n, errors, sum, count) = (11, 5, 150, 10)) FROM totals), 'and nothing else changes');
SELECT pg_temp.expect(telemetry.merge_rollups('5 s', 100) = 4, 'the rest, that of tomorrow as well');
SELECT pg_temp.expect((n, errors, sum, min, max, buckets, counts) = (4, 2, 60, 10, 20, '{20058,20075}'::int[], '{2,2}'::bigint[]), 'one row a key')
FROM telemetry.rollup_minute WHERE measure = 6 AND at = :'minute'::timestamptz - interval '3 minutes';
SELECT pg_temp.expect(bool_and((n, errors, sum, count) = (11, 5, 150, 10)), 'in all views') FROM totals;
SELECT pg_temp.expect(NOT EXISTS (SELECT FROM told_apart) AND NOT EXISTS (SELECT FROM twice), 'report.cells has the same after merging');
SELECT pg_temp.expect(count(*) = 1, 'what is late goes to its hour') FROM telemetry.rollup_hour WHERE at < now() - interval '4 days';
SELECT pg_temp.expect(count(*) = 1, 'and to its day') FROM telemetry.rollup_day WHERE at < now() - interval '3 days';

-- As if two hours had passed: the future is folded, too.
SELECT hour_until AS hour_until FROM telemetry.rollup_state \gset
DO $$ BEGIN WHILE telemetry.fold_rollups('-2 hours') LOOP NULL; END LOOP; END $$;
SELECT pg_temp.expect(hour_until > now() + interval '100 minutes' AND day_until BETWEEN hour_until - interval '1 hour' AND hour_until, 'folded that far') FROM telemetry.rollup_state;
SELECT pg_temp.expect(bool_and((n, errors, sum, count) = (11, 5, 150, 10)), 'and every record is still seen once') FROM totals;
SELECT pg_temp.expect(NOT EXISTS (SELECT FROM told_apart) AND NOT EXISTS (SELECT FROM twice), 'report.cells has the same after folding');
SELECT pg_temp.expect(sum(n) >= 7, 'hours hold them') FROM telemetry.rollup_hour;

-- A host that fell silent is found in its hour, over two days later in its UTC day; one that never sent is unseen.
BEGIN;
INSERT INTO telemetry.host (id, name) VALUES (2, 'silent since five days'), (77, 'never came');
SELECT pg_temp.expect((state, last_seen_at) = ('silent', date_trunc('hour', now() - interval '7200 minutes', 'UTC') + interval '1 hour'), 'in its hour')
FROM report.hosts_at(now() - interval '4 days') WHERE host = 'silent since five days';
SELECT pg_temp.expect((state, last_seen_at) = ('silent', date_trunc('day', now() - interval '7200 minutes', 'UTC') + interval '24 hours'), 'in its day')
FROM report.hosts_at(now() - interval '2 days') WHERE host = 'silent since five days';
SELECT pg_temp.expect(state = 'reporting' AND last_seen_at = :'minute'::timestamptz - interval '1 minute', 'in its minute')
FROM report.hosts_at(now()) WHERE host = 'silent since five days';
SELECT pg_temp.expect(count(*) = 2, 'unseen: before its first record, and never') FROM report.hosts_at(now() - interval '6 days')
WHERE state = 'unseen' AND host IN ('silent since five days', 'never came');
ROLLBACK;

-- Late now: each level gets it by itself.
INSERT INTO telemetry.rollup_delta (at, app_id, host_id, measure, key_id, n, errors, sum, min, max, buckets, counts)
VALUES (:'minute'::timestamptz - interval '3 minutes', 1, 2, 6, 3, 1, 0, 5, 5, 5, '{20041}', '{1}');
SELECT pg_temp.expect(NOT EXISTS (SELECT FROM told_apart) AND NOT EXISTS (SELECT FROM twice), 'report.cells has the same and what is late is not merged');
SELECT pg_temp.expect(telemetry.merge_rollups('5 s', 100) = 1, 'merged');
SELECT pg_temp.expect(NOT EXISTS (SELECT FROM told_apart) AND NOT EXISTS (SELECT FROM twice), 'report.cells has the same of what was late');
SELECT pg_temp.expect(bool_and((n, errors, sum, count) = (12, 5, 155, 11)), 'in all views') FROM totals;
SELECT pg_temp.expect((n, min, buckets, counts) = (5, 5, '{20041,20058,20075}'::int[], '{1,2,2}'::bigint[]), 'in its minute''s row')
FROM telemetry.rollup_minute WHERE measure = 6 AND at = :'minute'::timestamptz - interval '3 minutes';

-- Values whose sum no double holds must not keep everybody else's from being merged.
INSERT INTO telemetry.rollup_delta (at, app_id, host_id, measure, key_id, n, errors, sum, min, max, buckets, counts)
SELECT :'minute'::timestamptz - m.minutes * interval '1 minute', 9, 9, 7, 9, 1, 0, m.sum, m.sum, m.sum, '{37000}', '{1}'
FROM (VALUES (3, 1.7e308), (3, 1.7e308), (4, 1.7e308), (5, -1.7e308), (5, -1.7e308)) AS m(minutes, sum);
SELECT pg_temp.expect(telemetry.merge_rollups('5 s', 2) + telemetry.merge_rollups('5 s', 100) = 5, 'merged all the same');
DO $$ BEGIN WHILE telemetry.fold_rollups('-4 hours') LOOP NULL; END LOOP; END $$;
SELECT pg_temp.expect((n, sum, max) = (2, 'Infinity'::float8, 1.7e308), 'beyond all numbers') FROM telemetry.rollup_minute
WHERE app_id = 9 AND at = :'minute'::timestamptz - interval '3 minutes';
SELECT pg_temp.expect(sum(n) = 5, 'and every record is counted') FROM telemetry.rollup_day WHERE app_id = 9;

-- One at a time.
\! psql -qAtX -d "$PGDATABASE" -U postgres -c "BEGIN; SELECT FROM telemetry.rollup_state FOR UPDATE; SELECT pg_sleep(3)" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_locks WHERE relation = ''telemetry.rollup_state''::regclass AND mode = ''RowShareLock'' AND pid <> pg_backend_pid())', 'another merges');
SELECT pg_temp.expect_error('SELECT telemetry.merge_rollups(''5 s'', 1)', '55P03');
SELECT pg_temp.expect_error('SELECT telemetry.fold_rollups(''5 s'')', '55P03');

SELECT pg_temp.expect(has_table_privilege('standwatch_analyst', 'telemetry.day', 'SELECT') AND has_function_privilege('standwatch_analyst', 'telemetry.sketch_value(integer)', 'EXECUTE')
  AND NOT has_function_privilege('standwatch_analyst', 'telemetry.merge_rollups(interval, integer)', 'EXECUTE'), 'analysts read them, and no more');

-- What a transaction is waiting at, whatever the order in which its steps came.
INSERT INTO telemetry.name_inbox (kind, id, name) VALUES (3, 71, 'load'), (3, 72, 'move'), (5, 73, 'done');
SELECT pg_temp.expect(count(*) = 0, 'names') FROM telemetry.store_names();
INSERT INTO telemetry.step (ts, app_id, host_id, step_id, status_id, txn, elapsed_us)
VALUES (now() - interval '1 minute', 7, 8, 72, 73, 'LOT-1', 5), (now() - interval '3 minutes', 7, 8, 71, 73, 'LOT-1', NULL);
SELECT pg_temp.expect((last_step, last_status, step_count, step_ids) = ('move', 'done', 2, '{71,72}'::bigint[]) AND waiting BETWEEN '1 min' AND '2 min'
  AND steps -> 1 ->> 'waited_ms' = '120000' AND steps -> 0 ->> 'step' = 'load', 'a transaction with its steps')
FROM telemetry.transaction WHERE app_id = 7 AND txn = 'LOT-1';

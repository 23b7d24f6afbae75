-- Claims: only the newest link of a stream's chain can be continued, once.
\connect - standwatch
\ir helpers.sql

SELECT pg_temp.expect(ingest.committed(7) IS NULL, 'an unknown stream has nothing');
SELECT pg_temp.expect(ingest.register(7, 'mes', 's1') = 0 AND ingest.register(7, 'mes', 's1') = 0, 'a new stream begins at 0');
SELECT pg_temp.expect(ingest.register(8, 'mes', 's2') = 0, 'so does another');
SELECT pg_temp.expect_error('SELECT ingest.register(7, ''mes'', ''s3'')', 'SW011');
SELECT pg_temp.expect_error('SELECT ingest.register(9, ''mes'', ''s1'')', 'SW011');
SELECT pg_temp.expect(ingest.take('{7,8}', '{1,1}', '{10,5}') = 2, 'both are claimed');
SELECT pg_temp.expect_error('SELECT ingest.take(''{7}'', ''{1}'', ''{10}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take(''{7}'', ''{12}'', ''{13}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take(''{7}'', ''{5}'', ''{13}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take(''{9}'', ''{1}'', ''{2}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take(''{7,8}'', ''{11,1}'', ''{12,5}'')', 'SW010');
SELECT pg_temp.expect(ingest.committed(7) = 10, 'a refused batch leaves nothing');
SELECT pg_temp.expect(ingest.take('{8,7}', '{6,11}', '{6,11}') = 2, 'they go on');

-- A second attempt waits for the first to end, and then sees that it succeeded.
\! psql -qAtX -c "BEGIN; SELECT ingest.take('{7}', '{12}', '{20}'); SELECT pg_sleep(2); COMMIT" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = ''PgSleep'' AND query LIKE ''%ingest.take(%'')', 'the first is open');
SELECT pg_temp.expect_error('SELECT ingest.take(''{7}'', ''{12}'', ''{15}'')', 'SW010');
SELECT pg_temp.expect(ingest.committed(7) = 20, 'the first was it');

SELECT pg_temp.expect(ingest.take_gap(7, 99, 'a', 3) = 99 AND ingest.take_gap(7, 99, 'a', 3) = 99, 'a hole is written once');
SELECT pg_temp.expect((first, last) = (21, 99), 'with its borders') FROM ingest.gap WHERE stream = 7;
SELECT pg_temp.expect(ingest.take('{7}', '{100}', '{100}') = 1, 'and the stream goes on behind it');

SELECT pg_temp.expect(ingest.prune_claims('1 hour', 100) = 0, 'young claims stay');
SELECT pg_temp.expect(ingest.prune_claims('-1 s', 2) = 2, 'no more than asked for');
SELECT pg_temp.expect(ingest.prune_claims('-1 s', 100) = 5, 'then the rest');
SELECT pg_temp.expect(count(*) = 2 AND ingest.committed(7) = 100 AND ingest.committed(8) = 6, 'the newest stay') FROM ingest.claim;

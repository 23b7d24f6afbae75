-- Deliveries: only the newest part of a delivery's chain can be continued, once.
\connect - standwatch
\ir helpers.sql

SELECT pg_temp.expect(count(*) = 0, 'nothing is known of new ones') FROM ingest.stored_deliveries('{1,-2}', '{3,4}');
SELECT pg_temp.expect(ingest.take_deliveries('{1,-2}', '{3,-4}', '{0,0}', '{10,5}', '{7,0}') = 2, 'both are claimed');
SELECT pg_temp.expect_error('SELECT ingest.take_deliveries(''{1}'', ''{3}'', ''{0}'', ''{10}'', ''{7}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take_deliveries(''{1}'', ''{3}'', ''{11}'', ''{12}'', ''{7}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take_deliveries(''{1}'', ''{3}'', ''{5}'', ''{12}'', ''{7}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take_deliveries(''{9}'', ''{9}'', ''{5}'', ''{12}'', ''{7}'')', 'SW010');
SELECT pg_temp.expect_error('SELECT ingest.take_deliveries(''{8,1}'', ''{8,3}'', ''{0,0}'', ''{1,1}'', ''{0,0}'')', 'SW010');
SELECT pg_temp.expect(count(*) = 2, 'a refused batch leaves nothing') FROM ingest.delivery;
SELECT pg_temp.expect_error('SELECT ingest.take_deliveries(''{1}'', ''{3}'', ''{10}'', ''{20}'', ''{8}'')', 'SW010');
SELECT pg_temp.expect(ingest.take_deliveries('{1}', '{3}', '{10}', '{20}', '{7}') = 1, 'it goes on, with its own contents');
SELECT pg_temp.expect((n, last, digest) = (2, 20, 7), 'and is stored as far as that')
  FROM ingest.stored_deliveries('{5,1}', '{5,3}');
SELECT pg_temp.expect(key = '00000000-0000-0001-0000-000000000003', 'the key is both halves')
  FROM ingest.delivery WHERE last = 20;

-- A second attempt waits for the first to end, and then sees that it succeeded.
\! psql -qAtX -c "BEGIN; SELECT ingest.take_deliveries('{6}', '{6}', '{0}', '{3}', '{0}'); SELECT pg_sleep(2); COMMIT" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = ''PgSleep'' AND query LIKE ''%take_deliveries%'')', 'the first is open');
SELECT pg_temp.expect_error('SELECT ingest.take_deliveries(''{6}'', ''{6}'', ''{0}'', ''{3}'', ''{0}'')', 'SW010');
SELECT pg_temp.expect(last = 3, 'the first was it') FROM ingest.stored_deliveries('{6}', '{6}');

SELECT pg_temp.expect(ingest.prune_deliveries('1 hour', 100) = 0, 'young ones stay');
SELECT pg_temp.expect(ingest.prune_deliveries('-1 s', 3) = 3, 'no more than asked for');
SELECT pg_temp.expect(ingest.prune_deliveries('-1 s', 100) = 1, 'then the rest');

-- What a crash makes suspect, what two put into quarantine, and what releases it.
\connect - standwatch
\ir helpers.sql

SET ROLE standwatch_node;
SELECT pg_temp.expect(ingest.note_crash('a', 4, 'native', 's', '10.0.0.5', false, 'one') = 0, 'one crash quarantines nothing');
SELECT pg_temp.expect(array_agg(scope) = '{suspect}', 'but makes a suspect') FROM ingest.quarantined();
SELECT pg_temp.expect(ingest.note_crash('b', 4, 'native', 's', '10.0.0.5', false, 'two') > 0, 'the second does, on any node');
SELECT pg_temp.expect(scope = 'source', 'nobody knows which record it was: the source') FROM ingest.quarantined() WHERE id > 0;
SELECT pg_temp.expect(ingest.note_crash('a', 4, 'native', 's', '10.0.0.8', false, 'three') = 0, 'a source stands there once');
SELECT pg_temp.expect(bool_and(ingest.release_quarantine(id, 'test')), 'they are released') FROM ingest.quarantined() WHERE id > 0;
SELECT pg_temp.expect(NOT ingest.release_quarantine(999, 'test'), 'what is not there is not released');
SELECT pg_temp.expect(array_agg(scope) = '{suspect}', 'and handled with care') FROM ingest.quarantined();
SELECT pg_temp.expect(ingest.note_crash('a', 4, 'native', 's', '10.0.0.5', true, 'the record') > 0, 'one by one it is known');
SELECT pg_temp.expect(array_agg(scope) = '{bytes}' AND bool_and(digest = sha256('the record')), 'that record alone')
FROM ingest.quarantined() WHERE id > 0;
SELECT pg_temp.expect(ingest.note_crash('a', 4, 'native', 's', '10.0.0.5', true, 'another') > 0, 'a source with more of them');
SELECT pg_temp.expect(count(*) FILTER (WHERE scope = 'source') = 1, 'is refused as a whole') FROM ingest.quarantined();

SELECT pg_temp.expect(sum(ingest.note_crash('a', 4, 'native', 'n' || n, '10.0.0.6', false, '')) = 0, 'four names of one address')
FROM generate_series(1, 4) AS n;
SELECT pg_temp.expect(ingest.note_crash('a', 4, 'native', 'n5', '10.0.0.6', false, '') > 0, 'the fifth refuses the address');
SELECT pg_temp.expect(count(*) = 1, 'all of it') FROM ingest.quarantined() WHERE scope = 'address' AND address = '10.0.0.6';
SELECT pg_temp.expect_error('DELETE FROM ingest.quarantine', '42501');
\connect - postgres
UPDATE ingest.crash SET at = at - interval '2 hours';
\connect - standwatch
\ir helpers.sql
SET ROLE standwatch_node;
SELECT pg_temp.expect(ingest.note_crash('a', 4, 'native', 'old', '10.0.0.7', false, '') = 0, 'a crash of today');
\connect - postgres
UPDATE ingest.crash SET at = at - interval '2 hours';
\connect - standwatch
\ir helpers.sql
SET ROLE standwatch_node;
SELECT pg_temp.expect(ingest.note_crash('a', 4, 'native', 'old', '10.0.0.7', false, '') = 0, 'hours apart are no two');
RESET ROLE;

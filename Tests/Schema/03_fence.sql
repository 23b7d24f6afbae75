-- Fencing by equality on all four values, the check of writers, and the ending of old sessions.
\connect - standwatch
\ir helpers.sql
SET application_name = 'sw/test/a/100/watch';
SELECT token AS token FROM ha.leadership \gset

-- From the file before: epoch 1 is a's, b (200) holds the lock and its counter is 1.
SELECT pg_temp.expect((fenced, reason) = (false, 'epoch-moved'), 'another epoch') FROM ha.fence_node(2, :token, 'b', 200, 1);
SELECT pg_temp.expect((fenced, reason) = (false, 'epoch-moved'), 'another token') FROM ha.fence_node(1, 0, 'b', 200, 1);
SELECT pg_temp.expect((fenced, reason) = (false, 'incarnation-moved'), 'another run') FROM ha.fence_node(1, :token, 'b', 201, 1);
SELECT pg_temp.expect((fenced, reason) = (false, 'counter-moved'), 'it lives') FROM ha.fence_node(1, :token, 'b', 200, 0);
SELECT pg_temp.expect((fenced, reason) = (false, 'counter-moved'), 'it did beat') FROM ha.fence_node(1, :token, 'b', 200, -1);
SELECT pg_temp.expect((fenced, reason) = (false, 'no-such-node'), 'no such node') FROM ha.fence_node(1, :token, 'z', 200, 1);
SELECT pg_temp.expect(count(*) = 1, 'nobody was harmed') FROM ha.sessions() AS s WHERE s.node = 'b';

-- A neighbour whose name and run begin alike stays.
\! PGAPPNAME=sw/test/b-2/200/lease psql -qAtX -c "SELECT pg_sleep(300)" >/dev/null 2>&1 &
\! PGAPPNAME=sw/test/b/2000/lease psql -qAtX -c "SELECT pg_sleep(300)" >/dev/null 2>&1 &
\! PGAPPNAME=sw/tes/b/200/lease psql -qAtX -c "SELECT pg_sleep(300)" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT count(*) = 4 FROM pg_stat_activity WHERE application_name LIKE ''sw/tes%/b%''', 'four sessions');
SELECT pg_temp.expect((fenced, reason, ended) = (true, '', 1), 'b is fenced') FROM ha.fence_node(1, :token, 'b', 200, 1);
SELECT pg_temp.expect_soon('SELECT count(*) = 0 FROM ha.lock_holder()', 'the lock is free');
SELECT pg_temp.expect_soon('SELECT count(*) = 3 FROM pg_stat_activity WHERE application_name LIKE ''sw/tes%/b%''', 'the neighbours live');

-- The check of writers.
BEGIN ISOLATION LEVEL READ COMMITTED;
LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE;
SELECT pg_temp.expect(ha.check(1, :token) = 1 AND ha.check(1, :token, 1) = 1, 'the current epoch passes');
COMMIT;
SELECT pg_temp.expect_error('SELECT ha.check(0, 0)', 'SW001');
SELECT pg_temp.expect_error('SELECT ha.check(1, 77)', 'SW001');
SELECT pg_temp.expect_error(format('SELECT ha.check(1, %s, 2)', :token), 'SW002');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pg_temp.expect_error(format('SELECT ha.check(1, %s)', :token), 'SW003');
ROLLBACK;

-- A bump waits for an open write of the old epoch; the next write of that epoch is refused. The write is open until it
-- gets an advisory lock, and a little longer.
SELECT pg_advisory_lock(4711) \g /dev/null
\! PGAPPNAME=sw/test/c/300/lane psql -qAtX -c "BEGIN; LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE; SELECT pg_advisory_xact_lock(4711), pg_sleep(1); COMMIT" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_locks WHERE relation = ''ha.fence''::regclass AND mode = ''RowExclusiveLock'' AND pid <> pg_backend_pid())', 'a write is open');
SELECT pg_temp.expect(ha.wait_leader(500), 'a has the lock');
SET lock_timeout = '100ms';
SELECT pg_temp.expect_error(format('SELECT ha.bump(1, %s, ''a'', 100)', :token), '55P03');
SET lock_timeout = '60s';
SELECT pg_advisory_unlock(4711) \g /dev/null
SELECT pg_temp.expect((promoted, epoch, clean) = (true, 2, true), 'then it goes through, and knows of the clean release')
FROM ha.bump(1, :token, 'a', 100);
SELECT pg_temp.expect_error(format('SELECT ha.check(1, %s)', :token), 'SW001');

-- Before a bump: other runs of the own node, older runs of any, a former active that did not release cleanly, and a
-- write that is still open, though it is of the own run.
SELECT ha.beat('b', 2000, 1, 'standby') \g /dev/null
\! PGAPPNAME=sw/test/b/1999/lane psql -qAtX -c "SELECT pg_sleep(300)" >/dev/null 2>&1 &
\! PGAPPNAME=sw/test/d/1/web psql -qAtX -c "SELECT pg_sleep(300)" >/dev/null 2>&1 &
\! PGAPPNAME=sw/test/d/2/upkeep psql -qAtX -c "SELECT pg_sleep(300)" >/dev/null 2>&1 &
\! PGAPPNAME=sw/test/a/100/web psql -qAtX -c "SELECT pg_sleep(300)" >/dev/null 2>&1 &
\! PGAPPNAME=sw/test/d/2/lane0 psql -qAtX -c "BEGIN; LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE; SELECT pg_sleep(300)" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT count(*) = 8 FROM ha.sessions()', 'a twice, b-2, b twice, d three times');
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_locks WHERE relation = ''ha.fence''::regclass)', 'a write is open');
SELECT pg_temp.expect(ha.end_old_sessions('d', 2) = 4, 'the former active, b''s old run, d''s other run, d''s old write');
SELECT pg_temp.expect_soon($$
  SELECT array_agg(s.node || '/' || s.incarnation || '/' || s.role ORDER BY s.node COLLATE "C")
    = ARRAY['a/100/watch', 'b/2000/lease', 'b-2/200/lease', 'd/2/upkeep']
  FROM ha.sessions() AS s
  $$, 'the others live, and who asked does');

SELECT pid AS pid, started_us AS started FROM ha.sessions() WHERE node = 'd' \gset
SELECT pg_temp.expect(ha.end_backend(:pid, :started + 1), 'another session with this pid is none of ours');
SELECT pg_temp.expect(NOT ha.end_backend(:pid, :started), 'the old backend was there');
SELECT pg_temp.expect_soon(format('SELECT ha.end_backend(%s, %s)', :pid, :started), 'and is gone soon');
SELECT pg_temp.expect(o.pid = pg_backend_pid(), 'a lane knows its own session') FROM ha.own_session() AS o;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'sw/tes%' AND pid <> pg_backend_pid() \g /dev/null

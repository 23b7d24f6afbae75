-- The lock, the pin, the beat and the bump, with every reason for which a bump is refused.
\connect - standwatch
\ir helpers.sql
SET application_name = 'sw/test/a/100/lease';

SELECT pg_temp.expect_error('SELECT ha.wait_leader(10)', 'SW004');
SELECT ha.pin('test') \g /dev/null
SELECT ha.pin('test') \g /dev/null
SELECT pg_temp.expect_error('SELECT ha.pin(''other'')', 'SW004');
SELECT pg_temp.expect((epoch, token) = (0, 0), 'the first epoch is 0') FROM ha.leadership;

SELECT pg_temp.expect((i.cluster, i.node, i.incarnation, i.role) = ('c', 'n-1', 7, 'lane-0'), 'a name is parsed')
FROM ha.parse_identity('sw/c/n-1/7/lane-0') AS i;
SELECT pg_temp.expect(i.cluster IS NULL, 'a foreign name is not: ' || name)
FROM unnest(ARRAY['', 'psql', 'sw/c/n/x/r', 'sw/c/n/1/', 'sw/C/n/1/r', 'sw/c/n/1/r/x', 'xsw/c/n/1/r', 'sw/c/n/1/r ',
  'sw/c/abcdefghijklmnopq/1/r', 'sw/c/n/1234567890123456789/r']) AS name, ha.parse_identity(name) AS i;
SELECT pg_temp.expect(ha.lock_key('test') = ('x' || left(md5('standwatch/test'), 16))::bit(64)::bigint, 'the key is stable');

SELECT pg_temp.expect((b.stored, b.epoch, b.leader_node IS NULL, b.timeline, b.holds_lock) = (true, 0, true, 1, false),
  'a first beat') FROM ha.beat('a', 100, 1, 'standby', '{"version": 1}') AS b;
SELECT pg_temp.expect(b.stored, 'a later beat keeps info') FROM ha.beat('a', 100, 2, 'standby') AS b;
SELECT pg_temp.expect((counter, info) = (2, '{"version": 1}'), 'info was kept') FROM ha.node WHERE node = 'a';
SELECT pg_temp.expect(NOT b.stored, 'an older run does not overwrite a live newer one') FROM ha.beat('a', 99, 9, 'x') AS b;

SELECT pg_temp.expect((promoted, reason) = (false, 'lock-not-held'), 'no bump without the lock') FROM ha.bump(0, 0, 'a', 100);
SELECT pg_temp.expect(ha.wait_leader(500), 'the free lock is taken');
SELECT pg_temp.expect(ha.wait_leader(500), 'asked again, it is still held');
SELECT pg_temp.expect(count(*) = 1 AND min(node) = 'a' AND min(incarnation) = 100 AND min(role) = 'lease', 'its holder is known')
FROM ha.lock_holder();
SELECT pg_temp.expect((promoted, reason) = (false, 'epoch-moved'), 'no bump of an epoch not seen') FROM ha.bump(1, 0, 'a', 100);
SELECT pg_temp.expect((promoted, reason) = (false, 'epoch-moved'), 'no bump of another token') FROM ha.bump(0, 5, 'a', 100);
SELECT ha.pause('op', 'test') \g /dev/null
SELECT pg_temp.expect((promoted, reason) = (false, 'paused'), 'no bump in a pause') FROM ha.bump(0, 0, 'a', 100);
SELECT ha.resume('op') \g /dev/null
SELECT ha.set_no_promote('a', true, 'op', 'why') \g /dev/null
SELECT pg_temp.expect((promoted, reason) = (false, 'no-promote'), 'no bump of an excluded node') FROM ha.bump(0, 0, 'a', 100);
SELECT ha.set_no_promote('a', false, 'op', 'why') \g /dev/null
SELECT ha.set_successor('b', 60000, 'op') \g /dev/null
SELECT pg_temp.expect((promoted, reason) = (false, 'successor-named'), 'no bump past a successor') FROM ha.bump(0, 0, 'a', 100);
SELECT pg_temp.expect(successor = 'b', 'watch shows the successor') FROM ha.watch() LIMIT 1;
SELECT ha.set_successor('b', 0, 'op') \g /dev/null
SELECT pg_temp.expect(successor IS NULL, 'watch hides an expired one') FROM ha.watch() LIMIT 1;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.expect_error('SELECT ha.bump(0, 0, ''a'', 100)', 'SW003');
ROLLBACK;
SELECT pg_temp.expect((promoted, reason, epoch, clean) = (true, '', 1, false) AND token > 0 AND timeline = 1, 'the bump')
FROM ha.bump(0, 0, 'a', 100);
SELECT pg_temp.expect((epoch, node, incarnation) = (1, 'a', 100), 'leadership is written') FROM ha.leadership;

-- While somebody else holds the lock a wait ends in time, and its answer is no.
SET application_name = 'sw/test/a/100/watch';
\! PGAPPNAME=sw/test/b/200/lease psql -qAtX -c "SELECT ha.beat('b', 200, 1, 'standby')" -c "SELECT 'b waits: ' || ha.wait_leader(300)" >"$SCHEMA_TEST_DIR/b" 2>&1
\! PGAPPNAME=sw/test/b/200/lease psql -qAtX -c "SELECT ha.wait_leader(20000), pg_sleep(300)" >/dev/null 2>&1 &
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM ha.sessions() AS s WHERE s.node = ''b'')', 'b connects');
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND NOT granted)', 'b waits');
SELECT pg_temp.expect(count(*) = 1 AND min(node) = 'a', 'a waiter is no holder') FROM ha.lock_holder();
SELECT pg_temp.expect(ha.mark_clean_release(1, (SELECT token FROM ha.leadership), 'a'), 'a clean release is marked');
SELECT pg_temp.expect(NOT ha.mark_clean_release(1, 0, 'a'), 'but not of another token');
SELECT pg_temp.expect(clean, 'watch shows it') FROM ha.watch() LIMIT 1;
SELECT pg_temp.expect(ha.release_leader(), 'one release frees the lock');
SELECT pg_temp.expect_soon('SELECT EXISTS (SELECT FROM ha.lock_holder() AS h WHERE h.node = ''b'')', 'b has it at once');
SELECT pg_temp.expect(NOT ha.wait_leader(50), 'and a no longer');
SELECT pg_temp.expect(count(*) = 2 AND bool_and(holder_node = 'b') AND bool_and(leader_node = 'a'), 'watch shows both nodes')
FROM ha.watch();

-- Settings.
SELECT pg_temp.expect_error('SELECT ha.set_setting(''colour'', ''1'', ''op'')', '22023');
SELECT pg_temp.expect_error('SELECT ha.set_setting(''claim_keep_minutes'', ''0'', ''op'')', '22023');
SELECT pg_temp.expect_error('SELECT ha.set_setting(''claim_keep_minutes'', ''1; DROP'', ''op'')', '22023');
SELECT pg_temp.expect_error('SELECT ha.set_setting(''failback_to'', ''A B'', ''op'')', '22023');
SELECT ha.set_setting('failback_to', 'node-a', 'op') \g /dev/null
SELECT ha.set_setting('claim_keep_minutes', '2000', 'op') \g /dev/null
SELECT pg_temp.expect(value = '2000', 'a setting is set') FROM ha.setting WHERE key = 'claim_keep_minutes';
SELECT ha.set_setting('claim_keep_minutes', NULL, 'op') \g /dev/null
SELECT pg_temp.expect(count(*) = 7, 'operators'' acts are in the history: ' || count(*)) FROM ha.event;

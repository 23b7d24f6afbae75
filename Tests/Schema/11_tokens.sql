-- Tokens and the keys of the beats: written by functions alone, told to whoever listens, unseen by analysts.
\connect - standwatch
\ir helpers.sql

CREATE TEMP TABLE before AS SELECT revision FROM auth.state;
CREATE TEMP TABLE made AS
  SELECT auth.add_token('mes-07/*', repeat('ab', 32), 'test', NULL) AS family,
    auth.add_token('mes-08', repeat('cd', 32), 'test', 'the collector') AS one;
SELECT pg_temp.expect(t.source = 'mes-08' AND t.comment = 'the collector' AND t.hash = decode(repeat('cd', 32), 'hex')
  AND t.revoked_at IS NULL, 'it is stored as its hash') FROM auth.token AS t JOIN made AS m ON m.one = t.id;
SELECT pg_temp.expect(s.revision = b.revision + 2, 'each change is seen') FROM auth.state AS s, before AS b;
SELECT pg_temp.expect_error('SELECT auth.add_token(''a'', repeat(''ab'', 32), ''t'', '''')', '23505');
SELECT pg_temp.expect_error('SELECT auth.add_token(''a'', repeat(''ab'', 31), ''t'', '''')', '23514');
SELECT pg_temp.expect_error('SELECT auth.add_token(''a*b'', repeat(''01'', 32), ''t'', '''')', '23514');
SELECT pg_temp.expect_error('SELECT auth.add_token(E''a\nb'', repeat(''01'', 32), ''t'', '''')', '23514');
SELECT pg_temp.expect_error('SELECT auth.add_token('''', repeat(''01'', 32), ''t'', '''')', '23514');

SELECT pg_temp.expect((source, was_revoked) = ('mes-08', false), 'the first revocation') FROM made, auth.revoke_token(one, 'test');
SELECT pg_temp.expect((source, was_revoked) = ('mes-08', true), 'the second one') FROM made, auth.revoke_token(one, 'other');
SELECT pg_temp.expect(t.revoked_by = 'test' AND t.changed_at > t.created_at, 'the first is kept')
  FROM auth.token AS t JOIN made AS m ON m.one = t.id;
SELECT pg_temp.expect(count(*) = 0, 'there is no such token') FROM auth.revoke_token(-1, 'test');

-- What the functions do not do, nobody does.
SELECT pg_temp.expect_error('UPDATE auth.token SET revoked_at = NULL', '42501');
SELECT pg_temp.expect_error('INSERT INTO auth.token (source, hash, created_by) VALUES (''*'', ''\x00'', ''me'')', '42501');
SELECT pg_temp.expect_error('DELETE FROM auth.token', '42501');
SELECT pg_temp.expect_error('UPDATE auth.state SET revision = 0', '42501');
SELECT pg_temp.expect_error('SELECT auth.changed()', '42501');

-- Settings that decide about connections are told as well; others are not.
CREATE TEMP TABLE seen AS SELECT revision FROM auth.state;
SELECT ha.set_setting('require_tokens', 'on', 'test'), ha.set_setting('open_protocols', 'syslog,influx-tcp', 'test');
SELECT pg_temp.expect(s.revision = b.revision + 2, 'two settings') FROM auth.state AS s, seen AS b;
SELECT ha.set_setting('claim_keep_minutes', '61', 'test'), ha.set_setting('claim_keep_minutes', NULL, 'test');
SELECT pg_temp.expect(s.revision = b.revision + 2, 'no others') FROM auth.state AS s, seen AS b;
SELECT pg_temp.expect_error('SELECT ha.set_setting(''require_tokens'', ''yes'', ''t'')', '22023');
SELECT pg_temp.expect_error('SELECT ha.set_setting(''open_protocols'', ''syslog, native'', ''t'')', '22023');
SELECT ha.set_setting('require_tokens', NULL, 'test'), ha.set_setting('open_protocols', NULL, 'test');

-- Keys: one rotation at a time, ended by one.
SELECT pg_temp.expect(ha.offer_key(repeat('0', 16), repeat('1', 16), 'aabb', 'test'), 'a rotation begins');
SELECT pg_temp.expect(NOT ha.offer_key(repeat('0', 16), repeat('2', 16), NULL, 'test'), 'no second one beside it');
SELECT pg_temp.expect(NOT ha.end_key_rotation(repeat('2', 16), 'test'), 'another one is not ended');
SELECT pg_temp.expect(ha.end_key_rotation(repeat('1', 16), 'test'), 'it ends');
SELECT pg_temp.expect(NOT ha.end_key_rotation(repeat('1', 16), 'test'), 'once');
SELECT ha.report_keys('nobody', 1, repeat('0', 16), ARRAY[repeat('0', 16)]);
SELECT pg_temp.expect(count(*) = 0, 'only of nodes that are known') FROM ha.node_key AS k WHERE k.node = 'nobody';
SELECT pg_temp.expect_error('UPDATE ha.node_key SET signs = ''x''', '42501');
SELECT pg_temp.expect_error('DELETE FROM ha.key_rotation', '42501');

SELECT pg_temp.expect(NOT has_schema_privilege(r, 'auth', 'USAGE') AND NOT has_table_privilege(r, 'ha.key_rotation', 'SELECT')
    AND NOT has_table_privilege(r, 'ha.node_key', 'SELECT')
    AND NOT has_function_privilege(r, 'ha.offer_key(text, text, text, text)', 'EXECUTE')
    AND NOT has_function_privilege(r, 'auth.add_token(text, text, text, text)', 'EXECUTE'), r || ' sees nothing of it')
  FROM unnest(ARRAY['standwatch_analyst', 'standwatch_auditor', 'public']) AS r;
\! PGUSER=standwatch_analyst psql -qAtX -c 'SELECT 1 FROM auth.token' 2>&1 | grep -q 'permission denied' || echo 'not so: an analyst reads tokens'

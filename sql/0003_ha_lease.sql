-- Functions of the lease session and of observers: identity, the lock, beats, the bump and the check.
--
-- They run with the rights of the caller (SECURITY INVOKER): PostgreSQL lets a session see and end only sessions
-- of its own role, and all nodes share one. Those that read system views switch JIT off: estimates of such views are
-- far off, and a needless compilation takes half a second. SQLSTATEs of our own: SW001 not the current (epoch, token),
-- SW002 another timeline, SW003 wrong isolation level, SW004 another cluster or database than the pinned one.

SET LOCAL ROLE standwatch_owner;

CREATE FUNCTION ha.parse_identity(
    p_name text, OUT cluster text, OUT node text, OUT incarnation bigint, OUT role text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  AS $$
  SELECT m[1], m[2], m[3]::bigint, m[4]
  FROM (
    SELECT pg_catalog.regexp_match(
      p_name, '^sw/([a-z0-9-]{1,16})/([a-z0-9-]{1,16})/([0-9]{1,18})/([a-z0-9-]+)$') AS m
  ) AS parsed
  $$;
COMMENT ON FUNCTION ha.parse_identity IS
  'Parts of an application_name sw/<cluster>/<node>/<incarnation>/<role>; all NULL when it is no such name';

CREATE FUNCTION ha.sessions()
  RETURNS TABLE (pid integer, started_us bigint, cluster text, node text, incarnation bigint, role text)
  LANGUAGE sql STABLE ROWS 10
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  SELECT a.pid, (extract(epoch FROM a.backend_start) * 1000000)::bigint, i.cluster, i.node, i.incarnation, i.role
  FROM pg_catalog.pg_stat_activity AS a
  CROSS JOIN LATERAL ha.parse_identity(a.application_name) AS i
  JOIN ha.cluster AS c ON c.cluster = i.cluster AND c.database_oid = a.datid
  WHERE pg_catalog.pg_has_role(a.usesysid, 'standwatch_node', 'MEMBER')
  $$;
COMMENT ON FUNCTION ha.sessions IS
  'All sessions of the nodes of this cluster; started_us is backend_start in µs of 1970';

CREATE FUNCTION ha.lock_key(p_cluster text) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  AS $$ SELECT ('x' || pg_catalog.substr(pg_catalog.md5('standwatch/' || p_cluster), 1, 16))::bit(64)::bigint $$;
COMMENT ON FUNCTION ha.lock_key IS 'Key of the leader''s advisory lock of a cluster; the same on every server version';

CREATE FUNCTION ha.lock_holder()
  RETURNS TABLE (pid integer, started_us bigint, node text, incarnation bigint, role text)
  LANGUAGE sql STABLE ROWS 1
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  SELECT l.pid, s.started_us, s.node, s.incarnation, s.role
  FROM ha.cluster AS c
  CROSS JOIN LATERAL ha.lock_key(c.cluster) AS k(key)
  JOIN pg_catalog.pg_locks AS l
    ON l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = c.database_oid
    AND l.classid = ((k.key >> 32) & 4294967295)::oid
    AND l.objid = (k.key & 4294967295)::oid
  LEFT JOIN ha.sessions() AS s ON s.pid = l.pid
  $$;
COMMENT ON FUNCTION ha.lock_holder IS
  'Session that holds the leader''s lock, by pg_locks; node is NULL when the holder is no session of ours';

CREATE FUNCTION ha.holds_lock() RETURNS boolean
  LANGUAGE sql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  SELECT EXISTS (
    SELECT
    FROM ha.cluster AS c
    CROSS JOIN LATERAL ha.lock_key(c.cluster) AS k(key)
    JOIN pg_catalog.pg_locks AS l
      ON l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.mode = 'ExclusiveLock'
      AND l.pid = pg_catalog.pg_backend_pid()
      AND l.database = c.database_oid
      AND l.classid = ((k.key >> 32) & 4294967295)::oid
      AND l.objid = (k.key & 4294967295)::oid
  )
  $$;
COMMENT ON FUNCTION ha.holds_lock IS 'Whether this very session holds the leader''s lock, by pg_locks';

CREATE FUNCTION ha.wait_leader(p_lock_timeout_ms integer) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  v_key bigint := (SELECT ha.lock_key(c.cluster) FROM ha.cluster AS c);
  v_before text := pg_catalog.current_setting('lock_timeout');
BEGIN
  IF v_key IS NULL THEN
    RAISE EXCEPTION 'this database is not pinned to a cluster yet' USING ERRCODE = 'SW004', HINT = 'Call ha.pin first.';
  END IF;
  -- Never ask again for what is held: the lock would be stacked, and one release would not free it.
  IF ha.holds_lock() THEN
    RETURN true;
  END IF;
  BEGIN
    PERFORM pg_catalog.set_config('lock_timeout', greatest(p_lock_timeout_ms, 1)::text, true);
    PERFORM pg_catalog.pg_advisory_lock(v_key);
    PERFORM pg_catalog.set_config('lock_timeout', v_before, true);
  EXCEPTION
    -- The time-out can be reported although the lock was granted: only pg_locks knows.
    WHEN lock_not_available THEN
      NULL;
  END;
  RETURN ha.holds_lock();
END
$$;
COMMENT ON FUNCTION ha.wait_leader IS
  'Waits a bounded time for the leader''s lock; the answer, from pg_locks, is whether this session holds it';

CREATE FUNCTION ha.release_leader() RETURNS boolean
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  PERFORM pg_catalog.pg_advisory_unlock_all();
  RETURN NOT ha.holds_lock();
END
$$;
COMMENT ON FUNCTION ha.release_leader IS 'Gives the leader''s lock up; true when pg_locks agrees that it is gone';

CREATE FUNCTION ha.timeline() RETURNS integer
  LANGUAGE sql VOLATILE
  SET search_path = pg_catalog, pg_temp
  AS $$
  SELECT ('x' || pg_catalog.left(
    pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::integer
  $$;
COMMENT ON FUNCTION ha.timeline IS 'Timeline of the server, read from live WAL (the control file lags)';

CREATE FUNCTION ha.pin(p_cluster text) RETURNS void
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  v_system bigint := (SELECT s.system_identifier FROM pg_catalog.pg_control_system() AS s);
  v_database oid := (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database());
  v_pinned ha.cluster;
BEGIN
  SELECT c.* INTO v_pinned FROM ha.cluster AS c;
  IF NOT FOUND THEN
    INSERT INTO ha.cluster (cluster, system_identifier, database_oid, database_name)
      VALUES (p_cluster, v_system, v_database, pg_catalog.current_database())
      ON CONFLICT (one) DO NOTHING;
    INSERT INTO ha.leadership (epoch, token) VALUES (0, 0) ON CONFLICT (one) DO NOTHING;
    SELECT c.* INTO STRICT v_pinned FROM ha.cluster AS c;
  END IF;
  IF v_pinned.cluster <> p_cluster THEN
    RAISE EXCEPTION 'this database belongs to cluster "%", not to "%"', v_pinned.cluster, p_cluster
      USING ERRCODE = 'SW004', HINT = 'Give every cluster a database of its own.';
  END IF;
  IF v_pinned.system_identifier <> v_system OR v_pinned.database_oid <> v_database THEN
    RAISE EXCEPTION 'this is not the database that cluster "%" was pinned to', p_cluster
      USING ERRCODE = 'SW004',
        DETAIL = pg_catalog.format('pinned: system %s, database %s; found: system %s, database %s',
          v_pinned.system_identifier, v_pinned.database_oid, v_system, v_database),
        HINT = 'After a restore or pg_upgrade the owner deletes the row of ha.cluster while all nodes are stopped.';
  END IF;
END
$$;
COMMENT ON FUNCTION ha.pin IS
  'Pins an empty database to its cluster; afterwards raises SW004 where cluster, server or database differ';

CREATE FUNCTION ha.beat(p_node text, p_incarnation bigint, p_counter bigint, p_state text, p_info jsonb DEFAULT NULL)
  RETURNS TABLE (stored boolean, epoch bigint, token bigint, leader_node text, leader_incarnation bigint,
    timeline integer, holds_lock boolean)
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  -- A live newer run of the same node keeps its row; an older run learns from "stored" that it is superseded.
  INSERT INTO ha.node AS n (node, incarnation, counter, state, beat_at, info)
    VALUES (p_node, p_incarnation, p_counter, p_state, pg_catalog.clock_timestamp(), coalesce(p_info, '{}'))
    ON CONFLICT ON CONSTRAINT node_pkey DO UPDATE
      SET incarnation = excluded.incarnation, counter = excluded.counter, state = excluded.state,
        beat_at = excluded.beat_at, info = coalesce(p_info, n.info)
      WHERE n.incarnation <= excluded.incarnation OR n.beat_at < pg_catalog.clock_timestamp() - interval '5 s';
  stored := FOUND;
  SELECT l.epoch, l.token, l.node, l.incarnation
    INTO epoch, token, leader_node, leader_incarnation
    FROM ha.leadership AS l;
  timeline := ha.timeline();
  holds_lock := ha.holds_lock();
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ha.beat IS
  'Writes the node''s beat and reads leadership, timeline and the own lock; p_info NULL keeps what was there';

CREATE FUNCTION ha.bump(p_epoch bigint, p_token bigint, p_node text, p_incarnation bigint)
  RETURNS TABLE (promoted boolean, reason text, epoch bigint, token bigint, timeline integer, clean boolean)
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  v_control ha.control;
BEGIN
  IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'a bump needs READ COMMITTED' USING ERRCODE = 'SW003';
  END IF;
  IF pg_catalog.current_setting('lock_timeout') = '0' THEN
    PERFORM pg_catalog.set_config('lock_timeout', '1500ms', true);
  END IF;
  -- Waits for every open write of an older epoch; each statement below sees what those committed.
  LOCK TABLE ha.fence IN EXCLUSIVE MODE;
  SELECT c.* INTO STRICT v_control FROM ha.control AS c;
  SELECT l.epoch, l.token INTO STRICT epoch, token FROM ha.leadership AS l;
  timeline := ha.timeline();
  clean := v_control.clean_epoch = p_epoch AND v_control.clean_token = p_token;
  clean := coalesce(clean, false);
  promoted := false;
  reason := CASE
    WHEN NOT ha.holds_lock() THEN 'lock-not-held'
    WHEN epoch <> p_epoch OR token <> p_token THEN 'epoch-moved'
    WHEN v_control.paused THEN 'paused'
    WHEN EXISTS (SELECT FROM ha.no_promote AS n WHERE n.node = p_node) THEN 'no-promote'
    WHEN v_control.successor <> p_node AND v_control.successor_expires_at > pg_catalog.clock_timestamp()
      THEN 'successor-named'
  END;
  IF reason IS NULL THEN
    UPDATE ha.leadership AS l
      SET epoch = l.epoch + 1,
        token = (('x' || pg_catalog.substr(pg_catalog.md5(pg_catalog.gen_random_uuid()::text), 1, 16))::bit(64)::bigint)
          & 9223372036854775807,
        node = p_node, incarnation = p_incarnation, since = pg_catalog.clock_timestamp()
      WHERE l.epoch = p_epoch AND l.token = p_token
      RETURNING l.epoch, l.token INTO STRICT epoch, token;
    UPDATE ha.control AS c SET successor = NULL, successor_by = NULL, successor_expires_at = NULL
      WHERE c.successor IS NOT NULL;
    promoted := true;
    reason := '';
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ha.bump IS
  'The promotion: raises the epoch if it is the one seen, the own lock stands and no operator objects. Otherwise '
  'promoted is false and reason one of lock-not-held, epoch-moved, paused, no-promote, successor-named. clean says '
  'that the former active verified its service IP gone. To be called under statement_timeout, in READ COMMITTED';

CREATE FUNCTION ha.check(p_epoch bigint, p_token bigint, p_timeline integer DEFAULT NULL) RETURNS integer
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  v_epoch bigint;
  v_timeline integer := ha.timeline();
BEGIN
  IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'a fenced write needs READ COMMITTED' USING ERRCODE = 'SW003';
  END IF;
  SELECT l.epoch INTO v_epoch FROM ha.leadership AS l WHERE l.epoch = p_epoch AND l.token = p_token;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'fenced: epoch % is not current', p_epoch USING ERRCODE = 'SW001';
  END IF;
  IF v_timeline <> p_timeline THEN
    RAISE EXCEPTION 'fenced: this session is on timeline %, not %', v_timeline, p_timeline USING ERRCODE = 'SW002';
  END IF;
  RETURN v_timeline;
END
$$;
COMMENT ON FUNCTION ha.check IS
  'Raises SW001 unless (epoch, token) is current, SW002 unless the timeline is the given one; answers the timeline. '
  'A statement of its own behind LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE';

GRANT EXECUTE ON FUNCTION ha.parse_identity, ha.sessions, ha.lock_key, ha.lock_holder, ha.holds_lock, ha.wait_leader,
  ha.release_leader, ha.timeline, ha.pin, ha.beat, ha.bump, ha.check TO standwatch_node;

RESET ROLE;

-- Functions that end sessions, that observers read, and that operators call.
--
-- Sessions are chosen by equality on their parsed identity, never with LIKE: node "a" must not match node "a-2".
-- Operators' functions take the writers' lock of ha.fence first, so that a promotion is either finished before them
-- or sees what they set.

SET LOCAL ROLE standwatch_owner;

CREATE FUNCTION ha.fence_node(p_epoch bigint, p_token bigint, p_node text, p_incarnation bigint, p_counter bigint)
  RETURNS TABLE (fenced boolean, reason text, ended integer)
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET lock_timeout = '500ms'
  AS $$
DECLARE
  v_node ha.node;
BEGIN
  fenced := false;
  ended := 0;
  -- Under the lock of the beat row: a judge that slept since it judged finds another counter and harms nobody.
  SELECT n.* INTO v_node FROM ha.node AS n WHERE n.node = p_node FOR UPDATE;
  reason := CASE
    WHEN NOT EXISTS (SELECT FROM ha.leadership AS l WHERE l.epoch = p_epoch AND l.token = p_token) THEN 'epoch-moved'
    WHEN v_node.incarnation IS NULL AND p_counter >= 0 THEN 'no-such-node'
    WHEN p_counter >= 0 AND v_node.incarnation <> p_incarnation THEN 'incarnation-moved'
    WHEN p_counter >= 0 AND v_node.counter <> p_counter THEN 'counter-moved'
    WHEN p_counter < 0 AND v_node.incarnation = p_incarnation THEN 'counter-moved'
  END;
  IF reason IS NULL THEN
    SELECT count(pg_catalog.pg_terminate_backend(s.pid)) INTO ended
      FROM ha.sessions() AS s
      WHERE s.node = p_node AND s.incarnation = p_incarnation AND s.pid <> pg_catalog.pg_backend_pid();
    fenced := true;
    reason := '';
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ha.fence_node IS
  'Ends all sessions of a node''s run, if epoch, token, incarnation and beat counter are still those seen (counter '
  '-1: this run never wrote a beat). Otherwise fenced is false and reason one of epoch-moved, no-such-node, '
  'incarnation-moved, counter-moved';

CREATE FUNCTION ha.end_old_sessions(p_node text, p_incarnation bigint) RETURNS integer
  LANGUAGE sql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  SELECT count(pg_catalog.pg_terminate_backend(s.pid))::integer
  FROM ha.sessions() AS s
  WHERE s.pid <> pg_catalog.pg_backend_pid()
    AND (
      s.node = p_node AND s.incarnation <> p_incarnation
      OR EXISTS (SELECT FROM ha.node AS n WHERE n.node = s.node AND n.incarnation > s.incarnation)
      OR EXISTS (
        SELECT
        FROM ha.leadership AS l
        CROSS JOIN ha.control AS c
        WHERE l.node = s.node AND l.incarnation = s.incarnation
          AND NOT (s.node = p_node AND s.incarnation = p_incarnation)
          AND (c.clean_epoch, c.clean_token) IS DISTINCT FROM (l.epoch, l.token)
      )
      -- Nobody leads now: a write that is still open is of an earlier term, also where this run led it. Its client may
      -- be behind a flow that was dropped; the bump would wait for it in vain.
      OR s.role <> 'hactl' AND EXISTS (
        SELECT FROM pg_catalog.pg_locks AS k
        WHERE k.pid = s.pid AND k.locktype = 'relation' AND k.relation = 'ha.fence'::regclass)
    )
  $$;
COMMENT ON FUNCTION ha.end_old_sessions IS
  'Before a bump: ends the sessions of other runs of the own node, of older runs of any node, and of the former '
  'active unless it released cleanly, and whoever has a write open. No fence by itself: a stalled COMMIT can still succeed, the bump waits for it';

CREATE FUNCTION ha.own_session(OUT pid integer, OUT started_us bigint)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  AS $$
  SELECT a.pid, (extract(epoch FROM a.backend_start) * 1000000)::bigint
  FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid()
  $$;
COMMENT ON FUNCTION ha.own_session IS 'What a lane remembers of its session, to end it later with ha.end_backend';

CREATE FUNCTION ha.end_backend(p_pid integer, p_started_us bigint) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
BEGIN
  PERFORM pg_catalog.pg_terminate_backend(s.pid)
    FROM ha.sessions() AS s
    WHERE s.pid = p_pid AND s.started_us = p_started_us AND s.pid <> pg_catalog.pg_backend_pid();
  RETURN NOT FOUND;
END
$$;
COMMENT ON FUNCTION ha.end_backend IS
  'Ends one old session of ours; true when it is gone already: a lane calls it until then, and only then retries';

CREATE FUNCTION ha.watch()
  RETURNS TABLE (
    epoch bigint, token bigint, leader_node text, leader_incarnation bigint, timeline integer,
    holder_pid integer, holder_node text, holder_incarnation bigint, holder_role text,
    paused boolean, successor text, clean boolean,
    node text, incarnation bigint, counter bigint, state text, beat_age_ms bigint, no_promote boolean)
  LANGUAGE sql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  SELECT l.epoch, l.token, l.node, l.incarnation,
    CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN ha.timeline() END,
    h.pid, h.node, h.incarnation, h.role,
    c.paused, CASE WHEN c.successor_expires_at > pg_catalog.clock_timestamp() THEN c.successor END,
    (c.clean_epoch, c.clean_token) IS NOT DISTINCT FROM (l.epoch, l.token),
    n.node, n.incarnation, n.counter, n.state,
    (extract(epoch FROM pg_catalog.clock_timestamp() - n.beat_at) * 1000)::bigint,
    EXISTS (SELECT FROM ha.no_promote AS p WHERE p.node = n.node)
  FROM ha.leadership AS l
  CROSS JOIN ha.control AS c
  LEFT JOIN ha.lock_holder() AS h ON true
  LEFT JOIN ha.node AS n ON true
  ORDER BY n.node
  $$;
COMMENT ON FUNCTION ha.watch IS
  'All an observer reads, one row per node (one with node NULL before the first beat). successor is NULL when none '
  'is named or its time is over; clean: the last active verified its service IP gone; beat_age_ms is for people';

CREATE FUNCTION ha.note_event(
  p_kind text, p_node text, p_incarnation bigint, p_epoch bigint, p_reason text, p_phases jsonb DEFAULT '{}')
  RETURNS bigint
  LANGUAGE sql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  INSERT INTO ha.event (kind, node, incarnation, epoch, reason, phases)
  VALUES (p_kind, p_node, p_incarnation, p_epoch, coalesce(p_reason, ''), coalesce(p_phases, '{}'))
  RETURNING id
  $$;
COMMENT ON FUNCTION ha.note_event IS 'Adds a line to the history';

CREATE FUNCTION ha.pause(p_by text, p_why text) RETURNS void
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '2s'
  AS $$
BEGIN
  LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE;
  UPDATE ha.control SET paused = true, paused_by = p_by, paused_why = p_why,
    paused_at = pg_catalog.clock_timestamp();
  PERFORM ha.note_event('pause', NULL, NULL, NULL, pg_catalog.concat_ws(': ', p_by, p_why));
END
$$;
COMMENT ON FUNCTION ha.pause IS 'No promotion anywhere until ha.resume';

CREATE FUNCTION ha.resume(p_by text) RETURNS void
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '2s'
  AS $$
BEGIN
  LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE;
  UPDATE ha.control SET paused = false, paused_by = NULL, paused_why = NULL, paused_at = NULL;
  PERFORM ha.note_event('resume', NULL, NULL, NULL, p_by);
END
$$;
COMMENT ON FUNCTION ha.resume IS 'Ends a pause';

CREATE FUNCTION ha.set_no_promote(p_node text, p_excluded boolean, p_by text, p_why text) RETURNS void
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '2s'
  AS $$
BEGIN
  LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE;
  IF p_excluded THEN
    INSERT INTO ha.no_promote (node, set_by, why) VALUES (p_node, p_by, coalesce(p_why, ''))
      ON CONFLICT (node) DO UPDATE SET set_by = excluded.set_by, why = excluded.why, set_at = excluded.set_at;
  ELSE
    DELETE FROM ha.no_promote AS n WHERE n.node = p_node;
  END IF;
  PERFORM ha.note_event(CASE WHEN p_excluded THEN 'no-promote' ELSE 'may-promote' END, p_node, NULL, NULL,
    pg_catalog.concat_ws(': ', p_by, p_why));
END
$$;
COMMENT ON FUNCTION ha.set_no_promote IS 'Excludes a node from promotion, or ends that';

CREATE FUNCTION ha.set_successor(p_node text, p_for_ms integer, p_by text) RETURNS void
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '2s'
  AS $$
BEGIN
  LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE;
  UPDATE ha.control SET successor = p_node, successor_by = p_by,
    successor_expires_at = pg_catalog.clock_timestamp() + p_for_ms * interval '1 ms';
END
$$;
COMMENT ON FUNCTION ha.set_successor IS
  'Names the only node that may promote itself in the next p_for_ms milliseconds; p_node NULL takes the name back';

CREATE FUNCTION ha.mark_clean_release(p_epoch bigint, p_token bigint, p_node text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  UPDATE ha.control SET clean_epoch = p_epoch, clean_token = p_token, clean_node = p_node,
    clean_at = pg_catalog.clock_timestamp()
    WHERE EXISTS (
      SELECT FROM ha.leadership AS l WHERE l.epoch = p_epoch AND l.token = p_token AND l.node = p_node);
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ha.mark_clean_release IS
  'Says, before the unlock, that the service IP of this epoch is verified gone, so that the successor need not probe';

CREATE FUNCTION ha.set_setting(p_key text, p_value text, p_by text) RETURNS void
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  v_setting ha.setting;
BEGIN
  SELECT s.* INTO v_setting FROM ha.setting AS s WHERE s.key = p_key;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no setting "%"', p_key
      USING ERRCODE = '22023', HINT = 'Run "hactl config" for the list.';
  END IF;
  IF p_value IS NOT NULL THEN
    IF v_setting.kind = 'integer' AND (p_value !~ '^-?[0-9]{1,18}$'
        OR p_value::bigint NOT BETWEEN v_setting.least AND v_setting.most) THEN
      RAISE EXCEPTION '% must be a whole number from % to %', p_key, v_setting.least, v_setting.most
        USING ERRCODE = '22023', DETAIL = v_setting.description;
    ELSIF v_setting.kind = 'boolean' AND p_value NOT IN ('true', 'false') THEN
      RAISE EXCEPTION '% must be true or false', p_key USING ERRCODE = '22023', DETAIL = v_setting.description;
    ELSIF v_setting.kind = 'text' AND p_value !~ ('^(' || v_setting.pattern || ')$') THEN
      RAISE EXCEPTION '% must match %', p_key, v_setting.pattern
        USING ERRCODE = '22023', DETAIL = v_setting.description;
    END IF;
  END IF;
  UPDATE ha.setting AS s
    SET value = p_value, changed_at = pg_catalog.clock_timestamp(), changed_by = p_by
    WHERE s.key = p_key;
  PERFORM ha.note_event('config', NULL, NULL, NULL,
    pg_catalog.format('%s: %s = %s', p_by, p_key, coalesce(p_value, 'default')));
END
$$;
COMMENT ON FUNCTION ha.set_setting IS 'Sets what the cluster shares (NULL: the default again); 22023 names the mistake';

GRANT EXECUTE ON FUNCTION ha.fence_node, ha.end_old_sessions, ha.own_session, ha.end_backend, ha.watch, ha.note_event,
  ha.pause, ha.resume, ha.set_no_promote, ha.set_successor, ha.mark_clean_release, ha.set_setting TO standwatch_node;

RESET ROLE;

-- Reports on the cluster itself: who led when, takeovers and drills, and the time in which nobody was watching.
--
-- A gap is time without an active node, by the history (ha.event): records of that time can be missing or late, so it
-- must not be read as silence of an application. A node that dies can't write so; its successor then says from when it
-- heard nothing of it (the phases of its takeover count from there).

SET LOCAL ROLE standwatch_owner;

CREATE VIEW report.cluster_now AS
  SELECT n.node, n.state, n.beat_at, pg_catalog.round(extract(epoch FROM pg_catalog.clock_timestamp() - n.beat_at), 1)
      AS beat_age_s,
    l.node = n.node AND l.incarnation = n.incarnation AS led_last, CASE WHEN l.node = n.node THEN l.epoch END AS epoch,
    CASE WHEN l.node = n.node THEN l.since END AS leads_since,
    EXISTS (SELECT FROM ha.no_promote AS p WHERE p.node = n.node) AS no_promote, c.paused AS promotions_paused
  FROM ha.node AS n
  CROSS JOIN ha.leadership AS l
  CROSS JOIN ha.control AS c;
COMMENT ON VIEW report.cluster_now IS 'The nodes and what they said last. Example: SELECT node, state, beat_age_s FROM '
  'report.cluster_now';
COMMENT ON COLUMN report.cluster_now.beat_age_s IS 'Seconds since its last beat, by the server''s clock; beats come every 250 ms';
COMMENT ON COLUMN report.cluster_now.led_last IS 'Whether the last promotion was of this run of this node';
COMMENT ON COLUMN report.cluster_now.no_promote IS 'An operator excluded it from promotion';

CREATE VIEW report.reign AS
  WITH served AS (
    SELECT e.id, e.at, e.node, e.incarnation, e.epoch, e.reason, e.phases,
      (SELECT max(p.value::double precision) FROM pg_catalog.jsonb_each_text(e.phases) AS p) AS takeover_ms,
      pg_catalog.lead(e.id) OVER w AS next_id
    FROM ha.event AS e
    WHERE e.kind = 'active'
    WINDOW w AS (ORDER BY e.at, e.id)
  ), ends AS (
    SELECT s.id, s.at, s.node, s.incarnation, s.epoch, s.reason, s.phases, s.takeover_ms, s.next_id,
      o.at AS left_at, o.own AS left_own, o.reason AS left_reason,
      n.at - coalesce(n.takeover_ms, 0) * interval '1 millisecond' AS missed_at, (n.phases ->> 'detected')::double precision > 0 AS detected,
      b.beat_at
    FROM served AS s
    LEFT JOIN LATERAL (
      SELECT x.at, x.incarnation = s.incarnation AS own, x.reason
      FROM ha.event AS x
      WHERE x.node = s.node AND (x.at, x.id) > (s.at, s.id)
        AND (x.kind IN ('draining', 'stepping-down', 'degraded', 'faulty', 'standby', 'stopped', 'excused', 'starting')
          OR x.incarnation <> s.incarnation)
        AND (s.next_id IS NULL OR (x.at, x.id) < (SELECT y.at, y.id FROM ha.event AS y WHERE y.id = s.next_id))
      ORDER BY x.at, x.id
      LIMIT 1
    ) AS o ON true
    LEFT JOIN served AS n ON n.id = s.next_id
    LEFT JOIN ha.node AS b ON s.next_id IS NULL AND b.node = s.node AND b.incarnation = s.incarnation
  )
  SELECT e.epoch, e.node, e.at AS began_at,
    CASE
      WHEN e.next_id IS NOT NULL THEN greatest(e.at, least(e.left_at, e.missed_at))
      WHEN e.left_at IS NOT NULL THEN e.left_at
      WHEN e.beat_at IS NULL OR e.beat_at < pg_catalog.clock_timestamp() - interval '3 seconds'
        THEN greatest(e.at, e.beat_at)
    END AS ended_at,
    CASE WHEN e.left_at <= coalesce(e.missed_at, e.left_at) THEN e.left_reason
      WHEN e.next_id IS NOT NULL THEN 'fell silent'
      WHEN e.left_at IS NOT NULL THEN e.left_reason
      WHEN e.beat_at IS NULL OR e.beat_at < pg_catalog.clock_timestamp() - interval '3 seconds' THEN 'fell silent'
    END AS end_reason,
    coalesce(e.left_own AND e.left_at <= coalesce(e.missed_at, e.left_at), false)
      OR coalesce(e.detected, e.next_id IS NULL) AS end_known,
    e.takeover_ms, e.phases
  FROM ends AS e;
COMMENT ON VIEW report.reign IS
  'Who served when: from a node''s promotion (its listeners open, its address held) until it stopped serving, in any '
  'way. Example: SELECT node, began_at, ended_at, end_reason FROM report.reign ORDER BY began_at DESC LIMIT 10';
COMMENT ON COLUMN report.reign.ended_at IS 'NULL: it serves now';
COMMENT ON COLUMN report.reign.end_reason IS 'What the node said, or: fell silent';
COMMENT ON COLUMN report.reign.end_known IS 'False: it may have ended earlier, nobody was there to see it';
COMMENT ON COLUMN report.reign.takeover_ms IS 'Milliseconds from the last sign of life of the former active until it served';
COMMENT ON COLUMN report.reign.phases IS 'Milliseconds of each phase of its takeover, see report.takeovers';

CREATE FUNCTION report.gaps(p_from timestamptz DEFAULT pg_catalog.now() - interval '30 days',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (began_at timestamptz, ended_at timestamptz, length_ms numeric, node_before text, node_after text,
    reason text, begin_known boolean)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT greatest(g.ended_at, p_from), nullif(least(g.next_at, p_until), p_until),
      report.milliseconds(least(g.next_at, p_until) - greatest(g.ended_at, p_from)), g.node, g.next_node,
      g.end_reason, g.end_known
    FROM (
      SELECT r.node, r.ended_at, r.end_reason, r.end_known,
        coalesce(pg_catalog.lead(r.began_at) OVER w, 'infinity') AS next_at, pg_catalog.lead(r.node) OVER w AS next_node
      FROM report.reign AS r
      WINDOW w AS (ORDER BY r.began_at)
    ) AS g
    WHERE g.ended_at < least(g.next_at, p_until) AND g.next_at > p_from
    ORDER BY g.ended_at;
  END;
COMMENT ON FUNCTION report.gaps IS
  'Monitoring gaps: times in which no node served, so nobody was watching (milliseconds). ended_at NULL: it lasts, or '
  'beyond p_until. begin_known false: it may have begun earlier. Before the first promotion there was no monitoring, '
  'which is no gap. Example: SELECT * FROM report.gaps(now() - interval ''1 day'')';

CREATE FUNCTION report.cluster_availability(p_from timestamptz DEFAULT pg_catalog.now() - interval '30 days',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (watched_from timestamptz, watched_until timestamptz, available_percent numeric, gaps bigint,
    gap_s numeric, longest_gap_ms numeric)
  LANGUAGE sql STABLE ROWS 1
  BEGIN ATOMIC
    SELECT r.since, r.until,
      pg_catalog.round((100 * (1 - coalesce(sum(g.length_ms), 0) / nullif(report.milliseconds(r.until - r.since), 0))), 6),
      count(g.length_ms), pg_catalog.round(coalesce(sum(g.length_ms), 0) / 1000, 3), max(g.length_ms)
    FROM (
      SELECT greatest(p_from, min(e.at)) AS since, least(p_until, pg_catalog.now()) AS until
      FROM ha.event AS e
      WHERE e.kind = 'active'
    ) AS r
    LEFT JOIN report.gaps(p_from, least(p_until, pg_catalog.now())) AS g ON true
    WHERE r.since < r.until
    GROUP BY r.since, r.until;
  END;
COMMENT ON FUNCTION report.cluster_availability IS
  'For how much of a range (since the first promotion ever) some node served, the number of gaps, their sum and the '
  'longest. No row when there was none yet. Example: SELECT * FROM report.cluster_availability()';

CREATE FUNCTION report.takeovers(p_from timestamptz DEFAULT pg_catalog.now() - interval '30 days',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (at timestamptz, epoch bigint, kind text, node_before text, node_after text, reason text,
    unwatched_ms numeric, takeover_ms numeric, detected_ms numeric, fenced_ms numeric, lock_won_ms numeric,
    lease_proven_ms numeric, old_sessions_ended_ms numeric, bumped_ms numeric, listening_ms numeric, probed_ms numeric,
    claimed_ms numeric)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT t.began_at, t.epoch,
      CASE WHEN t.node_before IS NULL THEN 'first' WHEN pg_catalog.starts_with(t.reason, 'switchover') THEN 'switchover'
        WHEN t.node_before = t.node THEN 'return' ELSE 'failover' END,
      t.node_before, t.node, t.reason, report.milliseconds(greatest(t.began_at - t.ended_before, interval '0')),
      pg_catalog.round(t.takeover_ms::numeric, 1), (t.phases ->> 'detected')::numeric, (t.phases ->> 'fenced')::numeric,
      (t.phases ->> 'lockWon')::numeric, (t.phases ->> 'leaseProven')::numeric,
      (t.phases ->> 'oldSessionsEnded')::numeric, (t.phases ->> 'bumped')::numeric, (t.phases ->> 'listening')::numeric,
      (t.phases ->> 'probed')::numeric, (t.phases ->> 'claimed')::numeric
    FROM (
      SELECT r.began_at, r.epoch, r.node, r.takeover_ms, r.phases, pg_catalog.lag(r.node) OVER w AS node_before,
        pg_catalog.lag(r.end_reason) OVER w AS reason, pg_catalog.lag(r.ended_at) OVER w AS ended_before
      FROM report.reign AS r
      WINDOW w AS (ORDER BY r.began_at)
    ) AS t
    WHERE t.began_at >= p_from AND t.began_at < p_until
    ORDER BY t.began_at;
  END;
COMMENT ON FUNCTION report.takeovers IS
  'Every promotion and why the one before ended. kind: first, switchover (planned), failover, return (the same node '
  'again). unwatched_ms: nobody served. The phases are milliseconds from the last sign of life of the former active '
  '(from the grant of the lock, where none was heard in the 10 s before) until each was done. Example: SELECT * FROM report.takeovers() WHERE kind = ''failover''';

CREATE FUNCTION report.takeover_phases(p_from timestamptz DEFAULT pg_catalog.now() - interval '30 days',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (kind text, phase text, n bigint, p50_ms numeric, p95_ms numeric, max_ms numeric)
  LANGUAGE sql STABLE ROWS 20
  BEGIN ATOMIC
    SELECT t.kind, p.phase, count(*),
      pg_catalog.round((pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY p.ms))::numeric, 1),
      pg_catalog.round((pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY p.ms))::numeric, 1), max(p.ms)
    FROM report.takeovers(p_from, p_until) AS t
    CROSS JOIN LATERAL (
      VALUES ('detected', t.detected_ms), ('fenced', t.fenced_ms), ('lock won', t.lock_won_ms),
        ('lease proven', t.lease_proven_ms), ('old sessions ended', t.old_sessions_ended_ms), ('bumped', t.bumped_ms),
        ('listening', t.listening_ms), ('probed', t.probed_ms), ('claimed', t.claimed_ms), ('unwatched', t.unwatched_ms)
    ) AS p(phase, ms)
    WHERE p.ms IS NOT NULL
    GROUP BY 1, 2
    ORDER BY 1, 4, 2;
  END;
COMMENT ON FUNCTION report.takeover_phases IS
  'How long the phases of takeovers take, by kind, in the order in which they end (milliseconds from the last sign of '
  'life; "unwatched" is the whole gap). Example: SELECT * FROM report.takeover_phases()';

CREATE VIEW report.drill AS
  SELECT d.id, d.started_at, d.kind, d.verdict, d.operator, d.node_before, d.node_after, d.gap_ms, d.detect_ms,
    d.promote_ms, d.address_ms, d.acked, d.lost, d.doubled,
    report.seconds(d.finished_at - d.started_at) AS took_s
  FROM ha.drill AS d;
COMMENT ON VIEW report.drill IS 'Rehearsed failures and how they went. Example: SELECT started_at, kind, verdict, gap_ms, '
  'lost, doubled FROM report.drill ORDER BY started_at DESC LIMIT 10';
COMMENT ON COLUMN report.drill.gap_ms IS 'From the last acknowledged record of the old active to the first of the new one';
COMMENT ON COLUMN report.drill.lost IS 'Acknowledged records that are not stored: has to be 0';
COMMENT ON COLUMN report.drill.doubled IS 'Records stored more than once: has to be 0';

CREATE FUNCTION report.drill_summary(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 year',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (kind text, drills bigint, passed bigint, last_at timestamptz, last_verdict text, p50_gap_ms numeric,
    max_gap_ms numeric, lost bigint, doubled bigint)
  LANGUAGE sql STABLE ROWS 10
  BEGIN ATOMIC
    SELECT d.kind, count(*), count(*) FILTER (WHERE d.verdict = 'passed'), max(d.started_at),
      (pg_catalog.array_agg(d.verdict ORDER BY d.started_at DESC))[1],
      pg_catalog.round((pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY d.gap_ms))::numeric, 1),
      pg_catalog.round(max(d.gap_ms)::numeric, 1), sum(d.lost)::bigint, sum(d.doubled)::bigint
    FROM ha.drill AS d
    WHERE d.started_at >= p_from AND d.started_at < p_until
    GROUP BY 1
    ORDER BY 1;
  END;
COMMENT ON FUNCTION report.drill_summary IS
  'Drills by kind: how often, how many passed, when last, and their gaps (milliseconds). Example: SELECT * FROM '
  'report.drill_summary()';

CREATE FUNCTION report.losses(p_from timestamptz DEFAULT pg_catalog.now() - interval '30 days',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (at timestamptz, kind text, source text, records bigint, reason text)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT l.at, l.kind, l.source, l.records, l.reason
    FROM (
      SELECT g.at, 'gap' AS kind, coalesce(s.source, g.stream::text) AS source, g.last - g.first + 1 AS records,
        'PostgreSQL lost them after its own failover' AS reason
      FROM ingest.gap AS g
      LEFT JOIN ingest.stream AS s ON s.id = g.stream
      UNION ALL
      SELECT d.at, 'shed', d.source, d.messages, d.reason
      FROM ingest.shed AS d
    ) AS l
    WHERE l.at >= p_from AND l.at < p_until
    ORDER BY 1, 3;
  END;
COMMENT ON FUNCTION report.losses IS
  'What is known to be missing: gap, records of a stream that no longer exist anywhere; shed, messages that had to be '
  'dropped because their protocol can''t wait (UDP), and why. Example: SELECT kind, sum(records) FROM report.losses() '
  'GROUP BY kind';

CREATE FUNCTION report.coverage(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '3 hours',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (at timestamptz, state text, records bigint, unwatched_ms numeric)
  LANGUAGE plpgsql STABLE ROWS 360
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH unit AS (
      SELECT CASE report.unit(p_from, p_until) WHEN 'minute' THEN 'minute' ELSE 'hour' END AS name
    ), slot AS (
      SELECT t.at, t.at + ('1 ' || u.name)::interval AS ends_at
      FROM unit AS u
      CROSS JOIN LATERAL pg_catalog.generate_series(pg_catalog.date_trunc(u.name, p_from, 'UTC'),
        p_until - interval '1 microsecond', ('1 ' || u.name)::interval) AS t(at)
    ), came AS (
      SELECT c.at, sum(c.n)::bigint AS records
      FROM report.cell AS c
      WHERE c.unit = CASE report.unit(p_from, p_until) WHEN 'minute' THEN 'minute' ELSE 'hour' END
        AND c.at >= pg_catalog.date_trunc(CASE report.unit(p_from, p_until) WHEN 'minute' THEN 'minute' ELSE 'hour' END,
          p_from, 'UTC')
        AND c.at < p_until AND c.measure IN (1, 5, 6, 7, 8, 10, 11, 12, 13)
        AND c.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app)
      GROUP BY 1
    ), gap AS (
      SELECT s.at, report.milliseconds(sum(least(coalesce(g.ended_at, p_until), s.ends_at) - greatest(g.began_at, s.at)))
        AS ms
      FROM slot AS s
      JOIN report.gaps(p_from, p_until) AS g ON g.began_at < s.ends_at AND coalesce(g.ended_at, p_until) > s.at
      GROUP BY 1
    )
    SELECT s.at, CASE WHEN c.records > 0 THEN 'records' WHEN g.ms > 0 THEN 'gap' ELSE 'silence' END,
      coalesce(c.records, 0), coalesce(g.ms, 0)
    FROM slot AS s
    LEFT JOIN came AS c ON c.at = s.at
    LEFT JOIN gap AS g ON g.at = s.at
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION report.coverage IS
  'Minute by minute (over 3 hours: hour by hour) whether records of an application came. state: records; gap, none came '
  'and for a part of it (unwatched_ms) nobody was watching; silence, none came though somebody was. Example: SELECT '
  'state, count(*) FROM report.coverage(''EQP-12'') GROUP BY state';

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO standwatch_analyst, standwatch_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA report TO standwatch_analyst, standwatch_auditor;

RESET ROLE;

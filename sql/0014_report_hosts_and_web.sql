-- Reports on hosts, metrics and processes, and on web traffic.

SET LOCAL ROLE standwatch_owner;

-- Hosts and metrics.

CREATE FUNCTION report.hosts_at(p_at timestamptz, p_silent_after interval DEFAULT '3 minutes')
  RETURNS TABLE (host text, state text, last_seen_at timestamptz, silent_s numeric, apps bigint, records bigint)
  LANGUAGE plpgsql STABLE ROWS 2000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET max_parallel_workers_per_gather = 0
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
DECLARE
  c_measures CONSTANT smallint[] := '{1,5,6,7,8,10,11,12,13}';
  v_folded record;
  v_recent bigint[];
  v_recent_at timestamptz[];
  v_recent_apps bigint[];
  v_recent_records bigint[];
  v_missing bigint[];
  v_left bigint[];
  v_found bigint[];
  v_seen bigint[] := '{}';
  v_seen_at timestamptz[] := '{}';
  v_hour timestamptz := p_at + interval '1 microsecond';
BEGIN
  SELECT s.hour_until, s.day_until INTO v_folded FROM telemetry.rollup_state AS s;
  SELECT array_agg(r.host_id), array_agg(r.at), array_agg(r.apps), array_agg(r.records)
  INTO v_recent, v_recent_at, v_recent_apps, v_recent_records
  FROM (
    SELECT c.host_id, max(c.at) AS at, count(*) AS apps, sum(c.n)::bigint AS records
    FROM (
      SELECT m.host_id, m.app_id, max(m.at) AS at, sum(m.n) AS n
      FROM telemetry.minute AS m
      WHERE m.at > p_at - p_silent_after - interval '2 minutes' AND m.at <= p_at AND m.measure = ANY (c_measures)
      GROUP BY 1, 2
    ) AS c
    GROUP BY 1
  ) AS r;
  v_missing := ARRAY(SELECT x.id FROM telemetry.host AS x EXCEPT ALL SELECT u.id FROM unnest(v_recent) AS u(id));
  v_left := v_missing;
  -- Where many are missing, most of them are since the same hour: hours from the last one on, a few of them.
  FOR i IN 1..3 LOOP
    EXIT WHEN cardinality(v_left) <= 50;
    v_hour := (
      SELECT max(l.at)
      FROM unnest(c_measures) AS k(measure)
      CROSS JOIN LATERAL (
        SELECT h.at
        FROM telemetry.rollup_hour AS h
        WHERE h.measure = k.measure AND h.at < v_hour AND h.at > p_at - interval '2 days'
        ORDER BY h.at DESC
        LIMIT 1
      ) AS l);
    EXIT WHEN v_hour IS NULL;
    v_found := ARRAY(SELECT DISTINCT h.host_id FROM telemetry.rollup_hour AS h
      WHERE h.measure = ANY (c_measures) AND h.at = v_hour AND h.host_id = ANY (v_left));
    v_seen := v_seen || v_found;
    v_seen_at := v_seen_at || pg_catalog.array_fill(v_hour, ARRAY[cardinality(v_found)]);
    v_left := ARRAY(SELECT u.id FROM unnest(v_left) AS u(id) EXCEPT ALL SELECT f.id FROM unnest(v_found) AS f(id));
  END LOOP;
  RETURN QUERY
    WITH last_day AS MATERIALIZED (
      SELECT m.id AS host_id, l.at
      FROM unnest(v_left) AS m(id)
      CROSS JOIN LATERAL (
        SELECT y.at
        FROM telemetry.rollup_day AS y
        WHERE y.host_id = m.id AND y.at > p_at - interval '30 days' AND y.at <= p_at AND y.measure = ANY (c_measures)
        ORDER BY y.at DESC
        LIMIT 1
      ) AS l
    ), series AS MATERIALIZED (
      SELECT DISTINCT y.host_id, y.measure, y.app_id
      FROM last_day AS d
      JOIN telemetry.rollup_day AS y ON y.host_id = d.host_id
      WHERE d.at >= pg_catalog.date_trunc('day', p_at - interval '2 days', 'UTC')
        AND y.at >= pg_catalog.date_trunc('day', p_at - interval '2 days', 'UTC') AND y.at <= p_at
        AND y.measure = ANY (c_measures)
    ), unfolded AS (
      SELECT h.at, h.host_id
      FROM telemetry.rollup_hour AS h
      WHERE h.at >= v_folded.day_until AND h.at > p_at - interval '31 days' AND h.at <= p_at + interval '1 day'
        AND h.measure = ANY (c_measures) AND h.host_id = ANY (v_missing)
      UNION ALL
      SELECT m.at, m.host_id
      FROM telemetry.rollup_minute AS m
      WHERE m.at >= v_folded.hour_until AND m.at > p_at - interval '31 days' AND m.at <= p_at + interval '1 day'
        AND m.measure = ANY (c_measures) AND m.host_id = ANY (v_missing)
      UNION ALL
      SELECT d.at, d.host_id
      FROM telemetry.rollup_delta AS d
      WHERE d.measure = ANY (c_measures) AND d.host_id = ANY (v_missing)
    ), seen AS (
      SELECT s.host_id, max(s.hour) FILTER (WHERE s.hour > p_at - interval '2 days' AND s.hour <= p_at) AS hour,
        max(s.day) FILTER (WHERE s.day > p_at - interval '30 days' AND s.day <= p_at) AS day
      FROM (
        SELECT u.host_id, pg_catalog.date_trunc('hour', u.at, 'UTC') AS hour, pg_catalog.date_trunc('day', u.at, 'UTC') AS day
        FROM (SELECT x.host_id, x.at FROM unfolded AS x GROUP BY 1, 2) AS u
        UNION ALL
        SELECT f.id, f.at, NULL FROM unnest(v_seen, v_seen_at) AS f(id, at)
        UNION ALL
        SELECT l.host_id, NULL, l.at FROM last_day AS l
        UNION ALL
        SELECT e.host_id, l.at, NULL
        FROM series AS e
        CROSS JOIN LATERAL (
          SELECT h.at
          FROM telemetry.rollup_hour AS h
          WHERE h.measure = e.measure AND h.app_id = e.app_id AND h.host_id = e.host_id
            AND h.at > p_at - interval '2 days' AND h.at <= p_at
          ORDER BY h.at DESC
          LIMIT 1
        ) AS l
      ) AS s
      GROUP BY 1
    )
    SELECT h.name, CASE WHEN v.at IS NULL THEN 'unseen' WHEN r.at + interval '1 minute' > p_at - p_silent_after
        THEN 'reporting' ELSE 'silent' END,
      v.at, greatest(pg_catalog.round(extract(epoch FROM p_at - v.at), 0), 0), coalesce(r.apps, 0), coalesce(r.records, 0)
    FROM telemetry.host AS h
    LEFT JOIN unnest(v_recent, v_recent_at, v_recent_apps, v_recent_records) AS r(host_id, at, apps, records)
      ON r.host_id = h.id
    LEFT JOIN seen AS s ON s.host_id = h.id
    CROSS JOIN LATERAL (
      SELECT coalesce(r.at + interval '1 minute', s.hour + interval '1 hour', s.day + interval '1 day') AS at
    ) AS v;
END
$$;
COMMENT ON FUNCTION report.hosts_at IS
  'Every host at a time. state: reporting, silent (nothing for p_silent_after), unseen (nothing in 30 days). '
  'last_seen_at is the end of the minute of its last record, for silent hosts of the hour (over two days: of the UTC day); apps and records of the last minutes. Silence is of the '
  'host only if report.gaps has nothing there. Example: SELECT * FROM report.hosts_at(now()) WHERE state = ''silent''';

CREATE VIEW report.host_now AS
  SELECT h.host, h.state, h.last_seen_at, h.silent_s, h.apps, h.records
  FROM report.hosts_at(pg_catalog.now()) AS h;
COMMENT ON VIEW report.host_now IS 'Every host now: report.hosts_at(now()). Example: SELECT host, silent_s FROM '
  'report.host_now WHERE state = ''silent'' ORDER BY silent_s DESC';
COMMENT ON COLUMN report.host_now.silent_s IS 'Seconds since its last record';

CREATE FUNCTION report.host_availability(p_host text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (day timestamptz, minutes bigint, reporting bigint, gap bigint, silent bigint, available_percent numeric)
  LANGUAGE plpgsql STABLE ROWS 30
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH slot AS (
      SELECT t.at
      FROM pg_catalog.generate_series(pg_catalog.date_trunc('minute', p_from),
        least(p_until, pg_catalog.now()) - interval '1 microsecond', interval '1 minute') AS t(at)
    ), came AS (
      SELECT DISTINCT m.at
      FROM telemetry.minute AS m
      WHERE m.host_id = (SELECT h.id FROM telemetry.host AS h WHERE h.name = p_host)
        AND m.at >= pg_catalog.date_trunc('minute', p_from) AND m.at < p_until
    ), unwatched AS (
      SELECT DISTINCT t.at
      FROM report.gaps(p_from, p_until) AS g
      CROSS JOIN LATERAL pg_catalog.generate_series(pg_catalog.date_trunc('minute', g.began_at),
        coalesce(g.ended_at, p_until) - interval '1 microsecond', interval '1 minute') AS t(at)
    ), judged AS (
      SELECT pg_catalog.date_trunc('day', s.at) AS day, count(*) AS minutes, count(c.at) AS reporting,
        count(u.at) FILTER (WHERE c.at IS NULL) AS gap
      FROM slot AS s
      LEFT JOIN came AS c ON c.at = s.at
      LEFT JOIN unwatched AS u ON u.at = s.at
      GROUP BY 1
    )
    SELECT j.day, j.minutes, j.reporting, j.gap, j.minutes - j.reporting - j.gap,
      report.percent(j.reporting, j.minutes - j.gap)
    FROM judged AS j
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION report.host_availability IS
  'By day (the session''s time zone), in how many minutes a host sent anything, and in percent of those in which '
  'somebody was watching: minutes without records that lie in a monitoring gap (report.gaps) are gap, not silent. '
  'Example: SELECT * FROM report.host_availability(''mes-07'', now() - interval ''30 days'')';

CREATE FUNCTION report.metrics(p_metric text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, host text, n bigint, mean numeric, min double precision, max double precision,
    p50 numeric, p95 numeric, p99 numeric)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT a.name, h.name, s.n, pg_catalog.round((s.sum / nullif(s.n, 0))::numeric, 6), s.min, s.max,
      pg_catalog.round(s.p50::numeric, 6), pg_catalog.round(s.p95::numeric, 6), pg_catalog.round(s.p99::numeric, 6)
    FROM report.summary(7, p_from, p_until, p_app, true, 'mean', p_limit, p_metric) AS s
    JOIN telemetry.app AS a ON a.id = s.app_id
    JOIN telemetry.host AS h ON h.id = s.host_id
    ORDER BY s.sum / nullif(s.n, 0) DESC NULLS LAST, 1, 2;
  END;
COMMENT ON FUNCTION report.metrics IS
  'One metric by application and host, in its own unit, highest mean first; its labels are summed together. '
  'Example: SELECT * FROM report.metrics(''load1'', now() - interval ''1 hour'')';

CREATE FUNCTION report.metrics_over_time(p_metric text, p_from timestamptz, p_until timestamptz, p_app text,
    p_by text DEFAULT 'hour')
  RETURNS TABLE (at timestamptz, n bigint, mean numeric, min double precision, max double precision, p95 numeric)
  LANGUAGE sql STABLE ROWS 1000
  BEGIN ATOMIC
    SELECT t.at, t.n, pg_catalog.round((t.sum / nullif(t.n, 0))::numeric, 6), t.min, t.max,
      pg_catalog.round(t.p95::numeric, 6)
    FROM report.over_time(7, p_by, p_from, p_until, p_app, p_metric) AS t
    ORDER BY 1;
  END;
COMMENT ON FUNCTION report.metrics_over_time IS
  'One metric of an application by minute, hour, day, ... (p_by), in its own unit, all hosts and labels together. '
  'Example: SELECT * FROM report.metrics_over_time(''load1'', now() - interval ''1 day'', now(), ''EQP-12'')';

-- Processes.

CREATE FUNCTION report.is_up(p_state text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN pg_catalog.lower(p_state) NOT IN ('absent', 'stopped', 'zombie', 'dead', 'failed', 'exited', 'inactive');
COMMENT ON FUNCTION report.is_up IS
  'Whether a state of a process means that it works: not absent, stopped, zombie, dead, failed, exited, inactive. '
  'Example: SELECT report.is_up(''sleeping'')';

CREATE FUNCTION report.processes_at(p_at timestamptz, p_app text DEFAULT NULL)
  RETURNS TABLE (app text, host text, process text, state text, up boolean, last_seen_at timestamptz, silent_s numeric,
    pid bigint, up_s numeric, restarts bigint, cpu_percent numeric, memory_bytes bigint, threads bigint)
  LANGUAGE plpgsql STABLE ROWS 2000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT a.name, h.name, k.name, st.name, report.is_up(st.name), l.ts, pg_catalog.round(extract(epoch FROM p_at - l.ts), 1),
      l.pid, pg_catalog.round(l.up_ms / 1000.0, 3), l.restarts, pg_catalog.round(l.cpu::numeric, 2), l.memory_bytes,
      l.threads
    FROM (
      SELECT DISTINCT d.app_id, d.host_id, d.key_id
      FROM telemetry.day AS d
      WHERE d.measure = 9 AND d.at >= pg_catalog.date_trunc('day', p_at - interval '1 day', 'UTC') AND d.at <= p_at
        AND (p_app IS NULL OR d.app_id = (SELECT x.id FROM telemetry.app AS x WHERE x.name = p_app))
    ) AS n
    CROSS JOIN LATERAL (
      SELECT p.ts, p.state_id, p.pid, p.up_ms, p.restarts, p.cpu, p.memory_bytes, p.threads
      FROM telemetry.process AS p
      WHERE p.app_id = n.app_id AND p.host_id = n.host_id AND p.process_id = n.key_id
        AND p.ts > p_at - interval '1 day' AND p.ts <= p_at
      ORDER BY p.ts DESC
      LIMIT 1
    ) AS l
    JOIN telemetry.app AS a ON a.id = n.app_id
    JOIN telemetry.host AS h ON h.id = n.host_id
    JOIN telemetry.process_name AS k ON k.id = n.key_id
    JOIN telemetry.status AS st ON st.id = l.state_id;
END
$$;
COMMENT ON FUNCTION report.processes_at IS
  'Every watched process that was seen in the day before, as its last record said (up_s seconds since its start, '
  'cpu_percent of one core, resident bytes). Example: SELECT * FROM report.processes_at(now(), ''EQP-12'')';

CREATE VIEW report.process_now AS
  SELECT p.app, p.host, p.process, p.state, p.up, p.last_seen_at, p.silent_s, p.pid, p.up_s, p.restarts, p.cpu_percent,
    p.memory_bytes, p.threads
  FROM report.processes_at(pg_catalog.now()) AS p;
COMMENT ON VIEW report.process_now IS 'Every watched process now: report.processes_at(now()). Example: SELECT app, host, '
  'process, state FROM report.process_now WHERE NOT up';
COMMENT ON COLUMN report.process_now.up IS 'Whether its last state means that it works (report.is_up)';
COMMENT ON COLUMN report.process_now.silent_s IS 'Seconds since its last record';
COMMENT ON COLUMN report.process_now.up_s IS 'Seconds since it started';
COMMENT ON COLUMN report.process_now.cpu_percent IS 'Of one core';

CREATE FUNCTION report.processes(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, host text, process text, samples bigint, mean_cpu_percent numeric, p95_cpu_percent numeric,
    max_cpu_percent numeric, mean_memory_bytes bigint, max_memory_bytes bigint)
  LANGUAGE plpgsql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET max_parallel_workers_per_gather = 0
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
DECLARE
  v_unit text := report.unit(p_from, p_until);
  v record;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  RETURN QUERY
    WITH top AS MATERIALIZED (
      SELECT * FROM report.summary(8, p_from, p_until, p_app, true, 'mean', p_limit)
    )
    SELECT a.name, h.name, k.name, c.n, pg_catalog.round((c.sum / nullif(c.n, 0))::numeric, 2),
      pg_catalog.round(c.p95::numeric, 2), pg_catalog.round(c.max::numeric, 2), m.mean, m.max
    FROM top AS c
    LEFT JOIN (
      SELECT x.app_id, x.host_id, x.key_id, (sum(x.sum) / nullif(sum(x.n), 0))::bigint AS mean, max(x.max)::bigint AS max
      FROM report.cells(9, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS x
      WHERE x.app_id = ANY (ARRAY(SELECT DISTINCT t.app_id FROM top AS t))
      GROUP BY 1, 2, 3
    ) AS m ON m.app_id = c.app_id AND m.host_id = c.host_id AND m.key_id = c.key_id
    JOIN telemetry.app AS a ON a.id = c.app_id
    JOIN telemetry.host AS h ON h.id = c.host_id
    JOIN telemetry.process_name AS k ON k.id = c.key_id
    ORDER BY c.sum / nullif(c.n, 0) DESC NULLS LAST, 1, 2, 3;
END
$$;
COMMENT ON FUNCTION report.processes IS
  'What processes used: processor (percent of one core) and resident memory (bytes), busiest first. Example: SELECT * '
  'FROM report.processes(now() - interval ''30 days'')';

CREATE FUNCTION report.process_restarts(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL)
  RETURNS TABLE (app text, host text, process text, restarts bigint, pid_before bigint, pid_now bigint,
    started_at timestamptz)
  LANGUAGE plpgsql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT a.name, h.name, k.name,
      CASE WHEN l.restarts >= f.restarts THEN l.restarts - f.restarts WHEN l.restarts < f.restarts THEN l.restarts
        WHEN l.pid <> f.pid THEN 1 ELSE 0 END,
      f.pid, l.pid, pg_catalog.date_trunc('second', l.ts - l.up_ms * interval '1 millisecond')
    FROM (
      SELECT DISTINCT d.app_id, d.host_id, d.key_id
      FROM telemetry.day AS d
      WHERE d.measure = 9 AND d.at >= pg_catalog.date_trunc('day', p_from, 'UTC') AND d.at < p_until
        AND (p_app IS NULL OR d.app_id = (SELECT x.id FROM telemetry.app AS x WHERE x.name = p_app))
    ) AS n
    CROSS JOIN LATERAL (
      SELECT p.ts, p.pid, p.up_ms, p.restarts
      FROM telemetry.process AS p
      WHERE p.app_id = n.app_id AND p.host_id = n.host_id AND p.process_id = n.key_id AND p.ts >= p_from AND p.ts < p_until
      ORDER BY p.ts DESC
      LIMIT 1
    ) AS l
    CROSS JOIN LATERAL (
      SELECT p.pid, p.restarts
      FROM telemetry.process AS p
      WHERE p.app_id = n.app_id AND p.host_id = n.host_id AND p.process_id = n.key_id AND p.ts >= p_from AND p.ts < p_until
      ORDER BY p.ts
      LIMIT 1
    ) AS f
    JOIN telemetry.app AS a ON a.id = n.app_id
    JOIN telemetry.host AS h ON h.id = n.host_id
    JOIN telemetry.process_name AS k ON k.id = n.key_id
    WHERE l.restarts <> f.restarts OR l.pid <> f.pid
    ORDER BY 4 DESC, 1, 2, 3;
END
$$;
COMMENT ON FUNCTION report.process_restarts IS
  'Processes that started anew, most often first: by their counter of restarts between the first and the last record of '
  'the range, or where it is missing by their pid (then at least 1). started_at: when the present one started. '
  'Example: SELECT * FROM report.process_restarts()';

CREATE FUNCTION report.process_availability(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_silent_after interval DEFAULT '2 minutes')
  RETURNS TABLE (host text, process text, up_s numeric, down_s numeric, unknown_s numeric, gap_s numeric,
    available_percent numeric, failures bigint)
  LANGUAGE plpgsql STABLE ROWS 20
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH sample AS (
      SELECT p.host_id, p.process_id, p.ts, report.is_up(st.name) AS up,
        pg_catalog.lead(p.ts, 1, least(p_until, pg_catalog.now())) OVER w AS next_ts,
        pg_catalog.lag(report.is_up(st.name)) OVER w AS was_up
      FROM telemetry.process AS p
      JOIN telemetry.status AS st ON st.id = p.state_id
      WHERE p.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND p.ts >= p_from AND p.ts < p_until
      WINDOW w AS (PARTITION BY p.host_id, p.process_id ORDER BY p.ts, p.stream_id, p.seq)
    ), hole AS (
      SELECT s.host_id, s.process_id,
        coalesce(sum(extract(epoch FROM least(coalesce(g.ended_at, p_until), s.next_ts) - greatest(g.began_at, s.ts))), 0)
          AS gap
      FROM sample AS s
      JOIN report.gaps(p_from, p_until) AS g ON g.began_at < s.next_ts AND coalesce(g.ended_at, p_until) > s.ts
      WHERE s.next_ts - s.ts > p_silent_after
      GROUP BY 1, 2
    ), total AS (
      SELECT s.host_id, s.process_id,
        coalesce(sum(extract(epoch FROM s.next_ts - s.ts)) FILTER (WHERE s.up AND s.next_ts - s.ts <= p_silent_after), 0)
          AS up,
        coalesce(sum(extract(epoch FROM s.next_ts - s.ts)) FILTER (WHERE NOT s.up AND s.next_ts - s.ts <= p_silent_after),
          0) AS down,
        coalesce(sum(extract(epoch FROM s.next_ts - s.ts)) FILTER (WHERE s.next_ts - s.ts > p_silent_after), 0) AS unknown,
        count(*) FILTER (WHERE s.was_up AND NOT s.up) AS failures
      FROM sample AS s
      GROUP BY 1, 2
    )
    SELECT h.name, k.name, pg_catalog.round(t.up, 1), pg_catalog.round(t.down, 1),
      pg_catalog.round(greatest(t.unknown - coalesce(o.gap, 0), 0), 1), pg_catalog.round(coalesce(o.gap, 0), 1),
      report.percent(t.up::double precision, (t.up + t.down)::double precision), t.failures
    FROM total AS t
    LEFT JOIN hole AS o ON o.host_id = t.host_id AND o.process_id = t.process_id
    JOIN telemetry.host AS h ON h.id = t.host_id
    JOIN telemetry.process_name AS k ON k.id = t.process_id
    ORDER BY 7 NULLS FIRST, 1, 2;
END
$$;
COMMENT ON FUNCTION report.process_availability IS
  'Seconds for which an application''s processes were up and down, from the raw records. Between records further apart '
  'than p_silent_after nothing is known: gap_s of it because nobody was watching. available_percent is of the known '
  'time; failures counts changes from up to down. Example: SELECT * FROM report.process_availability(''EQP-12'')';

-- Web.

CREATE FUNCTION report.web_status(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, code integer, requests bigint, percent numeric, mean_ms numeric, p50_ms numeric,
    p95_ms numeric, p99_ms numeric)
  LANGUAGE sql STABLE ROWS 50
  BEGIN ATOMIC
    SELECT a.name, s.key_id::integer, s.n, report.percent(s.n, sum(s.n) OVER (PARTITION BY s.app_id)),
      report.ms(s.sum / nullif(s.measured, 0)), report.ms(s.p50), report.ms(s.p95), report.ms(s.p99)
    FROM report.summary(11, p_from, p_until, p_app, false, 'n', p_limit) AS s
    JOIN telemetry.app AS a ON a.id = s.app_id
    ORDER BY 1, 2;
  END;
COMMENT ON FUNCTION report.web_status IS
  'Requests by application and HTTP status (the p_limit with the most), with their share and how long they took (milliseconds, of those that say '
  'so). Example: SELECT * FROM report.web_status(now() - interval ''30 days'') WHERE code >= 500';

CREATE FUNCTION report.web_over_time(p_from timestamptz, p_until timestamptz, p_app text, p_by text DEFAULT 'hour')
  RETURNS TABLE (at timestamptz, requests bigint, client_errors bigint, server_errors bigint, server_error_percent numeric,
    mean_ms numeric, max_ms numeric)
  LANGUAGE sql STABLE ROWS 1000
  BEGIN ATOMIC
    SELECT t.at, sum(t.n)::bigint, coalesce(sum(t.n) FILTER (WHERE t.key_id BETWEEN 400 AND 499), 0)::bigint,
      coalesce(sum(t.n) FILTER (WHERE t.key_id >= 500), 0)::bigint,
      report.percent(coalesce(sum(t.n) FILTER (WHERE t.key_id >= 500), 0), sum(t.n)),
      report.ms(sum(t.sum) / nullif(sum(t.measured), 0)::double precision), report.ms(max(t.max))
    FROM report.over_time(11, p_by, p_from, p_until, p_app) AS t
    GROUP BY 1
    ORDER BY 1;
  END;
COMMENT ON FUNCTION report.web_over_time IS
  'An application''s web requests by minute, hour, day, ... (p_by): number, errors (4xx, 5xx) and milliseconds. '
  'Example: SELECT * FROM report.web_over_time(now() - interval ''1 day'', now(), ''portal'')';

CREATE FUNCTION report.web_paths(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_limit integer DEFAULT 50)
  RETURNS TABLE (path text, requests bigint, clients bigint, client_errors bigint, server_errors bigint, bytes bigint,
    p50_ms numeric, p95_ms numeric)
  LANGUAGE plpgsql STABLE ROWS 50
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT w.path, count(*), count(DISTINCT w.client), count(*) FILTER (WHERE w.code BETWEEN 400 AND 499),
      count(*) FILTER (WHERE w.code >= 500), sum(w.bytes)::bigint,
      report.ms(pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY w.duration_us)),
      report.ms(pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY w.duration_us))
    FROM telemetry.web AS w
    WHERE w.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND w.ts >= p_from AND w.ts < p_until
    GROUP BY 1
    ORDER BY 2 DESC, 1
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.web_paths IS
  'The paths of an application''s web requests, most asked first, from the raw records: requests, different clients, '
  'errors, bytes answered, milliseconds. Example: SELECT * FROM report.web_paths(''portal'')';

CREATE FUNCTION report.web_referrers(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_limit integer DEFAULT 50)
  RETURNS TABLE (referrer text, requests bigint, percent numeric, clients bigint)
  LANGUAGE plpgsql STABLE ROWS 50
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT coalesce(nullif(nullif(w.referrer, '-'), ''), '(direct)'), count(*),
      report.percent(count(*), sum(count(*)) OVER ()), count(DISTINCT w.client)
    FROM telemetry.web AS w
    WHERE w.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND w.ts >= p_from AND w.ts < p_until
    GROUP BY 1
    ORDER BY 2 DESC, 1
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.web_referrers IS
  'Where an application''s web requests came from; (direct) where the browser did not say. Example: SELECT * FROM '
  'report.web_referrers(''portal'')';

CREATE FUNCTION report.web_clients(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_limit integer DEFAULT 50)
  RETURNS TABLE (client text, requests bigint, client_errors bigint, server_errors bigint, bytes bigint,
    first_at timestamptz, last_at timestamptz, agent text)
  LANGUAGE plpgsql STABLE ROWS 50
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT w.client, count(*), count(*) FILTER (WHERE w.code BETWEEN 400 AND 499), count(*) FILTER (WHERE w.code >= 500),
      sum(w.bytes)::bigint, min(w.ts), max(w.ts), pg_catalog.mode() WITHIN GROUP (ORDER BY w.agent)
    FROM telemetry.web AS w
    WHERE w.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND w.ts >= p_from AND w.ts < p_until
    GROUP BY 1
    ORDER BY 2 DESC, 1
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.web_clients IS
  'Who asks most (client address), with errors, bytes and the user agent seen most often. Example: SELECT * FROM '
  'report.web_clients(''portal'')';

CREATE FUNCTION report.web_sessions(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_idle interval DEFAULT '30 minutes')
  RETURNS TABLE (visitor text, started_at timestamptz, duration_s numeric, requests bigint, entry_path text,
    exit_path text, referrer text, errors bigint)
  LANGUAGE plpgsql STABLE ROWS 1000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH hit AS (
      SELECT coalesce(w.session, pg_catalog.concat_ws(' ', w.client, w.agent)) AS visitor, w.ts, w.path, w.code, w.referrer,
        w.stream_id, w.seq
      FROM telemetry.web AS w
      WHERE w.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND w.ts >= p_from AND w.ts < p_until
    ), begun AS (
      SELECT h.visitor, h.ts, h.path, h.code, h.referrer, h.stream_id, h.seq,
        CASE WHEN h.ts - pg_catalog.lag(h.ts) OVER w <= p_idle THEN 0 ELSE 1 END AS begins
      FROM hit AS h
      WINDOW w AS (PARTITION BY h.visitor ORDER BY h.ts, h.stream_id, h.seq)
    ), numbered AS (
      SELECT b.visitor, b.ts, b.path, b.code, b.referrer, b.stream_id, b.seq,
        sum(b.begins) OVER (PARTITION BY b.visitor ORDER BY b.ts, b.stream_id, b.seq) AS visit
      FROM begun AS b
    )
    SELECT n.visitor, min(n.ts), report.seconds(max(n.ts) - min(n.ts)), count(*),
      (pg_catalog.array_agg(n.path ORDER BY n.ts, n.stream_id, n.seq))[1],
      (pg_catalog.array_agg(n.path ORDER BY n.ts DESC, n.stream_id DESC, n.seq DESC))[1],
      (pg_catalog.array_agg(n.referrer ORDER BY n.ts, n.stream_id, n.seq))[1],
      count(*) FILTER (WHERE n.code >= 400)
    FROM numbered AS n
    GROUP BY n.visitor, n.visit;
END
$$;
COMMENT ON FUNCTION report.web_sessions IS
  'Visits to an application: requests of one session (where there is none: of one client and user agent) that are not '
  'further apart than p_idle; seconds from the first to the last. Example: SELECT * FROM report.web_sessions(''portal'') '
  'ORDER BY requests DESC LIMIT 20';

CREATE FUNCTION report.web_visits(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (sessions bigint, visitors bigint, requests_per_session numeric, mean_duration_s numeric,
    bounce_percent numeric)
  LANGUAGE sql STABLE ROWS 1
  BEGIN ATOMIC
    SELECT count(*), count(DISTINCT s.visitor), pg_catalog.round(avg(s.requests), 2), pg_catalog.round(avg(s.duration_s), 1),
      report.percent(count(*) FILTER (WHERE s.requests = 1), count(*))
    FROM report.web_sessions(p_app, p_from, p_until) AS s;
  END;
COMMENT ON FUNCTION report.web_visits IS
  'Visits in figures: sessions, different visitors, requests and seconds per session, and the share that left after one '
  'request. Example: SELECT * FROM report.web_visits(''portal'')';

CREATE FUNCTION report.web_goal(p_app text, p_goal text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_entry text DEFAULT NULL)
  RETURNS TABLE (sessions bigint, reached bigint, goal_percent numeric, median_s_to_goal numeric)
  LANGUAGE plpgsql STABLE ROWS 1
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT count(*), count(g.at), report.percent(count(g.at), count(*)),
      pg_catalog.round((pg_catalog.percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(epoch FROM g.at - g.started_at)::double precision))::numeric, 1)
    FROM (
      SELECT s.visitor, s.started_at, min(x.ts) AS at
      FROM report.web_sessions(p_app, p_from, p_until) AS s
      LEFT JOIN (
        SELECT coalesce(w.session, pg_catalog.concat_ws(' ', w.client, w.agent)) AS visitor, w.ts
        FROM telemetry.web AS w
        WHERE w.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND w.ts >= p_from AND w.ts < p_until
          AND w.path LIKE p_goal AND w.code < 400
      ) AS x ON x.visitor = s.visitor AND x.ts >= s.started_at
        AND x.ts <= s.started_at + s.duration_s * interval '1 second' + interval '1 millisecond'
      WHERE p_entry IS NULL OR s.entry_path LIKE p_entry
      GROUP BY 1, 2
    ) AS g;
END
$$;
COMMENT ON FUNCTION report.web_goal IS
  'Goal rate: the share of sessions (only those that entered at p_entry, where it is given) that successfully asked for '
  'a path LIKE p_goal, and the median time to it. Example: SELECT * FROM report.web_goal(''portal'', ''/order/done%'')';

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO standwatch_analyst, standwatch_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA report TO standwatch_analyst, standwatch_auditor;

RESET ROLE;

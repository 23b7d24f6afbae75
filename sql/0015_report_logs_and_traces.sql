-- Reports on logs, events and traces.

SET LOCAL ROLE standwatch_owner;

CREATE FUNCTION report.severity(p_severity integer) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN (ARRAY['emergency', 'alert', 'critical', 'error', 'warning', 'notice', 'informational', 'debug'])[p_severity + 1];
COMMENT ON FUNCTION report.severity IS
  'The name of a severity of RFC 5424, 0 to 7. Example: SELECT report.severity(3)';

CREATE FUNCTION report.log_volume(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, messages bigint, errors bigint, error_percent numeric, patterns bigint)
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
  v_app_id bigint := (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app);
  v record;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  RETURN QUERY
    SELECT a.name, v.n::bigint, v.errors::bigint, report.percent(v.errors, v.n), v.patterns
    FROM (
      SELECT k.app_id, sum(k.n) AS n, sum(k.errors) AS errors, count(*) AS patterns
      FROM (
        SELECT c.app_id, c.key_id, sum(c.n)::bigint AS n, sum(c.errors)::bigint AS errors
        FROM report.cells(10, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
        WHERE p_app IS NULL OR c.app_id = v_app_id
        GROUP BY 1, 2
      ) AS k
      GROUP BY 1
      ORDER BY 2 DESC, 1
      LIMIT p_limit
    ) AS v
    JOIN telemetry.app AS a ON a.id = v.app_id
    ORDER BY 2 DESC, 1;
END
$$;
COMMENT ON FUNCTION report.log_volume IS
  'Messages by application, those with the most first; errors are of severity error and worse; patterns: how many '
  'different messages, their variable parts aside. Example: SELECT * FROM report.log_volume(now() - interval ''30 days'')';

CREATE FUNCTION report.log_over_time(p_from timestamptz, p_until timestamptz, p_app text, p_by text DEFAULT 'hour')
  RETURNS TABLE (at timestamptz, messages bigint, errors bigint)
  LANGUAGE sql STABLE ROWS 1000
  BEGIN ATOMIC
    SELECT t.at, sum(t.n)::bigint, sum(t.errors)::bigint
    FROM report.over_time(10, p_by, p_from, p_until, p_app) AS t
    GROUP BY 1
    ORDER BY 1;
  END;
COMMENT ON FUNCTION report.log_over_time IS
  'An application''s messages and errors by minute, hour, day, ... (p_by). Example: SELECT * FROM '
  'report.log_over_time(now() - interval ''1 day'', now(), ''EQP-12'')';

CREATE FUNCTION report.log_patterns(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, pattern text, messages bigint, errors bigint, percent numeric, first_cell timestamptz,
    last_cell timestamptz)
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
  v_app_id bigint := (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app);
  v record;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  RETURN QUERY
    SELECT a.name, k.name, v.n::bigint, v.errors::bigint, report.percent(v.n, v.every), v.first_at, v.last_at
    FROM (
      SELECT c.app_id, c.key_id, sum(c.n) AS n, sum(c.errors) AS errors, min(c.at) AS first_at, max(c.at) AS last_at,
        sum(sum(c.n)) OVER (PARTITION BY c.app_id) AS every
      FROM report.cells(10, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      GROUP BY 1, 2
      ORDER BY 3 DESC, 1, 2
      LIMIT p_limit
    ) AS v
    JOIN telemetry.app AS a ON a.id = v.app_id
    JOIN telemetry.log_pattern AS k ON k.id = v.key_id
    ORDER BY 3 DESC, 1, 2;
END
$$;
COMMENT ON FUNCTION report.log_patterns IS
  'What applications say most: messages with their variable parts masked, their number, share of the application''s '
  'messages, and the first and last cell (report.unit) that has one. Example: SELECT * FROM '
  'report.log_patterns(now() - interval ''1 day'', now(), ''EQP-12'')';

CREATE FUNCTION report.log_patterns_new(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_before interval DEFAULT '7 days',
    p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, pattern text, messages bigint, errors bigint, first_cell timestamptz)
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
  v_wide_unit text := CASE v_unit WHEN 'minute' THEN 'hour' ELSE v_unit END;
  v_app_id bigint := (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app);
  v_day timestamptz := pg_catalog.date_trunc('day', p_from, 'UTC');
  v record;
  v_wide record;
  v_apps bigint[];
  v_keys bigint[];
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  SELECT * INTO v_wide FROM report.bounds(v_wide_unit, p_from, p_until);
  -- Minutes of all applications are many: which patterns can be new is read from hours, what those wrote from minutes.
  WITH wide AS MATERIALIZED (
    SELECT c.app_id, c.key_id
    FROM report.cells(10, v_wide_unit, v_wide.from_at, v_wide.until_at, v.hour_until, v.day_until) AS c
    WHERE p_app IS NULL OR c.app_id = v_app_id
    GROUP BY 1, 2
  ), known AS MATERIALIZED (
    SELECT d.app_id, d.key_id
    FROM report.cells(10, 'day', pg_catalog.date_trunc('day', p_from - p_before, 'UTC'), v_day, v.hour_until, v.day_until) AS d
    WHERE p_app IS NULL OR d.app_id = v_app_id
    GROUP BY 1, 2
    UNION ALL
    SELECT h.app_id, h.key_id
    FROM report.cells(10, 'hour', v_day, v_wide.from_at, v.hour_until, v.day_until) AS h
    WHERE v_unit <> 'day' AND (p_app IS NULL OR h.app_id = v_app_id)
    GROUP BY 1, 2
  )
  SELECT array_agg(w.app_id), array_agg(w.key_id) INTO v_apps, v_keys
  FROM wide AS w
  WHERE NOT EXISTS (SELECT FROM known AS o WHERE o.app_id = w.app_id AND o.key_id = w.key_id);
  RETURN QUERY
    WITH now AS (
      SELECT c.app_id, c.key_id, sum(c.n)::bigint AS n, sum(c.errors)::bigint AS errors, min(c.at) AS first_at
      FROM report.cells(10, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      WHERE c.app_id = ANY (v_apps)
      GROUP BY 1, 2
    ), just_before AS (
      SELECT m.app_id, m.key_id
      FROM report.cells(10, 'minute', v_wide.from_at, v.from_at, v.hour_until, v.day_until) AS m
      WHERE v_unit = 'minute' AND m.app_id = ANY (v_apps)
    )
    SELECT a.name, k.name, n.n, n.errors, n.first_at
    FROM unnest(v_apps, v_keys) AS x(app_id, key_id)
    JOIN now AS n ON n.app_id = x.app_id AND n.key_id = x.key_id
    JOIN telemetry.app AS a ON a.id = n.app_id
    JOIN telemetry.log_pattern AS k ON k.id = n.key_id
    WHERE NOT EXISTS (SELECT FROM just_before AS o WHERE o.app_id = n.app_id AND o.key_id = n.key_id)
    ORDER BY n.errors DESC, n.n DESC, 1, 2
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.log_patterns_new IS
  'Messages (variable parts masked) that an application did not write in the p_before before p_from, those with the most '
  'errors first. Example: SELECT * FROM report.log_patterns_new(now() - interval ''1 hour'')';

CREATE FUNCTION report.log_patterns_rising(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_days integer DEFAULT 7,
    p_factor double precision DEFAULT 2, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, pattern text, messages bigint, errors bigint, expected numeric, times_expected numeric)
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
  v_wide_unit text := CASE v_unit WHEN 'minute' THEN 'hour' ELSE v_unit END;
  v_app_id bigint := (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app);
  v_day timestamptz := pg_catalog.date_trunc('day', p_from, 'UTC');
  v record;
  v_wide record;
  v_apps bigint[];
  v_keys bigint[];
  v_n bigint[];
  v_errors bigint[];
  v_expected numeric[];
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  SELECT * INTO v_wide FROM report.bounds(v_wide_unit, p_from, p_until);
  -- Minutes of all applications are many: what cannot have risen, even with all of the hours that it began and ended in,
  -- is left out before they are read.
  WITH wide AS (
    SELECT c.app_id, c.key_id, sum(c.n)::bigint AS n, sum(c.errors)::bigint AS errors
    FROM report.cells(10, v_wide_unit, v_wide.from_at, v_wide.until_at, v.hour_until, v.day_until) AS c
    WHERE p_app IS NULL OR c.app_id = v_app_id
    GROUP BY 1, 2
  ), before AS (
    SELECT d.app_id, d.key_id, sum(d.n) AS n, min(d.at) AS first_at
    FROM report.cells(10, 'day', v_day - p_days * interval '1 day', v_day, v.hour_until, v.day_until) AS d
    WHERE p_app IS NULL OR d.app_id = v_app_id
    GROUP BY 1, 2
  )
  SELECT array_agg(w.app_id), array_agg(w.key_id), array_agg(w.n), array_agg(w.errors), array_agg(e.expected)
  INTO v_apps, v_keys, v_n, v_errors, v_expected
  FROM wide AS w
  JOIN before AS b ON b.app_id = w.app_id AND b.key_id = w.key_id
  CROSS JOIN LATERAL (
    SELECT b.n * extract(epoch FROM p_until - p_from) / extract(epoch FROM v_day - b.first_at) AS expected
    OFFSET 0
  ) AS e
  WHERE w.n > p_factor * e.expected;
  RETURN QUERY
    WITH candidate AS (
      SELECT u.app_id, u.key_id, u.n, u.errors, u.expected
      FROM unnest(v_apps, v_keys, v_n, v_errors, v_expected) AS u(app_id, key_id, n, errors, expected)
    ), minutes AS (
      SELECT c.app_id, c.key_id, sum(c.n)::bigint AS n, sum(c.errors)::bigint AS errors
      FROM report.cells(10, 'minute', v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      WHERE v_unit = 'minute' AND c.app_id = ANY (v_apps)
      GROUP BY 1, 2
    ), rate AS (
      SELECT x.app_id, x.key_id, m.n, m.errors, x.expected
      FROM candidate AS x
      JOIN minutes AS m ON m.app_id = x.app_id AND m.key_id = x.key_id
      UNION ALL
      SELECT x.app_id, x.key_id, x.n, x.errors, x.expected FROM candidate AS x WHERE v_unit <> 'minute'
    )
    SELECT a.name, k.name, r.n, r.errors, pg_catalog.round(r.expected, 2), pg_catalog.round(r.n / nullif(r.expected, 0), 2)
    FROM rate AS r
    JOIN telemetry.app AS a ON a.id = r.app_id
    JOIN telemetry.log_pattern AS k ON k.id = r.key_id
    WHERE r.n > p_factor * r.expected
    ORDER BY r.n - r.expected DESC, 1, 2
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.log_patterns_rising IS
  'Messages (variable parts masked) that come more than p_factor times as often as on the p_days UTC days before p_from '
  '(since their first), by how many more. Those without any then are in report.log_patterns_new. Example: SELECT * FROM '
  'report.log_patterns_rising()';

CREATE FUNCTION report.log_errors(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
    p_until timestamptz DEFAULT pg_catalog.now(), p_severity integer DEFAULT 3, p_limit integer DEFAULT 50)
  RETURNS TABLE (at timestamptz, host text, severity text, message text, trace_id uuid, attrs jsonb)
  LANGUAGE plpgsql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT l.ts, h.name, report.severity(l.severity), l.message, l.trace_id, l.attrs
    FROM telemetry.log AS l
    JOIN telemetry.host AS h ON h.id = l.host_id
    WHERE l.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND l.ts >= p_from AND l.ts < p_until
      AND l.severity <= p_severity
    ORDER BY l.ts DESC
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.log_errors IS
  'The latest messages of an application of severity error and worse (p_severity: 4 with warnings, 7 all). Example: '
  'SELECT * FROM report.log_errors(''EQP-12'')';

CREATE FUNCTION report.events(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, kind text, n bigint)
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
  v_app_id bigint := (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app);
  v record;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  RETURN QUERY
    SELECT a.name, k.name, v.n::bigint
    FROM (
      SELECT c.app_id, c.key_id, sum(c.n) AS n
      FROM report.cells(13, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      GROUP BY 1, 2
      ORDER BY 3 DESC, 1, 2
      LIMIT p_limit
    ) AS v
    JOIN telemetry.app AS a ON a.id = v.app_id
    JOIN telemetry.event_kind AS k ON k.id = v.key_id
    ORDER BY 3 DESC, 1, 2;
END
$$;
COMMENT ON FUNCTION report.events IS
  'Events (deployments, restarts, what users do) by application and kind. Example: SELECT * FROM '
  'report.events(now() - interval ''30 days'')';

-- Traces.

CREATE FUNCTION report.spans(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, span text, n bigint, failed bigint, failed_percent numeric, mean_ms numeric, p50_ms numeric,
    p95_ms numeric, p99_ms numeric, max_ms numeric)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT a.name, k.name, s.n, s.errors, report.percent(s.errors, s.n), report.ms(s.sum / nullif(s.n, 0)),
      report.ms(s.p50), report.ms(s.p95), report.ms(s.p99), report.ms(s.max)
    FROM report.summary(12, p_from, p_until, p_app, false, 'sum', p_limit) AS s
    JOIN telemetry.app AS a ON a.id = s.app_id
    JOIN telemetry.span_name AS k ON k.id = s.key_id
    ORDER BY s.sum DESC NULLS LAST, 1, 2;
  END;
COMMENT ON FUNCTION report.spans IS
  'Operations of traces by application: how many, how many failed, milliseconds, those with the most time in all first. '
  'Example: SELECT * FROM report.spans(now() - interval ''1 day'', now(), ''EQP-12'')';

CREATE FUNCTION report.trace(p_trace uuid)
  RETURNS TABLE (at timestamptz, what text, app text, host text, name text, status text, failed boolean,
    duration_ms numeric, span text, parent text)
  LANGUAGE plpgsql STABLE ROWS 50
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT t.at, t.what, a.name, h.name, t.name, t.status, t.failed, report.ms(t.duration_us),
      pg_catalog.lpad(pg_catalog.to_hex(t.span_id), 16, '0'), pg_catalog.lpad(pg_catalog.to_hex(t.parent_id), 16, '0')
    FROM (
      SELECT s.ts AS at, 'span' AS what, s.app_id, s.host_id, k.name, st.name AS status,
        report.is_failure(st.name) AS failed, s.duration_us, s.span_id, s.parent_id
      FROM telemetry.span AS s
      JOIN telemetry.span_name AS k ON k.id = s.span_name_id
      JOIN telemetry.status AS st ON st.id = s.status_id
      WHERE s.trace_id = p_trace
      UNION ALL
      SELECT j.ts, 'job', j.app_id, j.host_id, k.name, st.name, report.is_failure(st.name), j.duration_us, j.span_id, NULL
      FROM telemetry.job AS j
      JOIN telemetry.job_name AS k ON k.id = j.job_id
      JOIN telemetry.status AS st ON st.id = j.status_id
      WHERE j.trace_id = p_trace
      UNION ALL
      SELECT l.ts, 'log', l.app_id, l.host_id, l.message, report.severity(l.severity), l.severity <= 3, NULL, l.span_id, NULL
      FROM telemetry.log AS l
      WHERE l.trace_id = p_trace
    ) AS t
    JOIN telemetry.app AS a ON a.id = t.app_id
    JOIN telemetry.host AS h ON h.id = t.host_id
    ORDER BY 1, 2, 5;
END
$$;
COMMENT ON FUNCTION report.trace IS
  'Everything of one trace in the order of time: its spans, and the jobs and messages that bear its id (name is the '
  'message then); milliseconds; span and parent in 16 hexadecimal digits. Example: SELECT * FROM '
  'report.trace(''4bf92f3577b34da6a3ce929d0e0e4736'')';

CREATE FUNCTION report.trace_errors(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
    p_until timestamptz DEFAULT pg_catalog.now(), p_limit integer DEFAULT 50)
  RETURNS TABLE (trace_id uuid, first_at timestamptz, failed_spans bigint, failed_jobs bigint, error_messages bigint,
    first_error text, root_span text, duration_ms numeric, apps text[])
  LANGUAGE plpgsql STABLE ROWS 50
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH wrong AS (
      SELECT s.trace_id, s.ts, 'span' AS what, k.name || ': ' || st.name AS text
      FROM telemetry.span AS s
      JOIN telemetry.status AS st ON st.id = s.status_id AND report.is_failure(st.name)
      JOIN telemetry.span_name AS k ON k.id = s.span_name_id
      WHERE s.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND s.ts >= p_from AND s.ts < p_until
      UNION ALL
      SELECT j.trace_id, j.ts, 'job', k.name || ': ' || st.name
      FROM telemetry.job AS j
      JOIN telemetry.status AS st ON st.id = j.status_id AND report.is_failure(st.name)
      JOIN telemetry.job_name AS k ON k.id = j.job_id
      WHERE j.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND j.ts >= p_from AND j.ts < p_until
        AND j.trace_id IS NOT NULL
      UNION ALL
      SELECT l.trace_id, l.ts, 'log', l.message
      FROM telemetry.log AS l
      WHERE l.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND l.ts >= p_from AND l.ts < p_until
        AND l.severity <= 3 AND l.trace_id IS NOT NULL
    ), trace AS (
      SELECT w.trace_id, min(w.ts) AS first_at, count(*) FILTER (WHERE w.what = 'span') AS spans,
        count(*) FILTER (WHERE w.what = 'job') AS jobs, count(*) FILTER (WHERE w.what = 'log') AS logs,
        (pg_catalog.array_agg(w.text ORDER BY w.ts, w.what))[1] AS first_error
      FROM wrong AS w
      GROUP BY 1
      ORDER BY 2 DESC, 1
      LIMIT p_limit
    )
    SELECT t.trace_id, t.first_at, t.spans, t.jobs, t.logs, t.first_error, r.name, report.ms(r.duration_us), p.apps
    FROM trace AS t
    LEFT JOIN LATERAL (
      SELECT k.name, s.duration_us
      FROM telemetry.span AS s
      JOIN telemetry.span_name AS k ON k.id = s.span_name_id
      WHERE s.trace_id = t.trace_id AND s.parent_id IS NULL
      ORDER BY s.ts
      LIMIT 1
    ) AS r ON true
    LEFT JOIN LATERAL (
      SELECT pg_catalog.array_agg(DISTINCT a.name ORDER BY a.name) AS apps
      FROM telemetry.span AS s
      JOIN telemetry.app AS a ON a.id = s.app_id
      WHERE s.trace_id = t.trace_id
    ) AS p ON true
    ORDER BY t.first_at DESC, t.trace_id;
END
$$;
COMMENT ON FUNCTION report.trace_errors IS
  'Traces in which something of an application went wrong (failed spans and jobs, messages of severity error and worse), '
  'latest first, with the root span and all applications that took part. Example: SELECT * FROM '
  'report.trace_errors(''EQP-12'')';

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO standwatch_analyst, standwatch_auditor;

RESET ROLE;

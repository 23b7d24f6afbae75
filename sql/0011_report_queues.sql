-- The analysts' schema: what every report rests on, and the reports on queues.
--
-- Reports that read records or rollups are written in plpgsql, though each is one query: then the bounds of the range
-- are constants when it is planned, and the partitions beyond are not even looked at (with 90 days of minutes, planning
-- took longer than the query). The others are SQL functions with a body of their own (BEGIN ATOMIC).
-- Parameters: a range is [p_from, p_until), p_app NULL means all applications. Percentiles come from sketches: within
-- 2 % of the value. An empty range answers with no rows, and what was not measured is NULL.

-- What everybody may do by PostgreSQL's own default, and an analyst shall not: fill the disk with temporary tables,
-- large objects or log records, and make tables in the schema public.
DO $closed$
DECLARE
  open_function pg_catalog.regprocedure;
BEGIN
  EXECUTE pg_catalog.format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', pg_catalog.current_database());
  -- The verifier of standwatch-load sorts what was stored in temporary tables.
  EXECUTE pg_catalog.format('GRANT TEMPORARY ON DATABASE %I TO standwatch_auditor', pg_catalog.current_database());
  IF pg_catalog.to_regnamespace('public') IS NOT NULL THEN
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  END IF;
  FOR open_function IN
    SELECT p.oid::pg_catalog.regprocedure
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
      AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put', 'lowrite', 'lo_truncate',
        'lo_truncate64', 'lo_unlink', 'pg_logical_emit_message')
      AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
      AND pg_catalog.pg_has_role(current_user, p.proowner, 'USAGE')
  LOOP
    EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', open_function);
    -- A node's way to make a transaction that only reads a write: what it answers is then replicated as well.
    IF open_function::text LIKE '%pg_logical_emit_message(%' THEN
      EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO standwatch_node', open_function);
    END IF;
  END LOOP;
  IF pg_catalog.has_function_privilege('public', 'pg_catalog.lo_from_bytea(oid, bytea)', 'EXECUTE')
      OR pg_catalog.has_database_privilege('standwatch_analyst', pg_catalog.current_database(), 'TEMPORARY') THEN
    RAISE NOTICE 'analysts can still make large objects or temporary tables: only a superuser can close them'
      USING HINT = 'Run "hactl doctor"; it prints the statements a superuser has to run.';
  END IF;
END
$closed$;

-- Settings hold for the role that logs in, not for its members: report.analyst_login says what such a login needs.
ALTER ROLE standwatch_analyst SET jit = off;
ALTER ROLE standwatch_analyst SET lock_timeout = '2s';
ALTER ROLE standwatch_analyst CONNECTION LIMIT 20;
ALTER ROLE standwatch_auditor SET jit = off;
DO $spill$
BEGIN
  -- Only a superuser may set it, for himself or others: this one an analyst can't take back.
  ALTER ROLE standwatch_analyst SET temp_file_limit = '10GB';
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'temp_file_limit of analysts is not set: only a superuser can';
END
$spill$;

CREATE SCHEMA report AUTHORIZATION standwatch_owner;

SET LOCAL ROLE standwatch_owner;

COMMENT ON SCHEMA report IS 'Views and functions for analysts; every one has its meaning, units and an example in its '
  'comment (\dd+ report.*, sql/README.md)';
GRANT USAGE ON SCHEMA report TO standwatch_analyst, standwatch_auditor;

CREATE FUNCTION report.analyst_login(p_login text) RETURNS TABLE (statement text)
  LANGUAGE sql STABLE
  BEGIN ATOMIC
    SELECT pg_catalog.format(s.pattern, p_login)
    FROM (
      VALUES (1, 'CREATE ROLE %I LOGIN CONNECTION LIMIT 4 IN ROLE standwatch_analyst'),
        (2, 'ALTER ROLE %I SET statement_timeout = ''5min'''),
        (3, 'ALTER ROLE %I SET idle_in_transaction_session_timeout = ''1min'''),
        (4, 'ALTER ROLE %I SET lock_timeout = ''2s'''),
        (5, 'ALTER ROLE %I SET default_transaction_read_only = on'),
        (6, 'ALTER ROLE %I SET temp_file_limit = ''10GB'''),
        (7, 'ALTER ROLE %I SET jit = off')
    ) AS s(number, pattern)
    ORDER BY s.number;
  END;
COMMENT ON FUNCTION report.analyst_login IS
  'Statements that make a login for one analyst, for an administrator to run (in psql with \gexec '
  'in the semicolon''s place: each row is one statement, and none needs a semicolon); then \password. '
  'Settings are not inherited from standwatch_analyst, so each login needs its own. temp_file_limit and the '
  'connection limit bind the analyst; the others are defaults that a session can change for itself. '
  'Example: SELECT statement FROM report.analyst_login(''anna'')';

CREATE VIEW report.login AS
  SELECT r.rolname::text AS login, v.connections, v.statement_timeout, v.temp_file_limit, v.jit,
    v.statement_timeout IS NOT NULL AND v.statement_timeout NOT IN ('0', '') AND NOT r.rolsuper AS safe
  FROM pg_catalog.pg_roles AS r
  CROSS JOIN LATERAL (
    SELECT nullif(r.rolconnlimit, -1) AS connections,
      max(pg_catalog.split_part(s.setting, '=', 2)) FILTER (WHERE pg_catalog.starts_with(s.setting, 'statement_timeout='))
        AS statement_timeout,
      max(pg_catalog.split_part(s.setting, '=', 2)) FILTER (WHERE pg_catalog.starts_with(s.setting, 'temp_file_limit='))
        AS temp_file_limit,
      max(pg_catalog.split_part(s.setting, '=', 2)) FILTER (WHERE pg_catalog.starts_with(s.setting, 'jit=')) AS jit
    FROM pg_catalog.unnest(r.rolconfig) AS s(setting)
  ) AS v
  WHERE r.rolcanlogin AND NOT r.rolsuper AND pg_catalog.pg_has_role(r.oid, 'standwatch_analyst', 'MEMBER');
COMMENT ON VIEW report.login IS 'Who may log in as an analyst, and with which limits. Example: SELECT login FROM '
  'report.login WHERE NOT safe';
COMMENT ON COLUMN report.login.connections IS 'Sessions at once; NULL: without limit';
COMMENT ON COLUMN report.login.safe IS 'Its statements end by themselves: statement_timeout is set for this very login';

-- What all reports rest on.

-- Rankings of all applications read only sums: from these indexes, past the sketches in the rows.
DROP INDEX telemetry.rollup_hour_at, telemetry.rollup_day_at;
CREATE INDEX rollup_hour_at ON telemetry.rollup_hour (measure, at)
  INCLUDE (app_id, host_id, key_id, n, errors, sum, min, max);
CREATE INDEX rollup_day_at ON telemetry.rollup_day (measure, at)
  INCLUDE (app_id, host_id, key_id, n, errors, sum, min, max);
-- When a silent host was last seen.
CREATE INDEX rollup_day_host ON telemetry.rollup_day (host_id, at, measure, app_id);

CREATE FUNCTION report.unit(p_from timestamptz, p_until timestamptz) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN p_until - p_from <= interval '3 hours' THEN 'minute'
    WHEN p_until - p_from <= interval '3 days' THEN 'hour' ELSE 'day' END;
COMMENT ON FUNCTION report.unit IS
  'In which cells a range is answered: minutes up to 3 hours, hours up to 3 days, UTC days beyond. Reports round a '
  'range outward to whole cells. Example: SELECT report.unit(now() - interval ''1 day'', now())';

CREATE VIEW report.cell AS
  SELECT 'minute'::text AS unit, m.at, m.app_id, m.host_id, m.measure, m.key_id, m.n, m.errors, m.sum, m.min, m.max,
    m.buckets, m.counts
  FROM telemetry.minute AS m
  UNION ALL
  SELECT 'hour', h.at, h.app_id, h.host_id, h.measure, h.key_id, h.n, h.errors, h.sum, h.min, h.max, h.buckets,
    h.counts
  FROM telemetry.hour AS h
  UNION ALL
  SELECT 'day', d.at, d.app_id, d.host_id, d.measure, d.key_id, d.n, d.errors, d.sum, d.min, d.max, d.buckets,
    d.counts
  FROM telemetry.day AS d;
COMMENT ON VIEW report.cell IS
  'The rollups of all three units; always name the unit. A cell can come in several rows: sum them. Example: SELECT '
  'sum(n) FROM report.cell WHERE unit = ''hour'' AND measure = 10 AND at >= now() - interval ''1 day''';
COMMENT ON COLUMN report.cell.unit IS 'minute, hour or day';
COMMENT ON COLUMN report.cell.at IS 'Where the minute, hour or UTC day begins';
COMMENT ON COLUMN report.cell.measure IS 'What was measured: telemetry.measure';
COMMENT ON COLUMN report.cell.key_id IS 'Of which queue, step, job, ...: see telemetry.measure';
COMMENT ON COLUMN report.cell.n IS 'Records';
COMMENT ON COLUMN report.cell.buckets IS 'Sketch: its buckets; counts beside. report.percentiles reads them';

CREATE FUNCTION report.bounds(p_unit text, p_from timestamptz, p_until timestamptz,
    OUT from_at timestamptz, OUT until_at timestamptz, OUT hour_until timestamptz, OUT day_until timestamptz)
  LANGUAGE sql STABLE
  BEGIN ATOMIC
    SELECT pg_catalog.date_trunc(p_unit, p_from, 'UTC'),
      pg_catalog.date_trunc(p_unit, p_until - interval '1 microsecond', 'UTC')
        + CASE p_unit WHEN 'minute' THEN interval '1 minute' WHEN 'hour' THEN interval '1 hour' ELSE interval '24 hours' END,
      s.hour_until, s.day_until
    FROM telemetry.rollup_state AS s;
  END;
COMMENT ON FUNCTION report.bounds IS
  'A range rounded outward to whole cells of a unit (minute, hour, day), and how far the rollups are folded '
  '(telemetry.rollup_state): what report.cells wants to be told. Example: SELECT * FROM report.bounds(''day'', '
  'now() - interval ''30 days'', now())';

CREATE FUNCTION report.cells(p_measure integer, p_unit text, p_from timestamptz, p_until timestamptz,
    p_hour_until timestamptz, p_day_until timestamptz)
  RETURNS TABLE (at timestamptz, app_id bigint, host_id bigint, key_id bigint, n bigint, errors bigint,
    sum double precision, min double precision, max double precision, buckets integer[], counts bigint[])
  LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
  BEGIN ATOMIC
    SELECT y.at, y.app_id, y.host_id, y.key_id, y.n, y.errors, y.sum, y.min, y.max, y.buckets, y.counts
    FROM telemetry.rollup_day AS y
    WHERE p_unit = 'day' AND y.measure = p_measure AND y.at >= p_from AND y.at < p_until
    UNION ALL
    SELECT pg_catalog.date_trunc(p_unit, h.at, 'UTC'), h.app_id, h.host_id, h.key_id, h.n, h.errors, h.sum, h.min, h.max,
      h.buckets, h.counts
    FROM telemetry.rollup_hour AS h
    WHERE p_unit = 'day' AND h.measure = p_measure AND h.at >= greatest(p_from, p_day_until) AND h.at < p_until
    UNION ALL
    SELECT h.at, h.app_id, h.host_id, h.key_id, h.n, h.errors, h.sum, h.min, h.max, h.buckets, h.counts
    FROM telemetry.rollup_hour AS h
    WHERE p_unit = 'hour' AND h.measure = p_measure AND h.at >= p_from AND h.at < p_until
    UNION ALL
    SELECT pg_catalog.date_trunc(p_unit, m.at, 'UTC'), m.app_id, m.host_id, m.key_id, m.n, m.errors, m.sum, m.min, m.max,
      m.buckets, m.counts
    FROM telemetry.rollup_minute AS m
    WHERE p_unit IN ('hour', 'day') AND m.measure = p_measure AND m.at >= greatest(p_from, p_hour_until) AND m.at < p_until
    UNION ALL
    SELECT m.at, m.app_id, m.host_id, m.key_id, m.n, m.errors, m.sum, m.min, m.max, m.buckets, m.counts
    FROM telemetry.rollup_minute AS m
    WHERE p_unit = 'minute' AND m.measure = p_measure AND m.at >= p_from AND m.at < p_until
    UNION ALL
    SELECT pg_catalog.date_trunc(p_unit, d.at, 'UTC'), d.app_id, d.host_id, d.key_id, d.n, d.errors, d.sum, d.min, d.max,
      d.buckets, d.counts
    FROM telemetry.rollup_delta AS d
    WHERE d.measure = p_measure AND d.at >= p_from AND d.at < p_until;
  END;
COMMENT ON FUNCTION report.cells IS
  'The same as report.cell of one measure from p_from to p_until, which have to be whole cells of p_unit (report.bounds). '
  'Reports read it in place of the view: the planner takes it into the query around it and knows all bounds, so it '
  'plans without the other partitions, and no row''s time is cut to its cell only to be compared. A cell can come in '
  'several rows: sum them. Example: SELECT sum(c.n) FROM report.bounds(''hour'', now() - interval ''1 day'', now()) AS b, '
  'report.cells(10, ''hour'', b.from_at, b.until_at, b.hour_until, b.day_until) AS c';

CREATE FUNCTION report.split(p_measures integer[], p_unit text, p_from timestamptz, p_until timestamptz)
  RETURNS timestamptz
  LANGUAGE sql STABLE
  BEGIN ATOMIC
    SELECT greatest(p_from, least(p_until, pg_catalog.date_trunc(p_unit,
      (SELECT min(d.at) FROM telemetry.rollup_delta AS d WHERE d.measure = ANY (p_measures) AND d.at >= p_from AND d.at < p_until),
      'UTC'), CASE WHEN p_unit <> 'minute' THEN pg_catalog.date_trunc(p_unit, s.hour_until, 'UTC') END,
      CASE WHEN p_unit = 'day' THEN pg_catalog.date_trunc(p_unit, s.day_until, 'UTC') END))
    FROM telemetry.rollup_state AS s;
  END;
COMMENT ON FUNCTION report.split IS
  'From p_from up to here every cell of a key is one row of report.cells, so nothing needs to be summed; p_until if that '
  'is so throughout. Example: SELECT report.split(ARRAY[1], ''day'', b.from_at, b.until_at) FROM report.bounds(''day'', '
  'now() - interval ''30 days'', now()) AS b';

CREATE FUNCTION report.sketch_value(p_bucket integer) RETURNS double precision
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN p_bucket > 0 THEN 0.98 * pg_catalog.exp((p_bucket - 20000) * pg_catalog.ln(1.02::double precision / 0.98))
    WHEN p_bucket < 0 THEN -0.98 * pg_catalog.exp((-p_bucket - 20000) * pg_catalog.ln(1.02::double precision / 0.98))
    WHEN p_bucket = 0 THEN 0 END;
COMMENT ON FUNCTION report.sketch_value IS
  'The same as telemetry.sketch_value, but the planner takes it apart into the query around it: reports call it '
  'thousands of times. Example: SELECT report.sketch_value(20100)';

CREATE FUNCTION report.clamp(p_value double precision, p_min double precision, p_max double precision)
  RETURNS double precision
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN p_value < p_min THEN p_min WHEN p_value > p_max THEN p_max ELSE p_value END;
COMMENT ON FUNCTION report.clamp IS
  'A value, but not outside of bounds (NULL: no bound); NULL stays NULL. Example: SELECT report.clamp(7, 1, 5)';

CREATE FUNCTION report.percentiles(p_buckets integer[], p_counts bigint[], p_min double precision DEFAULT NULL,
    p_max double precision DEFAULT NULL)
  RETURNS TABLE (p50 double precision, p95 double precision, p99 double precision)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
  BEGIN ATOMIC
    SELECT report.clamp(q.b50, p_min, p_max), report.clamp(q.b95, p_min, p_max),
      report.clamp(q.b99, p_min, p_max)
    FROM (
      SELECT report.sketch_value(min(r.bucket) FILTER (WHERE r.upto > 0.50 * (r.total - 1))) AS b50,
        report.sketch_value(min(r.bucket) FILTER (WHERE r.upto > 0.95 * (r.total - 1))) AS b95,
        report.sketch_value(min(r.bucket) FILTER (WHERE r.upto > 0.99 * (r.total - 1))) AS b99
      FROM (
        SELECT u.bucket, sum(u.n::double precision) OVER (ORDER BY u.bucket) AS upto,
          sum(u.n::double precision) OVER () AS total
        FROM unnest(p_buckets, p_counts) AS u(bucket, n)
      ) AS r
      HAVING count(*) > 0
    ) AS q;
  END;
COMMENT ON FUNCTION report.percentiles IS
  'p50, p95 and p99 of a sketch (within 2 %), in the unit of its measure; sketches are merged by putting their arrays '
  'together. Not outside p_min and p_max where these are known. No row for an empty sketch. Example: SELECT p.* FROM '
  '(SELECT array_agg(u.b) AS b, array_agg(u.n) AS n FROM telemetry.hour AS h, unnest(h.buckets, h.counts) AS u(b, n) '
  'WHERE h.measure = 6) AS s, report.percentiles(s.b, s.n) AS p';

CREATE FUNCTION report.ms(p_us double precision) RETURNS numeric
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN pg_catalog.round((p_us / 1000)::numeric, 3);
COMMENT ON FUNCTION report.ms IS 'Microseconds as milliseconds with three decimals. Example: SELECT report.ms(1500)';

CREATE FUNCTION report.percent(p_part double precision, p_whole double precision) RETURNS numeric
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN pg_catalog.round((100 * p_part / nullif(p_whole, 0))::numeric, 3);
COMMENT ON FUNCTION report.percent IS
  'A share in percent, three decimals; NULL of nothing. Example: SELECT report.percent(1, 8)';

CREATE FUNCTION report.seconds(p_length interval) RETURNS numeric
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN pg_catalog.round(extract(epoch FROM p_length), 3);
COMMENT ON FUNCTION report.seconds IS
  'An interval in seconds, three decimals. Example: SELECT report.seconds(interval ''1 minute'')';

CREATE FUNCTION report.milliseconds(p_length interval) RETURNS numeric
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN pg_catalog.round(extract(epoch FROM p_length) * 1000, 3);
COMMENT ON FUNCTION report.milliseconds IS
  'An interval in milliseconds, three decimals. Example: SELECT report.milliseconds(interval ''1 minute'')';

CREATE FUNCTION report.is_failure(p_status text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN pg_catalog.lower(p_status) IN ('error', 'failed', 'failure', 'timeout', 'aborted', 'cancelled', 'rejected',
    'fatal', 'nok');
COMMENT ON FUNCTION report.is_failure IS
  'Whether a status of a step, job or span means failure, in any case: error, failed, failure, timeout, aborted, '
  'cancelled, rejected, fatal, nok; the same that count as errors in the rollups. Example: SELECT report.is_failure(''NOK'')';

CREATE FUNCTION report.is_open(p_status text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN pg_catalog.lower(p_status) IN ('started', 'start', 'begin', 'begun', 'running', 'waiting', 'queued',
    'pending', 'in_progress', 'in-progress', 'processing', 'open');
COMMENT ON FUNCTION report.is_open IS
  'Whether a status of a step says that the step is not over: started, start, begin, begun, running, waiting, queued, '
  'pending, in_progress, in-progress, processing, open. Example: SELECT report.is_open(''running'')';

CREATE FUNCTION report.key_id(p_measure integer, p_key text) RETURNS bigint
  LANGUAGE sql STABLE
  RETURN CASE
    WHEN p_measure BETWEEN 1 AND 4 THEN (SELECT k.id FROM telemetry.queue_name AS k WHERE k.name = p_key)
    WHEN p_measure = 5 THEN (SELECT k.id FROM telemetry.step_name AS k WHERE k.name = p_key)
    WHEN p_measure = 6 THEN (SELECT k.id FROM telemetry.job_name AS k WHERE k.name = p_key)
    WHEN p_measure = 7 THEN (SELECT k.id FROM telemetry.metric_name AS k WHERE k.name = p_key)
    WHEN p_measure IN (8, 9) THEN (SELECT k.id FROM telemetry.process_name AS k WHERE k.name = p_key)
    WHEN p_measure = 10 THEN (SELECT k.id FROM telemetry.log_pattern AS k WHERE k.name = p_key)
    WHEN p_measure = 11 THEN p_key::bigint
    WHEN p_measure = 12 THEN (SELECT k.id FROM telemetry.span_name AS k WHERE k.name = p_key)
    WHEN p_measure = 13 THEN (SELECT k.id FROM telemetry.event_kind AS k WHERE k.name = p_key)
  END;
COMMENT ON FUNCTION report.key_id IS
  'The key_id of a name in the rollups of a measure (telemetry.measure); NULL for a name that never came. '
  'Example: SELECT report.key_id(6, ''move'')';

CREATE FUNCTION report.summary(p_measure integer, p_from timestamptz, p_until timestamptz, p_app text DEFAULT NULL,
    p_by_host boolean DEFAULT false, p_order text DEFAULT 'sum', p_limit integer DEFAULT 50, p_key text DEFAULT NULL,
    p_apps bigint[] DEFAULT NULL)
  RETURNS TABLE (app_id bigint, host_id bigint, key_id bigint, n bigint, errors bigint, measured bigint,
    sum double precision, min double precision, max double precision, p50 double precision, p95 double precision,
    p99 double precision)
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
  v_key_id bigint := report.key_id(p_measure, p_key);
  v record;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  RETURN QUERY
    WITH top AS MATERIALIZED (
      SELECT c.app_id, CASE WHEN p_by_host THEN c.host_id END AS host_id, c.key_id, sum(c.n)::bigint AS n,
        sum(c.errors)::bigint AS errors, sum(c.sum) AS sum, min(c.min) AS min, max(c.max) AS max
      FROM report.cells(p_measure, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      WHERE (p_app IS NULL OR c.app_id = v_app_id) AND (p_apps IS NULL OR c.app_id = ANY (p_apps))
        AND (p_key IS NULL OR c.key_id = v_key_id)
      GROUP BY 1, 2, 3
      ORDER BY CASE p_order WHEN 'n' THEN sum(c.n) WHEN 'errors' THEN sum(c.errors) WHEN 'max' THEN max(c.max)
        WHEN 'mean' THEN sum(c.sum) / nullif(sum(c.n), 0) ELSE sum(c.sum) END DESC NULLS LAST, 1, 2, 3
      LIMIT p_limit
    ), bucket AS MATERIALIZED (
      -- Keys of the same applications that are not shown are few, and without a join the planner knows how many rows come;
      -- MATERIALIZED: buckets are summed by hashing, and only their sums are sorted.
      SELECT c.app_id, CASE WHEN p_by_host THEN c.host_id END AS host_id, c.key_id, u.bucket, sum(u.n::double precision) AS n
      FROM report.cells(p_measure, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      CROSS JOIN LATERAL unnest(c.buckets, c.counts) AS u(bucket, n)
      WHERE c.app_id = ANY (ARRAY(SELECT DISTINCT x.app_id FROM top AS x))
        AND c.key_id + 0 = ANY (ARRAY(SELECT DISTINCT x.key_id FROM top AS x))
      GROUP BY 1, 2, 3, 4
    ), ranked AS (
      SELECT b.app_id, b.host_id, b.key_id, b.bucket, sum(b.n) OVER (w ORDER BY b.bucket) AS upto, sum(b.n) OVER w AS total
      FROM bucket AS b
      WINDOW w AS (PARTITION BY b.app_id, b.key_id, b.host_id)
    ), quantile AS (
      SELECT r.app_id, r.host_id, r.key_id, max(r.total)::bigint AS measured,
        min(r.bucket) FILTER (WHERE r.upto > 0.50 * (r.total - 1)) AS b50,
        min(r.bucket) FILTER (WHERE r.upto > 0.95 * (r.total - 1)) AS b95,
        min(r.bucket) FILTER (WHERE r.upto > 0.99 * (r.total - 1)) AS b99
      FROM ranked AS r
      GROUP BY 1, 2, 3
    )
    SELECT t.app_id, t.host_id, t.key_id, t.n, t.errors, coalesce(q.measured, 0), t.sum, t.min, t.max,
      report.clamp(b.b50, t.min, t.max),
      report.clamp(b.b95, t.min, t.max),
      report.clamp(b.b99, t.min, t.max)
    FROM top AS t
    LEFT JOIN quantile AS q ON q.app_id = t.app_id AND q.key_id = t.key_id AND q.host_id IS NOT DISTINCT FROM t.host_id
    CROSS JOIN LATERAL (
      SELECT report.sketch_value(q.b50) AS b50, report.sketch_value(q.b95) AS b95, report.sketch_value(q.b99) AS b99
      OFFSET 0
    ) AS b;
END
$$;
COMMENT ON FUNCTION report.summary IS
  'Any measure of the rollups (telemetry.measure), summed by application and key, p_by_host: by host as well, in the '
  'unit of the measure; n counts records, measured those with a value. p_key: only this name; p_apps: only these applications (ids). Only the first p_limit by p_order (sum, n, errors, max, mean) are answered, NULL: all. '
  'Example: SELECT * FROM report.summary(6, now() - interval ''1 day'', now())';

CREATE FUNCTION report.over_time(p_measure integer, p_by text, p_from timestamptz, p_until timestamptz, p_app text,
    p_key text DEFAULT NULL)
  RETURNS TABLE (at timestamptz, key_id bigint, n bigint, errors bigint, measured bigint, sum double precision,
    min double precision, max double precision, p50 double precision, p95 double precision, p99 double precision)
  LANGUAGE plpgsql STABLE ROWS 1000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET max_parallel_workers_per_gather = 0
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
DECLARE
  v_unit text := CASE p_by WHEN 'minute' THEN 'minute' ELSE 'hour' END;
  v_app_id bigint := (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app);
  v_key_id bigint := report.key_id(p_measure, p_key);
  v record;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  RETURN QUERY
    WITH cell AS MATERIALIZED (
      SELECT pg_catalog.date_trunc(p_by, c.at) AS at, c.key_id, c.n, c.errors, c.sum, c.min, c.max, c.buckets, c.counts
      FROM report.cells(p_measure, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      WHERE c.app_id = v_app_id AND (p_key IS NULL OR c.key_id = v_key_id)
    ), total AS (
      SELECT c.at, c.key_id, sum(c.n)::bigint AS n, sum(c.errors)::bigint AS errors, sum(c.sum) AS sum,
        min(c.min) AS min, max(c.max) AS max
      FROM cell AS c
      GROUP BY 1, 2
    ), bucket AS (
      SELECT c.at, c.key_id, u.bucket, sum(u.n::double precision) AS n
      FROM cell AS c
      CROSS JOIN LATERAL unnest(c.buckets, c.counts) AS u(bucket, n)
      GROUP BY 1, 2, 3
    ), ranked AS (
      SELECT b.at, b.key_id, b.bucket, sum(b.n) OVER (w ORDER BY b.bucket) AS upto, sum(b.n) OVER w AS total
      FROM bucket AS b
      WINDOW w AS (PARTITION BY b.at, b.key_id)
    ), quantile AS (
      SELECT r.at, r.key_id, max(r.total)::bigint AS measured,
        min(r.bucket) FILTER (WHERE r.upto > 0.50 * (r.total - 1)) AS b50,
        min(r.bucket) FILTER (WHERE r.upto > 0.95 * (r.total - 1)) AS b95,
        min(r.bucket) FILTER (WHERE r.upto > 0.99 * (r.total - 1)) AS b99
      FROM ranked AS r
      GROUP BY 1, 2
    )
    SELECT t.at, t.key_id, t.n, t.errors, coalesce(q.measured, 0), t.sum, t.min, t.max,
      report.clamp(b.b50, t.min, t.max), report.clamp(b.b95, t.min, t.max),
      report.clamp(b.b99, t.min, t.max)
    FROM total AS t
    LEFT JOIN quantile AS q ON q.at = t.at AND q.key_id = t.key_id
    CROSS JOIN LATERAL (
      SELECT report.sketch_value(q.b50) AS b50, report.sketch_value(q.b95) AS b95, report.sketch_value(q.b99) AS b99
      OFFSET 0
    ) AS b;
END
$$;
COMMENT ON FUNCTION report.over_time IS
  'Any measure of one application by p_by (minute, hour, day, week, month; the session''s time zone, to the hour) and '
  'key, in the unit of the measure. Example: SELECT * FROM report.over_time(6, ''hour'', now() - interval ''1 day'', '
  'now(), ''EQP-12'')';

-- Queues.

CREATE FUNCTION report.queue_depth(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, host text, queue text, samples bigint, mean_depth numeric, min_depth bigint,
    max_depth bigint, p50_depth numeric, p95_depth numeric, p99_depth numeric)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT a.name, h.name, q.name, s.n, pg_catalog.round((s.sum / nullif(s.n, 0))::numeric, 2), s.min::bigint,
      s.max::bigint, pg_catalog.round(s.p50::numeric, 1), pg_catalog.round(s.p95::numeric, 1),
      pg_catalog.round(s.p99::numeric, 1)
    FROM report.summary(1, p_from, p_until, p_app, true, 'mean', p_limit) AS s
    JOIN telemetry.app AS a ON a.id = s.app_id
    JOIN telemetry.host AS h ON h.id = s.host_id
    JOIN telemetry.queue_name AS q ON q.id = s.key_id
    ORDER BY s.sum / nullif(s.n, 0) DESC NULLS LAST, 1, 2, 3;
  END;
COMMENT ON FUNCTION report.queue_depth IS
  'How deep queues were, deepest on average first (jobs that wait; samples are measurements). Example: SELECT * FROM '
  'report.queue_depth(now() - interval ''30 days'')';

CREATE FUNCTION report.queue_depth_over_time(p_from timestamptz, p_until timestamptz, p_app text,
    p_by text DEFAULT 'hour')
  RETURNS TABLE (at timestamptz, queue text, mean_depth numeric, max_depth bigint, p95_depth numeric)
  LANGUAGE sql STABLE ROWS 1000
  BEGIN ATOMIC
    SELECT t.at, q.name, pg_catalog.round((t.sum / nullif(t.n, 0))::numeric, 2), t.max::bigint,
      pg_catalog.round(t.p95::numeric, 1)
    FROM report.over_time(1, p_by, p_from, p_until, p_app) AS t
    JOIN telemetry.queue_name AS q ON q.id = t.key_id
    ORDER BY 1, 2;
  END;
COMMENT ON FUNCTION report.queue_depth_over_time IS
  'Depth of an application''s queues by minute, hour, day, ... (p_by), all hosts together. Example: SELECT * FROM '
  'report.queue_depth_over_time(now() - interval ''1 day'', now(), ''EQP-12'')';

CREATE FUNCTION report.queue_oldest(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, host text, queue text, samples bigint, mean_oldest_ms numeric, p95_oldest_ms numeric,
    max_oldest_ms bigint)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT a.name, h.name, q.name, s.n, pg_catalog.round((s.sum / nullif(s.n, 0))::numeric, 1),
      pg_catalog.round(s.p95::numeric, 1), s.max::bigint
    FROM report.summary(4, p_from, p_until, p_app, true, 'max', p_limit) AS s
    JOIN telemetry.app AS a ON a.id = s.app_id
    JOIN telemetry.host AS h ON h.id = s.host_id
    JOIN telemetry.queue_name AS q ON q.id = s.key_id
    ORDER BY s.max DESC NULLS LAST, 1, 2, 3;
  END;
COMMENT ON FUNCTION report.queue_oldest IS
  'For how long the oldest job of each queue had been waiting (milliseconds), worst first; only queues that say so. '
  'Example: SELECT * FROM report.queue_oldest(now() - interval ''1 hour'')';

CREATE FUNCTION report.queue_growth(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, host text, queue text, first_mean_depth numeric, last_mean_depth numeric,
    growth_per_hour numeric)
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
  v_split timestamptz;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  v_split := report.split(ARRAY[1], v_unit, v.from_at, v.until_at);
  RETURN QUERY
    WITH point AS (
      SELECT c.app_id, c.host_id, c.key_id, c.at, c.sum / nullif(c.n::double precision, 0) AS depth
      FROM report.cells(1, v_unit, v.from_at, v_split, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      UNION ALL
      SELECT c.app_id, c.host_id, c.key_id, c.at, sum(c.sum) / nullif(sum(c.n::double precision), 0)
      FROM report.cells(1, v_unit, v_split, v.until_at, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      GROUP BY 1, 2, 3, 4
    ), trend AS MATERIALIZED (
      SELECT p.app_id, p.host_id, p.key_id,
        pg_catalog.regr_slope(p.depth, pg_catalog.date_part('epoch', p.at) - pg_catalog.date_part('epoch', p_from)) * 3600 AS slope
      FROM point AS p
      GROUP BY 1, 2, 3
      ORDER BY 4 DESC NULLS LAST, 1, 2, 3
      LIMIT p_limit
    ), cell AS (
      SELECT c.app_id, c.host_id, c.key_id, c.at, sum(c.sum) / nullif(sum(c.n::double precision), 0) AS depth
      FROM report.cells(1, v_unit, v.from_at, v.until_at, v.hour_until, v.day_until) AS c
      WHERE c.app_id = ANY (ARRAY(SELECT DISTINCT x.app_id FROM trend AS x))
      GROUP BY 1, 2, 3, 4
    ), edge AS MATERIALIZED (
      SELECT c.app_id, c.host_id, c.key_id, (pg_catalog.array_agg(c.depth ORDER BY c.at))[1] AS first_depth,
        (pg_catalog.array_agg(c.depth ORDER BY c.at DESC))[1] AS last_depth
      FROM cell AS c
      GROUP BY 1, 2, 3
    )
    SELECT a.name, h.name, q.name, pg_catalog.round(e.first_depth::numeric, 2), pg_catalog.round(e.last_depth::numeric, 2),
      pg_catalog.round(t.slope::numeric, 3)
    FROM trend AS t
    JOIN edge AS e ON e.app_id = t.app_id AND e.host_id = t.host_id AND e.key_id = t.key_id
    JOIN telemetry.app AS a ON a.id = t.app_id
    JOIN telemetry.host AS h ON h.id = t.host_id
    JOIN telemetry.queue_name AS q ON q.id = t.key_id
    ORDER BY t.slope DESC NULLS LAST, 1, 2, 3;
END
$$;
COMMENT ON FUNCTION report.queue_growth IS
  'Which queues grow: slope of a straight line through the mean depths of the cells, in jobs per hour (negative: it '
  'shrinks; NULL: one cell only), fastest first. Example: SELECT * FROM report.queue_growth(now() - interval ''6 hours'')';

CREATE FUNCTION report.queue_rates(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, host text, queue text, arrived bigint, served bigint, arrivals_per_s numeric,
    served_per_s numeric, load_percent numeric, counter_restarts bigint)
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
  v_split timestamptz;
BEGIN
  SELECT * INTO v FROM report.bounds(v_unit, p_from, p_until);
  v_split := report.split(ARRAY[2, 3], v_unit, v.from_at, v.until_at);
  RETURN QUERY
    WITH counter (measure, app_id, host_id, key_id, at, low, high) AS (
      SELECT 2, c.app_id, c.host_id, c.key_id, c.at, c.min, c.max
      FROM report.cells(2, v_unit, v.from_at, v_split, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      UNION ALL
      SELECT 3, c.app_id, c.host_id, c.key_id, c.at, c.min, c.max
      FROM report.cells(3, v_unit, v.from_at, v_split, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      UNION ALL
      SELECT 2, c.app_id, c.host_id, c.key_id, c.at, min(c.min), max(c.max)
      FROM report.cells(2, v_unit, v_split, v.until_at, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      GROUP BY c.app_id, c.host_id, c.key_id, c.at
      UNION ALL
      SELECT 3, c.app_id, c.host_id, c.key_id, c.at, min(c.min), max(c.max)
      FROM report.cells(3, v_unit, v_split, v.until_at, v.hour_until, v.day_until) AS c
      WHERE p_app IS NULL OR c.app_id = v_app_id
      GROUP BY c.app_id, c.host_id, c.key_id, c.at
    ), step AS (
      SELECT c.app_id, c.host_id, c.key_id, c.measure, c.at, c.low, c.high,
        pg_catalog.lag(c.high) OVER (PARTITION BY c.app_id, c.host_id, c.key_id, c.measure ORDER BY c.at) AS before
      FROM counter AS c
    ), total AS (
      SELECT s.app_id, s.host_id, s.key_id,
        sum(CASE WHEN s.before IS NULL THEN s.high - s.low WHEN s.high >= s.before THEN s.high - s.before ELSE s.high END)
          FILTER (WHERE s.measure = 2) AS arrived,
        sum(CASE WHEN s.before IS NULL THEN s.high - s.low WHEN s.high >= s.before THEN s.high - s.before ELSE s.high END)
          FILTER (WHERE s.measure = 3) AS served,
        count(*) FILTER (WHERE s.measure = 2 AND s.low < s.before) AS restarts,
        extract(epoch FROM least(max(s.at) + ('1 ' || v_unit)::interval, pg_catalog.now())
          - min(s.at))::double precision AS seconds
      FROM step AS s
      GROUP BY 1, 2, 3
    )
    SELECT a.name, h.name, q.name, t.arrived::bigint, t.served::bigint,
      pg_catalog.round((t.arrived / nullif(t.seconds, 0))::numeric, 3),
      pg_catalog.round((t.served / nullif(t.seconds, 0))::numeric, 3),
      report.percent(t.arrived, t.served), t.restarts
    FROM total AS t
    JOIN telemetry.app AS a ON a.id = t.app_id
    JOIN telemetry.host AS h ON h.id = t.host_id
    JOIN telemetry.queue_name AS q ON q.id = t.key_id
    ORDER BY t.arrived - t.served DESC NULLS LAST, 1, 2, 3
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.queue_rates IS
  'Arrival against service: jobs that came in and were taken out, by the applications'' running counters, per second, '
  'and arrivals in percent of services (over 100: the queue grows), fastest growing first. A counter that began again '
  'is counted from zero (a lower bound) and in counter_restarts. NULL where an application does not count. '
  'Example: SELECT * FROM report.queue_rates()';

CREATE FUNCTION report.queues_at(p_at timestamptz, p_window interval DEFAULT '15 minutes', p_app text DEFAULT NULL)
  RETURNS TABLE (app text, host text, queue text, measured_at timestamptz, depth bigint, capacity bigint,
    fill_percent numeric, oldest_ms bigint, arrivals_per_s numeric, served_per_s numeric, growth_per_s numeric,
    drain_s numeric, overflow_s numeric)
  LANGUAGE plpgsql STABLE ROWS 1000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH name AS (
      SELECT DISTINCT m.app_id, m.host_id, m.key_id
      FROM telemetry.minute AS m
      WHERE m.measure = 1 AND m.at >= pg_catalog.date_trunc('minute', p_at - p_window) AND m.at <= p_at
        AND (p_app IS NULL OR m.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app))
    ), pair AS (
      SELECT n.app_id, n.host_id, n.key_id, l.ts, l.depth, l.capacity, l.oldest_ms,
        CASE WHEN l.enqueued >= f.enqueued
          THEN (l.enqueued - f.enqueued) / nullif(extract(epoch FROM l.ts - f.ts), 0) END AS arrivals,
        CASE WHEN l.dequeued >= f.dequeued
          THEN (l.dequeued - f.dequeued) / nullif(extract(epoch FROM l.ts - f.ts), 0) END AS services,
        (l.depth - f.depth) / nullif(extract(epoch FROM l.ts - f.ts), 0) AS growth
      FROM name AS n
      CROSS JOIN LATERAL (
        SELECT q.ts, q.depth, q.capacity, q.oldest_ms, q.enqueued, q.dequeued
        FROM telemetry.queue AS q
        WHERE q.app_id = n.app_id AND q.host_id = n.host_id AND q.queue_id = n.key_id
          AND q.ts > p_at - p_window AND q.ts <= p_at
        ORDER BY q.ts DESC
        LIMIT 1
      ) AS l
      CROSS JOIN LATERAL (
        SELECT q.ts, q.depth, q.enqueued, q.dequeued
        FROM telemetry.queue AS q
        WHERE q.app_id = n.app_id AND q.host_id = n.host_id AND q.queue_id = n.key_id
          AND q.ts > p_at - p_window AND q.ts <= p_at
        ORDER BY q.ts
        LIMIT 1
      ) AS f
    )
    SELECT a.name, h.name, q.name, p.ts, p.depth, p.capacity, report.percent(p.depth, p.capacity), p.oldest_ms,
      pg_catalog.round(p.arrivals, 3), pg_catalog.round(p.services, 3), pg_catalog.round(p.growth, 4),
      CASE WHEN p.depth = 0 THEN 0 WHEN p.growth < 0 THEN pg_catalog.round(p.depth / -p.growth, 1) END,
      CASE WHEN p.depth >= p.capacity THEN 0
        WHEN p.growth > 0 THEN pg_catalog.round((p.capacity - p.depth) / p.growth, 1) END
    FROM pair AS p
    JOIN telemetry.app AS a ON a.id = p.app_id
    JOIN telemetry.host AS h ON h.id = p.host_id
    JOIN telemetry.queue_name AS q ON q.id = p.key_id;
END
$$;
COMMENT ON FUNCTION report.queues_at IS
  'Every queue as it was at a time: its last measurement, and from the first and last one of p_window before it the '
  'rates and, if they stay, the seconds until it is empty (drain_s) or full (overflow_s; NULL: never, or no capacity '
  'known). Queues that were silent for the whole window are not there. Example: SELECT * FROM report.queues_at(now())';

CREATE VIEW report.queue_now AS
  SELECT q.app, q.host, q.queue, q.measured_at, q.depth, q.capacity, q.fill_percent, q.oldest_ms, q.arrivals_per_s,
    q.served_per_s, q.growth_per_s, q.drain_s, q.overflow_s
  FROM report.queues_at(pg_catalog.now()) AS q;
COMMENT ON VIEW report.queue_now IS 'Every queue as it is now: report.queues_at(now()). Example: SELECT * FROM '
  'report.queue_now WHERE depth > 100 ORDER BY depth DESC';
COMMENT ON COLUMN report.queue_now.depth IS 'Jobs that wait';
COMMENT ON COLUMN report.queue_now.growth_per_s IS 'Jobs per second over the last 15 minutes; negative: it drains';
COMMENT ON COLUMN report.queue_now.drain_s IS 'Seconds until it is empty at this rate; NULL: never';
COMMENT ON COLUMN report.queue_now.overflow_s IS 'Seconds until it is full at this rate; NULL: never, or no capacity known';

CREATE FUNCTION report.queues_at_risk(p_at timestamptz DEFAULT pg_catalog.now(),
    p_window interval DEFAULT '15 minutes', p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (rank bigint, app text, host text, queue text, risk text, depth bigint, capacity bigint,
    fill_percent numeric, growth_per_s numeric, overflow_s numeric, drain_s numeric, oldest_ms bigint)
  LANGUAGE sql STABLE ROWS 50
  BEGIN ATOMIC
    SELECT pg_catalog.row_number() OVER (ORDER BY r.weight, r.overflow_s NULLS LAST, r.fill_percent DESC NULLS LAST,
        r.growth_per_s DESC NULLS LAST, r.depth DESC, r.app, r.host, r.queue),
      r.app, r.host, r.queue,
      (ARRAY['full', 'full within an hour', 'stalled', 'growing', 'nearly full'])[r.weight],
      r.depth, r.capacity, r.fill_percent, r.growth_per_s, r.overflow_s, r.drain_s, r.oldest_ms
    FROM (
      SELECT q.app, q.host, q.queue, q.depth, q.capacity, q.fill_percent, q.growth_per_s, q.overflow_s, q.drain_s,
        q.oldest_ms,
        CASE WHEN q.overflow_s = 0 THEN 1 WHEN q.overflow_s <= 3600 THEN 2
          WHEN q.depth > 0 AND q.served_per_s = 0 AND q.growth_per_s >= 0 THEN 3 WHEN q.growth_per_s > 0 THEN 4
          WHEN q.fill_percent >= 80 THEN 5 END AS weight
      FROM report.queues_at(p_at, p_window, p_app) AS q
    ) AS r
    WHERE r.weight IS NOT NULL
    ORDER BY 1
    LIMIT p_limit;
  END;
COMMENT ON FUNCTION report.queues_at_risk IS
  'Queues that need somebody, worst first. risk: full; full within an hour; stalled (jobs wait, none is taken out); '
  'growing; nearly full (80 % and over). Other columns as in report.queues_at. Example: SELECT * FROM report.queues_at_risk()';

CREATE FUNCTION report.queue_by_hour(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '30 days',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (queue text, hour integer, mean_depth numeric, max_depth bigint)
  LANGUAGE plpgsql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT q.name, extract(hour FROM c.at)::integer, pg_catalog.round((sum(c.sum) / nullif(sum(c.n), 0))::numeric, 2),
      max(c.max)::bigint
    FROM telemetry.hour AS c
    JOIN telemetry.queue_name AS q ON q.id = c.key_id
    WHERE c.measure = 1 AND c.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app)
      AND c.at >= pg_catalog.date_trunc('hour', p_from, 'UTC') AND c.at < p_until
    GROUP BY 1, 2
    ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION report.queue_by_hour IS
  'At which hours of the day (0 to 23, the session''s time zone) an application''s queues are deep. Example: SELECT * '
  'FROM report.queue_by_hour(''EQP-12'')';

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO standwatch_analyst, standwatch_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA report TO standwatch_analyst, standwatch_auditor;

RESET ROLE;

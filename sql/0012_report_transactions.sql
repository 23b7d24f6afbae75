-- Reports on transactions, step by step, and on jobs.
--
-- Steps differ by application and arrive out of order, so nothing here knows their names: they are put in the order of
-- their own times, and what usually follows a step, and which steps are an end, is learned from the same records.

SET LOCAL ROLE standwatch_owner;

CREATE FUNCTION report.transaction_steps(p_app text, p_txn text,
    p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day', p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (number bigint, at timestamptz, host text, step text, status text, failed boolean, elapsed_ms numeric,
    waited_ms numeric, attrs jsonb)
  LANGUAGE plpgsql STABLE ROWS 20
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT pg_catalog.row_number() OVER w, s.ts, h.name, n.name, st.name, report.is_failure(st.name),
      report.ms(s.elapsed_us), report.milliseconds(s.ts - pg_catalog.lag(s.ts) OVER w), s.attrs
    FROM telemetry.step AS s
    JOIN telemetry.host AS h ON h.id = s.host_id
    JOIN telemetry.step_name AS n ON n.id = s.step_id
    JOIN telemetry.status AS st ON st.id = s.status_id
    WHERE s.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND s.txn = p_txn
      AND s.ts >= p_from AND s.ts < p_until
    WINDOW w AS (ORDER BY s.ts, s.stream_id, s.seq)
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION report.transaction_steps IS
  'One transaction: its steps in the order of their own times, how long each took (elapsed_ms, as the application says) '
  'and how long after the step before it came (waited_ms). Example: SELECT * FROM '
  'report.transaction_steps(''EQP-12'', ''LOT-4711'')';

CREATE FUNCTION report.step_flow(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (step text, reached bigint, failed bigint, followed bigint, usual_next text, p50_wait_ms numeric,
    p95_wait_ms numeric, is_end boolean)
  LANGUAGE plpgsql STABLE ROWS 20
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT n.name, count(*), count(*) FILTER (WHERE report.is_failure(st.name)), count(o.next_id),
      (SELECT x.name FROM telemetry.step_name AS x WHERE x.id = pg_catalog.mode() WITHIN GROUP (ORDER BY o.next_id)),
      pg_catalog.round((pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY o.wait_ms))::numeric, 3),
      pg_catalog.round((pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY o.wait_ms))::numeric, 3),
      count(o.next_id) <= 0.1 * count(*)
    FROM (
      SELECT s.step_id, s.status_id, pg_catalog.lead(s.step_id) OVER w AS next_id,
        (extract(epoch FROM pg_catalog.lead(s.ts) OVER w - s.ts) * 1000)::double precision AS wait_ms
      FROM telemetry.step AS s
      WHERE s.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND s.ts >= p_from AND s.ts < p_until
      WINDOW w AS (PARTITION BY s.txn ORDER BY s.ts, s.stream_id, s.seq)
    ) AS o
    JOIN telemetry.step_name AS n ON n.id = o.step_id
    JOIN telemetry.status AS st ON st.id = o.status_id
    GROUP BY n.name
    ORDER BY 2 DESC, 1;
END
$$;
COMMENT ON FUNCTION report.step_flow IS
  'How an application''s transactions usually go: for each step how often it was reached, how often another step '
  'followed, which one most often, and after how long (milliseconds). is_end: at most one in ten goes on. '
  'Example: SELECT * FROM report.step_flow(''EQP-12'')';

CREATE FUNCTION report.transactions(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (txn text, state text, started_at timestamptz, last_at timestamptz, steps text[], last_step text,
    last_status text, total_ms numeric, waits_for text, waiting_ms numeric, usual_wait_ms numeric)
  LANGUAGE plpgsql STABLE ROWS 1000
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH ordered AS MATERIALIZED (
      SELECT s.txn, s.ts, s.step_id, s.status_id, s.elapsed_us, pg_catalog.lead(s.step_id) OVER w AS next_id,
        (extract(epoch FROM pg_catalog.lead(s.ts) OVER w - s.ts) * 1000)::double precision AS wait_ms,
        pg_catalog.row_number() OVER w AS number
      FROM telemetry.step AS s
      WHERE s.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND s.ts >= p_from AND s.ts < p_until
      WINDOW w AS (PARTITION BY s.txn ORDER BY s.ts, s.stream_id, s.seq)
    ), flow AS MATERIALIZED (
      SELECT o.step_id, pg_catalog.mode() WITHIN GROUP (ORDER BY o.next_id) AS next_id,
        pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY o.wait_ms) AS wait_ms,
        count(o.next_id) <= 0.1 * count(*) AS is_end
      FROM ordered AS o
      GROUP BY 1
    ), txn AS (
      SELECT o.txn, min(o.ts) AS started_at, max(o.ts) AS last_at,
        min(o.ts - coalesce(o.elapsed_us, 0) * interval '1 microsecond') AS began_at,
        pg_catalog.array_agg(n.name ORDER BY o.number) AS steps,
        max(o.step_id) FILTER (WHERE o.next_id IS NULL) AS step_id,
        max(o.status_id) FILTER (WHERE o.next_id IS NULL) AS status_id
      FROM ordered AS o
      JOIN telemetry.step_name AS n ON n.id = o.step_id
      GROUP BY o.txn
    ), judged AS (
      SELECT t.txn, t.started_at, t.last_at, t.began_at, t.steps, n.name AS step, st.name AS status, f.next_id,
        f.wait_ms,
        CASE WHEN report.is_failure(st.name) THEN 'failed' WHEN report.is_open(st.name) THEN 'waiting'
          WHEN f.is_end THEN 'finished' ELSE 'waiting' END AS state
      FROM txn AS t
      JOIN flow AS f ON f.step_id = t.step_id
      JOIN telemetry.step_name AS n ON n.id = t.step_id
      JOIN telemetry.status AS st ON st.id = t.status_id
    )
    SELECT j.txn, j.state, j.started_at, j.last_at, j.steps, j.step, j.status,
      report.milliseconds(j.last_at - j.began_at),
      CASE WHEN j.state = 'waiting' THEN
        CASE WHEN report.is_open(j.status) THEN j.step
          ELSE (SELECT x.name FROM telemetry.step_name AS x WHERE x.id = j.next_id) END END,
      CASE WHEN j.state = 'waiting'
        THEN report.milliseconds(greatest(least(p_until, pg_catalog.now()) - j.last_at, interval '0')) END,
      CASE WHEN j.state = 'waiting' THEN pg_catalog.round(j.wait_ms::numeric, 3) END
    FROM judged AS j;
END
$$;
COMMENT ON FUNCTION report.transactions IS
  'Each transaction of an application with its steps in the order of their own times, as of p_until. state: finished '
  '(its last step is an end, see report.step_flow), failed (by the status of its last step), waiting. total_ms is from '
  'the beginning of its first step to its last record. For those that wait: the step that is awaited or not over '
  '(waits_for), since how long (waiting_ms), and what 95 % of the others waited there at most (usual_wait_ms). '
  'Example: SELECT * FROM report.transactions(''EQP-12'') WHERE state = ''waiting'' ORDER BY waiting_ms DESC';

CREATE FUNCTION report.transactions_stuck(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_factor double precision DEFAULT 3)
  RETURNS TABLE (txn text, last_step text, last_status text, waits_for text, waiting_ms numeric, usual_wait_ms numeric,
    times_usual numeric, steps text[])
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT t.txn, t.last_step, t.last_status, t.waits_for, t.waiting_ms, t.usual_wait_ms,
      pg_catalog.round(t.waiting_ms / nullif(t.usual_wait_ms, 0), 1), t.steps
    FROM report.transactions(p_app, p_from, p_until) AS t
    WHERE t.state = 'waiting' AND t.waiting_ms > greatest(1000, p_factor * coalesce(t.usual_wait_ms, 1200000))
    ORDER BY t.waiting_ms DESC, t.txn;
  END;
COMMENT ON FUNCTION report.transactions_stuck IS
  'Transactions that wait more than p_factor times as long as 95 % of the others did after the same step (where none '
  'ever went on: an hour), longest first; milliseconds. Example: SELECT * FROM report.transactions_stuck(''EQP-12'')';

CREATE FUNCTION report.waiting_by_step(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (last_step text, waits_for text, waiting bigint, mean_waiting_ms numeric, longest_waiting_ms numeric,
    usual_wait_ms numeric)
  LANGUAGE sql STABLE ROWS 20
  BEGIN ATOMIC
    SELECT t.last_step, t.waits_for, count(*), pg_catalog.round(avg(t.waiting_ms), 3), max(t.waiting_ms),
      max(t.usual_wait_ms)
    FROM report.transactions(p_app, p_from, p_until) AS t
    WHERE t.state = 'waiting'
    GROUP BY 1, 2
    ORDER BY 3 DESC, 1, 2;
  END;
COMMENT ON FUNCTION report.waiting_by_step IS
  'Where an application''s transactions wait as of p_until: how many behind each step, for what, and how long '
  '(milliseconds). Example: SELECT * FROM report.waiting_by_step(''EQP-12'')';

CREATE FUNCTION report.transactions_slowest(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_limit integer DEFAULT 20)
  RETURNS TABLE (txn text, state text, started_at timestamptz, total_ms numeric, slowest_step text,
    slowest_step_ms numeric, steps text[])
  LANGUAGE plpgsql STABLE ROWS 20
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT t.txn, t.state, t.started_at, t.total_ms, s.step, s.ms, t.steps
    FROM (
      SELECT x.txn, x.state, x.started_at, x.total_ms, x.steps
      FROM report.transactions(p_app, p_from, p_until) AS x
      WHERE x.state <> 'waiting'
      ORDER BY x.total_ms DESC, x.txn
      LIMIT p_limit
    ) AS t
    LEFT JOIN (
      SELECT DISTINCT ON (f.txn) f.txn, n.name AS step, f.ms
      FROM (
        SELECT s.txn, s.step_id,
          coalesce(report.ms(s.elapsed_us), report.milliseconds(s.ts - pg_catalog.lag(s.ts) OVER (
            PARTITION BY s.txn ORDER BY s.ts, s.stream_id, s.seq))) AS ms
        FROM telemetry.step AS s
        WHERE s.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app)
          AND s.ts >= p_from AND s.ts < p_until
      ) AS f
      JOIN telemetry.step_name AS n ON n.id = f.step_id
      ORDER BY f.txn, f.ms DESC NULLS LAST, n.name
    ) AS s ON s.txn = t.txn
    ORDER BY t.total_ms DESC, t.txn;
END
$$;
COMMENT ON FUNCTION report.transactions_slowest IS
  'The transactions that took longest of those that are over, and the step of each that took longest (by elapsed_us, or '
  'where an application does not say, since the step before); milliseconds. Example: SELECT * FROM '
  'report.transactions_slowest(''EQP-12'')';

CREATE FUNCTION report.step_times(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, step text, n bigint, failed bigint, failed_percent numeric, mean_ms numeric, p50_ms numeric,
    p95_ms numeric, p99_ms numeric, max_ms numeric)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT a.name, k.name, s.n, s.errors, report.percent(s.errors, s.n), report.ms(s.sum / nullif(s.measured, 0)),
      report.ms(s.p50), report.ms(s.p95), report.ms(s.p99), report.ms(s.max)
    FROM report.summary(5, p_from, p_until, p_app, false, 'sum', p_limit) AS s
    JOIN telemetry.app AS a ON a.id = s.app_id
    JOIN telemetry.step_name AS k ON k.id = s.key_id
    ORDER BY s.sum DESC NULLS LAST, 1, 2;
  END;
COMMENT ON FUNCTION report.step_times IS
  'How long steps take (milliseconds, of those that say so) and how often they fail, by application and step, those '
  'with the most time in all first. Example: SELECT * FROM report.step_times(now() - interval ''30 days'')';

-- Jobs.

CREATE FUNCTION report.jobs(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_limit integer DEFAULT 50)
  RETURNS TABLE (app text, job text, n bigint, failed bigint, failed_percent numeric, total_s numeric, mean_ms numeric,
    p50_ms numeric, p95_ms numeric, p99_ms numeric, max_ms numeric)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    SELECT a.name, k.name, s.n, s.errors, report.percent(s.errors, s.n),
      pg_catalog.round((s.sum / 1e6)::numeric, 3), report.ms(s.sum / nullif(s.n, 0)), report.ms(s.p50),
      report.ms(s.p95), report.ms(s.p99), report.ms(s.max)
    FROM report.summary(6, p_from, p_until, p_app, false, 'sum', p_limit) AS s
    JOIN telemetry.app AS a ON a.id = s.app_id
    JOIN telemetry.job_name AS k ON k.id = s.key_id
    ORDER BY s.sum DESC NULLS LAST, 1, 2;
  END;
COMMENT ON FUNCTION report.jobs IS
  'Jobs by application: how many, how many failed, how long they took (milliseconds; total in seconds), those with the '
  'most time in all first. Example: SELECT * FROM report.jobs(now() - interval ''30 days'')';

CREATE FUNCTION report.jobs_over_time(p_from timestamptz, p_until timestamptz, p_app text, p_by text DEFAULT 'hour',
    p_job text DEFAULT NULL)
  RETURNS TABLE (at timestamptz, job text, n bigint, failed bigint, mean_ms numeric, p50_ms numeric, p95_ms numeric,
    p99_ms numeric, max_ms numeric)
  LANGUAGE sql STABLE ROWS 1000
  BEGIN ATOMIC
    SELECT t.at, k.name, t.n, t.errors, report.ms(t.sum / nullif(t.n, 0)), report.ms(t.p50), report.ms(t.p95),
      report.ms(t.p99), report.ms(t.max)
    FROM report.over_time(6, p_by, p_from, p_until, p_app, p_job) AS t
    JOIN telemetry.job_name AS k ON k.id = t.key_id
    ORDER BY 1, 2;
  END;
COMMENT ON FUNCTION report.jobs_over_time IS
  'An application''s jobs by minute, hour, day, week or month (p_by; the session''s time zone): number, failures and '
  'milliseconds. Example: SELECT * FROM report.jobs_over_time(now() - interval ''1 day'', now(), ''EQP-12'')';

CREATE FUNCTION report.jobs_by_hour_of_day(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '30 days',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (job text, hour integer, n bigint, mean_ms numeric, p50_ms numeric, p95_ms numeric, p99_ms numeric)
  LANGUAGE plpgsql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH cell AS MATERIALIZED (
      SELECT extract(hour FROM c.at)::integer AS hour, c.key_id, c.n, c.sum, c.min, c.max, c.buckets, c.counts
      FROM telemetry.hour AS c
      WHERE c.measure = 6 AND c.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app)
        AND c.at >= pg_catalog.date_trunc('hour', p_from, 'UTC') AND c.at < p_until
    ), total AS (
      SELECT c.hour, c.key_id, sum(c.n)::bigint AS n, sum(c.sum) AS sum, min(c.min) AS min, max(c.max) AS max
      FROM cell AS c
      GROUP BY 1, 2
    ), sketch AS (
      SELECT b.hour, b.key_id, pg_catalog.array_agg(b.bucket) AS buckets, pg_catalog.array_agg(b.n) AS counts
      FROM (
        SELECT c.hour, c.key_id, u.bucket, sum(u.n)::bigint AS n
        FROM cell AS c
        CROSS JOIN LATERAL unnest(c.buckets, c.counts) AS u(bucket, n)
        GROUP BY 1, 2, 3
      ) AS b
      GROUP BY 1, 2
    )
    SELECT k.name, t.hour, t.n, report.ms(t.sum / nullif(t.n, 0)), report.ms(p.p50), report.ms(p.p95), report.ms(p.p99)
    FROM total AS t
    JOIN telemetry.job_name AS k ON k.id = t.key_id
    LEFT JOIN sketch AS s ON s.hour = t.hour AND s.key_id = t.key_id
    LEFT JOIN LATERAL report.percentiles(s.buckets, s.counts, t.min, t.max) AS p ON true
    ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION report.jobs_by_hour_of_day IS
  'At which hours of the day (0 to 23, the session''s time zone) an application''s jobs are slow; milliseconds. '
  'Example: SELECT * FROM report.jobs_by_hour_of_day(''EQP-12'')';

CREATE FUNCTION report.jobs_against(p_from timestamptz DEFAULT pg_catalog.now() - interval '1 day',
    p_until timestamptz DEFAULT pg_catalog.now(), p_app text DEFAULT NULL, p_before interval DEFAULT '7 days',
    p_limit integer DEFAULT 20)
  RETURNS TABLE (app text, job text, n bigint, n_before bigint, mean_ms numeric, mean_before_ms numeric, p95_ms numeric,
    p95_before_ms numeric, p95_change_percent numeric, failed_percent numeric, failed_before_percent numeric)
  LANGUAGE sql STABLE ROWS 100
  BEGIN ATOMIC
    WITH top AS MATERIALIZED (
      SELECT t.app_id, t.key_id, t.n, t.errors, t.sum, t.p95
      FROM report.summary(6, p_from, p_until, p_app, false, 'sum', p_limit) AS t
    )
    SELECT a.name, k.name, s.n, b.n, report.ms(s.sum / nullif(s.n, 0)), report.ms(b.sum / nullif(b.n, 0)),
      report.ms(s.p95), report.ms(b.p95), report.percent(s.p95 - b.p95, b.p95), report.percent(s.errors, s.n),
      report.percent(b.errors, b.n)
    FROM top AS s
    LEFT JOIN report.summary(6, p_from - p_before, p_until - p_before, NULL, false, 'sum', NULL, NULL,
        ARRAY(SELECT DISTINCT t.app_id FROM top AS t)) AS b
      ON b.app_id = s.app_id AND b.key_id = s.key_id
    JOIN telemetry.app AS a ON a.id = s.app_id
    JOIN telemetry.job_name AS k ON k.id = s.key_id
    ORDER BY (s.p95 - b.p95) / nullif(b.p95, 0) DESC NULLS LAST, 1, 2;
  END;
COMMENT ON FUNCTION report.jobs_against IS
  'The jobs with the most time in all beside the same range p_before earlier (a week): which became slower (p95 change '
  'in percent, greatest first) or fail more; milliseconds. NULL: it did not run then. '
  'Example: SELECT * FROM report.jobs_against(p_app => ''EQP-12'')';

CREATE FUNCTION report.jobs_slowest(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
    p_until timestamptz DEFAULT pg_catalog.now(), p_limit integer DEFAULT 20)
  RETURNS TABLE (at timestamptz, host text, job text, status text, duration_ms numeric, cpu_ms numeric, sql_ms numeric,
    other_ms numeric, txn text, trace_id uuid)
  LANGUAGE plpgsql STABLE ROWS 20
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT j.ts, h.name, k.name, st.name, report.ms(j.duration_us), report.ms(j.cpu_us), report.ms(j.sql_us),
      report.ms(j.duration_us - j.cpu_us - coalesce(j.sql_us, 0)), j.txn, j.trace_id
    FROM telemetry.job AS j
    JOIN telemetry.host AS h ON h.id = j.host_id
    JOIN telemetry.job_name AS k ON k.id = j.job_id
    JOIN telemetry.status AS st ON st.id = j.status_id
    WHERE j.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND j.ts >= p_from AND j.ts < p_until
    ORDER BY j.duration_us DESC, j.ts
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION report.jobs_slowest IS
  'The single jobs of an application that took longest, from the raw records, and where their time went: processor, '
  'databases, other (milliseconds; NULL where it is not said). Example: SELECT * FROM report.jobs_slowest(''EQP-12'')';

CREATE FUNCTION report.job_outcomes(p_app text, p_from timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
    p_until timestamptz DEFAULT pg_catalog.now())
  RETURNS TABLE (job text, status text, is_failure boolean, n bigint, percent numeric, last_at timestamptz)
  LANGUAGE plpgsql STABLE ROWS 50
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET plan_cache_mode = force_custom_plan
  SET work_mem = '64MB'
  AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT k.name, st.name, report.is_failure(st.name), g.n, report.percent(g.n, sum(g.n) OVER (PARTITION BY g.job_id)),
      g.last_at
    FROM (
      SELECT j.job_id, j.status_id, count(*) AS n, max(j.ts) AS last_at
      FROM telemetry.job AS j
      WHERE j.app_id = (SELECT a.id FROM telemetry.app AS a WHERE a.name = p_app) AND j.ts >= p_from AND j.ts < p_until
      GROUP BY 1, 2
    ) AS g
    JOIN telemetry.job_name AS k ON k.id = g.job_id
    JOIN telemetry.status AS st ON st.id = g.status_id
    ORDER BY 1, 4 DESC, 2;
END
$$;
COMMENT ON FUNCTION report.job_outcomes IS
  'How an application''s jobs ended, by job and status, from the raw records (percent of the job''s). Example: SELECT * '
  'FROM report.job_outcomes(''EQP-12'') WHERE is_failure';

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA report TO standwatch_analyst, standwatch_auditor;

RESET ROLE;

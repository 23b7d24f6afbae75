-- Counts where the rollups of a view (minute, hour or day) differ from what the records say: n, errors, sum, minimum
-- and maximum exactly, quantiles by more than 2 %. One statement, one snapshot: right while records come in.
CREATE OR REPLACE FUNCTION pg_temp.rollup_differences(p_unit text) RETURNS TABLE (kind text, differences bigint, keys bigint, records bigint)
  LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE replace(replace($sql$
    WITH bad AS (
      SELECT id FROM telemetry.status
      WHERE lower(name) IN ('error', 'failed', 'failure', 'timeout', 'aborted', 'cancelled', 'rejected', 'fatal', 'nok')
    ), facts(ts, app_id, host_id, measure, key_id, failed, value, sketched) AS (
      SELECT ts, app_id, host_id, 1, queue_id, false, depth::float8, true FROM telemetry.queue
      UNION ALL SELECT ts, app_id, host_id, 2, queue_id, false, enqueued::float8, false FROM telemetry.queue WHERE enqueued IS NOT NULL
      UNION ALL SELECT ts, app_id, host_id, 3, queue_id, false, dequeued::float8, false FROM telemetry.queue WHERE dequeued IS NOT NULL
      UNION ALL SELECT ts, app_id, host_id, 4, queue_id, false, oldest_ms::float8, true FROM telemetry.queue WHERE oldest_ms IS NOT NULL
      UNION ALL SELECT ts, app_id, host_id, 5, step_id, status_id IN (SELECT id FROM bad), elapsed_us::float8, true FROM telemetry.step
      UNION ALL SELECT ts, app_id, host_id, 6, job_id, status_id IN (SELECT id FROM bad), duration_us::float8, true FROM telemetry.job
      UNION ALL SELECT ts, app_id, host_id, 7, metric_id, false, value, true FROM telemetry.metric
      UNION ALL SELECT ts, app_id, host_id, 8, process_id, false, cpu, true FROM telemetry.process WHERE cpu IS NOT NULL
      UNION ALL SELECT ts, app_id, host_id, 9, process_id, false, memory_bytes::float8, true FROM telemetry.process WHERE memory_bytes IS NOT NULL
      UNION ALL SELECT ts, app_id, host_id, 10, pattern_id, severity <= 3, NULL, true FROM telemetry.log
      UNION ALL SELECT ts, app_id, host_id, 11, code, code >= 500, duration_us::float8, true FROM telemetry.web
      UNION ALL SELECT ts, app_id, host_id, 12, span_name_id, status_id IN (SELECT id FROM bad), duration_us::float8, true FROM telemetry.span
      UNION ALL SELECT ts, app_id, host_id, 13, kind_id, false, NULL, true FROM telemetry.event
    ), expected AS (
      SELECT date_trunc('@unit', ts, 'UTC') AS at, app_id, host_id, measure, key_id, count(*) AS n,
        count(*) FILTER (WHERE failed) AS errors, sum(value) AS sum, min(value) AS min, max(value) AS max,
        CASE WHEN bool_and(sketched) THEN percentile_disc(ARRAY[0, 0.25, 0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY value) END AS q
      FROM facts GROUP BY 1, 2, 3, 4, 5
    ), actual AS (
      SELECT at, app_id, host_id, measure::int AS measure, key_id, sum(n)::bigint AS n, sum(errors)::bigint AS errors,
        sum(sum) AS sum, min(min) AS min, max(max) AS max
      FROM telemetry.@unit GROUP BY 1, 2, 3, 4, 5
    ), cells AS (
      SELECT at, app_id, host_id, measure::int AS measure, key_id, bucket, sum(count) AS count
      FROM telemetry.@unit, unnest(buckets, counts) AS u(bucket, count) GROUP BY 1, 2, 3, 4, 5, 6
    ), ranks AS (
      SELECT *, sum(count) OVER (PARTITION BY at, app_id, host_id, measure, key_id ORDER BY bucket) AS up_to,
        sum(count) OVER (PARTITION BY at, app_id, host_id, measure, key_id) AS all_of_them
      FROM cells
    ), sketches AS (
      SELECT at, app_id, host_id, measure, key_id, array_agg(value ORDER BY q) AS q
      FROM (
        SELECT r.at, r.app_id, r.host_id, r.measure, r.key_id, w.q, telemetry.sketch_value(min(r.bucket)) AS value
        FROM ranks AS r CROSS JOIN unnest(ARRAY[0, 0.25, 0.5, 0.95, 0.99, 1]::float8[]) AS w(q)
        WHERE r.up_to >= greatest(ceil(w.q * r.all_of_them), 1)
        GROUP BY 1, 2, 3, 4, 5, 6
      ) AS s GROUP BY 1, 2, 3, 4, 5
    ), compared AS (
      SELECT e.n IS DISTINCT FROM a.n AS n, e.errors IS DISTINCT FROM a.errors AS errors,
        e.min IS DISTINCT FROM a.min OR e.max IS DISTINCT FROM a.max
          OR abs(coalesce(e.sum, 0) - coalesce(a.sum, 0)) > 1e-9 * abs(coalesce(e.sum, 0))
          OR (e.sum IS NULL) <> (a.sum IS NULL) AS value,
        (e.q IS NULL) <> (s.q IS NULL) OR EXISTS (
          SELECT FROM unnest(e.q, s.q) AS p(exact, sketched) WHERE abs(p.exact - p.sketched) > 0.0200001 * abs(p.exact)) AS quantile,
        e.n AS records
      FROM expected AS e
      FULL JOIN actual AS a USING (at, app_id, host_id, measure, key_id)
      LEFT JOIN sketches AS s USING (at, app_id, host_id, measure, key_id)
    )
    SELECT d.kind, count(*) FILTER (WHERE d.differs), count(*), sum(c.records)::bigint
    FROM compared AS c
    CROSS JOIN LATERAL (VALUES ('n', c.n), ('errors', c.errors), ('value', c.value), ('quantile', c.quantile)) AS d(kind, differs)
    GROUP BY d.kind ORDER BY d.kind
    $sql$, '@unit', p_unit), '@', '');
END
$$;

-- Rollups: per minute and key the count, errors, sum, minimum, maximum and a quantile sketch of every measure.
--
-- The lanes copy them into rollup_delta in the transaction that stores the records, so they are as exact as the records
-- are. Deltas of minutes that are over are merged into rollup_minute; minutes are folded into hours every ten minutes,
-- hours into days every hour. Each step moves rows in one transaction, and rollup_state says how far the folding went:
-- whoever reads the views telemetry.minute, hour and day sees every record once, whenever that is.
--
-- Sketches are DDSketch (Masson, Rim, Lee, VLDB 2019) with a relative error of 2 %: gamma = 1.02 / 0.98, bucket
-- b = 20000 + ceil(log(value, gamma)) for values above zero, 0 for zero, and the negative of that for values below. So
-- buckets sort as their values do, and sketches of the same key are added bucket by bucket.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE telemetry.measure (id smallint PRIMARY KEY, name text NOT NULL UNIQUE, comment text NOT NULL);
COMMENT ON TABLE telemetry.measure IS 'What rollups are of';
INSERT INTO telemetry.measure (id, name, comment) VALUES
  (1, 'queue depth', 'Jobs that waited; key: queue_name'),
  (2, 'queue enqueued', 'The application''s running counter of jobs that came in, without a sketch; key: queue_name'),
  (3, 'queue dequeued', 'The application''s running counter of jobs taken out, without a sketch; key: queue_name'),
  (4, 'queue oldest', 'Milliseconds for which the oldest job had waited; key: queue_name'),
  (5, 'step', 'Microseconds that steps took; n counts steps without a time as well; key: step_name'),
  (6, 'job', 'Microseconds that jobs took; key: job_name'),
  (7, 'metric', 'Values of metrics; key: metric_name'),
  (8, 'process cpu', 'Percent of one core; key: process_name'),
  (9, 'process memory', 'Resident bytes; key: process_name'),
  (10, 'log', 'Messages; errors are those of severity 3 and graver; no value; key: log_pattern'),
  (11, 'web', 'Microseconds until requests were answered; errors are answers of 500 and more; key: the status itself'),
  (12, 'span', 'Microseconds that spans took; key: span_name'),
  (13, 'event', 'Events; no value; key: event_kind');

CREATE TABLE telemetry.rollup_delta (
  at timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  measure smallint NOT NULL,
  key_id bigint NOT NULL,
  n bigint NOT NULL,
  errors bigint NOT NULL,
  sum double precision,
  min double precision,
  max double precision,
  buckets integer[],
  counts bigint[]
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0.5);
COMMENT ON TABLE telemetry.rollup_delta IS 'Rollups of single batches, until they are merged: the last minute or two';
COMMENT ON COLUMN telemetry.rollup_delta.at IS 'Beginning of the minute that the records say they are of';
COMMENT ON COLUMN telemetry.rollup_delta.measure IS 'In telemetry.measure';
COMMENT ON COLUMN telemetry.rollup_delta.key_id IS 'What is measured; in the dictionary that the measure names';
COMMENT ON COLUMN telemetry.rollup_delta.errors IS 'Records among n that tell of a failure: statuses error, failed, '
  'failure, timeout, aborted, cancelled, rejected, fatal, nok (in any case), severities up to 3, web statuses from 500';
COMMENT ON COLUMN telemetry.rollup_delta.buckets IS 'The sketch''s buckets, ascending; telemetry.sketch_value() gives '
  'their values. NULL without values';
COMMENT ON COLUMN telemetry.rollup_delta.counts IS 'How many values are in each bucket';

CREATE TABLE telemetry.rollup_minute (
  LIKE telemetry.rollup_delta,
  PRIMARY KEY (measure, app_id, at, key_id, host_id)
) PARTITION BY RANGE (at);
CREATE TABLE telemetry.rollup_hour (
  LIKE telemetry.rollup_delta,
  PRIMARY KEY (measure, app_id, at, key_id, host_id)
) PARTITION BY RANGE (at);
CREATE TABLE telemetry.rollup_day (
  LIKE telemetry.rollup_delta,
  PRIMARY KEY (measure, app_id, at, key_id, host_id)
) PARTITION BY RANGE (at);
CREATE INDEX rollup_minute_at ON telemetry.rollup_minute (measure, at);
CREATE INDEX rollup_hour_at ON telemetry.rollup_hour (measure, at);
CREATE INDEX rollup_day_at ON telemetry.rollup_day (measure, at);
COMMENT ON TABLE telemetry.rollup_minute IS 'Rollups of minutes, but for what is still in rollup_delta; read the view '
  'telemetry.minute. A partition a day';
COMMENT ON TABLE telemetry.rollup_hour IS 'Rollups of hours up to rollup_state.hour_until; read the view telemetry.hour. '
  'A partition a month';
COMMENT ON TABLE telemetry.rollup_day IS 'Rollups of UTC days up to rollup_state.day_until; read the view telemetry.day. '
  'A partition a year';

CREATE TABLE telemetry.rollup_state (hour_until timestamptz NOT NULL, day_until timestamptz NOT NULL);
COMMENT ON TABLE telemetry.rollup_state IS 'One row: how far rollups are folded. Whoever merges or folds locks it';
COMMENT ON COLUMN telemetry.rollup_state.hour_until IS 'Minutes before are in rollup_hour as well';
COMMENT ON COLUMN telemetry.rollup_state.day_until IS 'Hours before are in rollup_day as well; never behind hour_until';
INSERT INTO telemetry.rollup_state (hour_until, day_until)
  SELECT pg_catalog.date_trunc('hour', pg_catalog.now(), 'UTC'), pg_catalog.date_trunc('hour', pg_catalog.now(), 'UTC');

CREATE FUNCTION telemetry.sketch_value(p_bucket integer) RETURNS double precision
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  AS $$
  SELECT CASE
    WHEN p_bucket > 0 THEN 0.98 * exp((p_bucket - 20000) * ln(1.02::double precision / 0.98))
    WHEN p_bucket < 0 THEN -0.98 * exp((-p_bucket - 20000) * ln(1.02::double precision / 0.98))
    ELSE 0
  END
  $$;
COMMENT ON FUNCTION telemetry.sketch_value IS 'What a bucket of a sketch stands for: within 2 % of every value in it';

CREATE FUNCTION telemetry.sketch_sum(p_buckets integer[], p_counts bigint[], p_more_buckets integer[],
    p_more_counts bigint[], OUT buckets integer[], OUT counts bigint[])
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  AS $$
  SELECT array_agg(s.bucket ORDER BY s.bucket), array_agg(s.count ORDER BY s.bucket)
  FROM (
    SELECT b.bucket, sum(b.count)::bigint AS count
    FROM (
      SELECT * FROM unnest(p_buckets, p_counts) UNION ALL SELECT * FROM unnest(p_more_buckets, p_more_counts)
    ) AS b(bucket, count)
    GROUP BY b.bucket
  ) AS s
  $$;
COMMENT ON FUNCTION telemetry.sketch_sum IS 'Two sketches in one';

CREATE FUNCTION telemetry.ensure_rollups(p_days_back integer, p_days_ahead integer) RETURNS integer
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  SET timezone = 'UTC'
  AS $$
DECLARE
  v_today date := pg_catalog.now()::date;
  v_part record;
  v_made integer := 0;
BEGIN
  LOCK TABLE telemetry.upkeep IN EXCLUSIVE MODE;
  FOR v_part IN
    SELECT DISTINCT l.parent, date_trunc(l.unit, v_today + d)::date AS first_day,
      (date_trunc(l.unit, v_today + d) + l.width)::date AS end_day,
      l.parent || to_char(date_trunc(l.unit, v_today + d), '"_"YYYYMMDD') AS name
    FROM (VALUES ('rollup_minute', 'day', interval '1 day'), ('rollup_hour', 'month', interval '1 month'),
      ('rollup_day', 'year', interval '1 year')) AS l(parent, unit, width)
    CROSS JOIN generate_series(-least(p_days_back, 3660), least(p_days_ahead, 366)) AS d
    ORDER BY 2 DESC
  LOOP
    IF pg_catalog.to_regclass('telemetry.' || v_part.name) IS NULL THEN
      EXECUTE pg_catalog.format('CREATE TABLE telemetry.%I (LIKE telemetry.%I INCLUDING ALL) WITH (fillfactor = %s)',
        v_part.name, v_part.parent, CASE v_part.parent WHEN 'rollup_minute' THEN 100 ELSE 70 END);
      EXECUTE pg_catalog.format('ALTER TABLE telemetry.%I ATTACH PARTITION telemetry.%I FOR VALUES FROM (%L) TO (%L)',
        v_part.parent, v_part.name, v_part.first_day::timestamptz, v_part.end_day::timestamptz);
      v_made := v_made + 1;
    END IF;
  END LOOP;
  RETURN v_made;
END
$$;
COMMENT ON FUNCTION telemetry.ensure_rollups IS
  'Makes the partitions of the rollups for the days that telemetry.ensure_partitions() makes those of records for';

CREATE FUNCTION telemetry.rollup_oldest(p_parent text) RETURNS timestamptz
  LANGUAGE sql STABLE STRICT
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET timezone = 'UTC'
  AS $$
  SELECT min((pg_catalog.regexp_match(pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]
    ::timestamptz)
  FROM pg_catalog.pg_class AS p
  JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid AND NOT i.inhdetachpending
  JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
  WHERE p.relnamespace = 'telemetry'::regnamespace AND p.relname = p_parent
  $$;
COMMENT ON FUNCTION telemetry.rollup_oldest IS 'Since when a rollup table has partitions: what is older has left already';

CREATE FUNCTION telemetry.add_rollups(p_parent text, p_source text, p_rows telemetry.rollup_delta[],
    p_from timestamptz, p_until timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
BEGIN
  EXECUTE pg_catalog.format($sql$
    WITH source AS MATERIALIZED (
      SELECT * FROM (%2$s) AS s(at, app_id, host_id, measure, key_id, n, errors, sum, min, max, buckets, counts)
      WHERE s.at >= telemetry.rollup_oldest(%1$L)
    ), sums AS (
      SELECT s.at, s.app_id, s.host_id, s.measure, s.key_id, sum(s.n)::bigint AS n, sum(s.errors)::bigint AS errors,
        -- A sum that no double holds is an error, and nobody's would be merged any more.
        sum(CASE WHEN abs(s.sum) < 1e290 THEN s.sum ELSE sign(s.sum) * 'Infinity' END) AS sum, min(s.min) AS min, max(s.max) AS max
      FROM source AS s
      GROUP BY s.at, s.app_id, s.host_id, s.measure, s.key_id
    ), sketches AS (
      SELECT b.at, b.app_id, b.host_id, b.measure, b.key_id, array_agg(b.bucket ORDER BY b.bucket) AS buckets,
        array_agg(b.count ORDER BY b.bucket) AS counts
      FROM (
        SELECT s.at, s.app_id, s.host_id, s.measure, s.key_id, u.bucket, sum(u.count)::bigint AS count
        FROM source AS s CROSS JOIN LATERAL unnest(s.buckets, s.counts) AS u(bucket, count)
        GROUP BY s.at, s.app_id, s.host_id, s.measure, s.key_id, u.bucket
      ) AS b
      GROUP BY b.at, b.app_id, b.host_id, b.measure, b.key_id
    )
    INSERT INTO telemetry.%1$I AS r
      (at, app_id, host_id, measure, key_id, n, errors, sum, min, max, buckets, counts)
    SELECT t.at, t.app_id, t.host_id, t.measure, t.key_id, t.n, t.errors, t.sum, t.min, t.max, k.buckets, k.counts
    FROM sums AS t
    LEFT JOIN sketches AS k USING (at, app_id, host_id, measure, key_id)
    -- Reports read one measure over some time: so its rows of a minute lie side by side, and so do the index's entries.
    ORDER BY t.measure, t.app_id, t.at, t.key_id, t.host_id
    ON CONFLICT (measure, app_id, at, key_id, host_id) DO UPDATE SET
      n = r.n + EXCLUDED.n,
      errors = r.errors + EXCLUDED.errors,
      sum = CASE WHEN r.sum IS NULL THEN EXCLUDED.sum ELSE r.sum + coalesce(EXCLUDED.sum, 0) END,
      min = least(r.min, EXCLUDED.min),
      max = greatest(r.max, EXCLUDED.max),
      (buckets, counts) = (
        SELECT m.buckets, m.counts
        FROM telemetry.sketch_sum(r.buckets, r.counts, EXCLUDED.buckets, EXCLUDED.counts) AS m)
    $sql$, p_parent, p_source) USING p_rows, p_from, p_until;
END
$$;
COMMENT ON FUNCTION telemetry.add_rollups IS
  'Adds rollups (the rows of p_source, a query of ours over $1 to $3) to a rollup table, each to the row of its key';

CREATE FUNCTION telemetry.merge_rollups(p_wait interval, p_limit integer) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  SET jit = off
  SET timezone = 'UTC'
  AS $$
DECLARE
  v_state telemetry.rollup_state;
  v_rows telemetry.rollup_delta[];
BEGIN
  SELECT s.* INTO STRICT v_state FROM telemetry.rollup_state AS s FOR UPDATE;
  IF telemetry.rollup_oldest('rollup_minute') IS NULL THEN
    RETURN 0;
  END IF;
  -- Minutes that are over, so that a key gets one row as a rule; and those of clocks ahead of ours, which would stay
  -- here for days.
  WITH taken AS (
    DELETE FROM telemetry.rollup_delta AS d
    WHERE d.ctid = ANY (ARRAY(
      SELECT o.ctid FROM telemetry.rollup_delta AS o
      WHERE o.at < date_trunc('minute', clock_timestamp() - p_wait)
        OR o.at > clock_timestamp() + greatest(p_wait, interval '0') + interval '2 minutes'
      ORDER BY o.at
      LIMIT p_limit))
    RETURNING d
  )
  SELECT array_agg(t.d) INTO v_rows FROM taken AS t;
  IF v_rows IS NULL THEN
    RETURN 0;
  END IF;
  PERFORM telemetry.add_rollups('rollup_minute', 'SELECT (u).* FROM unnest($1) AS u', v_rows, NULL, NULL);
  -- Late ones: their hour, or even their day, is folded already.
  PERFORM telemetry.add_rollups('rollup_hour', $late$
    SELECT date_trunc('hour', u.at), u.app_id, u.host_id, u.measure, u.key_id, u.n, u.errors, u.sum, u.min, u.max,
      u.buckets, u.counts
    FROM unnest($1) AS u WHERE u.at < $3
    $late$, v_rows, NULL, v_state.hour_until)
    WHERE EXISTS (SELECT FROM unnest(v_rows) AS u WHERE u.at < v_state.hour_until);
  PERFORM telemetry.add_rollups('rollup_day', $late$
    SELECT date_trunc('day', u.at), u.app_id, u.host_id, u.measure, u.key_id, u.n, u.errors, u.sum, u.min, u.max,
      u.buckets, u.counts
    FROM unnest($1) AS u WHERE u.at < $3
    $late$, v_rows, NULL, v_state.day_until)
    WHERE EXISTS (SELECT FROM unnest(v_rows) AS u WHERE u.at < v_state.day_until);
  RETURN cardinality(v_rows);
END
$$;
COMMENT ON FUNCTION telemetry.merge_rollups IS
  'Moves up to p_limit deltas of minutes that ended p_wait ago into rollup_minute; answers how many. 55P03 when another '
  'node does it just now';

CREATE FUNCTION telemetry.fold_rollups(p_wait interval) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  SET jit = off
  SET timezone = 'UTC'
  AS $$
DECLARE
  v_state telemetry.rollup_state;
  v_until timestamptz;
BEGIN
  SELECT s.* INTO STRICT v_state FROM telemetry.rollup_state AS s FOR UPDATE;
  v_until := v_state.hour_until + interval '10 minutes';
  IF v_until <= clock_timestamp() - p_wait THEN
    PERFORM telemetry.add_rollups('rollup_hour', $minutes$
      SELECT date_trunc('hour', m.at), m.app_id, m.host_id, m.measure, m.key_id, m.n, m.errors, m.sum, m.min, m.max,
        m.buckets, m.counts
      FROM telemetry.rollup_minute AS m WHERE m.at >= $2 AND m.at < $3
      $minutes$, NULL, v_state.hour_until, v_until);
    UPDATE telemetry.rollup_state SET hour_until = v_until;
    RETURN true;
  END IF;
  v_until := v_state.day_until + interval '1 hour';
  IF v_until <= v_state.hour_until THEN
    PERFORM telemetry.add_rollups('rollup_day', $hours$
      SELECT date_trunc('day', h.at), h.app_id, h.host_id, h.measure, h.key_id, h.n, h.errors, h.sum, h.min, h.max,
        h.buckets, h.counts
      FROM telemetry.rollup_hour AS h WHERE h.at >= $2 AND h.at < $3
      $hours$, NULL, v_state.day_until, v_until);
    UPDATE telemetry.rollup_state SET day_until = v_until;
    RETURN true;
  END IF;
  RETURN false;
END
$$;
COMMENT ON FUNCTION telemetry.fold_rollups IS
  'Adds the next ten minutes that ended p_wait ago to their hours, or else the next full hour to its day; false when '
  'nothing is due';

CREATE VIEW telemetry.minute AS
  SELECT m.at, m.app_id, m.host_id, m.measure, m.key_id, m.n, m.errors, m.sum, m.min, m.max, m.buckets, m.counts
  FROM telemetry.rollup_minute AS m
  UNION ALL
  SELECT d.at, d.app_id, d.host_id, d.measure, d.key_id, d.n, d.errors, d.sum, d.min, d.max, d.buckets, d.counts
  FROM telemetry.rollup_delta AS d;
CREATE VIEW telemetry.hour AS
  SELECT h.at, h.app_id, h.host_id, h.measure, h.key_id, h.n, h.errors, h.sum, h.min, h.max, h.buckets, h.counts
  FROM telemetry.rollup_hour AS h
  UNION ALL
  SELECT pg_catalog.date_trunc('hour', m.at, 'UTC'), m.app_id, m.host_id, m.measure, m.key_id, m.n, m.errors, m.sum,
    m.min, m.max, m.buckets, m.counts
  FROM telemetry.rollup_minute AS m
  WHERE m.at >= (SELECT s.hour_until FROM telemetry.rollup_state AS s)
  UNION ALL
  SELECT pg_catalog.date_trunc('hour', d.at, 'UTC'), d.app_id, d.host_id, d.measure, d.key_id, d.n, d.errors, d.sum,
    d.min, d.max, d.buckets, d.counts
  FROM telemetry.rollup_delta AS d;
CREATE VIEW telemetry.day AS
  SELECT y.at, y.app_id, y.host_id, y.measure, y.key_id, y.n, y.errors, y.sum, y.min, y.max, y.buckets, y.counts
  FROM telemetry.rollup_day AS y
  UNION ALL
  SELECT pg_catalog.date_trunc('day', h.at, 'UTC'), h.app_id, h.host_id, h.measure, h.key_id, h.n, h.errors, h.sum,
    h.min, h.max, h.buckets, h.counts
  FROM telemetry.rollup_hour AS h
  WHERE h.at >= (SELECT s.day_until FROM telemetry.rollup_state AS s)
  UNION ALL
  SELECT pg_catalog.date_trunc('day', m.at, 'UTC'), m.app_id, m.host_id, m.measure, m.key_id, m.n, m.errors, m.sum,
    m.min, m.max, m.buckets, m.counts
  FROM telemetry.rollup_minute AS m
  WHERE m.at >= (SELECT s.hour_until FROM telemetry.rollup_state AS s)
  UNION ALL
  SELECT pg_catalog.date_trunc('day', d.at, 'UTC'), d.app_id, d.host_id, d.measure, d.key_id, d.n, d.errors, d.sum,
    d.min, d.max, d.buckets, d.counts
  FROM telemetry.rollup_delta AS d;
COMMENT ON VIEW telemetry.minute IS 'Rollups by minute, exact at any moment. A key can come in several rows: sum them';
COMMENT ON VIEW telemetry.hour IS 'Rollups by hour, exact at any moment. A key can come in several rows: sum them';
COMMENT ON VIEW telemetry.day IS 'Rollups by UTC day, exact at any moment. A key can come in several rows: sum them';

GRANT SELECT, INSERT ON telemetry.rollup_delta TO standwatch_node;
GRANT SELECT ON telemetry.rollup_minute, telemetry.rollup_hour, telemetry.rollup_day, telemetry.rollup_state,
  telemetry.measure, telemetry.minute, telemetry.hour, telemetry.day TO standwatch_node;
GRANT SELECT ON telemetry.rollup_delta, telemetry.rollup_minute, telemetry.rollup_hour, telemetry.rollup_day,
  telemetry.rollup_state, telemetry.measure, telemetry.minute, telemetry.hour, telemetry.day
  TO standwatch_analyst, standwatch_auditor;
GRANT EXECUTE ON FUNCTION telemetry.sketch_value, telemetry.sketch_sum
  TO standwatch_node, standwatch_analyst, standwatch_auditor;
GRANT EXECUTE ON FUNCTION telemetry.ensure_rollups, telemetry.merge_rollups, telemetry.fold_rollups
  TO standwatch_node;

RESET ROLE;

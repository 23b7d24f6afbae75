-- The records: one table per type, RANGE partitioned by ts in UTC days, and the dictionaries of their names.
--
-- Column orders are those of the binary COPY in Sources/Telemetry (Table.swift); new columns go to the end.
-- (stream_id, seq) is where a record came from, NULL for senders without a stream; unique by construction
-- (ingest.claim), not by an index. Dictionary ids are computed from the names (NameHash.swift).

SET LOCAL ROLE standwatch_owner;

CREATE TABLE telemetry.host (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.app (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.queue_name (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.step_name (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.job_name (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.status (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.metric_name (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.event_kind (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
COMMENT ON TABLE telemetry.host IS 'Hosts that records came from';
COMMENT ON TABLE telemetry.app IS 'Applications';
COMMENT ON TABLE telemetry.queue_name IS 'Names of applications'' queues';
COMMENT ON TABLE telemetry.step_name IS 'Names of steps of transactions';
COMMENT ON TABLE telemetry.job_name IS 'Names of jobs';
COMMENT ON TABLE telemetry.status IS 'How steps and jobs ended';
COMMENT ON TABLE telemetry.metric_name IS 'Names of metrics';
COMMENT ON TABLE telemetry.event_kind IS 'Kinds of events';

CREATE TABLE telemetry.queue (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  queue_id bigint NOT NULL,
  depth bigint NOT NULL,
  enqueued bigint,
  dequeued bigint,
  capacity bigint,
  oldest_ms bigint,
  stream_id bigint,
  seq bigint
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.queue IS 'Waiting jobs of an application''s queue, as measured at ts';
COMMENT ON COLUMN telemetry.queue.depth IS 'Jobs that wait';
COMMENT ON COLUMN telemetry.queue.enqueued IS 'Jobs that came in, as the application counts them';
COMMENT ON COLUMN telemetry.queue.dequeued IS 'Jobs that were taken out, as the application counts them';
COMMENT ON COLUMN telemetry.queue.capacity IS 'Jobs that fit in';
COMMENT ON COLUMN telemetry.queue.oldest_ms IS 'Milliseconds for which the oldest job has been waiting';

CREATE TABLE telemetry.step (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  step_id bigint NOT NULL,
  status_id bigint NOT NULL,
  elapsed_us bigint,
  stream_id bigint,
  seq bigint,
  txn text NOT NULL,
  attrs jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.step IS 'One step of a transaction; every application has its own steps';
COMMENT ON COLUMN telemetry.step.txn IS 'The transaction, as the application names it';
COMMENT ON COLUMN telemetry.step.elapsed_us IS 'Microseconds the step took';

CREATE TABLE telemetry.job (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  job_id bigint NOT NULL,
  status_id bigint NOT NULL,
  duration_us bigint NOT NULL,
  cpu_us bigint,
  sql_us bigint,
  stream_id bigint,
  seq bigint,
  txn text,
  attrs jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.job IS 'How long one piece of work took';
COMMENT ON COLUMN telemetry.job.duration_us IS 'Microseconds from its start to its end';
COMMENT ON COLUMN telemetry.job.cpu_us IS 'Microseconds of it on a processor';
COMMENT ON COLUMN telemetry.job.sql_us IS 'Microseconds of it spent waiting for databases';

CREATE TABLE telemetry.metric (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  metric_id bigint NOT NULL,
  value double precision NOT NULL,
  stream_id bigint,
  seq bigint,
  labels jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.metric IS 'One measured value of a host or an application';

CREATE TABLE telemetry.log (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  stream_id bigint,
  seq bigint,
  severity smallint NOT NULL,
  message text NOT NULL,
  attrs jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.log IS 'Application, system and security logs';
COMMENT ON COLUMN telemetry.log.severity IS 'RFC 5424: 0 emergency, 1 alert, 2 critical, 3 error, 4 warning, 5 notice, '
  '6 informational, 7 debug';

CREATE TABLE telemetry.event (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  kind_id bigint NOT NULL,
  stream_id bigint,
  seq bigint,
  attrs jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.event IS 'Deployments, restarts, user behaviour';

DO $indexes$
DECLARE
  fact text;
BEGIN
  FOREACH fact IN ARRAY ARRAY['queue', 'step', 'job', 'metric', 'log', 'event'] LOOP
    EXECUTE pg_catalog.format('CREATE INDEX %I ON telemetry.%I USING brin (ts) '
      'WITH (pages_per_range = 32, autosummarize = on)', fact || '_ts', fact);
    EXECUTE pg_catalog.format('CREATE INDEX %I ON telemetry.%I (app_id, ts)', fact || '_app_ts', fact);
  END LOOP;
END
$indexes$;

CREATE TABLE telemetry.name_inbox (kind smallint NOT NULL, id bigint NOT NULL, name text NOT NULL);
COMMENT ON TABLE telemetry.name_inbox IS 'Where COPY puts new names for telemetry.store_names; empty between '
  'transactions. kind: 0 host, 1 app, 2 queue, 3 step, 4 job, 5 status, 6 metric, 7 event';

CREATE TABLE telemetry.name_collision (
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  kind smallint NOT NULL,
  id bigint NOT NULL,
  name text NOT NULL,
  PRIMARY KEY (kind, id, name)
);
COMMENT ON TABLE telemetry.name_collision IS 'Names whose id belongs to another name (less than one in 10 million '
  'installations with a million names, unless made on purpose): records with that id can be of either';

CREATE TABLE telemetry.upkeep (nothing boolean CHECK (nothing IS NULL AND false));
COMMENT ON TABLE telemetry.upkeep IS 'Always empty: its lock keeps upkeep single';

CREATE FUNCTION telemetry.store_names() RETURNS TABLE (kind smallint, id bigint, name text)
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
#variable_conflict use_column
DECLARE
  v_dictionaries text[] :=
    ARRAY['host', 'app', 'queue_name', 'step_name', 'job_name', 'status', 'metric_name', 'event_kind'];
BEGIN
  FOR k IN 0..7 LOOP
    -- Sorted, so that two lanes with the same names wait for each other instead of deadlocking.
    EXECUTE pg_catalog.format(
      'INSERT INTO telemetry.%I (id, name) '
      'SELECT DISTINCT i.id, i.name FROM telemetry.name_inbox AS i WHERE i.kind = $1 ORDER BY i.id, i.name '
      'ON CONFLICT DO NOTHING', v_dictionaries[k + 1]) USING k;
    EXECUTE pg_catalog.format(
      'INSERT INTO telemetry.name_collision (kind, id, name) '
      'SELECT DISTINCT i.kind, i.id, i.name FROM telemetry.name_inbox AS i '
      'WHERE i.kind = $1 AND NOT EXISTS (SELECT FROM telemetry.%I AS d WHERE d.id = i.id AND d.name = i.name) '
      'ON CONFLICT DO NOTHING', v_dictionaries[k + 1]) USING k;
  END LOOP;
  RETURN QUERY
    SELECT c.kind, c.id, c.name
    FROM telemetry.name_collision AS c
    JOIN telemetry.name_inbox AS i ON i.kind = c.kind AND i.id = c.id AND i.name = c.name;
  DELETE FROM telemetry.name_inbox;
END
$$;
COMMENT ON FUNCTION telemetry.store_names IS
  'Moves the names that this transaction copied into name_inbox to their dictionaries; answers those whose id is '
  'taken by another name (written to name_collision)';

CREATE FUNCTION telemetry.ensure_partitions(p_days_back integer, p_days_ahead integer) RETURNS integer
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  SET timezone = 'UTC'
  AS $$
DECLARE
  v_today date := pg_catalog.now()::date;
  v_fact text;
  v_day date;
  v_name text;
  v_made integer := 0;
BEGIN
  LOCK TABLE telemetry.upkeep IN EXCLUSIVE MODE;
  -- Today first: that is what inserts wait for.
  FOR v_day IN
    SELECT v_today + d FROM pg_catalog.generate_series(-least(p_days_back, 3660), least(p_days_ahead, 366)) AS d
    ORDER BY abs(d)
  LOOP
    FOREACH v_fact IN ARRAY ARRAY['queue', 'step', 'job', 'metric', 'log', 'event'] LOOP
      v_name := v_fact || pg_catalog.to_char(v_day, '"_"YYYYMMDD');
      IF pg_catalog.to_regclass('telemetry.' || v_name) IS NULL THEN
        -- Not PARTITION OF: it locks the parent exclusively, behind every analyst and before every insert.
        EXECUTE pg_catalog.format('CREATE TABLE telemetry.%I (LIKE telemetry.%I INCLUDING ALL)', v_name, v_fact);
        EXECUTE pg_catalog.format('ALTER TABLE telemetry.%I ATTACH PARTITION telemetry.%I FOR VALUES FROM (%L) TO (%L)',
          v_fact, v_name, v_day::timestamptz, (v_day + 1)::timestamptz);
        v_made := v_made + 1;
      END IF;
    END LOOP;
  END LOOP;
  RETURN v_made;
END
$$;
COMMENT ON FUNCTION telemetry.ensure_partitions IS
  'Makes the daily partitions (UTC) of all record types from p_days_back days ago to p_days_ahead days ahead that do '
  'not exist yet; answers how many it made. Idempotent; 55P03 when something else holds a lock: try again later';

CREATE FUNCTION telemetry.accepted_range(OUT from_us bigint, OUT until_us bigint, OUT from_ts timestamptz,
    OUT until_ts timestamptz)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET timezone = 'UTC'
  AS $$
  WITH complete AS (
    SELECT pg_catalog.to_date(pg_catalog.right(c.relname::text, 8), 'YYYYMMDD') AS day
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
    WHERE p.relnamespace = 'telemetry'::regnamespace AND NOT i.inhdetachpending
      AND p.relname IN ('queue', 'step', 'job', 'metric', 'log', 'event')
      AND c.relname ~ '_[0-9]{8}$'
    GROUP BY 1
    HAVING count(*) = 6
  ), runs AS (
    SELECT min(day) AS first_day, max(day) + 1 AS end_day
    FROM (SELECT day, day - (row_number() OVER (ORDER BY day))::integer AS run FROM complete) AS numbered
    GROUP BY run
  )
  SELECT (extract(epoch FROM r.first_day::timestamptz - '2000-01-01 00:00:00+00') * 1000000)::bigint,
    (extract(epoch FROM r.end_day::timestamptz - '2000-01-01 00:00:00+00') * 1000000)::bigint,
    r.first_day::timestamptz, r.end_day::timestamptz
  FROM runs AS r
  WHERE pg_catalog.now()::date >= r.first_day AND pg_catalog.now()::date < r.end_day
  $$;
COMMENT ON FUNCTION telemetry.accepted_range IS
  'From when until when (exclusive) all record types have partitions without a hole around today; *_us are µs since '
  '2000-01-01 UTC as in binary COPY. NULL when today has none';

GRANT SELECT, INSERT ON telemetry.host, telemetry.app, telemetry.queue_name, telemetry.step_name, telemetry.job_name,
  telemetry.status, telemetry.metric_name, telemetry.event_kind, telemetry.name_collision TO standwatch_node;
GRANT SELECT, INSERT ON telemetry.queue, telemetry.step, telemetry.job, telemetry.metric, telemetry.log,
  telemetry.event TO standwatch_node;
GRANT SELECT, INSERT, DELETE ON telemetry.name_inbox TO standwatch_node;
GRANT SELECT ON telemetry.host, telemetry.app, telemetry.queue_name, telemetry.step_name, telemetry.job_name,
  telemetry.status, telemetry.metric_name, telemetry.event_kind, telemetry.name_collision, telemetry.queue,
  telemetry.step, telemetry.job, telemetry.metric, telemetry.log, telemetry.event
  TO standwatch_analyst, standwatch_auditor;
GRANT EXECUTE ON FUNCTION telemetry.store_names, telemetry.ensure_partitions TO standwatch_node;
GRANT EXECUTE ON FUNCTION telemetry.accepted_range TO standwatch_node, standwatch_analyst, standwatch_auditor;

RESET ROLE;

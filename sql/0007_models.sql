-- Processes, web requests and spans beside the first six types; traces on logs and jobs; patterns of log messages; and
-- transactions as their steps tell them.
--
-- Column orders are those of the binary COPY in Sources/Telemetry (Table.swift), as in 0006. Nothing here reads or
-- rewrites rows that are there: a running node goes on writing what it knows.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE telemetry.process_name (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.span_name (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE telemetry.log_pattern (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
COMMENT ON TABLE telemetry.process_name IS 'Names of watched processes';
COMMENT ON TABLE telemetry.span_name IS 'Names of spans: operations that traces are made of';
COMMENT ON TABLE telemetry.log_pattern IS 'Log messages with their variable parts masked by *, at most 200 bytes';
COMMENT ON TABLE telemetry.status IS 'How steps, jobs and spans ended, and states of processes';

CREATE TABLE telemetry.process (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  process_id bigint NOT NULL,
  state_id bigint NOT NULL,
  pid bigint,
  up_ms bigint,
  restarts bigint,
  cpu double precision,
  memory_bytes bigint,
  threads bigint,
  stream_id bigint,
  seq bigint,
  attrs jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.process IS 'The state of one watched process, as seen at ts';
COMMENT ON COLUMN telemetry.process.process_id IS 'In telemetry.process_name; not the system''s number, which is pid';
COMMENT ON COLUMN telemetry.process.state_id IS 'In telemetry.status: running, sleeping, stopped, zombie, absent, ...';
COMMENT ON COLUMN telemetry.process.up_ms IS 'Milliseconds since the process started';
COMMENT ON COLUMN telemetry.process.restarts IS 'How often it was started anew since it is watched';
COMMENT ON COLUMN telemetry.process.cpu IS 'Percent of one core since the last record';
COMMENT ON COLUMN telemetry.process.memory_bytes IS 'Resident memory';

CREATE TABLE telemetry.web (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  code smallint NOT NULL,
  bytes bigint,
  duration_us bigint,
  stream_id bigint,
  seq bigint,
  method text NOT NULL,
  path text NOT NULL,
  client text,
  session text,
  referrer text,
  agent text,
  attrs jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.web IS 'One request that a web server answered';
COMMENT ON COLUMN telemetry.web.code IS 'HTTP status, 100 to 599';
COMMENT ON COLUMN telemetry.web.bytes IS 'Of the answer';
COMMENT ON COLUMN telemetry.web.duration_us IS 'Microseconds until it was answered';
COMMENT ON COLUMN telemetry.web.path IS 'Without the query';
COMMENT ON COLUMN telemetry.web.client IS 'Address of the client';
COMMENT ON COLUMN telemetry.web.session IS 'Whatever tells one visit from another';
COMMENT ON COLUMN telemetry.web.agent IS 'User agent';

CREATE TABLE telemetry.span (
  ts timestamptz NOT NULL,
  app_id bigint NOT NULL,
  host_id bigint NOT NULL,
  span_name_id bigint NOT NULL,
  status_id bigint NOT NULL,
  duration_us bigint NOT NULL,
  kind smallint NOT NULL,
  trace_id uuid NOT NULL,
  span_id bigint NOT NULL,
  parent_id bigint,
  stream_id bigint,
  seq bigint,
  attrs jsonb
) PARTITION BY RANGE (ts);
COMMENT ON TABLE telemetry.span IS 'One span of a trace; ts is its start. Logs and jobs of the same trace_id belong to it';
COMMENT ON COLUMN telemetry.span.kind IS '0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer (OTLP)';
COMMENT ON COLUMN telemetry.span.trace_id IS '128 bits that all spans of a trace share (W3C Trace Context)';
COMMENT ON COLUMN telemetry.span.span_id IS '64 bits, unsigned: as text, lpad(to_hex(span_id), 16, ''0'')';
COMMENT ON COLUMN telemetry.span.parent_id IS 'The span that this one is part of; NULL for the root of a trace';

ALTER TABLE telemetry.log ADD COLUMN trace_id uuid, ADD COLUMN span_id bigint, ADD COLUMN pattern_id bigint;
COMMENT ON COLUMN telemetry.log.trace_id IS 'The trace that it was written in';
COMMENT ON COLUMN telemetry.log.span_id IS 'The span that it was written in, unsigned as in telemetry.span';
COMMENT ON COLUMN telemetry.log.pattern_id IS 'In telemetry.log_pattern: the message with its variable parts masked';
ALTER TABLE telemetry.job ADD COLUMN trace_id uuid, ADD COLUMN span_id bigint;
COMMENT ON COLUMN telemetry.job.trace_id IS 'The trace that it was done in';
COMMENT ON COLUMN telemetry.job.span_id IS 'The span that it was done in, unsigned as in telemetry.span';

-- ON ONLY, then the partitions of days to come: building an index over days that are full, none of whose rows has a
-- trace, would keep writers waiting for nothing.
CREATE INDEX log_trace ON ONLY telemetry.log (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX job_trace ON ONLY telemetry.job (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX span_trace ON telemetry.span (trace_id);

DO $indexes$
DECLARE
  v_fact text;
  v_part record;
BEGIN
  FOREACH v_fact IN ARRAY ARRAY['process', 'web', 'span'] LOOP
    EXECUTE pg_catalog.format('CREATE INDEX %I ON telemetry.%I USING brin (ts) '
      'WITH (pages_per_range = 32, autosummarize = on)', v_fact || '_ts', v_fact);
    EXECUTE pg_catalog.format('CREATE INDEX %I ON telemetry.%I (app_id, ts)', v_fact || '_app_ts', v_fact);
  END LOOP;
  FOR v_part IN
    SELECT c.relname AS name, p.relname AS fact
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
    WHERE p.relnamespace = 'telemetry'::regnamespace AND p.relname IN ('log', 'job') AND c.relname ~ '_[0-9]{8}$'
      AND pg_catalog.right(c.relname::text, 8) > pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYYMMDD')
  LOOP
    EXECUTE pg_catalog.format('CREATE INDEX %I ON telemetry.%I (trace_id) WHERE trace_id IS NOT NULL',
      v_part.name || '_trace', v_part.name);
    EXECUTE pg_catalog.format('ALTER INDEX telemetry.%I ATTACH PARTITION telemetry.%I',
      v_part.fact || '_trace', v_part.name || '_trace');
  END LOOP;
END
$indexes$;

CREATE FUNCTION telemetry.record_types() RETURNS text[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  AS $$ SELECT ARRAY['queue', 'step', 'job', 'metric', 'log', 'event', 'process', 'web', 'span'] $$;
COMMENT ON FUNCTION telemetry.record_types IS
  'The record types: each a table of schema telemetry with a partition for every UTC day, named TYPE_YYYYMMDD';

COMMENT ON TABLE telemetry.name_inbox IS 'Where COPY puts new names for telemetry.store_names; empty between '
  'transactions. kind: 0 host, 1 app, 2 queue, 3 step, 4 job, 5 status, 6 metric, 7 event, 8 process, 9 span, '
  '10 log pattern';

CREATE OR REPLACE FUNCTION telemetry.store_names() RETURNS TABLE (kind smallint, id bigint, name text)
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
#variable_conflict use_column
DECLARE
  v_dictionaries text[] := ARRAY['host', 'app', 'queue_name', 'step_name', 'job_name', 'status', 'metric_name',
    'event_kind', 'process_name', 'span_name', 'log_pattern'];
  k smallint;
BEGIN
  -- Always in the order of their kinds, and sorted: two lanes with the same names wait for each other instead of
  -- deadlocking.
  FOR k IN SELECT DISTINCT i.kind FROM telemetry.name_inbox AS i ORDER BY i.kind LOOP
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

CREATE OR REPLACE FUNCTION telemetry.ensure_partitions(p_days_back integer, p_days_ahead integer) RETURNS integer
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
    FOREACH v_fact IN ARRAY telemetry.record_types() LOOP
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

CREATE OR REPLACE FUNCTION telemetry.accepted_range(OUT from_us bigint, OUT until_us bigint, OUT from_ts timestamptz,
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
      AND p.relname = ANY (telemetry.record_types())
      AND c.relname ~ '_[0-9]{8}$'
    GROUP BY 1
    HAVING count(*) = pg_catalog.cardinality(telemetry.record_types())
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

CREATE FUNCTION telemetry.transactions(p_from timestamptz, p_until timestamptz, p_app_id bigint DEFAULT NULL)
  RETURNS TABLE (app_id bigint, txn text, began_at timestamptz, last_at timestamptz, waiting interval,
    last_step_id bigint, last_step text, last_status text, step_count bigint, step_ids bigint[], steps jsonb)
  LANGUAGE sql STABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  SELECT t.app_id, t.txn, t.began_at, t.last_at, now() - t.last_at, t.last_step_id, n.name, s.name, t.step_count,
    t.step_ids, t.steps
  FROM (
    SELECT o.app_id, o.txn, min(o.ts) AS began_at, max(o.ts) AS last_at, count(*) AS step_count,
      array_agg(o.step_id ORDER BY o.ts, o.stream_id, o.seq) AS step_ids,
      (array_agg(o.step_id ORDER BY o.ts DESC, o.stream_id DESC, o.seq DESC))[1] AS last_step_id,
      (array_agg(o.status_id ORDER BY o.ts DESC, o.stream_id DESC, o.seq DESC))[1] AS last_status_id,
      jsonb_agg(jsonb_build_object('at', o.ts, 'step', sn.name, 'status', st.name, 'elapsed_us', o.elapsed_us,
        'waited_ms', o.waited_ms) ORDER BY o.ts, o.stream_id, o.seq) AS steps
    FROM (
      SELECT f.app_id, f.txn, f.ts, f.step_id, f.status_id, f.elapsed_us, f.stream_id, f.seq,
        floor(extract(epoch FROM f.ts - lag(f.ts) OVER (
          PARTITION BY f.app_id, f.txn ORDER BY f.ts, f.stream_id, f.seq)) * 1000)::bigint AS waited_ms
      FROM telemetry.step AS f
      WHERE f.ts >= p_from AND f.ts < p_until AND (p_app_id IS NULL OR f.app_id = p_app_id)
    ) AS o
    LEFT JOIN telemetry.step_name AS sn ON sn.id = o.step_id
    LEFT JOIN telemetry.status AS st ON st.id = o.status_id
    GROUP BY o.app_id, o.txn
  ) AS t
  LEFT JOIN telemetry.step_name AS n ON n.id = t.last_step_id
  LEFT JOIN telemetry.status AS s ON s.id = t.last_status_id
  $$;
COMMENT ON FUNCTION telemetry.transactions IS
  'Transactions with a step between p_from and p_until (exclusive), of one application or of all. Steps are in the '
  'order of their own times, however they arrived; waiting is how long nothing has come after the last one, and '
  'waited_ms in steps the time since the step before';

CREATE VIEW telemetry.transaction AS
  SELECT t.app_id, t.txn, t.began_at, t.last_at, t.waiting, t.last_step_id, t.last_step, t.last_status, t.step_count,
    t.step_ids, t.steps
  FROM telemetry.transactions(pg_catalog.now() - interval '1 day', pg_catalog.now() + interval '1 day') AS t;
COMMENT ON VIEW telemetry.transaction IS
  'Each transaction of the last day with its steps, where it waits now and for how long; other times and single '
  'applications by telemetry.transactions()';

GRANT SELECT, INSERT ON telemetry.process_name, telemetry.span_name, telemetry.log_pattern, telemetry.process,
  telemetry.web, telemetry.span TO standwatch_node;
GRANT SELECT ON telemetry.transaction TO standwatch_node;
GRANT SELECT ON telemetry.process_name, telemetry.span_name, telemetry.log_pattern, telemetry.process, telemetry.web,
  telemetry.span, telemetry.transaction TO standwatch_analyst, standwatch_auditor;
GRANT EXECUTE ON FUNCTION telemetry.record_types, telemetry.transactions
  TO standwatch_node, standwatch_analyst, standwatch_auditor;

RESET ROLE;

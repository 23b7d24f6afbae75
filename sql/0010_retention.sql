-- Retention: what is kept how long and how large, and the way old partitions leave without being in anybody's way.
--
-- DETACH PARTITION CONCURRENTLY blocks neither inserts nor readers, but it runs outside of functions and transactions
-- and only for the owner of the partitioned table. So the partitioned tables belong to standwatch_keeper, which a node
-- becomes by SET ROLE for that one statement; it does not inherit the keeper's rights (standwatch_upkeep between them
-- is NOINHERIT). Whoever has taken over a node can thus delete telemetry, as retention does, but none of ha or ingest.

DO $roles$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'standwatch_keeper') THEN
    CREATE ROLE standwatch_keeper NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'standwatch_upkeep') THEN
    CREATE ROLE standwatch_upkeep NOLOGIN NOINHERIT;
  END IF;
  GRANT standwatch_keeper TO standwatch_owner;
  GRANT standwatch_keeper TO standwatch_upkeep;
  GRANT standwatch_upkeep TO standwatch_node;
END
$roles$;

SET LOCAL ROLE standwatch_owner;

-- The new owner has to be allowed to create in the schema only while it becomes one.
GRANT CREATE, USAGE ON SCHEMA telemetry TO standwatch_keeper;
DO $owner$
DECLARE
  v_table regclass;
BEGIN
  FOR v_table IN
    SELECT c.oid FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind = 'p'
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s OWNER TO standwatch_keeper', v_table);
  END LOOP;
END
$owner$;
-- Who owns a table decides what is run by those who write to it (policies, defaults, constraints). So what writes to the
-- keeper's tables runs as the keeper: otherwise whoever can become the keeper could become the owner.
ALTER FUNCTION telemetry.rollup_oldest OWNER TO standwatch_keeper;
ALTER FUNCTION telemetry.add_rollups OWNER TO standwatch_keeper;
ALTER FUNCTION telemetry.merge_rollups OWNER TO standwatch_keeper;
ALTER FUNCTION telemetry.fold_rollups OWNER TO standwatch_keeper;
REVOKE CREATE ON SCHEMA telemetry FROM standwatch_keeper;
GRANT SELECT, UPDATE ON telemetry.rollup_state TO standwatch_keeper;
GRANT SELECT, DELETE ON telemetry.rollup_delta TO standwatch_keeper;
GRANT EXECUTE ON FUNCTION telemetry.sketch_sum TO standwatch_keeper;

INSERT INTO ha.setting (key, default_value, kind, least, most, pattern, description)
SELECT 'keep_days_' || k.name, k.days::text, 'integer', 1, 36500, NULL,
  'Days for which ' || k.what || ' are kept; at least as long as accept_past_days'
FROM (VALUES
  ('queue', 30, 'queue records'), ('step', 30, 'step records'), ('job', 30, 'job records'),
  ('metric', 30, 'metric records'), ('process', 30, 'process records'), ('log', 30, 'log records'),
  ('web', 30, 'web records'), ('span', 14, 'span records'), ('event', 400, 'event records'),
  ('rollup_minute', 90, 'rollups by minute'), ('rollup_hour', 800, 'rollups by hour'),
  ('rollup_day', 3660, 'rollups by day')) AS k(name, days, what)
UNION ALL
SELECT 'keep_megabytes_' || k.name, '0', 'integer', 0, 1000000000, NULL,
  'Megabytes beyond which the oldest days of telemetry.' || k.name || ' leave before their time; 0: no such bound'
FROM unnest(ARRAY['queue', 'step', 'job', 'metric', 'process', 'log', 'web', 'span', 'event', 'rollup_minute',
  'rollup_hour', 'rollup_day']) AS k(name)
UNION ALL
SELECT 'keep_days_' || k.name, k.days::text, 'integer', 1, 36500, NULL, 'Days for which ' || k.what || ' are kept'
FROM (VALUES
  ('refusals', 90, 'refused records and counts of shed ones (ingest.rejected, ingest.shed)'),
  ('history', 3660, 'events, drills and data gaps of the cluster (ha.event, ha.drill, ingest.gap)')
  ) AS k(name, days, what);

CREATE TABLE telemetry.retention_log (
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  node text NOT NULL,
  epoch bigint NOT NULL,
  action text NOT NULL CHECK (action IN ('detached', 'dropped', 'deleted')),
  object text NOT NULL,
  reason text NOT NULL,
  bytes bigint,
  rows bigint,
  milliseconds double precision NOT NULL
);
COMMENT ON TABLE telemetry.retention_log IS 'What retention has taken away, and which node did it';
COMMENT ON COLUMN telemetry.retention_log.object IS 'The partition, or the table whose rows were deleted';
COMMENT ON COLUMN telemetry.retention_log.reason IS 'age, size, or interrupted (begun by an earlier node and ended now)';
COMMENT ON COLUMN telemetry.retention_log.bytes IS 'Of the partition with its indexes';
CREATE INDEX retention_log_at ON telemetry.retention_log USING brin (at);

CREATE FUNCTION telemetry.keep(p_key text) RETURNS bigint
  LANGUAGE sql STABLE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$ SELECT coalesce(s.value, s.default_value)::bigint FROM ha.setting AS s WHERE s.key = p_key $$;
COMMENT ON FUNCTION telemetry.keep IS 'The number of a setting; NULL when there is no such setting';

CREATE FUNCTION telemetry.partitions()
  RETURNS TABLE (parent text, partition text, from_ts timestamptz, until_ts timestamptz, detaching boolean, bytes bigint)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET timezone = 'UTC'
  AS $$
  SELECT p.relname::text, c.relname::text, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz, i.inhdetachpending,
    pg_catalog.pg_total_relation_size(c.oid)
  FROM pg_catalog.pg_class AS p
  JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid
  JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL pg_catalog.regexp_match(
    pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS b(bounds)
  WHERE p.relnamespace = 'telemetry'::regnamespace AND p.relkind = 'p'
  $$;
COMMENT ON FUNCTION telemetry.partitions IS
  'Every partition of telemetry with its range, its bytes (indexes included), and whether a DETACH of it was begun';

CREATE FUNCTION telemetry.retention_plan()
  RETURNS TABLE (step text, parent text, partition text, reason text, bytes bigint)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  SET timezone = 'UTC'
  AS $$
  WITH sized AS (
    SELECT a.*,
      sum(a.bytes) OVER (PARTITION BY a.parent ORDER BY a.until_ts DESC) AS bytes_up_to,
      -- Days that records are still accepted for have to stay, whatever their size.
      date_trunc('day', now()) - telemetry.keep('accept_past_days') * interval '1 day' AS accepted_from,
      now() - telemetry.keep('keep_days_' || a.parent) * interval '1 day' AS kept_from,
      nullif(telemetry.keep('keep_megabytes_' || a.parent), 0) * 1048576 AS most_bytes
    FROM telemetry.partitions() AS a
  ), due AS (
    SELECT 'finalize' AS step, d.parent, d.partition, 'interrupted' AS reason, d.bytes, d.until_ts
    FROM sized AS d WHERE d.detaching
    UNION ALL
    SELECT 'detach', d.parent, d.partition, CASE WHEN d.until_ts <= d.kept_from THEN 'age' ELSE 'size' END, d.bytes,
      d.until_ts
    FROM sized AS d
    WHERE NOT d.detaching AND d.until_ts <= d.accepted_from
      -- What is not folded yet (a site that was off for long) stays until it is.
      AND d.until_ts <= coalesce((
        SELECT CASE d.parent WHEN 'rollup_minute' THEN s.hour_until WHEN 'rollup_hour' THEN s.day_until END
        FROM telemetry.rollup_state AS s), d.until_ts)
      AND (d.until_ts <= d.kept_from OR d.bytes_up_to > d.most_bytes)
    UNION ALL
    -- Detached, but its DROP did not come: a table beside the partitions, named like one.
    SELECT 'drop', p.relname::text, c.relname::text, 'interrupted', pg_catalog.pg_total_relation_size(c.oid), NULL
    FROM pg_catalog.pg_class AS p
    JOIN pg_catalog.pg_class AS c
      ON c.relnamespace = p.relnamespace AND c.relkind = 'r' AND NOT c.relispartition
      AND c.relname ~ ('^' || p.relname || '_[0-9]{8}$')
    WHERE p.relnamespace = 'telemetry'::regnamespace AND p.relkind = 'p'
  )
  SELECT due.step, due.parent, due.partition, due.reason, due.bytes
  FROM due
  ORDER BY due.step DESC, due.until_ts, due.parent
  $$;
COMMENT ON FUNCTION telemetry.retention_plan IS
  'What retention has to do now, in this order. finalize: ALTER TABLE ... DETACH PARTITION ... FINALIZE; detach: the '
  'same CONCURRENTLY; drop: telemetry.drop_detached. Oldest first';

CREATE FUNCTION telemetry.drop_detached(p_partition text) RETURNS void
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  AS $$
BEGIN
  IF NOT EXISTS (
      SELECT FROM telemetry.retention_plan() AS r WHERE r.step = 'drop' AND r.partition = p_partition) THEN
    RAISE EXCEPTION '% is no detached partition of telemetry', p_partition USING ERRCODE = '55000';
  END IF;
  EXECUTE pg_catalog.format('DROP TABLE telemetry.%I', p_partition);
END
$$;
COMMENT ON FUNCTION telemetry.drop_detached IS
  'Drops a table that was a partition; 55P03 when somebody still reads it: try again later';

CREATE FUNCTION telemetry.delete_old(p_limit integer) RETURNS TABLE (object text, deleted bigint)
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  SET jit = off
  AS $$
#variable_conflict use_column
DECLARE
  v_rule record;
BEGIN
  FOR v_rule IN
    SELECT * FROM (VALUES
      ('ingest.rejected', 'at', 'keep_days_refusals'), ('ingest.shed', 'at', 'keep_days_refusals'),
      ('ingest.gap', 'at', 'keep_days_history'), ('ha.event', 'at', 'keep_days_history'),
      ('ha.drill', 'finished_at', 'keep_days_history'), ('telemetry.retention_log', 'at', 'keep_days_history')
      ) AS rules(name, stamp, setting)
  LOOP
    EXECUTE pg_catalog.format(
      'DELETE FROM %1$s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s '
      'WHERE %2$I < now() - telemetry.keep($1) * interval ''1 day'' LIMIT $2))', v_rule.name, v_rule.stamp)
      USING v_rule.setting, p_limit;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    object := v_rule.name;
    IF deleted > 0 THEN
      RETURN NEXT;
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION telemetry.delete_old IS
  'Deletes at most p_limit rows that are older than their setting from each table that has no partitions; answers '
  'how many of which';

GRANT SELECT, INSERT ON telemetry.retention_log TO standwatch_node;
GRANT SELECT ON telemetry.retention_log TO standwatch_analyst, standwatch_auditor;
GRANT EXECUTE ON FUNCTION telemetry.keep, telemetry.partitions, telemetry.retention_plan
  TO standwatch_node, standwatch_analyst, standwatch_auditor;
GRANT EXECUTE ON FUNCTION telemetry.drop_detached, telemetry.delete_old TO standwatch_node;

RESET ROLE;

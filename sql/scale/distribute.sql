-- Distributes the telemetry over the workers of a Citus cluster. Nothing of the schema changes: every record and every
-- rollup carries app_id, and no key lacks it.
--
-- Run once as a superuser on the coordinator, after `hactl migrate` and after the workers were added
-- (citus_add_node), while no node runs:  psql -1 -v ON_ERROR_STOP=1 -f sql/scale/distribute.sql DATABASE
--
-- ha and ingest stay on the coordinator: the lock, the fence and the claims are there, and a batch's claims commit
-- together with its rows on the workers (Citus commits both in two phases). Dictionaries become reference tables, so
-- that every worker joins them by itself. Running it again changes nothing.

DO $citus$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension AS e WHERE e.extname = 'citus') THEN
    RAISE EXCEPTION 'the extension citus is not installed in this database'
      USING HINT = 'Add citus to shared_preload_libraries, restart, CREATE EXTENSION citus, add the workers.';
  END IF;
  IF EXISTS (SELECT FROM ha.sessions()) THEN
    RAISE EXCEPTION 'a node is connected' USING HINT = 'Stop standwatchd on every node first.';
  END IF;
END
$citus$;

DO $distribute$
DECLARE
  v_table regclass;
BEGIN
  FOR v_table IN
    SELECT c.oid FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
      AND EXISTS (
        SELECT FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'name'
        JOIN pg_catalog.pg_attribute AS k ON k.attrelid = c.oid AND k.attname = 'id'
        WHERE i.indrelid = c.oid AND i.indisprimary AND i.indkey::text = k.attnum::text)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_dist_partition AS d WHERE d.logicalrelid = c.oid)
    ORDER BY c.relname
  LOOP
    PERFORM create_reference_table(v_table);
  END LOOP;
  -- All in one co-location group: joins by app_id stay on one worker.
  FOR v_table IN
    SELECT c.oid FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'app_id' AND NOT a.attisdropped
    WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind IN ('p', 'r') AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_dist_partition AS d WHERE d.logicalrelid = c.oid)
    ORDER BY c.relname <> 'queue', c.relname
  LOOP
    PERFORM create_distributed_table(
      v_table, 'app_id',
      colocate_with => CASE WHEN v_table = 'telemetry.queue'::regclass THEN 'default' ELSE 'telemetry.queue' END);
  END LOOP;
END
$distribute$;

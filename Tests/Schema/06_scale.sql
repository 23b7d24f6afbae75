-- The schema could be distributed by app_id as it stands; where Citus is installed, it is.
\connect - postgres
\ir helpers.sql

SELECT pg_temp.expect(count(*) = 0, 'every partitioned table has app_id: ' || coalesce(string_agg(c.relname, ' '), ''))
FROM pg_class AS c
WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind = 'p'
  AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'app_id' AND a.attnotnull);
SELECT pg_temp.expect(count(*) = 0, 'no unique key lacks app_id: ' || coalesce(string_agg(i.indexrelid::regclass::text, ' '), ''))
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indrelid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'app_id'
WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind IN ('p', 'r') AND i.indisunique
  AND NOT a.attnum = ANY (i.indkey);
SELECT pg_temp.expect(count(*) = 0, 'no foreign key and no row trigger stands in the way')
FROM pg_class AS c
WHERE c.relnamespace = 'telemetry'::regnamespace
  AND (EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'f')
    OR EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal));

SELECT count(*) > 0 AS has_citus FROM pg_available_extensions WHERE name = 'citus' \gset
\if :has_citus
  CREATE EXTENSION citus;
  SELECT citus_set_coordinator_host('localhost');
  \ir ../../sql/scale/distribute.sql
  SELECT pg_temp.expect(count(*) >= 9, 'facts are distributed') FROM pg_dist_partition WHERE partmethod = 'h';
  SELECT pg_temp.expect(telemetry.ensure_partitions(7, 5) > 0, 'partitions are still made');
\else
  \! psql -qAtX -v ON_ERROR_STOP=1 -1 -f sql/scale/distribute.sql 2>&1 | grep -q 'the extension citus is not installed in this database' && touch "$SCHEMA_TEST_DIR/no_citus"
  \! test -e "$SCHEMA_TEST_DIR/no_citus" || echo 'not so: distribute.sql refuses a database without Citus'
\endif

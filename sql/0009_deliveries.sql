-- Deliveries: bodies, chunks and packets of stock senders, each stored once, however often it comes.
--
-- A row says: the records behind prev up to last of a delivery are in the same transaction as this row. Parts of a
-- delivery form a chain that begins with prev 0, like the claims of a stream. A second attempt waits at the primary key
-- for the first to end, and is refused (SW010) when that has committed. Keys are passed as two halves, because the
-- writers' scripts contain integers only.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE ingest.delivery (
  key uuid NOT NULL,
  prev integer NOT NULL CHECK (prev >= 0),
  last integer NOT NULL CHECK (last > prev),
  digest bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (key, prev) INCLUDE (last, digest)
);
COMMENT ON TABLE ingest.delivery IS 'Deliveries of stock senders that are stored, part by part; append-only, pruned by '
  'upkeep after delivery_keep_hours';
COMMENT ON COLUMN ingest.delivery.key IS
  'First 128 bits of SHA-256 over the kind of listener, the source and the sender''s own key';
COMMENT ON COLUMN ingest.delivery.prev IS 'The part begins behind this record of the delivery, counted from 1';
COMMENT ON COLUMN ingest.delivery.last IS 'The last record of the part';
COMMENT ON COLUMN ingest.delivery.digest IS
  'Tells contents apart where senders choose keys freely: a key used again with other contents is refused; else 0';
CREATE INDEX delivery_at ON ingest.delivery USING brin (at) WITH (pages_per_range = 16, autosummarize = on);

INSERT INTO ha.setting (key, default_value, kind, least, most, pattern, description) VALUES
  ('delivery_keep_hours', '24', 'integer', 1, 8760, NULL,
    'Hours for which a repeated delivery (HTTP, OTLP, Influx, Forward) is known as such');

CREATE FUNCTION ingest.take_deliveries(
  p_highs bigint[], p_lows bigint[], p_prevs bigint[], p_lasts bigint[], p_digests bigint[]) RETURNS integer
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
DECLARE
  v_taken integer;
BEGIN
  INSERT INTO ingest.delivery (key, prev, last, digest)
    SELECT b.key, b.prev, b.last, b.digest
    FROM (
      SELECT pg_catalog.encode(pg_catalog.int8send(u.high) || pg_catalog.int8send(u.low), 'hex')::uuid AS key,
        u.prev::integer AS prev, u.last::integer AS last, u.digest
      FROM unnest(p_highs, p_lows, p_prevs, p_lasts, p_digests) AS u(high, low, prev, last, digest)
    ) AS b
    LEFT JOIN LATERAL (
      SELECT s.last, s.digest FROM ingest.delivery AS s WHERE s.key = b.key ORDER BY s.prev DESC LIMIT 1
    ) AS d ON true
    -- Other contents never go on where a chain ends.
    WHERE b.prev = coalesce(d.last, 0) AND b.digest = coalesce(d.digest, b.digest)
    ORDER BY b.key
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_taken = ROW_COUNT;
  IF v_taken <> pg_catalog.cardinality(p_highs) THEN
    RAISE EXCEPTION 'deliveries refused: % of % taken', v_taken, pg_catalog.cardinality(p_highs)
      USING ERRCODE = 'SW010';
  END IF;
  RETURN v_taken;
END
$$;
COMMENT ON FUNCTION ingest.take_deliveries IS
  'Claims the records behind prev up to last of each delivery, or raises SW010 when any was stored already, came out '
  'of order, or has other contents. Before the COPYs, in their transaction';

CREATE FUNCTION ingest.stored_deliveries(p_highs bigint[], p_lows bigint[])
  RETURNS TABLE (n bigint, last integer, digest bigint)
  LANGUAGE sql STABLE STRICT
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
  SELECT q.n, d.last, d.digest
  FROM unnest(p_highs, p_lows) WITH ORDINALITY AS q(high, low, n)
  CROSS JOIN LATERAL (
    SELECT s.last, s.digest
    FROM ingest.delivery AS s
    WHERE s.key = pg_catalog.encode(pg_catalog.int8send(q.high) || pg_catalog.int8send(q.low), 'hex')::uuid
    ORDER BY s.prev DESC
    LIMIT 1
  ) AS d
  $$;
COMMENT ON FUNCTION ingest.stored_deliveries IS
  'How far each delivery is stored, by its number in the arrays; none for those never stored. A read: nothing may be '
  'acknowledged on it before a later write of the same epoch has committed';

CREATE FUNCTION ingest.prune_deliveries(p_keep interval, p_limit integer) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  SET jit = off
  AS $$
DECLARE
  v_pruned bigint;
BEGIN
  LOCK TABLE ingest.upkeep IN EXCLUSIVE MODE;
  DELETE FROM ingest.delivery AS d
    USING (
      SELECT o.key, o.prev
      FROM ingest.delivery AS o
      WHERE o.at < pg_catalog.now() - p_keep
      ORDER BY o.at, o.key, o.prev
      LIMIT p_limit
    ) AS old
    WHERE d.key = old.key AND d.prev = old.prev;
  GET DIAGNOSTICS v_pruned = ROW_COUNT;
  RETURN v_pruned;
END
$$;
COMMENT ON FUNCTION ingest.prune_deliveries IS 'Forgets up to p_limit parts of deliveries older than p_keep, oldest first';

GRANT SELECT, INSERT, DELETE ON ingest.delivery TO standwatch_node;
GRANT SELECT ON ingest.delivery TO standwatch_analyst, standwatch_auditor;
GRANT EXECUTE ON FUNCTION ingest.take_deliveries, ingest.stored_deliveries, ingest.prune_deliveries TO standwatch_node;

RESET ROLE;

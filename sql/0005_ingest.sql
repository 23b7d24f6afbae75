-- What was taken in: streams, claims, and what was refused, missing or shed.
--
-- A claim says: the records behind prev up to last of a stream are in the same transaction as this row. Claims of a
-- stream form a chain that begins with the root (prev -1, last 0); only its newest link can be continued. A second
-- attempt waits at the primary key for the first to end. SQLSTATEs of our own: SW010 claim refused (stored already,
-- or out of order), SW011 two streams or two names share an id.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE ingest.stream (
  id bigint PRIMARY KEY,
  source text NOT NULL,
  stream text NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  UNIQUE (source, stream)
);
COMMENT ON TABLE ingest.stream IS 'Runs of numbered records; id is computed from source and stream';

CREATE TABLE ingest.claim (
  stream bigint NOT NULL,
  prev bigint NOT NULL,
  last bigint NOT NULL CHECK (last > prev),
  at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (stream, prev) INCLUDE (last)
);
COMMENT ON TABLE ingest.claim IS 'Records that are stored, batch by batch; append-only, old links pruned by upkeep';
COMMENT ON COLUMN ingest.claim.prev IS 'The batch begins behind this seq; -1 in the root of a stream';
CREATE INDEX claim_at ON ingest.claim USING brin (at) WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE ingest.rejected (
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  stream bigint,
  seq bigint,
  source text NOT NULL,
  reason text NOT NULL,
  raw bytea NOT NULL
);
COMMENT ON TABLE ingest.rejected IS 'Records that were refused one by one; they count as committed';
COMMENT ON COLUMN ingest.rejected.source IS 'Source of the stream, or address of a sender without a stream';
COMMENT ON COLUMN ingest.rejected.raw IS 'The line as received (its beginning if it was too long)';
CREATE INDEX rejected_at ON ingest.rejected USING brin (at);
CREATE INDEX rejected_stream ON ingest.rejected (stream, seq);

CREATE TABLE ingest.gap (
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  stream bigint NOT NULL,
  first bigint NOT NULL,
  last bigint NOT NULL CHECK (last >= first),
  node text NOT NULL,
  epoch bigint NOT NULL,
  PRIMARY KEY (stream, first)
);
COMMENT ON TABLE ingest.gap IS 'Records that no longer exist anywhere: PostgreSQL lost them after its own failover';

CREATE TABLE ingest.shed (
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  node text NOT NULL,
  listener text NOT NULL,
  source text NOT NULL,
  messages bigint NOT NULL,
  bytes bigint NOT NULL,
  reason text NOT NULL
);
COMMENT ON TABLE ingest.shed IS 'Counts of what had to be dropped because its protocol can''t wait (UDP), and why';
CREATE INDEX shed_at ON ingest.shed USING brin (at);

CREATE TABLE ingest.upkeep (nothing boolean CHECK (nothing IS NULL AND false));
COMMENT ON TABLE ingest.upkeep IS 'Always empty: its lock keeps upkeep single';

CREATE FUNCTION ingest.committed(p_stream bigint) RETURNS bigint
  LANGUAGE sql STABLE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$
  SELECT c.last FROM ingest.claim AS c WHERE c.stream = p_stream ORDER BY c.prev DESC LIMIT 1
  $$;
COMMENT ON FUNCTION ingest.committed IS 'Last stored seq of a stream; NULL when it was never registered. A read: '
  'nothing may be acknowledged on it before a later write of the same epoch has committed';

CREATE FUNCTION ingest.register(p_id bigint, p_source text, p_stream text) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  INSERT INTO ingest.stream (id, source, stream) VALUES (p_id, p_source, p_stream) ON CONFLICT DO NOTHING;
  IF NOT EXISTS (
      SELECT FROM ingest.stream AS s WHERE s.id = p_id AND s.source = p_source AND s.stream = p_stream) THEN
    RAISE EXCEPTION 'stream id % is taken by another stream', p_id USING ERRCODE = 'SW011';
  END IF;
  IF ingest.committed(p_id) IS NULL THEN
    INSERT INTO ingest.claim (stream, prev, last) VALUES (p_id, -1, 0) ON CONFLICT DO NOTHING;
  END IF;
  RETURN ingest.committed(p_id);
END
$$;
COMMENT ON FUNCTION ingest.register IS
  'Makes a stream known (once) and answers its last stored seq; in a fenced transaction, so that its COMMIT makes '
  'the answer fit for a welcome';

CREATE FUNCTION ingest.take(p_streams bigint[], p_firsts bigint[], p_lasts bigint[]) RETURNS integer
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET jit = off
  AS $$
DECLARE
  v_taken integer;
  v_refused text;
BEGIN
  INSERT INTO ingest.claim (stream, prev, last)
    SELECT b.stream, b.first - 1, b.last
    FROM unnest(p_streams, p_firsts, p_lasts) AS b(stream, first, last)
    WHERE b.first - 1 = (
      SELECT c.last FROM ingest.claim AS c WHERE c.stream = b.stream ORDER BY c.prev DESC LIMIT 1)
    ORDER BY b.stream
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_taken = ROW_COUNT;
  IF v_taken <> pg_catalog.cardinality(p_streams) THEN
    SELECT pg_catalog.string_agg(
        pg_catalog.format('stream=%s first=%s committed=%s', b.stream, b.first, ingest.committed(b.stream)), '; ')
      INTO v_refused
      FROM unnest(p_streams, p_firsts, p_lasts) AS b(stream, first, last)
      WHERE NOT EXISTS (
        SELECT FROM ingest.claim AS c
        WHERE c.stream = b.stream AND c.prev = b.first - 1
          AND c.xmin = pg_catalog.pg_current_xact_id()::xid);
    RAISE EXCEPTION 'claim refused: % of % taken', v_taken, pg_catalog.cardinality(p_streams)
      USING ERRCODE = 'SW010', DETAIL = v_refused;
  END IF;
  RETURN v_taken;
END
$$;
COMMENT ON FUNCTION ingest.take IS
  'Claims the records first to last of each stream, or raises SW010 naming what was stored already or came out of '
  'order. Before the COPYs, in their transaction';

CREATE FUNCTION ingest.take_gap(p_stream bigint, p_last bigint, p_node text, p_epoch bigint) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  v_committed bigint := ingest.committed(p_stream);
BEGIN
  IF v_committed IS NULL OR v_committed >= p_last THEN
    RETURN v_committed;
  END IF;
  INSERT INTO ingest.claim (stream, prev, last) VALUES (p_stream, v_committed, p_last);
  INSERT INTO ingest.gap (stream, first, last, node, epoch)
    VALUES (p_stream, v_committed + 1, p_last, p_node, p_epoch);
  RETURN p_last;
END
$$;
COMMENT ON FUNCTION ingest.take_gap IS
  'Writes down that the records behind the last stored one up to p_last are lost for good; answers what then counts '
  'as committed. In a fenced transaction';

CREATE FUNCTION ingest.prune_claims(p_keep interval, p_limit integer) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '200ms'
  SET jit = off
  AS $$
DECLARE
  v_pruned bigint;
BEGIN
  LOCK TABLE ingest.upkeep IN EXCLUSIVE MODE;
  DELETE FROM ingest.claim AS c
    USING (
      SELECT o.stream, o.prev
      FROM ingest.claim AS o
      WHERE o.at < pg_catalog.now() - p_keep
        AND EXISTS (SELECT FROM ingest.claim AS n WHERE n.stream = o.stream AND n.prev > o.prev)
      ORDER BY o.at, o.stream, o.prev
      LIMIT p_limit
    ) AS old
    WHERE c.stream = old.stream AND c.prev = old.prev;
  GET DIAGNOSTICS v_pruned = ROW_COUNT;
  RETURN v_pruned;
END
$$;
COMMENT ON FUNCTION ingest.prune_claims IS
  'Deletes up to p_limit claims older than p_keep, oldest first; the newest of every stream stays';

GRANT SELECT, INSERT ON ingest.stream, ingest.gap, ingest.shed, ingest.rejected TO standwatch_node;
GRANT SELECT, INSERT, DELETE ON ingest.claim, ingest.upkeep TO standwatch_node;
GRANT SELECT ON ingest.stream, ingest.claim, ingest.gap, ingest.shed TO standwatch_analyst, standwatch_auditor;
GRANT SELECT ON ingest.rejected TO standwatch_auditor;
GRANT EXECUTE ON FUNCTION ingest.committed, ingest.register, ingest.take, ingest.take_gap, ingest.prune_claims
  TO standwatch_node;

RESET ROLE;

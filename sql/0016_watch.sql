-- Live mode: hosts that somebody looks at right now. The active node tells their agents to send samples each second.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE ingest.watch (
  host text PRIMARY KEY CHECK (octet_length(host) BETWEEN 1 AND 200),
  until timestamptz NOT NULL
);
COMMENT ON TABLE ingest.watch IS 'Hosts whose agents send samples each second while somebody watches';
COMMENT ON COLUMN ingest.watch.host IS 'As it stands in records';
COMMENT ON COLUMN ingest.watch.until IS 'When the watch ends, unless it is prolonged';

CREATE FUNCTION ingest.watch_host(p_host text, p_seconds integer) RETURNS timestamptz
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  v_until timestamptz;
BEGIN
  IF p_seconds NOT BETWEEN 1 AND 600 THEN
    RAISE EXCEPTION 'a watch lasts 1 to 600 seconds, not %', p_seconds USING ERRCODE = '22023';
  END IF;
  DELETE FROM ingest.watch AS w WHERE w.until < pg_catalog.clock_timestamp();
  -- Bounded: each watched host sends ten times as much as others.
  IF (SELECT count(*) FROM ingest.watch AS w WHERE w.host <> p_host) >= 256 THEN
    RAISE EXCEPTION 'at most 256 hosts are watched at a time' USING ERRCODE = '54000';
  END IF;
  INSERT INTO ingest.watch AS w (host, until)
    VALUES (p_host, pg_catalog.clock_timestamp() + p_seconds * interval '1 second')
    ON CONFLICT (host) DO UPDATE SET until = greatest(w.until, excluded.until)
    RETURNING w.until INTO v_until;
  RETURN v_until;
END
$$;
COMMENT ON FUNCTION ingest.watch_host IS
  'Watches a host for so many seconds (1 to 600) from now on: its agent sends samples each second. Ask again to go on';

CREATE FUNCTION ingest.watched() RETURNS TABLE (host text, seconds integer)
  LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  AS $$
  SELECT w.host, pg_catalog.ceil(extract(epoch FROM w.until - pg_catalog.clock_timestamp()))::integer
  FROM ingest.watch AS w
  WHERE w.until > pg_catalog.clock_timestamp()
  ORDER BY w.host
  LIMIT 256
$$;
COMMENT ON FUNCTION ingest.watched IS 'Hosts that are watched now, and for how many seconds more';

REVOKE ALL ON FUNCTION ingest.watch_host, ingest.watched FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest.watch_host, ingest.watched TO standwatch_node;
GRANT SELECT ON ingest.watch TO standwatch_node, standwatch_analyst, standwatch_auditor;

RESET ROLE;

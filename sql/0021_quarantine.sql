-- Crashes of workers with what they had in hand, and what is refused because it was in hand at two of them. Written by
-- whichever node saw the crash, active or not: the other one, which takes over, has to know.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE ingest.crash (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  node text NOT NULL,
  signal integer NOT NULL,
  protocol text NOT NULL,
  source text NOT NULL,
  address text NOT NULL,
  exact boolean NOT NULL,
  digest bytea NOT NULL,
  bytes bytea NOT NULL
);
COMMENT ON TABLE ingest.crash IS 'Crashes of workers while they decoded what a source had sent';
COMMENT ON COLUMN ingest.crash.signal IS 'The signal that ended the worker: 4 is a trap (SIGILL), 11 SIGSEGV, 6 SIGABRT; 255 that it hung';
COMMENT ON COLUMN ingest.crash.source IS 'As the sender named itself, else its address';
COMMENT ON COLUMN ingest.crash.exact IS 'Whether the bytes are the one record or body that was decoded, and all of it';
COMMENT ON COLUMN ingest.crash.digest IS 'SHA-256 of the bytes';
COMMENT ON COLUMN ingest.crash.bytes IS 'What was in hand, at most 256 KiB';
CREATE INDEX crash_at ON ingest.crash (at);

CREATE TABLE ingest.quarantine (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  node text NOT NULL,
  scope text NOT NULL CHECK (scope IN ('bytes', 'source', 'address')),
  protocol text NOT NULL,
  source text NOT NULL,
  address text NOT NULL,
  digest bytea NOT NULL,
  bytes bytea NOT NULL,
  crashes integer NOT NULL,
  released_at timestamptz,
  released_by text
);
COMMENT ON TABLE ingest.quarantine IS 'What was in hand at two crashes of a worker, and is refused until it is released';
COMMENT ON COLUMN ingest.quarantine.scope IS
  'bytes: this record or body alone; source: all of the source over this protocol; address: all from the address';
COMMENT ON COLUMN ingest.quarantine.bytes IS 'What was in hand at the last of the crashes, at most 256 KiB';
COMMENT ON COLUMN ingest.quarantine.crashes IS 'Crashes within the hour before';
CREATE UNIQUE INDEX quarantine_standing ON ingest.quarantine (
  scope, (CASE WHEN scope = 'address' THEN '' ELSE protocol END), (CASE WHEN scope = 'address' THEN address ELSE source END),
  (CASE WHEN scope = 'bytes' THEN digest ELSE ''::bytea END)
) WHERE released_at IS NULL;

CREATE FUNCTION ingest.note_crash(
  p_node text, p_signal integer, p_protocol text, p_source text, p_address text, p_exact boolean, p_bytes bytea
) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_since timestamptz := pg_catalog.clock_timestamp() - interval '1 hour';
  v_digest bytea := pg_catalog.sha256(p_bytes);
  v_scope text;
  v_crashes integer;
  v_sources integer;
  v_id bigint;
BEGIN
  -- Two nodes may note a crash each at the same time: the second sees the first.
  LOCK TABLE ingest.crash IN SHARE ROW EXCLUSIVE MODE;
  INSERT INTO ingest.crash (node, signal, protocol, source, address, exact, digest, bytes)
    VALUES (p_node, p_signal, p_protocol, p_source, p_address, p_exact, v_digest, p_bytes);
  -- Bounded: only the newest thousand are kept.
  DELETE FROM ingest.crash AS c WHERE c.id <= (
    SELECT o.id FROM ingest.crash AS o ORDER BY o.id DESC OFFSET 1000 LIMIT 1);
  SELECT count(*) INTO v_crashes FROM ingest.crash AS c
    WHERE c.protocol = p_protocol AND c.source = p_source AND c.at > v_since;
  SELECT count(DISTINCT (c.protocol, c.source)) INTO v_sources FROM ingest.crash AS c
    WHERE c.address = p_address AND c.at > v_since;
  IF v_crashes >= 2 THEN
    -- One record can be set aside and its source go on, unless the source has more of them.
    v_scope := CASE
      WHEN p_exact AND NOT EXISTS (
        SELECT FROM ingest.crash AS c WHERE c.protocol = p_protocol AND c.source = p_source AND c.at > v_since
          AND c.exact AND c.digest <> v_digest) THEN 'bytes'
      ELSE 'source' END;
  ELSIF v_sources >= 5 AND p_address <> '' THEN
    -- A sender that gives itself another name each time.
    v_scope := 'address';
  ELSE
    RETURN 0;
  END IF;
  INSERT INTO ingest.quarantine (node, scope, protocol, source, address, digest, bytes, crashes)
    VALUES (p_node, v_scope, p_protocol, p_source, p_address, v_digest, p_bytes, greatest(v_crashes, v_sources))
    ON CONFLICT DO NOTHING RETURNING id INTO v_id;
  IF v_id IS NOT NULL THEN
    INSERT INTO ha.event (kind, node, reason) VALUES ('quarantined', p_node, pg_catalog.format(
      '%s of %s over %s: in hand at %s crashes of a worker (hactl quarantine)',
      CASE v_scope WHEN 'bytes' THEN 'a record' WHEN 'source' THEN 'everything' ELSE 'everything from the address' END,
      CASE v_scope WHEN 'address' THEN p_address ELSE p_source END, p_protocol, greatest(v_crashes, v_sources)));
  END IF;
  RETURN coalesce(v_id, 0);
END
$$;
COMMENT ON FUNCTION ingest.note_crash IS
  'Writes down a crash and what was in hand; at the second within an hour quarantines it (the id) or not yet (0)';

CREATE FUNCTION ingest.quarantined() RETURNS TABLE (
  id bigint, scope text, protocol text, source text, address text, digest bytea
)
  LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT q.id, q.scope, q.protocol, q.source, q.address, q.digest FROM ingest.quarantine AS q
    WHERE q.released_at IS NULL
  UNION ALL
  SELECT DISTINCT 0::bigint, 'suspect', c.protocol, c.source, '', ''::bytea FROM ingest.crash AS c
    WHERE c.at > pg_catalog.now() - interval '1 hour'
$$;
COMMENT ON FUNCTION ingest.quarantined IS
  'What is refused, and (scope suspect) sources in hand at a crash within the hour, which are handled one record at a time';

CREATE FUNCTION ingest.release_quarantine(p_id bigint, p_operator text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_row ingest.quarantine;
BEGIN
  UPDATE ingest.quarantine AS q SET released_at = pg_catalog.clock_timestamp(), released_by = p_operator
    WHERE q.id = p_id AND q.released_at IS NULL RETURNING q.* INTO v_row;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO ha.event (kind, node, reason) VALUES ('released', NULL,
    pg_catalog.format('quarantine %s (%s over %s) by %s', p_id, v_row.source, v_row.protocol, p_operator));
  RETURN true;
END
$$;
COMMENT ON FUNCTION ingest.release_quarantine IS 'Takes records of a quarantined source again; false when none has this id';

REVOKE ALL ON FUNCTION ingest.note_crash, ingest.quarantined, ingest.release_quarantine FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest.note_crash, ingest.quarantined, ingest.release_quarantine TO standwatch_node;
GRANT SELECT ON ingest.crash, ingest.quarantine TO standwatch_node, standwatch_auditor;

RESET ROLE;

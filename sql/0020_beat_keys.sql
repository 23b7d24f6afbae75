-- Rotation of the key that beats are signed with: what each node has, and the new key on its way.
--
-- The new key is only here encrypted (AES-256-GCM) under a key made from the present one: who holds the present key can
-- read it, so after that was stolen hactl key rotate --by-hand keeps the new one out of here. Key files decide what a node
-- does; nothing here makes a node use or drop a key.

SET LOCAL ROLE standwatch_owner;

CREATE TABLE ha.key_rotation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  present text NOT NULL CHECK (present ~ '^[0-9a-f]{16}$'),
  next text NOT NULL CHECK (next ~ '^[0-9a-f]{16}$'),
  wrapped bytea CHECK (octet_length(wrapped) BETWEEN 1 AND 200),
  began_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  began_by text NOT NULL
);
COMMENT ON TABLE ha.key_rotation IS 'The rotation of the beats'' key that is under way; no row when there is none';
COMMENT ON COLUMN ha.key_rotation.one IS 'There is one row at most';
COMMENT ON COLUMN ha.key_rotation.present IS 'Fingerprint of the key that is replaced';
COMMENT ON COLUMN ha.key_rotation.next IS 'Fingerprint of the new key';
COMMENT ON COLUMN ha.key_rotation.wrapped IS 'The new key, encrypted under the present one; NULL when it is copied by hand';
COMMENT ON COLUMN ha.key_rotation.began_by IS 'Who began it, as the command saw them';

CREATE TABLE ha.node_key (
  node text PRIMARY KEY,
  incarnation bigint NOT NULL,
  signs text NOT NULL,
  accepts text[] NOT NULL,
  reported_at timestamptz NOT NULL
);
COMMENT ON TABLE ha.node_key IS 'The keys of the beats that each node uses now, as fingerprints; reported each second';
COMMENT ON COLUMN ha.node_key.incarnation IS 'Of the run that reported';
COMMENT ON COLUMN ha.node_key.signs IS 'The key that its beats are signed with';
COMMENT ON COLUMN ha.node_key.accepts IS 'The keys that others'' beats may be signed with';
COMMENT ON COLUMN ha.node_key.reported_at IS 'When it reported last';
GRANT SELECT ON ha.key_rotation, ha.node_key TO standwatch_node;

CREATE FUNCTION ha.report_keys(p_node text, p_incarnation bigint, p_signs text, p_accepts text[]) RETURNS void
  LANGUAGE sql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  AS $$
  INSERT INTO ha.node_key AS k (node, incarnation, signs, accepts, reported_at)
    SELECT p_node, p_incarnation, p_signs, p_accepts, pg_catalog.clock_timestamp()
    FROM ha.node AS n WHERE n.node = p_node
  ON CONFLICT (node) DO UPDATE SET incarnation = excluded.incarnation, signs = excluded.signs,
    accepts = excluded.accepts, reported_at = excluded.reported_at
    WHERE k.incarnation <= excluded.incarnation
  $$;
COMMENT ON FUNCTION ha.report_keys IS 'What a node that has shown a beat says of its keys; an older run says nothing any more';

CREATE FUNCTION ha.offer_key(p_present text, p_next text, p_wrapped text, p_by text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  INSERT INTO ha.key_rotation (present, next, wrapped, began_by)
    VALUES (p_present, p_next, pg_catalog.decode(p_wrapped, 'hex'), p_by)
    ON CONFLICT DO NOTHING;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ha.offer_key IS
  'Begins a rotation (p_wrapped: hexadecimal, NULL by hand); false when another one is under way';

CREATE FUNCTION ha.end_key_rotation(p_next text, p_by text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  DELETE FROM ha.key_rotation AS r WHERE r.next = p_next;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM ha.note_event('key-rotated', NULL, NULL, NULL, pg_catalog.concat_ws(': ', p_by, p_next));
  RETURN true;
END
$$;
COMMENT ON FUNCTION ha.end_key_rotation IS 'Forgets the new key when every node has nothing else any more; true for who did it';

REVOKE ALL ON FUNCTION ha.report_keys, ha.offer_key, ha.end_key_rotation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ha.report_keys, ha.offer_key, ha.end_key_rotation TO standwatch_node;

RESET ROLE;

-- Tokens: who may send under which source's name. Nodes keep them in memory, are told of every change by NOTIFY, and
-- look each second in case one was not heard.
--
-- A token is 256 random bits, so SHA-256 of it is enough: nobody can guess what has that hash, and a slow hash, made for
-- passwords, would only slow hellos down. hactl makes the token and sends its hash: what could be used never comes here.
-- The nodes' login writes (hactl uses it), by these functions alone; analysts and auditors see nothing of it.

CREATE SCHEMA auth AUTHORIZATION standwatch_owner;

SET LOCAL ROLE standwatch_owner;

COMMENT ON SCHEMA auth IS 'Who may send: tokens of sources, as hashes';
GRANT USAGE ON SCHEMA auth TO standwatch_node;

CREATE TABLE auth.token (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  source text NOT NULL CHECK (
    octet_length(source) BETWEEN 1 AND 200 AND source !~ '[[:cntrl:]]' AND pg_catalog.strpos(source, '*') IN (0, length(source))),
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  comment text NOT NULL DEFAULT '' CHECK (octet_length(comment) <= 1000),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  created_by text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  revoked_at timestamptz,
  revoked_by text
);
COMMENT ON TABLE auth.token IS 'Tokens of sources; a revoked one stays, so that its sender is told so';
COMMENT ON COLUMN auth.token.id IS 'Part of the token''s text, so that a token that was found somewhere can be revoked';
COMMENT ON COLUMN auth.token.source IS 'The source it is bound to; with * at the end, every source that begins so';
COMMENT ON COLUMN auth.token.hash IS 'SHA-256 of the 32 random bytes';
COMMENT ON COLUMN auth.token.comment IS 'What the operator wrote about it';
COMMENT ON COLUMN auth.token.created_by IS 'Who made it, as the command saw them';
COMMENT ON COLUMN auth.token.changed_at IS 'When it was made or revoked';
COMMENT ON COLUMN auth.token.revoked_at IS 'Since when it is refused; NULL while it is valid';
GRANT SELECT ON auth.token TO standwatch_node;

CREATE TABLE auth.state (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  revision bigint NOT NULL
);
COMMENT ON TABLE auth.state IS 'One row, by which nodes see that tokens changed';
COMMENT ON COLUMN auth.state.one IS 'There is one row';
COMMENT ON COLUMN auth.state.revision IS 'Grows with every change of a token';
INSERT INTO auth.state (revision) VALUES (1);
GRANT SELECT ON auth.state TO standwatch_node;

CREATE FUNCTION auth.changed() RETURNS void
  LANGUAGE plpgsql VOLATILE
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  -- Behind this row all changes come one after the other: no reader can see a later revision and miss an earlier change.
  UPDATE auth.state SET revision = revision + 1;
  PERFORM pg_catalog.pg_notify('standwatch_tokens', '');
END
$$;
COMMENT ON FUNCTION auth.changed IS 'Tells all nodes that a token changed; only called by the functions beside it';

CREATE FUNCTION auth.add_token(p_source text, p_hash text, p_by text, p_comment text) RETURNS bigint
  LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '2s'
  AS $$
DECLARE
  v_id bigint;
BEGIN
  PERFORM auth.changed();
  IF (SELECT count(*) FROM auth.token AS t WHERE t.revoked_at IS NULL) >= 100000 THEN
    RAISE EXCEPTION 'there are 100,000 valid tokens already' USING ERRCODE = '54000',
      HINT = 'Revoke those that are not used, or bind one to a family of sources.';
  END IF;
  INSERT INTO auth.token (source, hash, created_by, comment)
    VALUES (p_source, pg_catalog.decode(p_hash, 'hex'), p_by, coalesce(p_comment, ''))
    RETURNING id INTO v_id;
  RETURN v_id;
END
$$;
COMMENT ON FUNCTION auth.add_token IS 'Takes the hash (hexadecimal SHA-256) of a new token; answers its id';

CREATE FUNCTION auth.revoke_token(p_id bigint, p_by text) RETURNS TABLE (source text, was_revoked boolean)
  LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '2s'
  AS $$
BEGIN
  PERFORM auth.changed();
  SELECT t.source, t.revoked_at IS NOT NULL INTO source, was_revoked FROM auth.token AS t WHERE t.id = p_id;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  UPDATE auth.token AS t
    SET revoked_at = pg_catalog.clock_timestamp(), revoked_by = p_by, changed_at = pg_catalog.clock_timestamp()
    WHERE t.id = p_id AND t.revoked_at IS NULL;
  -- A year of those that are refused by name is enough; and nobody fills the nodes' memory with them.
  DELETE FROM auth.token AS t
    WHERE t.revoked_at < pg_catalog.clock_timestamp() - interval '1 year'
      OR t.id IN (SELECT o.id FROM auth.token AS o WHERE o.revoked_at IS NOT NULL ORDER BY o.revoked_at DESC OFFSET 100000);
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION auth.revoke_token IS
  'From now on the token is refused, and its connections are closed; no row where there is no such token';

REVOKE ALL ON FUNCTION auth.changed, auth.add_token, auth.revoke_token FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.add_token, auth.revoke_token TO standwatch_node;

INSERT INTO ha.setting (key, default_value, kind, least, most, pattern, description) VALUES
  ('require_tokens', 'off', 'text', NULL, NULL, 'on|off', 'Whether senders have to show a token (hactl token)'),
  ('open_protocols', '', 'text', NULL, NULL,
    '((syslog|forward|zabbix|influx-tcp|anonymous)(,(syslog|forward|zabbix|influx-tcp|anonymous))*)?',
    'Protocols without tokens that are taken even so: syslog, forward, zabbix, influx-tcp, anonymous; commas between');

-- Settings that decide about connections are as urgent as tokens.
CREATE FUNCTION auth.setting_changed() RETURNS trigger
  LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  PERFORM auth.changed();
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION auth.setting_changed IS 'Tells all nodes of a new require_tokens or open_protocols';
REVOKE ALL ON FUNCTION auth.setting_changed FROM PUBLIC;
CREATE TRIGGER tokens_are_told AFTER UPDATE ON ha.setting
  FOR EACH ROW WHEN (new.key IN ('require_tokens', 'open_protocols') AND new.value IS DISTINCT FROM old.value)
  EXECUTE FUNCTION auth.setting_changed();

RESET ROLE;

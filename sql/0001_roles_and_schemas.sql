-- Roles, schemas and the list of applied migrations.
--
-- Run by `hactl migrate` in one transaction, as a superuser or as an owner of the database with CREATEROLE.
-- A site makes its own login: CREATE ROLE standwatch LOGIN PASSWORD '...' IN ROLE standwatch_node;
-- one login for all nodes, because a node may end only the sessions of its own role.
-- standwatch_analyst and standwatch_auditor can log in, but have no password until the site sets one: a role's
-- settings (statement_timeout) hold only for the role that logs in, so members of them need their own ALTER ROLE.

DO $roles$
DECLARE
  missing text;
BEGIN
  FOREACH missing IN ARRAY ARRAY['standwatch_owner', 'standwatch_node', 'standwatch_analyst', 'standwatch_auditor']
  LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = missing) THEN
      IF missing IN ('standwatch_owner', 'standwatch_node') THEN
        EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', missing);
      ELSE
        EXECUTE pg_catalog.format('CREATE ROLE %I LOGIN', missing);
        EXECUTE pg_catalog.format('ALTER ROLE %I SET default_transaction_read_only = on', missing);
        EXECUTE pg_catalog.format('ALTER ROLE %I SET statement_timeout = %L', missing, '5min');
        EXECUTE pg_catalog.format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', missing, '1min');
      END IF;
    END IF;
  END LOOP;
  IF NOT pg_catalog.pg_has_role(current_user, 'standwatch_owner', 'MEMBER') THEN
    EXECUTE pg_catalog.format('GRANT standwatch_owner TO %I', current_user);
  END IF;
END
$roles$;

CREATE SCHEMA ha AUTHORIZATION standwatch_owner;
CREATE SCHEMA ingest AUTHORIZATION standwatch_owner;
CREATE SCHEMA telemetry AUTHORIZATION standwatch_owner;

-- Whoever could take the leader's advisory lock could stop the cluster; by default that is everybody.
DO $advisory$
DECLARE
  lock_function pg_catalog.regprocedure;
BEGIN
  FOR lock_function IN
    SELECT p.oid::pg_catalog.regprocedure
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
      AND (pg_catalog.starts_with(p.proname::text, 'pg_advisory_')
        OR pg_catalog.starts_with(p.proname::text, 'pg_try_advisory_'))
      AND pg_catalog.pg_has_role(current_user, p.proowner, 'USAGE')
  LOOP
    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO standwatch_node, standwatch_owner', lock_function);
    EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', lock_function);
  END LOOP;
  IF pg_catalog.has_function_privilege('public', 'pg_catalog.pg_advisory_lock(bigint)', 'EXECUTE') THEN
    RAISE NOTICE 'the advisory lock functions stay open to everybody: only a superuser can close them'
      USING HINT = 'Run "hactl doctor"; it prints the statements a superuser has to run.';
  END IF;
END
$advisory$;

SET LOCAL ROLE standwatch_owner;

COMMENT ON SCHEMA ha IS 'Who leads: leadership, nodes, operators'' wishes, events and drills';
COMMENT ON SCHEMA ingest IS 'What was taken in: streams, claims, and everything that was refused, missing or shed';
COMMENT ON SCHEMA telemetry IS 'The records themselves (partitioned by ts) and the dictionaries of their names';

-- Functions are for whom they are granted to; PostgreSQL's own default is everybody.
ALTER DEFAULT PRIVILEGES FOR ROLE standwatch_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

GRANT USAGE ON SCHEMA ha, ingest, telemetry TO standwatch_node, standwatch_analyst, standwatch_auditor;

CREATE TABLE ha.migration (
  number integer PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  applied_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE ha.migration IS 'Migrations that were applied, written by hactl migrate in the transaction of each';
COMMENT ON COLUMN ha.migration.checksum IS 'SHA-256 of the file as applied, hexadecimal: a changed file is refused';
GRANT SELECT ON ha.migration TO standwatch_node, standwatch_analyst, standwatch_auditor;

RESET ROLE;

// What analysts could do beside reading: limits that their logins lack, and what PostgreSQL leaves open to everybody.
internal import Platform
internal import Postgres

func checkAnalysts(
  _ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup
) throws {
  let unlimited = try session.run(
    """
    SELECT r.rolname FROM pg_roles AS r WHERE r.rolcanlogin AND NOT r.rolsuper \
    AND pg_has_role(r.oid, 'standwatch_analyst', 'MEMBER') AND NOT EXISTS (SELECT FROM unnest(r.rolconfig) AS s(setting) \
    WHERE s.setting LIKE 'statement_timeout=%' AND split_part(s.setting, '=', 2) <> '0') ORDER BY 1
    """, deadline: deadline
  ).rows.map { TextRow($0)[0] ?? "?" }
  for login in unlimited {
    checkup.warn(
      "statements of the analyst \(login) never end by themselves: a login does not inherit settings",
      "as a superuser: ALTER ROLE \(login) SET statement_timeout = '5min'; report.analyst_login() has the rest")
  }
  let open = TextRow(
    try session.run(
      """
      SELECT has_database_privilege('standwatch_analyst', current_database(), 'TEMPORARY'), \
      (SELECT count(*) FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace \
      AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite', 'pg_logical_emit_message') \
      AND has_function_privilege('standwatch_analyst', p.oid, 'EXECUTE')), current_database()
      """, deadline: deadline
    ).rows.first ?? [])
  if open.boolean(0) {
    checkup.warn(
      "analysts can fill the disk with temporary tables",
      "as a superuser: REVOKE TEMPORARY ON DATABASE \(open[2] ?? "?") FROM PUBLIC")
  }
  if (open.integer(1) ?? 0) > 0 {
    checkup.warn(
      "analysts can write large objects or log records",
      "as a superuser: DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid::regprocedure FROM pg_proc WHERE proname "
        + "~ '^(lo_(creat|create|from_bytea|open|put|truncate|truncate64|unlink)|lowrite|pg_logical_emit_message)$' LOOP "
        + "EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$")
  }
}

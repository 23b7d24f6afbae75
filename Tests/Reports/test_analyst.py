"""What an analyst can't do, and that every report has an example that runs."""
import re
import unittest

from session import ROOT, make_database, psql

DATABASE = "analysts"
# Statement and the SQLSTATE with which it has to fail, though the session has taken back what it can.
FORBIDDEN = [
    ("INSERT INTO telemetry.app (id, name) VALUES (1, 'x')", "42501"),
    ("UPDATE ha.leadership SET epoch = 0", "42501"),
    ("DELETE FROM telemetry.queue", "42501"),
    ("TRUNCATE telemetry.log", "42501"),
    ("BEGIN READ WRITE; LOCK TABLE telemetry.log IN ROW EXCLUSIVE MODE", "42501"),
    ("BEGIN READ WRITE; LOCK TABLE ha.fence IN ACCESS SHARE MODE", "42501"),
    ("SELECT * FROM telemetry.log FOR UPDATE", "42501"),
    ("SELECT token FROM ha.leadership", "42501"),
    ("SELECT raw FROM ingest.rejected", "42501"),
    ("SELECT rolpassword FROM pg_authid", "42501"),
    ("SELECT pg_advisory_lock(1)", "42501"),
    ("SELECT pg_try_advisory_xact_lock(1)", "42501"),
    ("SELECT ha.wait_leader(1)", "42501"),
    ("SELECT telemetry.ensure_partitions(1, 1)", "42501"),
    ("SELECT telemetry.fold_rollups('0')", "42501"),
    ("CREATE TEMPORARY TABLE mine (a integer)", "42501"),
    ("CREATE TABLE mine (a integer)", "42501|3F000"),
    ("CREATE TABLE public.mine (a integer)", "42501|3F000"),
    ("CREATE TABLE report.mine (a integer)", "42501"),
    ("CREATE FUNCTION report.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "42501"),
    ("CREATE SCHEMA mine", "42501"),
    ("CREATE ROLE mine", "42501"),
    ("ALTER ROLE standwatch_analyst CONNECTION LIMIT -1", "42501"),
    ("SET ROLE standwatch_owner", "42501"),
    ("SET temp_file_limit = -1", "42501"),
    ("SET session_replication_role = replica", "42501"),
    ("SELECT lo_from_bytea(0, 'x')", "42501"),
    ("SELECT lo_create(0)", "42501"),
    ("SELECT pg_logical_emit_message(false, 'x', 'y')", "42501"),
    ("SELECT pg_read_file('/etc/passwd')", "42501"),
    ("COPY telemetry.app TO PROGRAM 'true'", "42501"),
    ("COPY telemetry.app TO '/tmp/x'", "42501"),
    ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'", "42501"),
    ("ALTER SYSTEM SET work_mem = '1GB'", "42501"),
]


class Analysts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        make_database(DATABASE)

    @classmethod
    def tearDownClass(cls):
        psql("postgres", "-c", f"DROP DATABASE {DATABASE} WITH (FORCE)")

    def analyst(self, *statements):
        return psql(DATABASE, "-v", "VERBOSITY=sqlstate", *[part for each in statements for part in ("-c", each)],
                    user="standwatch_analyst", check=False)

    def test_an_analyst_only_reads_even_after_taking_back_every_setting_that_can_be(self):
        for statement, state in FORBIDDEN:
            status, said = self.analyst("SET default_transaction_read_only = off", statement)
            self.assertNotEqual(status, 0, f"{statement}\n{said}")
            self.assertRegex(said, rf"ERROR:  ({state})", statement)

    def test_statements_of_an_analyst_end_by_themselves(self):
        self.assertEqual(self.analyst("SHOW statement_timeout", "SHOW jit", "SHOW lock_timeout",
            "SHOW temp_file_limit"),
                         (0, "5min\noff\n2s\n10GB\n"))
        status, said = self.analyst("SET statement_timeout = '200ms'", "SELECT pg_sleep(60)")
        self.assertNotEqual(status, 0)
        self.assertIn("57014", said)

    def test_a_login_made_as_the_documents_say_has_the_limits_and_one_made_otherwise_is_named(self):
        made = psql(DATABASE, "-c", "SELECT statement FROM report.analyst_login('anna')")[1].splitlines()
        self.addCleanup(psql, DATABASE, "-c", "DROP ROLE anna", "-c", "DROP ROLE careless")
        psql(DATABASE, *[part for each in made for part in ("-c", each)])
        psql(DATABASE, "-c", "CREATE ROLE careless LOGIN IN ROLE standwatch_analyst")
        said = psql(DATABASE, "-c", "SHOW statement_timeout", "-c", "SHOW temp_file_limit", "-c",
                    "SELECT count(*) FROM report.queue_now", user="anna")[1]
        self.assertEqual(said, "5min\n10GB\n0\n")
        self.assertEqual(psql(DATABASE, "-c", "SHOW statement_timeout", user="careless")[1], "0\n")
        said = psql(DATABASE, "-c", "SELECT login, safe FROM report.login WHERE login IN ('anna', 'careless', "
                    "'standwatch_analyst') ORDER BY 1", user="anna")[1]
        self.assertEqual(said, "anna|t\ncareless|f\nstandwatch_analyst|t\n")

    def test_every_report_has_a_comment_with_an_example_that_runs_on_empty_tables(self):
        psql(DATABASE, "-c", "SELECT telemetry.ensure_partitions(8, 1), telemetry.ensure_rollups(8, 1)")
        said = psql(DATABASE, "-c", """
            SELECT p.oid::regprocedure::text || '|' || coalesce(replace(obj_description(p.oid), E'\\n', ' '), '')
            FROM pg_proc AS p WHERE p.pronamespace = 'report'::regnamespace
            UNION ALL
            SELECT c.oid::regclass::text || '|' || coalesce(replace(obj_description(c.oid), E'\\n', ' '), '')
            FROM pg_class AS c WHERE c.relnamespace = 'report'::regnamespace AND c.relkind = 'v'""")[1].splitlines()
        self.assertGreaterEqual(len(said), 50)
        examples = []
        for line in said:
            name, _, comment = line.partition("|")
            self.assertRegex(comment, r"Example: SELECT .*[^.]$", name)
            examples.append(re.search(r"Example: (.*)$", comment)[1])
        status, answer = self.analyst(*examples)
        self.assertEqual(status, 0, answer)

    def test_reports_fix_their_names_when_they_are_made(self):
        said = psql(DATABASE, "-c", "SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = "
                    "'report'::regnamespace AND (p.prosecdef OR p.prosqlbody IS NULL AND "
                    "NOT 'search_path=pg_catalog, pg_temp' = ANY (p.proconfig) OR "
                    "has_function_privilege('public', p.oid, 'EXECUTE'))")[1]
        self.assertEqual(said, "")

    def test_failures_are_the_same_in_reports_and_in_rollups(self):
        with open(f"{ROOT}/Sources/Telemetry/Failures.swift", encoding="utf-8") as file:
            listed = re.search(r"failureStatuses: \[StaticString\] = \[(.*?)\]", file.read(), flags=re.DOTALL)[1]
        words = re.findall(r'"(\w+)"', listed)
        self.assertEqual(len(words), 9)
        array = ", ".join(f"'{word}', '{word.upper()}'" for word in words)
        said = psql(DATABASE, "-c", f"SELECT bool_and(report.is_failure(w)) FROM unnest(ARRAY[{array}]) AS w",
                    "-c", "SELECT pg_get_functiondef('report.is_failure'::regproc)")[1]
        self.assertEqual(said.splitlines()[0], "t")
        self.assertEqual(len(re.findall(r"'\w+'::text", said)), len(words))


if __name__ == "__main__":
    unittest.main()

"""Steps of the documents: what analysts ask, how long things are kept, and databases beyond one server."""
import re

from document_steps import step
from documents import read
from support import wait_until


@step("README.md", "SELECT m.at")
def rolled_up(test, site, text):
    """What the rollups count is what the records are."""
    test.assertIn("|", site.sql(text))
    jobs = site.sql("SELECT count(*) FROM telemetry.job")
    test.assertEqual(site.sql("SELECT sum(m.n) FROM telemetry.minute AS m WHERE m.measure = 6"), jobs)


@step("README.md", "psql -d standwatch <<'SQL'\nSELECT statement FROM report.analyst_login")
def an_analyst_gets_a_login(test, site, text):
    site.run("postgres", text, user="postgres", folder="/var/lib/postgresql")
    test.assertEqual(site.sql("SELECT safe FROM report.login WHERE login = 'anna'"), "t")


@step("README.md", "(umask 077; echo '10.0.0.9:5432:standwatch:anna")
def an_analyst_asks(test, site, text):
    said = site.run("client", text)[1]
    for column in ("overflow_s", "p95_ms", "length_ms"):
        test.assertIn(column, said)
    test.assertNotIn("ERROR", said)


@step("README.md", "hactl report queues_at_risk")
def analysts_reports_at_a_nodes_shell(test, site, text):
    listed = site.run("a", "hactl report")[1]
    said = site.run("a", text)[1]
    for command in re.findall(r"hactl report (\w+)", text):
        test.assertRegex(listed, rf"(?m)^{command} ")
    test.assertIn("OVERFLOW_S", said)
    test.assertRegex(said, r'"app":"EQP-12","job":"weld","n":1,')


@step("README.md", "hactl config set keep_days_log")
def what_is_kept_is_a_setting(test, site, text):
    site.run("a", text)
    for command in text.splitlines():
        _, _, _, key, value = command.split()
        test.assertEqual(site.run("a", f"hactl config get {key}")[1].strip(), value)
    said = re.search(r"Records are kept .*?3,660\.", read("README.md"), flags=re.DOTALL)[0]
    promised = [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", said)]
    keys = ("queue", "step", "job", "metric", "process", "log", "web"), ("span",), ("event",), ("rollup_minute",), (
        "rollup_hour",), ("rollup_day",), ("refusals",), ("history",)
    for names, days in zip(keys, promised, strict=True):
        for name in names:
            known = site.sql(f"SELECT default_value FROM ha.setting WHERE key = 'keep_days_{name}'")
            test.assertEqual(known, str(days), name)


@step("README.md", "SELECT at, node, action")
def what_was_removed(test, site, text):
    said = site.run("client", f"psql 'host=10.0.0.9 dbname=standwatch user=anna' <<'SQL'\n{text}SQL")[1]
    test.assertIn("reason", said)


# Beyond one server, sql/scale/README.md


@step("sql/scale/README.md", 'database: { connection: "host=10.0.0.9,10.0.0.10')
def several_servers_are_named(test, site, text):
    connect_to(site, text, "/etc/standwatch/two-servers.json5")
    # Nobody is at the second address.
    test.assertEqual(site.run("a", "hactl config get keep_days_event --config /etc/standwatch/two-servers.json5")[1],
                     "400\n")


@step("sql/scale/README.md", 'database: { connection: "...", reports')
def reports_are_asked_elsewhere(test, site, text):
    """Of the primary here, as an analyst: that is who asks."""
    path = "/etc/standwatch/with-replica.json5"
    site.run("a", "install -m 600 /dev/null /etc/standwatch/analyst.pgpass\n"
             "echo '10.0.0.9:5432:standwatch:standwatch_analyst:change me three' > /etc/standwatch/analyst.pgpass")
    old = re.search(r'connection: "(.*?)"', site.read("a", "/etc/standwatch/node.json5"))[1]
    text = text.replace('"..."', f'"{old}"').replace("10.0.0.10", "10.0.0.9").replace(
        "passfile=...", "passfile=/etc/standwatch/analyst.pgpass")
    connect_to(site, text, path)
    test.assertIn("STATE", site.run("a", f"hactl report cluster_now --config {path}")[1])
    wrong = text.replace("analyst.pgpass", "nothing.pgpass")
    connect_to(site, wrong, path)
    test.assertNotEqual(site.run("a", f"hactl report cluster_now --config {path}", check=False)[0], 0)


def connect_to(site, text, path):
    """The configuration of node a with another section `database`."""
    example = site.read("a", "/etc/standwatch/node.json5")
    site.write("a", path, re.sub(r"^  database: \{.*?^  \},$", lambda _: text.strip().rstrip(",") + ",", example,
                                 flags=re.MULTILINE | re.DOTALL))
    site.run("a", f"standwatchd --check --config {path}")


@step("sql/scale/README.md", "synchronous_mode: true")
def patroni_is_told_what_postgresql_knows(test, site, text):
    for name, value in re.findall(r"^    (\w+): \"?(\w+)", text, flags=re.MULTILINE):
        site.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        site.sql("SELECT pg_reload_conf()")
        wait_until(lambda name=name, value=value: site.sql(f"SHOW {name}") == value, 10, f"{name} is {value}")
        site.sql(f"ALTER SYSTEM RESET {name}")


@step("sql/scale/README.md", "psql -1")
def citus_is_wanted_where_it_is_not(test, site, text):
    folder = "/var/tmp/clone"
    site.run("postgres", f"mkdir -p {folder}/sql && cp -r sql/scale {folder}/sql/ && chmod -R a+rX {folder}")
    status, said = site.run("postgres", text, user="postgres", folder=folder, check=False)
    test.assertNotEqual(status, 0)
    test.assertIn("the extension citus is not installed in this database", said)


@step("README.md", "scripts/fleet")
def a_simulated_site(test, site, text):
    said = site.run("client", text)[1]
    test.assertIn("0 refused", said)
    test.assertIn("the reports tell the truth", said)

"""Steps of the documents: what operators do with a cluster that runs, and the helper scripts of the service IP."""
import re

from document_steps import step, with_warnings
from documents import codes, table
from support import wait_until


@step("README.md", "hactl drill kill")
def rehearse(test, site, text):
    # It asks, and does nothing without the answer.
    active = site.wait_healed()
    status, said = site.run(active, text, check=False)
    test.assertNotEqual(status, 0, said)
    test.assertEqual(site.wait_healed(), active)
    said = site.run(active, text.strip() + " --yes")[1]
    test.assertRegex(said, "(?i)passed")
    test.assertNotEqual(site.wait_healed(), active)


@step("README.md", 'cd "$(psql')
def encrypt(test, site, text):
    site.run("postgres", text, user="postgres", folder="/var/lib/postgresql")
    site.run("postgres", "systemctl restart postgresql")
    site.wait_healed()
    folder = site.run("postgres", "psql -At -c 'SHOW data_directory'", user="postgres", folder="/")[1].strip()
    certificate = site.read("postgres", f"{folder}/standwatch.crt")
    for name in ("a", "b"):
        site.write(name, "/etc/standwatch/postgres.crt", certificate)


@step("README.md", "connection: ")
def use_the_encryption(test, site, text):
    active = site.wait_healed()
    for name in ("ab".replace(active, ""), active):
        path = "/etc/standwatch/node.json5"
        changed = re.sub(r"^ *connection: .*\n", lambda _: text, site.read(name, path), flags=re.MULTILINE)
        site.write(name, path, changed, 0o640)
        site.run(name, "systemctl restart standwatchd")
        site.wait_healed()
    sessions = site.sql("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                        "WHERE usename = 'standwatch_login'")
    test.assertEqual(sessions, "t")
    test.assertNotIn("is not encrypted", site.run("a", "hactl doctor", check=False)[1])


@step()
def the_way_to_postgresql_is_scram_over_verified_tls(test, site, _):
    """What does not fit is refused in one sentence: another authority, another name, another password."""
    test.assertEqual(site.sql("SELECT DISTINCT split_part(rolpassword, '$', 1) FROM pg_authid "
                              "WHERE rolname = 'standwatch_login'"), "SCRAM-SHA-256")
    site.run("a", "cd /etc/standwatch && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 "
                  "-subj /CN=other -keyout other.key -out other.crt\n"
                  "sed 's/[^:]*$/wrong/' pgpass > wrong.pgpass\n"
                  "chown standwatch wrong.pgpass && chmod 600 wrong.pgpass")
    path, wrong = "/etc/standwatch/node.json5", "/etc/standwatch/wrong.json5"
    for old, new, sentence in (
            ("sslrootcert=/etc/standwatch/postgres.crt", "sslrootcert=/etc/standwatch/other.crt",
             "certificate verify failed"),
            ("host=10.0.0.9 ", "host=db.example hostaddr=10.0.0.9 ", "does not match host name"),
            ("passfile=/etc/standwatch/pgpass", "passfile=/etc/standwatch/wrong.pgpass",
             "password authentication failed")):
        text = site.read("a", path)
        test.assertIn(old, text)
        site.write("a", wrong, text.replace(old, new), 0o640)
        status, said = site.run("a", f"hactl doctor --quiet --config {wrong}", check=False)
        test.assertNotEqual(status, 0, said)
        test.assertEqual(len([line for line in said.splitlines() if sentence in line]), 1, said)


@step("README.md", "mkdir -p /etc/standwatch/tls")
def make_certificates(test, site, text):
    site.run("a", text)
    for name in ("node.crt", "node.key", "ca.crt"):
        site.write("b", f"/etc/standwatch/tls/{name}", site.read("a", f"/etc/standwatch/tls/{name}"))
    site.run("b", "cd /etc/standwatch/tls && chgrp standwatch node.key && chmod 640 node.key")


@step("README.md", "syslogTLS: [")
def encrypt_the_intake(test, site, text):
    active = site.wait_healed()
    for name in ("ab".replace(active, ""), active):
        path = "/etc/standwatch/node.json5"
        changed = site.read(name, path).replace("listen: {\n", "listen: {\n" + text, 1)
        test.assertIn(text, changed)
        site.write(name, path, changed, 0o640)
        site.run(name, "standwatchd --check && systemctl restart standwatchd")
        site.wait_healed()
    test.assertRegex(site.run("a", "hactl doctor", check=False)[1], r"node.crt is valid for 82\d more days")


@step("README.md", "openssl s_client")
def what_a_sender_sees(test, site, text):
    test.assertIn("Verification: OK", site.run(site.wait_healed(), text)[1])


@step("README.md", "tls: { ca:")
def an_agent_over_tls(test, site, text):
    for name in ("ca.crt", "mes-07.crt", "mes-07.key"):
        site.run("client", "mkdir -p /etc/standwatch-agent/tls")
        site.write("client", f"/etc/standwatch-agent/tls/{name}", site.read("a", f"/etc/standwatch/tls/{name}"))
    site.run("client", "cd /etc/standwatch-agent/tls && chgrp standwatch-agent mes-07.key && chmod 640 mes-07.key")
    path = "/etc/standwatch-agent/agent.json5"
    site.write("client", path, re.sub(r"^  servers: .*\n", lambda found: found[0] + text, site.read("client", path),
                                      flags=re.MULTILINE))
    site.run("client", "standwatch-agent --check && systemctl enable --now standwatch-agent")
    wait_until(lambda: "all is well" in site.run("client", "standwatch-agent --status", check=False)[1], 20,
               lambda: site.run("client", "standwatch-agent --status", check=False)[1])
    site.run("client", "systemctl stop standwatch-agent")


@step("README.md", "zabbix_sender")
def a_zabbix_sender(test, site, text):
    """Its answer says what was stored; the nodes listen since they were restarted."""
    said = site.run("client", text)[1]
    test.assertRegex(said, "processed: 1; failed: 0")
    test.assertEqual(site.sql(
        "SELECT m.value || ' ' || h.name || ' ' || a.name || ' ' || m.labels FROM telemetry.metric AS m "
        "JOIN telemetry.metric_name AS n ON n.id = m.metric_id JOIN telemetry.host AS h ON h.id = m.host_id "
        "JOIN telemetry.app AS a ON a.id = m.app_id WHERE n.name = 'temperature'"),
        '21.5 press-7 zabbix {"parameters": "oil"}')


@step("README.md", "hactl status   ")
def day_to_day(test, site, text):
    if site.wait_healed() == "b":
        site.run("b", "hactl switchover")
    test.assertEqual(site.wait_healed(), "a")
    said = site.run("a", with_warnings(text))[1]
    test.assertEqual(site.wait_healed(), "b")
    test.assertIn("switchover", said)
    test.assertEqual(site.run("b", "hactl status")[0], 0)


@step("README.md", "systemctl daemon-reload")
def upgrade(test, site, text):
    active = site.wait_healed()
    standby = "ab".replace(active, "")
    site.run(standby, text)
    test.assertEqual(site.wait_healed(), active)
    site.run(active, "hactl switchover")
    test.assertEqual(site.wait_healed(), standby)
    site.run(active, text)
    test.assertEqual(site.wait_healed(), standby)


@step("ha/README.md", "hactl status")
def drills(test, site, text):
    active = site.wait_healed()
    wait_until(lambda: "ready to take over" in site.run(active, "hactl status", check=False)[1], 10, "peers are heard")
    said = site.run(active, text)[1]
    for kind in ("cut-peer", "switchover", "kill"):
        test.assertIn(kind, said)
    site.wait_healed()
    for name in ("a", "b"):
        status, said = site.run(name, "nft list table inet standwatch_drill", check=False)
        test.assertTrue(status == 1 and "No such file" in said, said)


@step()
def the_drills_are_those_of_the_table(test, site, _):
    said = site.run("a", "hactl drill --help")[1]
    known = re.findall(r"^  ([a-z-]+)  +\S", said[said.index("KIND is"):said.index("Runs on")], flags=re.MULTILINE)
    test.assertEqual(sorted(known), sorted(codes(row[0])[0] for row in table("ha/README.md", "KIND")))


@step("ha/README.md", "SELECT started_at")
def the_verdicts(test, site, text):
    said = site.run("postgres", f"psql -d standwatch -XAt <<'SQL'\n{text}SQL", user="postgres")[1]
    test.assertEqual(len(said.splitlines()), 3, said)
    for line in said.splitlines():
        test.assertIn("|passed|", line)
        test.assertTrue(line.endswith("|0|0"), line)


# The helper scripts, ha/README.md


@step("ha/README.md", "ip link add")
def a_script_by_hand(test, site, text):
    test.assertIn("gone, as it should be", site.run("a", text)[1])


API = r"""
import http.server
class Api(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        open("/run/api-asked", "a").write(self.path + "\n")
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("169.254.169.254", 80), Api).serve_forever()
"""


@step("ha/README.md", "#!/bin/sh")
def a_script_of_ones_own(test, site, text):
    site.write("a", "/etc/standwatch/claim-with-api", text, 0o755)
    site.write("a", "/run/api.py", API)
    site.run("a", "ip address add 169.254.169.254/32 dev lo")
    site.spawn("a", "python3", "/run/api.py")
    wait_until(lambda: site.run("a", "ss -Hlnt 'sport = :80'", wrap=False)[1].strip(), 10, "the API answers")
    said = site.run("a", """
        ip link add sw-api type veth peer name sw-api-end
        ip link set sw-api up
        export SW_ADDRESS=192.0.2.101 SW_PREFIX=32 SW_FAMILY=4 SW_INTERFACE=sw-api SW_LIFETIME=2
        /etc/standwatch/claim-with-api
        ip -o address show dev sw-api
        ip link del sw-api""")[1]
    test.assertRegex(said, r"192\.0\.2\.101/32 .* valid_lft [12]sec")
    test.assertIn("address=192.0.2.101", site.read("a", "/run/api-asked"))


@step("ha/README.md", "service: {")
def a_script_is_named_in_the_configuration(test, site, text):
    """The names of the scripts are added to the addresses that are there."""
    helpers = re.search(r"helpers: (\{.*?\})", text)[1]
    path = "/etc/standwatch/with-script.json5"
    site.write("a", path, re.sub(r"helpers: \{.*?\}", lambda _: "helpers: " + helpers,
                                 site.read("a", "/etc/standwatch/node.json5")))
    site.run("a", f"standwatchd --check --config {path}")
    test.assertIn("claim-with-api", site.run("a", f"hactl doctor --config {path}", check=False)[1])

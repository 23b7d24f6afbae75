"""Every command of README.md and ha/README.md, run as a reader would: on two servers and a PostgreSQL of their own.

Each fenced block has one step here, in the documents' order of an installation; a block without a step fails the test.
"""
import glob
import json
import os
import re
import time
import unittest

from documents import DOCUMENTS, block, blocks, codes, inline_commands, read, table
from installation import MACHINES, SERVICE_ADDRESS, Site, postgres_version
from support import ROOT, SENDERS_PYTHON

from lab.processes import run, wait_until

STEPS = []
HOST_PATHS = ("/etc/standwatch", "/usr/sbin/standwatchd", "/usr/bin/hactl", "/usr/lib/standwatch", "/run/standwatch",
              "/usr/sbin/standwatch-agent", "/etc/standwatch-agent", "/var/lib/standwatch-agent",
              "/usr/share/standwatch", "/usr/lib/systemd/system/standwatchd.service", "/usr/local/bin/systemctl")


def step(document=None, beginning=None):
    """A step of the story; it claims the block of a document that begins so."""
    def note(function):
        STEPS.append((document, beginning, function))
        return function
    return note


def with_warnings(text):
    """The doctor may warn (of priorities that a container does not give, say), and must find no error."""
    return re.sub(r"^hactl doctor", "hactl doctor || test $? = 1", text, flags=re.MULTILINE)


# The installation, README.md


@step("README.md", "apt-get")
def build_and_install(test, site, text):
    for name in ("a", "b"):
        # Here everything is installed already, and there is no way out: apt only has to know the packages.
        site.write(name, "/etc/apt/apt.conf.d/99simulate", 'APT::Get::Simulate "true";\n')
        said = site.run(name, text)[1]
        test.assertIn("install: done", said)
    test.assertEqual(site.run("a", "stat -c '%U %a' /usr/lib/standwatch/ha/vip-claim")[1].strip(), "root 755")


@step()
def everything_that_is_named_is_installed(test, site, _):
    """--destdir for the machine that only sends, and for what the documents say is where."""
    site.run("client", "scripts/install --destdir /var/tmp/tree")
    wanted = ["/usr/sbin/standwatchd", "/usr/sbin/standwatch-agent", "/usr/bin/hactl", "/usr/bin/standwatch-load",
              "/usr/lib/sysusers.d/standwatch.conf", "/usr/lib/tmpfiles.d/standwatch.conf",
              "/usr/lib/systemd/system/standwatchd.service",
              "/usr/share/bash-completion/completions/hactl", "/usr/share/zsh/vendor-completions/_hactl"]
    wanted += [f"/usr/lib/standwatch/ha/{os.path.basename(path)}" for path in glob.glob(f"{ROOT}/ha/vip-*")]
    wanted += [f"/usr/share/standwatch/sql/{os.path.basename(path)}" for path in glob.glob(f"{ROOT}/sql/*.sql")]
    unit = site.read("a", "/usr/lib/systemd/system/standwatchd.service")
    wanted += re.findall(r"file://(\S+)", unit)
    for document in DOCUMENTS:
        wanted += re.findall(r"/usr/(?:lib|share)/[\w./-]*\.(?:json5|conf|service)", read(document))
    for file, place in table("ha/README.md", "file"):
        name, target = codes(file)[0], codes(place)[0]
        names = [os.path.basename(path) for path in glob.glob(f"{ROOT}/ha/{name}")]
        test.assertTrue(names, name)
        if target.startswith("/usr"):
            wanted += [target + each if target.endswith("/") else target for each in names]
    for path in sorted(set(wanted)):
        site.run("client", f"test -s '/var/tmp/tree{path}' || {{ echo '{path} is not installed'; exit 1; }}")
    site.run("client", "cp /var/tmp/tree/usr/bin/standwatch-load /usr/bin/")
    site.run("client", "bash -n /var/tmp/tree/usr/share/bash-completion/completions/hactl")
    # A carried installation needs the libraries that are named, and no others of ours or Swift's.
    linked = site.run("client", "ldd /var/tmp/tree/usr/sbin/standwatchd /var/tmp/tree/usr/bin/hactl")[1]
    test.assertNotIn("not found", linked)
    test.assertNotIn("libswift", linked)
    for library, package in (("libpq", "libpq5"), ("libmicrohttpd", "libmicrohttpd12"), ("libgnutls", "libgnutls30"),
                             ("libcurl-gnutls", "libcurl3-gnutls"), ("libz", "zlib1g")):
        test.assertIn(f"`{package}`", read("README.md"))
        test.assertIn(f"{library}.so", linked)


@step("README.md", "createdb")
def create_the_database(test, site, text):
    # As Debian leaves a PostgreSQL that was just installed.
    version = postgres_version()
    site.run("postgres", "for folder in /etc/postgresql /var/lib/postgresql /var/log/postgresql; do "
             "mkdir -p $folder; mount -t tmpfs postgres $folder; chown postgres: $folder; done\n"
             f"pg_createcluster {version} main --start", folder="/")
    site.run("postgres", text, user="postgres", folder="/var/lib/postgresql")


@step("README.md", "systemctl restart postgresql")
def restart_postgresql(test, site, text):
    site.run("postgres", text)
    wait_until(lambda: site.run("a", "pg_isready -q -h 10.0.0.9", check=False)[0] == 0, 10, "PostgreSQL is reached")


@step("README.md", "systemd-sysusers")
def configure(test, site, text):
    for name in ("a", "b"):
        site.run(name, text)
        test.assertEqual(site.run(name, "stat -c '%U %G %a' /run/standwatch")[1].strip(), "root standwatch 1775")


@step("README.md", "openssl")
def share_the_key(test, site, text):
    site.run("a", text)
    for name in ("a", "b"):
        said = site.run(name, "stat -c '%U %G %a %s' /etc/standwatch/beat.key")[1].strip()
        test.assertEqual(said, "root standwatch 640 65")


@step("README.md", 'node: "b"')
def edit_the_configuration_of_b(test, site, text):
    """Each key of the block takes the place of the example's."""
    path = "/etc/standwatch/node.json5"
    example = site.read("b", path)
    peers = text[text.index("peers:"):]
    edited = re.sub(r'^  node: "a",$', '  node: "b",', example, flags=re.MULTILINE)
    edited = re.sub(r"^  peers: \{.*?^  \},$", lambda _: peers, edited, flags=re.MULTILINE | re.DOTALL)
    test.assertEqual(edited.count('"b"'), 1, edited)
    site.write("b", path, edited, 0o640)


@step("README.md", "standwatchd --check")
def check_the_configuration(test, site, text):
    for name in ("a", "b"):
        site.run(name, text)
    refused, said = site.run("b", "sed 's/lanes/lane/' /etc/standwatch/node.json5 > /tmp/wrong.$$; "
                             "standwatchd --check --config /tmp/wrong.$$; status=$?; rm /tmp/wrong.$$; exit $status",
                             check=False)
    test.assertEqual(refused, 78, said)


@step("README.md", "export PGPASSWORD='change me too'")
def install_the_schema(test, site, text):
    site.run("a", text)
    test.assertEqual(site.sql("SELECT count(*) FROM ha.migration"), str(len(glob.glob(f"{ROOT}/sql/*.sql"))))


@step("README.md", "systemctl enable")
def start(test, site, text):
    for name in ("a", "b"):
        site.run(name, text)
    site.wait_healed()
    wait_until(lambda: site.sql("SELECT from_ts IS NOT NULL FROM telemetry.accepted_range()") == "t", 20,
               "there are partitions")


@step("README.md", "hactl doctor\n")
def look(test, site, text):
    for name in ("a", "b"):
        said = site.run(name, with_warnings(text))[1]
        test.assertRegex(said, r"\b0 errors")
        test.assertIn(SERVICE_ADDRESS, said)
    active = site.wait_healed()
    for name in ("a", "b"):
        told = json.loads(site.run(name, "hactl status --json")[1])
        test.assertIn(f'"{active}"', json.dumps(told))


@step()
def the_unit_is_what_systemd_takes(test, site, _):
    """And as hardened as is said."""
    unit = "/usr/lib/systemd/system/standwatchd.service"
    site.run("a", f"systemd-analyze verify --man=no {unit}", folder="/")
    said = site.run("a", f"systemd-analyze security --offline=true {unit}", folder="/", check=False)[1]
    exposure = float(re.search(r"exposure level for standwatchd.service: ([\d.]+)", said)[1])
    promised = float(re.search(r"`systemd-analyze security` says ([\d.]+) or better", read("ha/README.md"))[1])
    test.assertLessEqual(exposure, promised)
    site.run("a", "test -s /run/standwatchd-unit/READY")
    wait_until(lambda: site.run("a", "test -s /run/standwatchd-unit/WATCHDOG", check=False)[0] == 0, 10,
               "the guard feeds the watchdog")


@step()
def the_pages_and_ports_answer(test, site, _):
    active = site.wait_healed()
    standby = "ab".replace(active, "")
    test.assertEqual([site.get(name, "/active")[0] for name in (active, standby)], [200, 503])
    for name in ("a", "b"):
        for page in ("/healthz", "/readyz"):
            test.assertEqual(site.get(name, page)[0], 200)
        test.assertRegex(site.get(name, "/metrics")[1], r"(?m)^standwatch_\w+")
    test.assertEqual(site.get(active, "/active", SERVICE_ADDRESS)[0], 200)
    for ports, *_ in table("README.md", "port"):
        for kind in re.findall("TCP|UDP", ports):
            number = int(re.search(r"\d+", ports)[0])
            machine = "postgres" if number == 5432 else active
            listening = site.run(machine, f"ss -Hln{'t' if kind == 'TCP' else 'u'} 'sport = :{number}'", wrap=False)[1]
            test.assertTrue(listening.strip(), f"nothing listens on {kind} {number}")


# The agent


@step("README.md", "scripts/install --agent")
def install_the_agent(test, site, text):
    """It needs the C and C++ libraries alone."""
    test.assertIn("agent done", site.run("client", text)[1])
    linked = site.run("client", "ldd /usr/sbin/standwatch-agent")[1]
    test.assertEqual(set(re.findall(r"(lib\w+)[.-]", linked)) - {"libc", "libm", "libgcc_s", "libstdc"}, set(), linked)


@step("README.md", "standwatch-agent --check")
def start_the_agent(test, site, text):
    # The journal of this machine is another's.
    path = "/etc/standwatch-agent/agent.json5"
    site.write("client", path, site.read("client", path).replace("journal: true", "journal: false")
               .replace("intervalMilliseconds: 10000", "intervalMilliseconds: 600000"))
    first, _, status = text.partition("standwatch-agent --status")
    site.run("client", first)
    wait_until(lambda: site.run("client", "standwatch-agent --status", check=False)[0] == 0, 20,
               lambda: site.run("client", "standwatch-agent --status; tail -n 9 /var/log/standwatch-agent.log",
                                check=False)[1])
    said = site.run("client", "standwatch-agent --status" + status)[1]
    test.assertIn("all is well", said)
    owner = site.run("client", 'stat -c %U "/proc/$(cat /run/standwatch-agent-unit/pid)"')[1].strip()
    test.assertEqual(owner, "standwatch-agent")


@step("README.md", "echo '{\"type\"")
def an_application_without_a_library(test, site, text):
    site.run("client", text)
    wait_until(lambda: site.sql("SELECT count(*) FROM telemetry.queue AS f JOIN telemetry.app AS a ON a.id = f.app_id "
                                "JOIN telemetry.host AS h ON h.id = f.host_id WHERE a.name = 'local' "
                                "AND h.name = 'client' AND f.depth = 31") == "1", 20, "the record is stored")


LOCAL_SENDER = r"""
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/standwatch-agent/records.sock")
s.settimeout(5)
s.sendall(sys.stdin.buffer.read())
s.shutdown(socket.SHUT_WR)
while True:
    got = s.recv(65536)
    if not got: break
    sys.stdout.buffer.write(got)
"""


@step("README.md", 'C: {"hello":{"app"')
def an_application_that_wants_answers(test, site, text):
    lines = [line.partition(": ")[::2] for line in text.splitlines()]
    site.write("client", "/run/local.py", LOCAL_SENDER)
    said = site.run("client", "python3 /run/local.py",
                    given="".join(line + "\n" for side, line in lines if side == "C"))[1]
    test.assertEqual([shape(json.loads(line)) for line in said.splitlines()],
                     [shape(json.loads(line)) for side, line in lines if side == "A"])


@step()
def somebody_watches(test, site, _):
    active = site.wait_healed()
    said = site.run(active, "hactl watch client -n 6")[1]
    test.assertIn("agent.memory_bytes", said)
    test.assertGreaterEqual(int(site.sql(
        "SELECT count(DISTINCT f.ts) FROM telemetry.metric AS f JOIN telemetry.host AS h ON h.id = f.host_id "
        "WHERE h.name = 'client'")), 3)
    site.run("client", "systemctl stop standwatch-agent")


# Sending


SENDER = r"""
import socket, sys
s = socket.create_connection(("10.0.0.100", 7400), 2)
s.settimeout(5)
s.sendall(sys.stdin.buffer.read())
s.shutdown(socket.SHUT_WR)
while True:
    got = s.recv(65536)
    if not got: break
    sys.stdout.buffer.write(got)
"""


def talk(site, lines):
    """Sends lines to the native port through the service IP; the answers, decoded."""
    site.write("client", "/run/sender.py", SENDER)
    said = site.run("client", "python3 /run/sender.py", given="".join(line + "\n" for line in lines))[1]
    return [json.loads(line) for line in said.splitlines()]


def shape(value):
    return {key: shape(each) for key, each in value.items()} if isinstance(value, dict) else type(value).__name__


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime())


@step("README.md", 'C: {"hello":{"source"')
def the_native_protocol(test, site, text):
    lines = [line.partition(": ")[::2] for line in text.splitlines()]
    sent = [re.sub(r'"ts":"[^"]*"', f'"ts":"{now()}"', line) for side, line in lines if side == "C"]
    expected = [json.loads(line) for side, line in lines if side == "S"]
    answers = talk(site, sent)
    test.assertEqual([shape(each) for each in answers], [shape(each) for each in expected])
    for key in ("committed", "window", "max_line"):
        test.assertEqual(answers[0]["welcome"][key], expected[0]["welcome"][key])
    test.assertEqual(answers[1:], expected[1:])


@step()
def the_record_types(test, site, _):
    """Every type is taken with its required fields alone, and with all of them; without one of them it is not."""
    sample = {"queue": "in", "depth": 3, "enqueued": 5, "dequeued": 2, "capacity": 10, "oldest_ms": 40, "txn": "t-1",
              "step": "s", "status": "ok", "elapsed_us": 12, "attrs": {"lot": "L1"}, "job": "j", "duration_us": 9,
              "cpu_us": 4, "sql_us": 3, "name": "cpu", "value": 0.5, "labels": {"core": "0"}, "severity": "info",
              "message": "m", "kind": "server", "process": "p", "state": "running", "pid": 7, "up_ms": 8, "restarts": 0,
              "cpu": 1.5, "memory": 4096, "threads": 2, "method": "GET", "path": "/", "code": 200, "bytes": 10,
              "client": "10.0.0.7", "session": "s", "referrer": "/", "agent": "curl", "trace": "0af7651916cd43dd" * 2,
              "span": "b7ad6b7169203331", "parent": "b7ad6b7169203332"}
    lines, good, bad = [], [], []
    for kinds, fields, _ in table("README.md", "type"):
        required, _, optional = fields.partition("[")
        base = {"type": codes(kinds)[0], "ts": now(), "host": "h", "app": "documents"}
        for chosen in (codes(required), codes(required) + codes(optional), codes(required)[1:]):
            record = {"seq": len(lines) + 1, **base, **{name: sample[name] for name in chosen}}
            (bad if chosen == codes(required)[1:] else good).append(record["seq"])
            lines.append(json.dumps(record))
    test.assertEqual(len(lines), 27)
    hello = {"hello": {"source": "documents", "stream": "0d0c0000-0000-4000-8000-000000000001", "oldest": 1}}
    answers = talk(site, [json.dumps(hello), *lines])
    test.assertEqual([each["reject"]["seq"] for each in answers if "reject" in each], bad, answers)
    test.assertEqual(max(each.get("ack", 0) for each in answers), len(lines))
    rejected = site.sql("SELECT count(*) FROM ingest.rejected")
    test.assertGreaterEqual(int(rejected), len(bad))


@step("README.md", "export PGPASSWORD='change me four'")
def load(test, site, text):
    said = site.run("client", text)[1]
    test.assertRegex(said, r"lost:? *0")


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


@step("README.md", "export PGPASSWORD='change me five'")
def an_analyst_asks(test, site, text):
    said = site.run("client", text)[1]
    for column in ("overflow_s", "p95_ms", "length_ms"):
        test.assertIn(column, said)
    test.assertNotIn("ERROR", said)


@step("README.md", "logger")
def syslog(test, site, text):
    site.run("client", text)
    wait_until(lambda: site.sql("SELECT count(*) FROM telemetry.log WHERE message = 'hello from logger'") == "1", 10,
               "the message is stored")


@step("README.md", "curl --silent")
def lines_of_json(test, site, text):
    answer = re.search(r'`(\{"stored".*?\})`', read("README.md")).group(1)
    # Of one second, so that the second one is the same.
    text = text.replace("$(date -u +%FT%TZ)", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    test.assertEqual(site.run("client", text)[1].strip(), answer)
    test.assertEqual(site.run("client", text)[1].strip(), answer.replace("false", "true"))
    test.assertEqual(site.sql("SELECT count(*) FROM telemetry.event AS e JOIN telemetry.event_kind AS k "
                              "ON k.id = e.kind_id WHERE k.name = 'deployed'"), "1")


@step("README.md", "action(type=")
def rsyslog(test, site, text):
    site.run("client", "mkdir -p /run/rsyslog")
    site.write("client", "/run/rsyslog.conf", 'global(workDirectory="/run/rsyslog")\nmodule(load="imuxsock" '
               'SysSock.Use="off")\ninput(type="imuxsock" Socket="/run/log" CreatePath="on")\n' + text)
    said = site.run("client", "rsyslogd -N1 -f /run/rsyslog.conf")[1]
    test.assertNotIn("error", said.lower().replace("0 errors", ""))
    site.spawn("client", "rsyslogd", "-n", "-f", "/run/rsyslog.conf", "-i", "/run/rsyslog.pid")
    wait_until(lambda: site.run("client", "test -S /run/log", check=False, wrap=False)[0] == 0, 10, "rsyslog listens")
    site.run("client", "logger --socket /run/log 'hello from rsyslog'")
    wait_until(lambda: site.sql("SELECT count(*) FROM telemetry.log WHERE message LIKE '%hello from rsyslog'") == "1",
               10, "the message is stored")


SDK = """
import logging
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
logs = LoggerProvider()
logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
logs.get_logger("documents").emit(body="hello from OpenTelemetry")
logs.shutdown()
"""


@step("README.md", "export OTEL_EXPORTER_OTLP_ENDPOINT")
def opentelemetry(test, site, text):
    site.write("client", "/run/sdk.py", SDK)
    site.run("client", f"{text}\n{SENDERS_PYTHON} /run/sdk.py")
    wait_until(lambda: site.sql("SELECT count(*) FROM telemetry.log WHERE message = 'hello from OpenTelemetry'") == "1",
               10, "the message is stored")
@step("README.md", "curl --fail --data-binary")
def influx(test, site, text):
    site.run("client", text)
    test.assertEqual(site.sql(
        "SELECT string_agg(n.name || '=' || m.value || ' ' || h.name || ' ' || a.name || ' ' || m.labels, '; ' "
        "ORDER BY n.name) "
        "FROM telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id "
        "JOIN telemetry.host AS h ON h.id = m.host_id JOIN telemetry.app AS a ON a.id = m.app_id "
        "WHERE n.name LIKE 'press.%'"),
        'press.running=1 press-7 plant {"line": "3"}; press.temperature=21.5 press-7 plant {"line": "3"}')


@step("README.md", "scrape: {")
def targets_are_named_in_the_configuration(test, site, text):
    path = "/etc/standwatch/with-targets.json5"
    site.write("a", path, site.read("a", "/etc/standwatch/node.json5").rstrip().removesuffix("}") + text + "}\n")
    site.run("a", f"standwatchd --check --config {path}")
    for metric in ("standwatch_scrape_target_up", "standwatch_scrapes_total"):
        test.assertIn(metric.removeprefix("standwatch_"), open(f"{ROOT}/Sources/Node/Web/Metrics.swift",
            encoding="utf-8").read())


@step("README.md", "forward: [")
def senders_of_fluent_and_zabbix_are_listened_for(test, site, text):
    path = "/etc/standwatch/with-senders.json5"
    site.write("a", path, site.read("a", "/etc/standwatch/node.json5").replace("listen: {\n    native",
                                                                              "listen: {\n" + text + "    native"))
    test.assertIn("zabbix: [\"0.0.0.0:10051\"],\n    native", site.read("a", path))
    missing = site.run("a", f"standwatchd --check --config {path}", check=False)[1]
    test.assertIn("/etc/standwatch/forward.key cannot be read", missing)
    site.run("a", "install -m 640 -g standwatch /dev/null /etc/standwatch/forward.key && "
             f"openssl rand -hex 32 > /etc/standwatch/forward.key && standwatchd --check --config {path}")


# Operating


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


# The rest


@step("README.md", "Package.swift ")
def the_layout(test, site, text):
    """What the layout names is there, and the other way round."""
    sources = set(os.listdir(os.path.join(ROOT, "Sources")))
    named = set(re.findall(r"[\w-]+", text))
    test.assertEqual({name for name in sources if not name.startswith("C")} - named, set())
    for name in re.findall(r"^([\w.]+) ", text, flags=re.MULTILINE):
        test.assertTrue(os.path.exists(os.path.join(ROOT, name)), name)


@step("README.md", "        applications")
def the_picture(test, site, text):
    for number in ("7400", "514", "7480", SERVICE_ADDRESS):
        test.assertIn(number, text)


# Blocks that run elsewhere, and where.
ELSEWHERE = {("README.md", "scripts/demo"): "test_tools.py", ("README.md", "scripts/test"): "the gate itself",
             ("README.md", ".build/release/hasim"): "test_tools.py"}

# Commands within sentences: where they run, or words of ours that are no command to type.
INLINE = {
    "README.md": {
        "scripts/demo --once": "test_tools.py",
        "scripts/install --destdir DIR": "everything_that_is_named_is_installed",
        "hactl drill": "rehearse", "hactl doctor": "look", "hactl status": "look", "hactl history": "day_to_day",
        "hactl switchover": "day_to_day",
        "hactl watch HOST": "somebody_watches",
        "hactl migrate": "install_the_schema", "hactl resume": "day_to_day", "hactl --help": "the_help",
        "hactl COMMAND --help": "the_help", "hactl no-promote NODE --off": "day_to_day",
        "systemctl restart postgresql": "encrypt",
        "journalctl -u standwatchd": "systemd's own, for the unit's name",
    },
    "ha/README.md": {
        "systemd-analyze security": "the_unit_is_what_systemd_takes",
        "nft list table inet standwatch_drill": "drills",
    },
}


@step()
def the_help(test, site, _):
    overview = site.run("a", "hactl --help")[1]
    for document in DOCUMENTS:
        for command in sorted(set(re.findall(r"\bhactl ([a-z][a-z-]+)", read(document)))):
            test.assertRegex(overview, rf"(?m)^  {command}  ", f"{document}: hactl {command}")
            site.run("a", f"hactl {command} --help")
    for document, options in (("README.md", ("status --watch", "status --json", "history --drills")),
                              ("ha/README.md", ("drill --limit", "drill --timeout", "drill --json", "drill --yes"))):
        for option in options:
            command, _, word = option.partition(" ")
            test.assertIn(word, read(document))
            test.assertIn(word, site.run("a", f"hactl {command} --help")[1])


class Documents(unittest.TestCase):
    site = None
    broken = None

    @classmethod
    def setUpClass(cls):
        cls.before = [os.path.lexists(path) for path in HOST_PATHS]
        cls.site = Site()
        cls.addClassCleanup(cls.site.remove)
        cls.site.create()

    def test_000_every_block_has_a_step(self):
        steps = [(document, beginning, function.__name__) for document, beginning, function in STEPS if document]
        steps += [(*which, where) for which, where in ELSEWHERE.items()]
        for document in DOCUMENTS:
            for language, text in blocks(document):
                claims = [name for where, beginning, name in steps if where == document and text.startswith(beginning)]
                self.assertEqual(len(claims), 1, f"{document}, claimed by {claims}:\n{text}")
                self.assertTrue(language or text.startswith(("C: ", "Package.swift", "        app")), text)
        for document, beginning, _ in steps:
            block(document, beginning)

    def test_001_every_command_in_a_sentence_is_known(self):
        names = {function.__name__ for _, _, function in STEPS}
        for document in DOCUMENTS:
            self.assertEqual(inline_commands(document), sorted(
                code for code in INLINE[document] if not re.fullmatch(r"[\w./-]+", code)))
            for where in INLINE[document].values():
                self.assertTrue(where in names or where.startswith(("test_tools", "systemd's")), where)

    def test_999_nothing_of_this_host_was_touched(self):
        self.assertEqual([os.path.lexists(path) for path in HOST_PATHS], self.before)

    def run_step(self, document, beginning, function):
        if Documents.broken:
            self.skipTest(f"{Documents.broken} failed")
        try:
            function(self, self.site, block(document, beginning) if document else None)
        except BaseException:
            Documents.broken = function.__name__
            raise


def add_steps():
    """A test for each step, in their order."""
    for number, (document, beginning, function) in enumerate(STEPS, 100):
        def test(self, document=document, beginning=beginning, function=function):
            self.run_step(document, beginning, function)
        test.__doc__ = function.__doc__
        setattr(Documents, f"test_{number}_{function.__name__}", test)


add_steps()

if __name__ == "__main__":
    unittest.main()

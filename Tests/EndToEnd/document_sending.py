"""Steps of the documents: every protocol, as its own senders speak it."""
import json
import re
import time

from document_steps import dialogue, now, shape, step, talk
from documents import codes, read, table
from support import SENDERS_PYTHON, wait_until


@step("README.md", 'C: {"hello":{"source"')
def the_native_protocol(test, site, text):
    lines = dialogue(text)
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


@step("README.md", "(umask 077; echo '10.0.0.9:5432:standwatch:standwatch_auditor")
def load(test, site, text):
    said = site.run("client", text)[1]
    test.assertRegex(said, r"lost:? *0")


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
    metrics = read("Sources/Node/Web/Metrics.swift")
    for metric in ("standwatch_scrape_target_up", "standwatch_scrapes_total"):
        test.assertIn(metric.removeprefix("standwatch_"), metrics)


@step("README.md", "forward: [")
def senders_of_fluent_and_zabbix_are_listened_for(test, site, text):
    """The nodes are restarted with it in `use_the_encryption`."""
    path = "/etc/standwatch/node.json5"
    for name in ("a", "b"):
        changed = site.read(name, path).replace("listen: {\n    native", "listen: {\n" + text + "    native")
        test.assertIn(text + "    native", changed)
        site.write(name, path, changed, 0o640)
        missing = site.run(name, "standwatchd --check", check=False)[1]
        test.assertIn("/etc/standwatch/forward.key cannot be read", missing)
        site.run(name, "install -m 640 -g standwatch /dev/null /etc/standwatch/forward.key\n"
                 "openssl rand -hex 32 > /etc/standwatch/forward.key\nstandwatchd --check")

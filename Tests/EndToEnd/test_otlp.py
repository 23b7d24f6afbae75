"""OTLP/HTTP: the OpenTelemetry SDK for Python across a takeover, both encodings, and the answers to what is wrong."""
import base64
import gzip
import json
import subprocess
import time
import unittest

from support import SENDERS_PYTHON, LabTest, wait_until

from lab.load import CLIENT
from lab.node import HTTP_PORT

# An application that is instrumented with the SDK: orders, each a span, a log record written in it, and two metrics.
# Ends after as many seconds as it is told, and says how many orders it had.
APPLICATION = r"""
import sys, time
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

seconds, endpoint = float(sys.argv[1]), sys.argv[2]
resource = Resource.create({"service.name": "shop", "host.name": "web-1", "service.version": "1.2"})
def options(signal): return {"endpoint": f"{endpoint}/v1/{signal}", "compression": Compression.Gzip, "timeout": 30}
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**options("traces")), schedule_delay_millis=200))
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**options("logs")), schedule_delay_millis=200))
metrics = MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(
    OTLPMetricExporter(**options("metrics")), export_interval_millis=400)])
tracer, logger = traces.get_tracer("orders", "3"), logs.get_logger("orders", "3")
meter = metrics.get_meter("orders")
orders, latency = meter.create_counter("orders", "1"), meter.create_histogram("latency", "ms")
end, count = time.time() + seconds, 0
while time.time() < end:
    count += 1
    with tracer.start_as_current_span("order", kind=trace.SpanKind.SERVER) as span:
        span.set_attribute("number", count)
        span.add_event("packed", {"by": "hand"})
        logger.emit(timestamp=time.time_ns(), severity_number=SeverityNumber.WARN, severity_text="WARNING",
                    body=f"from-sdk {count}", attributes={"number": count, "user": {"id": "u-1"}})
        if count % 10 == 0: span.set_status(trace.StatusCode.ERROR, "out of stock")
    orders.add(1, {"shop": "north"})
    latency.record(count % 7)
    time.sleep(0.01)
for provider in (logs, traces, metrics): provider.shutdown()
print(count)
"""
# Sends requests given as JSON on its input and gives back the answers.
POSTER = r"""
import base64, http.client, json, sys
answers = []
for host, port, path, headers, body in json.load(sys.stdin):
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request("POST", path, base64.b64decode(body), headers)
    answer = connection.getresponse()
    answers.append([answer.status, {k.lower(): v for k, v in answer.getheaders()},
                    base64.b64encode(answer.read()).decode()])
    connection.close()
json.dump(answers, sys.stdout)
"""
# The same log record in both encodings, written by the official library; identifiers in hexadecimal in JSON.
BOTH = r"""
import base64, json, sys
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
request = ExportLogsServiceRequest()
part = request.resource_logs.add()
for key, value in (("service.name", "both"), ("host.name", "web-2")):
    attribute = part.resource.attributes.add(key=key)
    attribute.value.string_value = value
record = part.scope_logs.add().log_records.add(
    time_unix_nano=int(sys.argv[1]), severity_number=17, trace_id=bytes(range(1, 17)), span_id=bytes(range(1, 9)))
record.body.string_value = "in both encodings \U0001F600"
attribute = record.attributes.add(key="list")
for number in (1, -2): attribute.value.array_value.values.add().int_value = number
tree = json.loads(json_format.MessageToJson(request, use_integers_for_enums=True))
record = tree["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
for key in ("traceId", "spanId"): record[key] = base64.b64decode(record[key]).hex().upper()
print(base64.b64encode(request.SerializeToString()).decode())
print(base64.b64encode(json.dumps(tree, indent=1).encode()).decode())
"""
PROTOBUF, JSON = {"Content-Type": "application/x-protobuf"}, {"Content-Type": "application/json"}


def logs(*records, app="otlp"):
    """A request in JSON with these log records."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": app}}]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": list(records)}]}]}).encode()


def log(message, seconds=None):
    return {"timeUnixNano": str(int((time.time() if seconds is None else seconds) * 1e9)),
            "body": {"stringValue": message}}


class OpenTelemetry(LabTest):
    def post(self, *requests, host=None):
        """Requests as (path, headers, body), one after the other; status, headers and body of each answer."""
        host = host or self.world.network.service_address
        words = [[host, HTTP_PORT, path, headers, base64.b64encode(body).decode()] for path, headers, body in requests]
        done = subprocess.run(
            ["ip", "netns", "exec", self.world.network.namespace(CLIENT), "/usr/bin/python3", "-c", POSTER],
            input=json.dumps(words).encode(), stdout=subprocess.PIPE, check=True)
        return [(status, headers, base64.b64decode(body)) for status, headers, body in json.loads(done.stdout)]

    def count(self, query):
        return int(self.world.database.value(query))

    def test_the_sdk_loses_and_doubles_nothing_in_a_takeover_and_spans_join_logs(self):
        endpoint = f"http://{self.world.network.service_address}:{HTTP_PORT}"
        process, log_path = self.spawn_sender(APPLICATION, 9, endpoint)
        wait_until(lambda: len(self.stored_messages("from-sdk")) > 50, 15, "the first log records are stored")
        self.take_over()
        self.assertEqual(process.wait(180), 0)
        with open(log_path, encoding="utf-8") as file:
            told = file.read()
        orders = int(told.split()[-1])
        self.world.wait_healed()
        stored = self.stored_messages("from-sdk")
        self.assertEqual(stored, {f"from-sdk {number}": 1 for number in range(1, orders + 1)}, told)
        row = self.world.database.sql("""
            SELECT count(*), count(DISTINCT s.span_id), count(*) FILTER (WHERE st.name = 'error'),
              min(n.name), min(a.name), min(h.name), min(s.kind), max(l.severity),
              bool_and(s.attrs ->> 'number' = l.attrs ->> 'number'), bool_and(l.attrs #>> '{resource,service.version}'
              = '1.2'), bool_and(s.attrs #>> '{events,0,attributes,by}' = 'hand'), min(l.attrs #>> '{user,id}')
            FROM telemetry.log AS l
            JOIN telemetry.span AS s ON s.trace_id = l.trace_id AND s.span_id = l.span_id
            JOIN telemetry.span_name AS n ON n.id = s.span_name_id
            JOIN telemetry.status AS st ON st.id = s.status_id
            JOIN telemetry.app AS a ON a.id = s.app_id AND a.id = l.app_id
            JOIN telemetry.host AS h ON h.id = s.host_id AND h.id = l.host_id
            WHERE starts_with(l.message, 'from-sdk ')""")[0]
        self.assertEqual(row, [str(orders), str(orders), str(orders // 10), "order", "shop", "web-1", "2", "4",
                               "t", "t", "t", "u-1"])
        self.assertEqual(self.count("SELECT count(*) FROM telemetry.span"), orders)
        # Cumulative: the last export says it all, whatever became of those before it.
        for name, value in (("orders", orders), ("latency_count", orders), ("latency_max", 6)):
            self.assertEqual(float(self.world.database.value(
                "SELECT max(m.value) FROM telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id "
                f"WHERE n.name = '{name}'")), value, name)
        self.assertEqual(self.count("SELECT count(*) FROM telemetry.metric WHERE labels ->> 'le' = '+Inf'"), self.count(
            "SELECT count(*) FROM telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id "
            "WHERE n.name = 'latency_count'"))
        self.assertEqual(self.count("SELECT count(*) FROM ingest.rejected"), 0)

    def test_both_encodings_of_a_log_record_become_the_same_row(self):
        made = subprocess.run([SENDERS_PYTHON, "-c", BOTH, str(time.time_ns())], stdout=subprocess.PIPE, check=True)
        protobuf, text = (base64.b64decode(line) for line in made.stdout.split())
        answers = self.post(("/v1/logs", PROTOBUF, protobuf), ("/v1/logs", JSON, text))
        self.assertEqual([(status, body) for status, _, body in answers], [(200, b""), (200, b"{}")])
        self.assertEqual([headers["content-type"] for _, headers, _ in answers],
                         ["application/x-protobuf", "application/json"])
        rows = self.world.database.sql(
            "SELECT ts, app_id, host_id, severity, message, trace_id, span_id, attrs FROM telemetry.log "
            "WHERE starts_with(message, 'in both')")
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows[0], rows[1])
        self.assertEqual(rows[0][3:], ["3", "in both encodings \U0001F600", "01020304-0506-0708-090a-0b0c0d0e0f10",
                                       str(0x0102030405060708), '{"list": [1, -2]}'])

    def test_a_repeated_body_is_stored_once_unless_a_record_bears_no_time(self):
        body, timeless = logs(log("once")), logs({"body": {"stringValue": "each time"}})
        packed = {**JSON, "Content-Encoding": "gzip"}
        answers = self.post(("/v1/logs", JSON, body), ("/v1/logs", packed, gzip.compress(body)),
                            ("/v1/logs", JSON, body), ("/v1/logs", JSON, timeless), ("/v1/logs", JSON, timeless))
        self.assertEqual([(status, body) for status, _, body in answers], [(200, b"{}")] * 5)
        self.assertEqual(self.stored_messages("once"), {"once": 1})
        self.assertEqual(self.stored_messages("each time"), {"each time": 2})

    def test_what_is_refused_in_part_is_counted_and_kept(self):
        before = self.count("SELECT count(*) FROM ingest.rejected")
        points = [{"timeUnixNano": str(time.time_ns()), "asDouble": value} for value in (1.5, "NaN", "Infinity")]
        metrics = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
            {"name": "partly", "gauge": {"dataPoints": points}}]}]}]}).encode()
        answers = self.post(("/v1/logs", JSON, logs(log("kept"), log("too late", 18_000_000_000))),
                            ("/v1/metrics", JSON, metrics), ("/v1/traces", JSON, b'{"resourceSpans":[]}'))
        parts = [json.loads(body).get("partialSuccess", {}) for _, _, body in answers]
        self.assertEqual([status for status, _, _ in answers], [200] * 3)
        self.assertEqual(parts[0]["rejectedLogRecords"], "1")
        self.assertIn("range", parts[0]["errorMessage"])
        self.assertEqual(parts[1], {"rejectedDataPoints": "2",
                                    "errorMessage": "partly: NaN and infinities can't be stored"})
        self.assertEqual(parts[2], {})
        self.assertEqual(self.stored_messages("kept"), {"kept": 1})
        self.assertEqual(self.count("SELECT count(*) FROM ingest.rejected") - before, 3)

    def test_what_can_not_be_taken_is_answered_as_the_specification_says(self):
        packed = {**JSON, "Content-Encoding": "gzip"}
        bomb = gzip.compress(b"\0" * (64 << 20))
        many = logs(*([{}] * 70_000))
        deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        lone = logs(log("x")).replace(b'"x"', b'"\\ud83d"')
        answers = self.post(
            ("/v1/logs", PROTOBUF, b"\x0b\x0c"), ("/v1/logs", JSON, lone), ("/v1/logs", JSON, deep),
            ("/v1/logs", {"Content-Type": "text/plain"}, b"hello"),
            ("/v1/logs", {**JSON, "Content-Encoding": "br"}, b"x"),
            ("/v1/logs", packed, bomb), ("/v1/logs", packed, b"no gzip"), ("/v1/logs", JSON, many),
            ("/v1/profiles", PROTOBUF, b""))
        self.assertEqual([status for status, _, _ in answers], [400, 400, 400, 415, 415, 413, 400, 413, 405])
        # google.rpc.Status: code 3, then the message.
        self.assertEqual(answers[0][2][:2], b"\x08\x03")
        self.assertIn(b"groups are not supported", answers[0][2])
        self.assertEqual(json.loads(answers[1][2])["code"], 3)
        self.assertIn("surrogate", json.loads(answers[1][2])["message"])
        self.assertIn("too deeply", json.loads(answers[2][2])["message"])
        self.assertNotIn("retry-after", {name for _, headers, _ in answers for name in headers})

    def test_a_standby_asks_to_try_again(self):
        self.world.wait_healed()
        (status, headers, _), = self.post(("/v1/logs", PROTOBUF, b""), host=self.world.standby().address)
        self.assertEqual(status, 503)
        self.assertGreaterEqual(int(headers["retry-after"]), 1)


if __name__ == "__main__":
    unittest.main()

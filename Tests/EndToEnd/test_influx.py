"""Influx line protocol from the official clients of both versions, across a takeover, and over TCP."""
import json
import os
import subprocess
import time
import unittest

from support import SENDERS_PYTHON, LabTest, wait_until

from lab import faults
from lab.load import CLIENT
from lab.node import HTTP_PORT
from lab.processes import spawn, stop

INFLUX_PORT = 8094
# Numbered points for some seconds; says how many there were, and which writes failed for good.
WRITER = r"""
import json, sys, time
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write.retry import WritesRetry
from influxdb_client.client.write_api import SYNCHRONOUS
kind, url, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
failed = []
retries = WritesRetry(total=20, retry_interval=0.2, max_retry_delay=1, exponential_base=1, jitter_interval=0,
                      allowed_methods=["POST"])
client = InfluxDBClient(url=url, token="t", org="o", timeout=5000, retries=retries, enable_gzip=kind == "batching")
if kind == "sync":
    api = client.write_api(write_options=SYNCHRONOUS)
else:
    options = WriteOptions(batch_size=40, flush_interval=100, jitter_interval=0, retry_interval=200, max_retries=20,
                           max_retry_delay=1000, max_retry_time=60000, exponential_base=1)
    api = client.write_api(write_options=options, error_callback=lambda conf, data, error: failed.append(str(error)))
end, number = time.time() + seconds, 0
while time.time() < end:
    number += 1
    point = (Point("counter").tag("host", "h-" + kind).tag("kind", kind).field("number", number)
             .field("half", number / 2).field("ok", number % 2 == 0).field("note", "é \"n\\\n" + str(number))
             .time(time.time_ns(), WritePrecision.NS))
    try:
        api.write(bucket="plant", record=point)
    except Exception as error:
        failed.append(repr(error))
    time.sleep(0.01)
api.close()
client.close()
print(json.dumps({"sent": number, "failed": failed}))
"""
ASKER = r"""
import json, sys
from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.client.write_api import SYNCHRONOUS
client = InfluxDBClient(url=sys.argv[1], token="t", org="o", timeout=30000, retries=False)
found = {"ping": client.ping(), "health": client.health().status}
try:
    client.write_api(write_options=SYNCHRONOUS).write(bucket="b", record="good f=1\nbad\ngood f=2")
except ApiException as error:
    found["error"] = [error.status, json.loads(error.body), error.headers.get("Retry-After")]
print(json.dumps(found))
"""
VERSION_1 = r"""
import json, sys, influxdb
client = influxdb.InfluxDBClient(sys.argv[1], int(sys.argv[2]), database="plant1")
client.create_database("plant1")
version = client.ping()
client.write_points([{"measurement": "one", "tags": {"host": "h-1", "a b": "c,d=e"}, "time": 1000 * int(sys.argv[3]),
                      "fields": {"f": 1.25, "i": 7, "t": True}}], time_precision="ms")
try:
    client.write(["one,host=h-1 f=2 x"], {"db": "plant1", "precision": "ms"}, protocol="line")
    error = None
except influxdb.exceptions.InfluxDBClientError as wrong:
    error = [wrong.code, wrong.content]
print(json.dumps({"version": version, "error": error}))
"""


class Influx(LabTest):
    options = {"change": lambda settings: settings["listen"].update(influxTCP=[f"0.0.0.0:{INFLUX_PORT}"])}

    def url(self, host=None):
        return f"http://{host or self.world.network.service_address}:{HTTP_PORT}"

    def python(self, script, *words):
        """Runs a sender on the client's machine; the JSON it prints."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.world.network.namespace(CLIENT), SENDERS_PYTHON, "-c", script,
             *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def take_over(self):
        world = self.world
        epoch = world.epoch()
        heal = faults.FAULTS["kill-worker"](world, world.leader())
        wait_until(lambda: world.epoch() > epoch and world.network.holders(), 15, "another node leads")
        return heal

    def metrics(self, name, host):
        return self.world.database.sql(
            "SELECT m.value, m.labels FROM telemetry.metric AS m "
            "JOIN telemetry.metric_name AS n ON n.id = m.metric_id "
            f"JOIN telemetry.host AS h ON h.id = m.host_id WHERE n.name = '{name}' AND h.name = '{host}' ORDER BY 1")

    def test_the_client_in_its_modes_loses_and_doubles_nothing_over_a_takeover(self):
        """Synchronous with retries, and batching with gzip."""
        writers = {}
        for kind in ("sync", "batching"):
            path = os.path.join(self.world.folder, kind)
            writers[kind] = (path, spawn([SENDERS_PYTHON, "-c", WRITER, kind, self.url(), "7"], path,
                                         namespace=self.world.network.namespace(CLIENT)))
            self.addCleanup(stop, writers[kind][1])
        for kind in writers:
            wait_until(lambda: len(self.metrics("counter.number", f"h-{kind}")) > 50, 15,  # noqa: B023
                       "points are stored")
        heal = self.take_over()
        for kind, (path, writer) in writers.items():
            status = writer.wait(180)
            with open(path, encoding="utf-8") as file:
                said = file.read()
            self.assertEqual(status, 0, said)
            self.check_written(kind, json.loads(said.splitlines()[-1]))
        heal()
        self.world.wait_healed()

    def check_written(self, kind, told):
        host = f"h-{kind}"
        self.assertEqual(told["failed"], [], kind)
        stored = self.metrics("counter.number", host)
        self.assertEqual([float(row[0]) for row in stored], [float(n + 1) for n in range(told["sent"])])
        self.assertEqual(sum(float(row[0]) for row in self.metrics("counter.half", host)),
                         sum(n / 2 for n in range(1, told["sent"] + 1)))
        self.assertEqual(sum(float(row[0]) for row in self.metrics("counter.ok", host)), told["sent"] // 2)
        self.assertEqual(json.loads(stored[0][1]), {"kind": kind, "note": "é \"n\\\n1"})

    def test_the_client_hears_what_was_refused_and_which_node_takes_points(self):
        found = self.python(ASKER, self.url())
        self.assertEqual((found["ping"], found["health"]), (True, "pass"))
        status, error, _ = found["error"]
        self.assertEqual((status, error["code"]), (400, "invalid"))
        self.assertIn("partial write: line 2: missing fields dropped=1", error["message"])
        self.assertEqual(self.world.database.value(
            "SELECT count(*) FROM telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id "
            "WHERE n.name = 'good.f'"), "2")
        self.assertEqual(
            self.world.database.value("SELECT string_agg(reason, ',') FROM ingest.rejected "
                                      "WHERE convert_from(raw, 'UTF8') = 'bad'"), "influx: missing fields")
        standby = self.python(ASKER, self.url(self.world.standby().address))
        self.assertEqual((standby["ping"], standby["health"]), (False, "fail"))
        status, error, retry_after = standby["error"]
        self.assertEqual((status, error["code"], retry_after), (503, "unavailable", "1"))

    def test_the_client_of_version_1_creates_its_database_and_writes(self):
        found = self.python(VERSION_1, self.world.network.service_address, HTTP_PORT, int(time.time()))
        self.assertTrue(found["version"].startswith("standwatch-"))
        status, content = found["error"]
        self.assertEqual(status, 400)
        self.assertIn("partial write: line 1: bad timestamp dropped=1", content)
        self.assertEqual([[float(value), json.loads(labels)] for name in ("one.f", "one.i", "one.t")
                          for value, labels in self.metrics(name, "h-1")],
                         [[1.25, {"a b": "c,d=e"}], [7, {"a b": "c,d=e"}], [1, {"a b": "c,d=e"}]])

    def test_lines_over_tcp_are_stored(self):
        self.assertEqual(self.send("tcp", INFLUX_PORT, b"tcp,host=h-tcp value=1\nbroken\ntcp,host=h-tcp value=2"), b"")
        wait_until(lambda: [float(row[0]) for row in self.metrics("tcp", "h-tcp")] == [1, 2], 10, "both are stored")


if __name__ == "__main__":
    unittest.main()

"""Targets of Prometheus, scraped by the active node: Debian's node exporter and the official Python library."""
import json
import os
import subprocess
import unittest

from support import SENDERS_PYTHON, LabTest, wait_until

from lab import faults
from lab.load import CLIENT
from lab.processes import run, stop

EXPORTER_PORT, LIBRARY_PORT, TLS_PORT = 9100, 9101, 9443
LIBRARY = r"""
import sys, threading
from prometheus_client import Counter, Gauge, Histogram, Summary, start_http_server
gauge = Gauge("probe_gauge", "A gauge", ["path"])
gauge.labels('C:\\x "y"\nz').set(42.5)
gauge.labels("nan").set(float("nan"))
Counter("probe_counter", "A counter").inc(7)
histogram = Histogram("probe_seconds", "A histogram", buckets=(0.1, 1, 10))
for value in (0.05, 0.5, 5, 50):
    histogram.observe(value)
Summary("probe_summary", "A summary").observe(3)
start_http_server(int(sys.argv[1]))
threading.Event().wait()
"""
# What does not change while it is looked at.
CONSTANT = ("probe_", "python_info", "node_uname_info", "node_boot_time_seconds", "node_memory_MemTotal_bytes",
            "node_filesystem_size_bytes", "node_network_mtu_bytes", "node_exporter_build_info", "node_os_info")
# What a target says, as the official parser reads it: [name, labels, value] each.
READER = r"""
import json, math, sys, urllib.request
from prometheus_client.parser import text_string_to_metric_families
text = urllib.request.urlopen(sys.argv[1], timeout=60).read().decode()
print(json.dumps([[s.name, s.labels, s.value] for f in text_string_to_metric_families(text) for s in f.samples
                  if math.isfinite(s.value)]))
"""


def client_address(settings):
    """Of the client's machine, by the node's own."""
    return settings["peers"]["listen"][0].rpartition(".")[0] + ".200"


def add_targets(settings):
    client = client_address(settings)
    settings["scrape"] = {"intervalSeconds": 1, "targets": [
        {"url": f"http://{client}:{EXPORTER_PORT}/metrics", "app": "node-exporter", "host": "client"},
        {"url": f"http://{client}:{LIBRARY_PORT}/metrics", "app": "library"},
        {"url": f"http://{client}:1/metrics", "app": "nobody"},
        {"url": f"https://{client}:{TLS_PORT}/metrics", "app": "untrusted"}]}


class Prometheus(LabTest):
    options = {"change": add_targets}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.exporter = cls.start_exporter()
        cls.world.spawn_in(CLIENT, [SENDERS_PYTHON, "-c", LIBRARY, LIBRARY_PORT], "library.log")

    @classmethod
    def start_exporter(cls):
        return cls.world.spawn_in(
            CLIENT, ["prometheus-node-exporter", f"--web.listen-address=:{EXPORTER_PORT}"], "exporter.log")

    def ask(self, port):
        """What a target says now: {(name, sorted labels): value}."""
        client = self.world.network.address(CLIENT)
        done = subprocess.run(
            ["ip", "netns", "exec", self.world.network.namespace(CLIENT), SENDERS_PYTHON, "-c", READER,
             f"http://{client}:{port}/metrics"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return {(name, tuple(sorted((key, text) for key, text in labels.items() if text))): value
                for name, labels, value in json.loads(done.stdout)}

    def scrapes(self, app, name="up"):
        """Time and value of a metric of an application, in order."""
        return [(float(at), float(value)) for at, value in self.world.database.sql(
            "SELECT extract(epoch FROM m.ts), m.value FROM telemetry.metric AS m JOIN telemetry.metric_name AS n "
            "ON n.id = m.metric_id JOIN telemetry.app AS a ON a.id = m.app_id "
            f"WHERE n.name = '{name}' AND a.name = '{app}' ORDER BY 1")]

    def wait_scrapes(self, app, more=2, value=1.0):
        """Until there are more scrapes with this outcome; the time of the last."""
        before = len(self.scrapes(app))
        wait_until(lambda: [up for _, up in self.scrapes(app)[before:]].count(value) >= more, 20,
                   lambda: f"{app} is scraped with up {value}; {self.scrapes(app)[-5:]}; {self.world.explain()}")
        return [at for at, up in self.scrapes(app) if up == value][-1]

    def stored(self, app, at):
        """Everything stored of one scrape, as `ask` gives it; without what the scraper says itself."""
        found = {}
        for name, labels, value in self.world.database.sql(
                "SELECT n.name, m.labels, m.value FROM telemetry.metric AS m JOIN telemetry.metric_name AS n "
                "ON n.id = m.metric_id JOIN telemetry.app AS a ON a.id = m.app_id "
                f"WHERE a.name = '{app}' AND m.ts = to_timestamp({at:.6f})"):
            labels = json.loads(labels)
            labels.pop("instance")
            found[(name, tuple(sorted(labels.items())))] = float(value)
        return found

    def check_target(self, app, port, at_least):
        wait_until(lambda: self.scrapes(app), 20, lambda: f"{app} is scraped; {self.world.explain()}")
        before = self.ask(port)
        at = self.wait_scrapes(app)
        after = self.ask(port)
        stored = self.stored(app, at)
        both = before.keys() & after.keys()
        self.assertGreater(len(both), at_least)
        self.assertEqual(both - stored.keys(), set())
        for key in both:
            if key[0].endswith(("_total", "_count", "_sum", "_bucket")):
                self.assertTrue(before[key] <= stored[key] <= after[key], (key, before[key], stored[key], after[key]))
            elif key[0].startswith(CONSTANT):
                self.assertEqual(stored[key], before[key], key)
        self.assertGreater(len([key for key in both if key[0].startswith(CONSTANT)]), 3)
        self.assertEqual(stored[("scrape_samples_malformed", ())], 0)
        self.assertGreater(stored[("scrape_duration_seconds", ())], 0)
        self.assertEqual(stored[("up", ())], 1)
        return stored

    def test_values_in_postgresql_are_those_that_the_node_exporter_says(self):
        stored = self.check_target("node-exporter", EXPORTER_PORT, 100)
        self.assertIn("node_uname_info", {name for name, _ in stored})

    def test_values_in_postgresql_are_those_that_the_python_library_says(self):
        stored = self.check_target("library", LIBRARY_PORT, 10)
        self.assertEqual(stored[("probe_gauge", (("path", 'C:\\x "y"\nz'),))], 42.5)
        self.assertEqual(stored[("probe_seconds_bucket", (("le", "+Inf"),))], 4)
        self.assertEqual(stored[("probe_counter_total", ())], 7)
        self.assertEqual(stored[("scrape_samples_not_finite", ())], 1)

    def test_the_other_node_scrapes_on_after_a_takeover_and_nothing_is_doubled(self):
        world = self.world
        last = self.wait_scrapes("node-exporter")
        epoch = world.epoch()
        heal = faults.FAULTS["kill-worker"](world, world.leader())
        wait_until(lambda: world.epoch() > epoch, 15, "another node leads")
        self.wait_scrapes("node-exporter", 3)
        heal()
        world.wait_healed()
        times = [at for at, up in self.scrapes("node-exporter") if at >= last and up == 1]
        gap = max(later - earlier for earlier, later in zip(times, times[1:]))
        # The takeover, and at most the rest of a slot.
        self.assertLess(gap, 10)
        doubled = world.database.value(
            "SELECT count(*) FROM (SELECT FROM telemetry.metric GROUP BY ts, metric_id, app_id, host_id, labels "
            "HAVING count(*) > 1) AS doubled")
        self.assertEqual(doubled, "0")

    def test_a_server_whose_certificate_nobody_vouches_for_is_down(self):
        key = os.path.join(self.world.folder, "tls.pem")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=target", "-addext", f"subjectAltName=IP:{self.world.network.address(CLIENT)}",
            "-keyout", key, "-out", key)
        self.world.spawn_in(CLIENT, ["openssl", "s_server", "-accept", TLS_PORT, "-key", key, "-cert", key, "-www"],
                            "tls.log")
        self.wait_scrapes("untrusted", value=0.0)
        self.assertNotIn(1.0, [up for _, up in self.scrapes("untrusted")])

    def test_a_target_that_is_away_is_down_and_up_again(self):
        self.wait_scrapes("nobody", value=0.0)
        self.wait_scrapes("node-exporter")
        stop(self.exporter)
        self.wait_scrapes("node-exporter", value=0.0)
        _, text = self.world.leader().get("/metrics", timeout=30)
        client = self.world.network.address(CLIENT)
        self.assertIn(f'standwatch_scrape_target_up{{url="http://{client}:{EXPORTER_PORT}/metrics"}} 0', text)
        self.assertIn(f'standwatch_scrape_target_up{{url="http://{client}:{LIBRARY_PORT}/metrics"}} 1', text)
        type(self).exporter = self.start_exporter()
        self.wait_scrapes("node-exporter")


if __name__ == "__main__":
    unittest.main()

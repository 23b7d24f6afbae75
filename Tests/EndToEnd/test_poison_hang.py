"""Poison that hangs a thread, that crashes behind the decoders, or whose sender takes another name each time."""
import json
import time
import unittest

from support import wait_until
from test_poison import POSTER, SENDER, PoisonTest

from lab.load import Load
from lab.node import HTTP_PORT, NATIVE_PORT

LOOP, LANE, TRAP = "standwatch-planted-loop", "standwatch-planted-lane", "standwatch-planted-trap"


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def event(kind):
    return json.dumps({"type": "event", "ts": now(), "host": "h", "app": "poison", "kind": kind})


class BadBodies(PoisonTest):
    def wait_refused(self, heard):
        """Until a poster is told that all of its bodies are refused."""
        wait_until(lambda: heard()[-1].startswith("503 ") and "quarantined" in heard()[-1], 20,
                   lambda: f"it is told; {heard()[-5:]}")


class Hangs(PoisonTest):
    def setUp(self):
        self.world.wait_healed()

    def signals(self, protocol):
        """What ended the workers; 255 is a hang."""
        return [row[0] for row in self.world.database.sql(
            f"SELECT signal FROM ingest.crash WHERE starts_with(protocol, '{protocol}') ORDER BY id")]

    def test_a_record_that_hangs_two_workers_is_refused_and_other_sources_lose_nothing(self):
        world = self.world
        load = Load(world, rate=1000, sources=10, more=("--dead-after", "60000"))
        load.wait_flowing()
        heard = self.start(SENDER, NATIVE_PORT, "hanging", 5, now(), LOOP)
        (item, _, source), = self.wait_standing("native", seconds=90)
        self.assertEqual((source, self.signals("native")), ("hanging", ["255", "255"]))
        self.assertEqual(world.database.value(
            f"SELECT position('{LOOP}'::bytea IN bytes) > 0 FROM ingest.quarantine WHERE id = {item}"), "t")
        wait_until(lambda: '"ack":10' in heard()[-1] or "quarantined" in heard()[-1], 30, lambda: f"{heard()[-5:]}")
        load.wait_flowing(world.epoch())
        self.check_load(load)

    def test_a_body_that_hangs_the_pages_of_two_nodes_is_refused_alone(self):
        heard = self.start(POSTER, HTTP_PORT, event(LOOP), "hanger")
        (_, scope, source), = self.wait_standing("http", seconds=90)
        self.assertEqual((scope, source, self.signals("http")), ("bytes", "hanger", ["255", "255"]))
        wait_until(lambda: heard()[-1].startswith("400"), 20, lambda: f"it is told; {heard()[-5:]}")
        good = self.start(POSTER, HTTP_PORT, event("good"), "hanger")
        wait_until(lambda: good()[-1].startswith("200"), 20, lambda: f"its other bodies are taken; {good()[-5:]}")


class Lanes(BadBodies):
    """What crashes where many senders' records are written."""

    def test_a_record_that_kills_the_lanes_of_two_nodes_costs_its_source_alone(self):
        world = self.world
        load = Load(world, rate=2000, sources=20, more=("--dead-after", "60000"))
        load.wait_flowing()
        heard = self.start(SENDER, NATIVE_PORT, "lane-killer", 5, now(), LANE)
        (item, scope, source), = self.wait_standing("native")
        self.assertEqual((scope, source), ("source", "lane-killer"))
        self.assertEqual(world.database.value(
            f"SELECT position('{LANE}'::bytea IN bytes) > 0 FROM ingest.quarantine WHERE id = {item}"), "t")
        wait_until(lambda: "quarantined" in heard()[-1], 30, lambda: f"it is told; {heard()[-5:]}")
        world.wait_healed()
        load.wait_flowing(world.epoch())
        crashes = self.crashes("native")
        self.check_load(load)
        self.assertEqual(self.crashes("native"), crashes)

    def test_a_body_that_kills_the_lanes_of_two_nodes_costs_its_source_alone(self):
        self.world.wait_healed()
        body = json.dumps({**json.loads(event("k")), "attrs": {"a": LANE}})
        heard = self.start(POSTER, HTTP_PORT, body, "lane-poster")
        (_, scope, source), = self.wait_standing("http")
        self.assertEqual((scope, source), ("source", "lane-poster"))
        self.wait_refused(heard)
        good = self.start(POSTER, HTTP_PORT, event("good"), "somebody-else")
        wait_until(lambda: good()[-1].startswith("200"), 20, lambda: f"others are taken; {good()[-5:]}")


class Names(BadBodies):
    options = {"daemon": "standwatchd-planted", "machines": {"rogue": 211}}

    def test_an_address_that_kills_workers_under_five_names_is_refused_whatever_it_calls_itself(self):
        world = self.world
        for number in range(5):
            # Once: at its second crash a name would be refused for itself.
            body = event(TRAP) + "\n"
            self.send("tcp", HTTP_PORT, (f"POST /ingest HTTP/1.1\r\nHost: x\r\nStandwatch-Source: name-{number}\r\n"
                                         f"Content-Length: {len(body)}\r\n\r\n{body}").encode(), machine="rogue")
            wait_until(lambda: self.crashes("http") == number + 1, 40, world.explain)
            world.wait_healed()
        (_, scope, _), = self.wait_standing("http")
        self.assertEqual((scope, self.crashes("http")), ("address", 5))
        heard = self.start(POSTER, HTTP_PORT, event("good"), "another-name", machine="rogue")
        self.wait_refused(heard)
        native = self.start(SENDER, NATIVE_PORT, "yet-another", 99, "", machine="rogue")
        wait_until(lambda: "quarantined" in native()[-1], 20, lambda: f"over every protocol; {native()[-5:]}")
        other = self.start(POSTER, HTTP_PORT, event("good"), "an-innocent")
        wait_until(lambda: other()[-1].startswith("200"), 20, lambda: f"other addresses are taken; {other()[-5:]}")
        self.assertIn("address", world.leader().hactl("quarantine"))


if __name__ == "__main__":
    unittest.main()

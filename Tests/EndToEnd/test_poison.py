"""Records that crash whoever decodes them: after two crashes they are refused by both nodes, and all others go on."""
import json
import time
import unittest

from support import LabTest, wait_until

from lab.load import CLIENT, Load
from lab.node import HTTP_PORT, NATIVE_PORT, SYSLOG_PORT

# The native protocol with patience: sends its records from behind what is committed, for ever; says what it heard last.
SENDER = r"""
import json, socket, sys, time
vip, port, name, bad, now = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
marker = sys.argv[6] if len(sys.argv) > 6 else "standwatch-planted-trap"
def record(seq):
    kind = marker if seq == bad else "fine"
    return json.dumps({"seq": seq, "type": "event", "ts": now, "host": name, "app": "poison", "kind": kind,
                       "attrs": {"kind": kind}}) + "\n"
while True:
    try:
        s = socket.create_connection((vip, port), 1)
        s.settimeout(3)
        f = s.makefile("r")
        s.sendall((json.dumps({"hello": {"source": name, "stream": name, "oldest": 1}}) + "\n").encode())
        answer = f.readline()
        if "welcome" in answer:
            first = json.loads(answer)["welcome"]["committed"] + 1
            s.sendall("".join(record(seq) for seq in range(first, 11)).encode())
            while answer and '"ack":10' not in answer:
                print(answer.strip(), flush=True)
                answer = f.readline()
        print(answer.strip() or "end", flush=True)
        if '"ack":10' in answer: break
        s.close()
    except OSError as error:
        print(error, flush=True)
    time.sleep(0.05)
"""
POSTER = r"""
import http.client, sys, time
vip, port, body = sys.argv[1], int(sys.argv[2]), sys.argv[3]
source = sys.argv[4] if len(sys.argv) > 4 else "poster"
while True:
    try:
        c = http.client.HTTPConnection(vip, port, timeout=3)
        c.request("POST", "/ingest", body + "\n", {"Standwatch-Source": source, "Idempotency-Key": "1"})
        a = c.getresponse()
        print(a.status, a.read().decode(), flush=True)
        if a.status in (200, 400): break
    except (OSError, http.client.HTTPException) as error:
        print(error, flush=True)
    time.sleep(0.05)
"""


class PoisonTest(LabTest):
    """A world of nodes with planted bugs."""

    options = {"daemon": "standwatchd-planted"}

    def start(self, script, *words, machine=CLIENT):
        name = self.world.next_name("poison")
        process = self.world.spawn_in(
            machine, ["/usr/bin/python3", "-c", script, self.world.network.service_address, *map(str, words)], name)
        self.addCleanup(lambda: process.poll() is None and process.kill())

        def lines():
            with open(f"{self.world.folder}/{name}", encoding="utf-8") as file:
                return [line for line in file.read().splitlines() if line] or [""]
        return lines

    def crashes(self, protocol):
        return int(self.world.database.value(
            f"SELECT count(*) FROM ingest.crash WHERE starts_with(protocol, '{protocol}')"))

    def standing(self, protocol):
        return self.world.database.sql(
            "SELECT id, scope, source FROM ingest.quarantine "
            f"WHERE released_at IS NULL AND starts_with(protocol, '{protocol}') ORDER BY id")

    def wait_standing(self, protocol, count=1, seconds=40):
        wait_until(lambda: len(self.standing(protocol)) == count, seconds,
                   lambda: f"{count} of {protocol} in quarantine; {self.world.explain()}")
        return self.standing(protocol)

    def check_load(self, load):
        report = load.finish()
        self.assertEqual((report["lost"], report["doubled"]), (0, 0), json.dumps(report)[:2000])
        self.assertGreater(report["acked"], 1000)
        return report


class Poison(PoisonTest):
    def test_a_record_that_kills_two_workers_is_refused_by_both_and_twenty_other_sources_lose_nothing(self):
        world = self.world
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        load = Load(world, rate=2000, sources=20)
        load.wait_flowing()
        began = time.monotonic()
        heard = self.start(SENDER, NATIVE_PORT, "bad-one", 5, now)
        (item, scope, source), = self.wait_standing("native")
        self.assertEqual(source, "bad-one")
        self.assertEqual(self.crashes("native"), 2)
        print(f"\n  native: quarantined ({scope}) {time.monotonic() - began:.1f} s after it came")
        load.wait_flowing(world.epoch())
        world.wait_healed()
        if scope == "source":
            # The other node had not heard of the first crash yet: nobody knew which record it was.
            self.check_refused_source(item, heard)
        # The one record is set aside, the source goes on.
        wait_until(lambda: '"ack":10' in heard()[-1], 30, lambda: f"the source goes on; {heard()[-5:]}")
        kept = world.database.sql("SELECT seq, reason FROM ingest.rejected WHERE source = 'bad-one'")
        self.assertEqual([(row[0], "quarantined" in row[1]) for row in kept], [("5", True)])
        self.assertEqual(world.database.value(
            "SELECT count(*) FROM telemetry.event AS e JOIN telemetry.host AS h ON h.id = e.host_id "
            "WHERE h.name = 'bad-one'"), "9")
        self.assertIn("bad-one", world.leader().hactl("quarantine"))
        self.assertIn("hactl quarantine release", world.leader().hactl_status("status")[1])
        self.assertIn("hactl quarantine release", world.leader().hactl_status("doctor")[1])
        # The other node knows, too: the same record, sent once more, kills nobody.
        crashes = self.crashes("native")
        world.leader().hactl("switchover")
        world.wait_healed()
        world.database.sql("DELETE FROM ingest.claim WHERE stream IN (SELECT stream FROM ingest.rejected)")
        again = self.start(SENDER, NATIVE_PORT, "bad-one", 5, now)
        wait_until(lambda: again() and '"ack":10' in again()[-1], 30, lambda: f"the other node, too; {again()[-5:]}")
        self.assertEqual(self.crashes("native"), crashes)
        self.check_load(load)
        world.wait_healed()

    def check_refused_source(self, item, heard):
        """Refused by both nodes; released, one more crash shows which record it is."""
        world = self.world
        wait_until(lambda: "quarantined" in heard()[-1], 15, lambda: f"the sender is told; {heard()[-5:]}")
        world.leader().hactl("switchover")
        world.wait_healed()
        before = len(heard())
        wait_until(lambda: len(heard()) > before + 3 and "quarantined" in heard()[-1], 15,
                   lambda: f"the other node refuses it; {heard()[-5:]}")
        self.assertEqual(self.crashes("native"), 2)
        world.leader().hactl("quarantine", "release", item)
        wait_until(lambda: [row[1] for row in self.standing("native")] == ["bytes"], 40, world.explain)
        self.assertEqual(self.crashes("native"), 3)

    def test_a_body_that_kills_two_workers_is_refused_alone(self):
        world = self.world
        heard = self.start(POSTER, HTTP_PORT, '{"type":"event","kind":"standwatch-planted-trap"}')
        (_, scope, source), = self.wait_standing("http")
        self.assertEqual((scope, source), ("bytes", "poster"))
        wait_until(lambda: heard()[-1].startswith("400"), 20, lambda: f"it is told; {heard()[-5:]}")
        self.assertIn("quarantined", heard()[-1])
        self.assertEqual(self.crashes("http"), 2)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        good = self.start(POSTER, HTTP_PORT,
                          json.dumps({"type": "event", "ts": now, "host": "h", "app": "poster", "kind": "good"}))
        wait_until(lambda: good() and good()[-1].startswith("200"), 20,
                   lambda: f"its other bodies are taken; {good()[-5:]}")
        self.assertEqual(self.crashes("http"), 2)
        world.wait_healed()

    def test_an_address_whose_syslog_kills_two_workers_is_refused(self):
        world = self.world
        deadline = time.monotonic() + 60
        while not self.standing("syslog") and time.monotonic() < deadline:
            self.send("tcp", SYSLOG_PORT, b"<13>1 - h a - - - standwatch-planted-trap\n", patience=0.5)
        self.assertEqual([row[1] for row in self.standing("syslog")], ["source"])
        self.assertEqual(self.crashes("syslog"), 2)
        world.wait_healed()
        epoch = world.epoch()
        for _ in range(5):
            self.send("tcp", SYSLOG_PORT, b"<13>1 - h a - - - standwatch-planted-trap\n", patience=0.5)
        self.assertEqual((self.crashes("syslog"), world.epoch()), (2, epoch))


if __name__ == "__main__":
    unittest.main()

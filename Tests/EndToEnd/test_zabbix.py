"""zabbix_sender, as Debian has it, across a takeover."""
import time
import unittest

from support import LabTest, wait_until

from lab.load import CLIENT

PORT = 10051
# Sends a value a turn with zabbix_sender, and again when it says that it failed; prints how many it sent, and how many
# were answered the first time.
FEEDER = r"""
import subprocess, sys, time
host, end, number, at_once = sys.argv[1], time.time() + float(sys.argv[2]), 0, 0
while time.time() < end:
    number += 1
    tries = 0
    while True:
        tries += 1
        done = subprocess.run(["zabbix_sender", "-z", host, "-p", "10051", "-s", "feeder", "-k", "number",
                               "-o", str(number)], stdout=subprocess.PIPE, text=True)
        if done.returncode == 0:
            assert "processed: 1; failed: 0; total: 1" in done.stdout, done.stdout
            break
        time.sleep(0.05)
    at_once += tries == 1
    time.sleep(0.02)
print(number, at_once)
"""


def listen(settings):
    settings["listen"]["zabbix"] = [f"0.0.0.0:{PORT}"]


class Zabbix(LabTest):
    options = {"change": listen}

    def sender(self, *words, target=None, text=None):
        """Runs zabbix_sender on the client's machine: its status and what it said."""
        return self.world.status_in(
            self.world.network.namespace(CLIENT), "sh", "-c", 'printf %s "$1" | { shift; exec zabbix_sender "$@"; }',
            "sh", text or "", "-vv", "-z", target or self.world.network.service_address, "-p", str(PORT), *words)

    def values(self, host):
        """(metric, labels, value, seconds) of everything that a host sent, in the order of time."""
        return self.world.database.sql(f"""
            SELECT n.name, m.labels ->> 'parameters', m.value, extract(epoch FROM m.ts) FROM telemetry.metric AS m
            JOIN telemetry.metric_name AS n ON n.id = m.metric_id JOIN telemetry.host AS h ON h.id = m.host_id
            WHERE h.name = '{host}' ORDER BY m.ts, m.value""")

    def test_values_with_and_without_times_are_stored_as_metrics_and_log_lines(self):
        status, said = self.sender("-s", "web-1", "-k", "vfs.fs.size[/,used]", "-o", "31.5")
        self.assertEqual(status, 0, said)
        self.assertIn("processed: 1; failed: 0; total: 1", said)
        self.assertEqual([row[:3] for row in self.values("web-1")], [["vfs.fs.size", "/,used", "31.5"]])
        # A file of values goes in packets of 250.
        now = int(time.time()) - 1000
        lines = "".join(f"batch trap {now + n} {n}\n" for n in range(600))
        status, said = self.sender("-T", "-i", "-", text=lines)
        self.assertEqual(status, 0, said)
        self.assertEqual([(float(row[2]), float(row[3])) for row in self.values("batch")],
                         [(n, now + n) for n in range(600)])
        status, said = self.sender("-s", "web-1", "-k", "agent.state", "-o", "up and running")
        self.assertEqual(status, 0, said)
        self.assertEqual(self.world.database.sql(
            "SELECT message, attrs ->> 'key' FROM telemetry.log WHERE message = 'up and running'"),
            [["up and running", "agent.state"]])

    def test_a_value_that_can_not_be_stored_is_told_and_kept(self):
        status, said = self.sender("-T", "-i", "-", text="old trap 1000000000 7\n")
        self.assertIn("processed: 0; failed: 1; total: 1", said)
        self.assertNotEqual(status, 0)
        self.assertEqual(self.values("old"), [])
        self.assertEqual(self.world.database.value(
            "SELECT count(*) FROM ingest.rejected WHERE reason LIKE '%range%'"), "1")

    def test_every_value_that_was_answered_is_stored_through_a_takeover(self):
        process = self.world.spawn_in(
            CLIENT, ["/usr/bin/python3", "-c", FEEDER, self.world.network.service_address, "8"], "feeder.log")
        wait_until(lambda: len(self.values("feeder")) > 20, 15, "the first values are stored")
        self.take_over()
        self.assertEqual(process.wait(180), 0)
        with open(f"{self.world.folder}/feeder.log", encoding="utf-8") as file:
            sent, at_once = map(int, file.read().split()[-2:])
        self.world.wait_healed()
        stored = [int(float(row[2])) for row in self.values("feeder")]
        # At least once: what was repeated because no answer came may be there twice, what was answered at once may not.
        self.assertEqual(set(stored), set(range(1, sent + 1)))
        self.assertLessEqual(len(stored) - sent, sent - at_once)

    def test_a_standby_takes_nothing(self):
        self.world.wait_healed()
        status, said = self.sender("-s", "h", "-k", "k", "-o", "1", target=self.world.standby().address)
        self.assertNotEqual(status, 0, said)


if __name__ == "__main__":
    unittest.main()

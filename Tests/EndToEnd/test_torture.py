"""The checks of scripts/torture can fail: what is planted is reported, and nothing else is."""
import random
import tempfile
import time
import unittest
from types import SimpleNamespace

from documents import codes, table
from support import LabTest, wait_until

from lab.load import CLIENT
from lab.node import SYSLOG_PORT
from lab.processes import run
from lab.torture import evidence, hosts_fail, network_fails, processes_die, window
from lab.torture.checks import Checker, Totals
from lab.torture.clients import NumberedLoad
from lab.torture.nemesis import KINDS, Deck, Run


class Planted(LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.load = NumberedLoad(cls.world, 2000, 5)
        cls.load.wait_flowing()
        wait_until(lambda: cls.load.acked() > 0, 10, "positions are told")
        # One for all: what a test has planted and found is not looked at again.
        cls.checker = Checker(cls.world, cls.load)

    def setUp(self):
        time.sleep(0.5)
        self.checker.totals = Totals()
        self.assertEqual(self.checker.records(), [])
        self.assertEqual(self.checker.stale(), [])

    def fresh_row(self):
        """A condition for one acknowledged event that has not been looked at yet."""
        stream, low = self.checker.streams()[0], self.checker.verified[0]

        def found():
            self.load.read()
            return self.world.database.value(
                f"SELECT seq FROM telemetry.event WHERE stream_id = {stream} AND seq > {low} "
                f"AND seq <= {self.load.positions[-1][2][0]} LIMIT 1")
        return f"stream_id = {stream} AND seq = {wait_until(found, 10, 'an event is acknowledged')}"

    def test_a_lost_record_is_reported(self):
        self.world.database.sql(f"DELETE FROM telemetry.event WHERE {self.fresh_row()}")
        self.assertEqual(self.checker.records(), ["1 acknowledged records are not stored"])
        self.assertEqual((self.checker.totals.lost, self.checker.totals.doubled), (1, 0))
        self.assertEqual(self.checker.records(), [])

    def test_a_doubled_record_is_reported(self):
        row = self.fresh_row()
        self.world.database.sql(f"INSERT INTO telemetry.event SELECT * FROM telemetry.event WHERE {row}")
        self.assertEqual(self.checker.records(), ["1 records are stored twice"])
        self.assertEqual((self.checker.totals.lost, self.checker.totals.doubled), (0, 1))
        self.assertEqual(self.checker.records(), [])

    def test_a_commit_under_an_old_epoch_is_reported(self):
        epoch = self.world.epoch()
        self.world.leader().hactl("switchover")
        self.world.wait_healed()
        self.assertEqual(self.checker.stale(), [])
        self.world.database.sql(f"BEGIN; SELECT 'ha.check({epoch}, 1)'; INSERT INTO ingest.claim (stream, prev, last) "
                                "VALUES (1, 0, 5); COMMIT")
        self.addCleanup(self.world.database.sql, "DELETE FROM ingest.claim WHERE stream = 1")
        self.assertEqual(self.checker.stale(),
                         ["1 batches were committed under an older epoch after a promotion"])

    def add_address(self, machine, seconds):
        space, address = self.world.network.namespace(machine), f"{self.world.network.service_address}/32"
        run("ip", "-n", space, "address", "add", address, "dev", "eth0")
        time.sleep(seconds)
        run("ip", "-n", space, "address", "delete", address, "dev", "eth0", check=False)

    def test_two_nodes_that_answer_for_the_address_are_reported_and_another_host_is_not(self):
        self.world.wait_healed()
        self.checker.watch_address()
        time.sleep(2)
        self.add_address(CLIENT, 2)
        found, changes = self.checker.holders()
        self.assertEqual((found, len({change.split()[0] for change in changes})), ([], 1), changes)
        self.world.wait_healed()
        self.checker.watch_address()
        time.sleep(2)
        self.add_address(self.world.standby().name, 2)
        found, changes = self.checker.holders()
        self.assertEqual(len(found), 1, changes)
        self.assertRegex(found[0], r"two nodes answered for the address for \d+ ms: a and b")
        self.assertGreater(self.checker.totals.two_holders_ms, 200)
        self.assertEqual(self.checker.totals.tolerated_overlap_ms, 0)
        self.world.wait_healed()

    def test_a_missing_and_a_repeated_message_of_another_sender_are_reported(self):
        def say(number):
            self.send("tcp", SYSLOG_PORT, f"<13>1 - client feeder - - - torture-line {number}\n".encode())

        say(1)
        self.assertEqual(self.checker.exactly("torture-line", 1, 5), [])
        say(3)
        self.assertEqual(self.checker.exactly("torture-line", 3, 1), ["1 of torture-line are missing, from 2 to 2"])
        for _ in range(2):
            say(4)
        wait_until(lambda: self.stored_messages("torture-line").get("torture-line 4") == 2, 5, "both are stored")
        self.assertEqual(self.checker.exactly("torture-line", 4, 1),
                         ["1 of torture-line are stored twice, the first is 4"])


class Tolerated(unittest.TestCase):
    """Two nodes at the address are let pass only where a second fault may be hidden by one of the network."""

    def tolerated(self, *faults):
        ground = SimpleNamespace(world=None, clients=SimpleNamespace(load=None))
        return window.Window(1, ground, None, faults, None, None).tolerated_overlap()

    def test_only_a_network_that_hides_a_second_fault_is_an_excuse(self):
        self.assertEqual(self.tolerated(network_fails.OneWayPeers), 0)
        self.assertEqual(self.tolerated(processes_die.StopLease), 0)
        self.assertEqual(self.tolerated(processes_die.StopLease, network_fails.OneWayClients), 0)
        self.assertEqual(self.tolerated(hosts_fail.SpoolDiskFull, network_fails.OneWayPeers), 0)
        self.assertEqual(self.tolerated(processes_die.SwitchoverStorm, network_fails.PacketLoss), 0)
        self.assertEqual(self.tolerated(processes_die.StopLease, network_fails.OneWayPeers), window.OVERLAP_MS)


class Seen(unittest.TestCase):
    STEPPED_DOWN = ('2026-11-28T05:56:14.071Z level=warning cluster=lab node=a msg=transition from=active '
                    'to=stepping-down reason="lease expired" epoch=1')

    def test_a_run_that_saw_nothing_is_vacuous(self):
        self.assertEqual(evidence.Evidence().missing(), list(evidence.WANTED))

    def test_who_steps_down_after_another_was_promoted_thought_that_it_led(self):
        moment = evidence.seconds("2026-11-28T05:56:14.071Z")
        for at, stopped, wrong_clock, wanted in ((moment - 1, True, False, (1, 1)), (moment + 1, True, False, (0, 1)),
                                                 (moment - 1, False, False, (1, 0)), (moment - 1, True, True, (0, 1))):
            seen = evidence.Evidence()
            seen.one(self.STEPPED_DOWN, wrong_clock, stopped, [(2, at)])
            self.assertEqual((seen.counts[evidence.TWO], seen.counts[evidence.EXPIRED]), wanted)

    def test_every_kind_is_drawn_as_often_as_any_other_and_a_seed_draws_the_same(self):
        def drawn(seed):
            deck = Deck(random.Random(seed))
            return [deck.draw(lambda _: True).name for _ in range(2 * len(KINDS))]

        self.assertEqual(drawn(7), drawn(7))
        self.assertNotEqual(drawn(7), drawn(8))
        names = sorted(kind.name for kind in KINDS)
        self.assertEqual(len(set(names)), len(names))
        self.assertGreaterEqual(len(names), 30)
        self.assertEqual(sorted(drawn(7)), sorted(names * 2))

    def test_the_readme_names_every_kind_and_every_figure(self):
        kinds = [code for _, cell in table("README.md", "where") for code in codes(cell)]
        self.assertEqual(sorted(kinds), sorted(kind.name for kind in KINDS))
        with tempfile.TemporaryDirectory() as folder:
            result = Run(5, 1, folder, 1000, 1, print).result()
        named = [code for cell, _ in table("README.md", "figure in the JSON") for code in codes(cell)]
        self.assertEqual(sorted(named), sorted(result))
        self.assertEqual([failure["problem"] for failure in result["failures"]],
                         [f"vacuous: never seen: {name}" for name in evidence.WANTED]
                         + [f"vacuous: 0 kinds were injected, of {len(KINDS)}"])


if __name__ == "__main__":
    unittest.main()

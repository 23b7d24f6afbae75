"""Drills that hang or cut the active node, what they leave, and that the prober sees two holders when there are two."""
import json
import re
import time
import unittest

from support import LabTest, wait_until

from lab.load import CLIENT, AddressWatch, run_load


class Drills(LabTest):
    def tearDown(self):
        self.world.wait_healed()

    def drill(self, kind):
        world = self.world
        leader = world.leader()
        wait_until(lambda: "ready to take over" in leader.hactl_status("status")[1], 10, "the peers hear each other")
        status, text = leader.hactl_status("drill", kind, "--yes", "--json")
        self.assertEqual(status, 0, text)
        verdict = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
        self.assertEqual((verdict["verdict"], verdict["lost"], verdict["doubled"]), ("passed", 0, 0), verdict)
        self.assertIsNot(world.leader(), leader)
        # Restored: no packet filter of the drill, and the verdict is kept.
        self.assertNotIn("standwatch_drill", world.run_in(leader.namespace, "nft", "list", "tables"))
        kept = world.database.sql(f"SELECT verdict, lost, doubled FROM ha.drill WHERE kind = '{kind}'")
        self.assertEqual([list(row) for row in kept], [["passed", "0", "0"]])

    def test_a_hanging_worker(self):
        self.drill("stop")

    def test_a_way_to_the_database_that_is_cut(self):
        self.drill("cut-database")

    def test_a_standby_says_where_to_run(self):
        leader = self.world.leader()
        status, text = self.world.standby().hactl_status("drill", "kill", "--yes")
        self.assertNotEqual(status, 0)
        self.assertRegex(text, rf"\b{leader.name}\b")
        self.assertIs(self.world.leader(), leader)


class Instruments(LabTest):
    def test_two_holders_of_the_address_are_seen(self):
        world = self.world
        watch = AddressWatch(world)
        time.sleep(3)
        network = world.network
        words = ("ip", "addr", "{}", f"{network.service_address}/32", "dev", "eth0")
        namespace = network.namespace(CLIENT)
        world.run_in(namespace, *(word.format("add") for word in words))
        time.sleep(3)
        world.run_in(namespace, *(word.format("del") for word in words))
        self.assertGreater(watch.finish()["two_holders_ms"], 300)

    def test_a_thousand_sources_leave_the_worker_small(self):
        world = self.world
        worker = world.leader().worker_pid()
        report, status = run_load(world, "--sources", "1000", "--rate", "10000", "--records", "60000",
                                  "--dead-after", "20000")
        self.assertEqual((report["acked"], report["lost"], report["doubled"], status), (60_000, 0, 0, 0), report)
        with open(f"/proc/{worker}/status", encoding="ascii") as file:
            peak = int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024
        print(f"1,000 sources: worker at most {peak:.0f} MB resident")
        self.assertLess(peak, 150)


if __name__ == "__main__":
    unittest.main()

"""A whole site through a takeover: the reports say what really happened there."""
import json
import os
import sys
import time
import unittest

from support import ROOT, LabTest, wait_until

from lab.load import CLIENT
from lab.node import NATIVE_PORT

sys.path.insert(0, os.path.join(ROOT, "scripts"))
from fleetsim.check import compare  # noqa: E402


class Site(LabTest):
    def test_reports_on_a_site_equal_its_truth_although_the_active_node_is_killed_meanwhile(self):
        world = self.world
        path = os.path.join(world.folder, "truth.json")
        fleet = world.spawn_in(CLIENT, [
            os.path.join(ROOT, "scripts", "fleet"), "--target", f"{world.network.service_address}:{NATIVE_PORT}",
            "--applications", 250, "--minutes", 20, "--truth", path], "fleet.log")
        wait_until(lambda: int(world.database.value("SELECT count(*) FROM telemetry.queue")) > 1000, 20, "records come")
        leader = world.leader()
        leader.signal_all(9)
        self.assertEqual(fleet.wait(600), 0, world.explain())
        leader.process.wait()
        leader.start()
        with open(path, encoding="utf-8") as file:
            truth = json.load(file)
        self.assertEqual(truth["rejected"], 0)
        self.assertGreater(truth["acked"], 80_000)
        self.assertGreater(len(truth["stuck"]), 3)
        # Half of it may be merged already, the rest not yet: the sums are the same at any moment.
        for _ in range(3):
            self.assertEqual(compare(world.database.superuser(), truth), [])
            time.sleep(1)
        spoiled = dict(truth, failed_jobs=truth["failed_jobs"] + 1, stuck=truth["stuck"][1:] + [
            [truth["stuck"][0][0], truth["stuck"][0][1], "elsewhere"]])
        self.assertEqual(len(compare(world.database.superuser(), spoiled)), 2, "the comparison sees what differs")
        world.wait_healed()


if __name__ == "__main__":
    unittest.main()

"""What operators do with hactl, on two real nodes."""
import json
import signal
import time
import unittest

from support import LabTest, wait_until

from lab.load import run_load
from lab.processes import send_signal


class Operators(LabTest):
    def tearDown(self):
        self.world.wait_healed()

    def test_a_switchover_to_a_named_node_makes_it_active(self):
        leader, standby = self.world.leader(), self.world.standby()
        status, text = leader.hactl_status("switchover", "--to", standby.name)
        self.assertEqual(status, 0, text)
        self.assertIs(self.world.leader(), standby)

    def test_a_switchover_to_an_unknown_node_is_refused(self):
        leader = self.world.leader()
        status, text = leader.hactl_status("switchover", "--to", "nobody")
        self.assertNotEqual(status, 0, text)
        self.assertIs(self.world.leader(), leader)

    def test_nobody_takes_over_while_paused(self):
        world = self.world
        leader = world.leader()
        leader.hactl("pause", "end-to-end test")
        try:
            send_signal(leader.worker_pid(), signal.SIGKILL)
            deadline = time.monotonic() + 5
            time.sleep(1)
            while time.monotonic() < deadline:
                self.assertEqual([node.name for node in world.active()], [])
                time.sleep(0.2)
            status, text = world.standby_of(leader).hactl_status("status")
            self.assertIn("paused", text)
            self.assertNotEqual(status, 0)
        finally:
            leader.hactl("resume")
        wait_until(world.active, 10, "after the pause somebody leads")

    def test_a_node_that_may_not_be_promoted_is_not(self):
        world = self.world
        leader = world.leader()
        standby = world.standby_of(leader)
        epoch = world.epoch()
        leader.hactl("no-promote", standby.name, "--why", "end-to-end test")
        try:
            send_signal(leader.worker_pid(), signal.SIGKILL)
            wait_until(lambda: world.epoch() > epoch and world.active(), 20, "the excluded node's peer leads again")
            self.assertEqual([node.name for node in world.active()], [leader.name])
        finally:
            leader.hactl("no-promote", standby.name, "--off")

    def test_status_tells_both_nodes_as_json(self):
        run_load(self.world, "--records", "2000", "--rate", "5000")
        leader = self.world.leader()
        status, text = leader.hactl_status("status", "--json")
        self.assertEqual(status, 0, text)
        told = json.dumps(json.loads(text))
        for name in self.world.node_names:
            self.assertIn(f'"{name}"', told)

    def test_history_shows_promotions(self):
        text = self.world.leader().hactl("history")
        self.assertIn("active", text)

    def test_doctor_finds_no_error_in_a_healthy_cluster(self):
        status, text = self.world.standby().hactl_status("doctor")
        self.assertLess(status, 2, text)


if __name__ == "__main__":
    unittest.main()

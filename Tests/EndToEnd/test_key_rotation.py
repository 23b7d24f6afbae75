"""The key of the beats is rotated on two real nodes under load: no beat is refused, nobody is deposed."""
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

from support import LabTest, wait_until

from lab import processes
from lab.load import Load


def own_keys(settings):
    """Each node has its key file in a folder of its own, as two servers have."""
    folder = os.path.dirname(settings["runtimeFolder"])
    path = os.path.join(folder, "beat.key")
    shutil.copyfile(settings["peers"]["keyFiles"][0], path)
    shutil.chown(path, group="nogroup")
    os.chmod(path, 0o640)
    settings["peers"]["keyFiles"] = [path]


class KeyRotation(LabTest):
    options = {"change": own_keys}

    def key(self, node):
        with open(os.path.join(node.folder, "beat.key"), encoding="ascii") as file:
            return file.read()

    def rotate(self, node, *words):
        log = os.path.join(self.world.folder, self.world.next_name("rotate"))
        process = processes.spawn([self.world.program("hactl"), "key", "rotate", "--config", node.config, *words], log,
                                  namespace=node.namespace)
        self.world.spawned.append(process)
        self.world.note_process(process.pid)
        return process, log

    def dropped(self, node):
        """Beats that this node refused since its worker began, of all links and reasons but being overtaken."""
        status, text = node.get("/metrics", timeout=30)
        self.assertEqual(status, 200, text)
        found = re.findall(r'^standwatch_peer_beats_dropped_total\{.*reason="([^"]+)"\} (\d+)$', text,
                           flags=re.MULTILINE)
        return sum(int(count) for reason, count in found if reason != "overtaken")

    def text(self, log):
        with open(log, encoding="utf-8") as file:
            return file.read()

    def finish(self, *runs):
        for process, log in runs:
            self.assertEqual(process.wait(180), 0, self.text(log))
            self.assertIn("the key is rotated", self.text(log))
        a, b = self.world.nodes.values()
        self.assertEqual(self.key(a), self.key(b))
        for node in (a, b):
            left = [name for name in os.listdir(node.folder) if re.search("key[.](next|previous|new)", name)]
            self.assertEqual(left, [])
            status = os.stat(os.path.join(node.folder, "beat.key"))
            self.assertEqual(status.st_mode & 0o777, 0o640)
            self.assertNotEqual(status.st_gid, 0)
        self.assertEqual(self.world.database.value("SELECT count(*) FROM ha.key_rotation"), "0")

    def test_a_rotation_under_load_refuses_no_beat_and_deposes_nobody(self):
        world = self.world
        world.wait_healed()
        load = Load(world, rate=3000)
        load.wait_flowing()
        leader, epoch = world.leader(), world.epoch()
        old = self.key(leader)
        before = {node.name: self.dropped(node) for node in world.nodes.values()}
        first = self.rotate(leader)
        wait_until(lambda: "waiting until" in self.text(first[1]), 20, "the first node waits for the other")
        # A wrapped key is no key: what PostgreSQL has is not what the file has.
        with open(os.path.join(leader.folder, "beat.key.next"), encoding="ascii") as file:
            new = file.read().strip()
        wrapped = world.database.value("SELECT encode(wrapped, 'hex') FROM ha.key_rotation")
        self.assertNotIn(new, wrapped)
        self.finish(first, self.rotate(world.standby_of(leader)))
        self.assertNotEqual(self.key(leader), old)
        self.assertEqual({node.name: self.dropped(node) for node in world.nodes.values()}, before)
        report = load.finish()
        self.assertEqual((report["lost"], report["doubled"], report["takeovers"]), (0, 0, []), report)
        self.assertEqual(world.epoch(), epoch)
        shown = [json.loads(line) for line in leader.hactl("key", "show", "--json").splitlines()]
        self.assertEqual({one["signs"] for one in shown}, {shown[0]["signs"]})
        self.assertEqual([len(one["accepts"]) for one in shown], [1, 1])

    @staticmethod
    def kill_worker(node):
        """Its guard may just be starting it again."""
        pid = wait_until(node.worker_pid, 20, f"node {node.name} has a worker")
        processes.send_signal(pid, signal.SIGKILL)

    def test_nodes_and_commands_that_are_killed_in_the_middle_go_on(self):
        world = self.world
        world.wait_healed()
        leader, standby = world.leader(), world.standby()
        epoch = world.epoch()
        before = self.dropped(leader)
        first = self.rotate(leader)
        wait_until(lambda: "waiting until" in self.text(first[1]), 20, "the first node waits")
        first[0].kill()
        first[0].wait()
        # The guard starts another worker, which finds the keys in its files.
        self.kill_worker(standby)
        second = self.rotate(standby)
        wait_until(lambda: os.path.exists(os.path.join(standby.folder, "beat.key.previous"))
                   or "accepts the new key" in self.text(second[1]), 30, "the second node goes on")
        self.kill_worker(standby)
        self.finish(self.rotate(leader), second)
        world.wait_healed()
        self.assertEqual(world.epoch(), epoch)
        self.assertEqual(self.dropped(leader), before)
        # Then the active one itself: that is a takeover, and the beats go on.
        runs = [self.rotate(leader)]
        wait_until(lambda: os.path.exists(os.path.join(leader.folder, "beat.key.next")), 20, "the rotation begins")
        self.kill_worker(leader)
        runs.append(self.rotate(standby))
        self.finish(*runs)
        world.wait_healed()
        self.assertEqual((self.dropped(leader), self.dropped(standby)), (0, 0))

    def test_a_rotation_by_hand_keeps_the_key_out_of_the_database(self):
        world = self.world
        world.wait_healed()
        a, b = world.nodes.values()
        first = self.rotate(a, "--by-hand")
        wait_until(lambda: "waiting until" in self.text(first[1]), 20, "the first node waits")
        self.assertEqual(world.database.value("SELECT wrapped IS NULL FROM ha.key_rotation"), "t")
        status, text = b.hactl_status("key", "rotate", "--by-hand")
        self.assertNotEqual(status, 0, text)
        self.assertIn("scp -p", text)
        self.assertIn("hactl key rotate", b.hactl_status("doctor")[1] + a.hactl_status("doctor")[1])
        subprocess.run(["cp", "-p", os.path.join(a.folder, "beat.key.next"), os.path.join(b.folder, "beat.key.next")],
                       check=True)
        self.finish(first, self.rotate(b, "--by-hand"))


if __name__ == "__main__":
    unittest.main()

"""Canaries in place of every secret, through load, takeover, drill and crash: nobody else ever gets to see one."""
import base64
import glob
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
import unittest

from support import LabTest

from lab import processes
from lab.load import Load
from lab.processes import wait_until

FORWARD_PORT = 24224


class Secrets(LabTest):
    options = {"start": False}

    def setUp(self):
        world = self.world
        self.canaries = {
            "password": "canary-password-" + os.urandom(8).hex(), "beat key": "canary-beat-key-" + os.urandom(24).hex(),
            "shared key": "canary-shared-key-" + os.urandom(8).hex(),
        }
        world.database.sql(f"ALTER ROLE standwatch_login PASSWORD '{self.canaries['password']}'")
        with open(world.key, "w", encoding="ascii") as file:
            file.write(self.canaries["beat key"] + "\n")
        shared = os.path.join(world.folder, "shared.key")
        with open(shared, "w", encoding="ascii") as file:
            file.write(self.canaries["shared key"] + "\n")
        shutil.chown(shared, group="nogroup")
        os.chmod(shared, 0o640)

        def change(settings):
            settings["listen"].update({"forward": [f"0.0.0.0:{FORWARD_PORT}"], "forwardSharedKeyFile": shared})
        for node in world.nodes.values():
            node.prepare(change)
            with open(node.passfile(), "r+", encoding="utf-8") as file:
                lines = [line.rsplit(":", 1)[0] + ":" + self.canaries["password"] for line in file.read().splitlines()]
                file.seek(0)
                file.truncate()
                file.write("\n".join(lines) + "\n")
        # Raw, and as a careless program might write them.
        self.forms = {}
        for name, text in self.canaries.items():
            raw = text.encode()
            for form in (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")):
                self.forms[form] = name
        self.seen, self.looked, self.done = set(), 0, False
        # A core would be written, if the programs themselves did not forbid it.
        self.old_limit = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, self.old_limit)

    def find(self, text, where):
        for form, name in self.forms.items():
            if form in text:
                self.seen.add((name, where))

    def watch_processes(self):
        """Arguments and environment of every process of this machine that is none of the test's own, all the time."""
        while not self.done:
            for folder in glob.glob("/proc/[0-9]*"):
                if int(folder[6:]) == os.getpid():
                    continue
                for what in ("cmdline", "environ"):
                    try:
                        with open(f"{folder}/{what}", "rb") as file:
                            self.find(file.read(), f"{what} of a process")
                    except OSError:
                        pass  # it has ended
            self.looked += 1
            time.sleep(0.02)

    def test_no_secret_gets_out(self):
        world = self.world
        watcher = threading.Thread(target=self.watch_processes)
        watcher.start()
        try:
            world.start()
            load = Load(world, rate=500, sources=5)
            load.wait_flowing()
            answers = [world.leader().hactl_status(*words)[1] for words in (
                ("status", "--json"), ("doctor", "--json"), ("history",), ("config",), ("quarantine",),
                ("drill", "kill", "--yes"))]
            world.wait_healed()
            answers += [node.get(path, timeout=3)[1] for node in world.nodes.values() for path in ("/", "/metrics")]
            leader, epoch = world.leader(), world.epoch()
            for pid in (leader.worker_pid(), leader.guard_pid()):
                with open(f"/proc/{pid}/limits", encoding="ascii") as file:
                    core = next(line for line in file if line.startswith("Max core file size"))
                self.assertEqual(core.split()[4:6][0], "0", core)
                # Not dumpable: what of /proc belongs to root although the process does not.
                self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0)
            processes.send_signal(leader.worker_pid(), signal.SIGABRT)
            wait_until(lambda: world.epoch() > epoch, 15, "another epoch")
            world.wait_healed()
            epoch = world.epoch()
            leader = world.leader()
            processes.send_signal(leader.guard_pid(), signal.SIGABRT)
            wait_until(lambda: world.epoch() > epoch, 25, "another epoch")
            leader.stop()
            leader.start()
            world.wait_healed()
            load.finish()
        finally:
            self.done = True
            watcher.join()
        for number, answer in enumerate(answers):
            self.find(answer.encode(), f"answer {number}")
        self.assertEqual(glob.glob("core*"), [], "a core file in the working folder")
        kept = 0
        for path in glob.glob(f"{world.folder}/**", recursive=True):
            name = os.path.basename(path)
            is_secret = name in ("pgpass", "beat.key", "shared.key") or f"{world.folder}/postgres" in path
            if os.path.isfile(path) and not is_secret:
                self.assertFalse(name.startswith("core"), path)
                with open(path, "rb") as file:
                    self.find(file.read(), path)
                kept += 1
        dump = subprocess.run(
            ["pg_dump", "--dbname", world.database.superuser(), "--data-only"], stdout=subprocess.PIPE, check=True)
        self.find(dump.stdout, "PostgreSQL")
        self.assertEqual(self.seen, set())
        # It looked where it says: at its own process list and at what nodes wrote.
        self.assertGreater(self.looked, 100)
        self.assertGreater(kept, 3)
        self.assertIn(b"standwatch", dump.stdout)

    def test_a_password_among_arguments_is_refused(self):
        world = self.world
        for words in (("hactl", "status", "--connection"),
                      ("standwatch-load", "--target", "127.0.0.1:1", "--database")):
            status, text = world.status_in(
                world.nodes["a"].namespace, world.program(words[0]), *words[1:], "host=127.0.0.1 password=canary-x")
            self.assertIn(status, (2, 64), text)
            self.assertIn("passfile=", text)
            self.assertNotIn("canary-x", text)


if __name__ == "__main__":
    unittest.main()

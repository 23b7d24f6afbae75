"""The ground of the nemesis: a world of one shape with its clients, and what faults need to change in it."""
import glob
import os
import shutil
import time

from ..processes import wait_until
from ..world import World
from .clients import FORWARD_PORT, Clients
from .network_fails import INTRUDER
from .pair import Pair

# What a world is made of, by name.
SHAPES = {
    "two": {"nodes": ("a", "b")},
    "three": {"nodes": ("a", "b", "c")},
    "standby": {"nodes": ("a", "b"), "standby": "sync"},
}
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
# In place of vip-claim: does as the file beside it says.
CLAIM = """#!/bin/sh
set -eu
mode=
[ ! -f "{folder}/mode" ] || mode=$(cat "{folder}/mode")
case "$mode" in
hang) exec sleep 60 ;;
fail) echo "told to fail" >&2; exit 1 ;;
crash) kill -SEGV $$ ;;
esac
exec {script}
"""


class Ground:
    """Use it with `with`. Everything runs in the calling thread: a child dies with the thread that started it."""

    def __init__(self, shape, random, folder, rate, sources):
        self.shape, self.random, self.folder = shape, random, folder
        self.rate, self.sources = rate, sources
        given = dict(SHAPES[shape])
        # One node's wall clock can be stepped; the others run without the library that does it.
        if not FAKETIME:
            raise RuntimeError("libfaketimeMT.so.1 is missing: scripts/setup installs the package faketime")
        self.clock_node = random.choice(given["nodes"])
        self.clock_file = os.path.join(folder, "clock")
        self.clock_offset = 0
        self.world = World(folder=folder, change=self._change, machines={INTRUDER: 202}, database=Pair,
                           prepared=self._prepare, **given)
        self.clients = None
        self.down_since, self.restarts, self.versions = {}, 0, 0
        # How long a node may take to say that it is active.
        self.patience = 0.3
        # Epochs and nodes seen at once as active: (seconds, names).
        self.seen = []

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        self.world.__enter__()
        self.clients = Clients(self.world, self.rate, self.sources)
        self.clients.load.wait_flowing()
        return self

    def __exit__(self, *_):
        self.world.remove()
        if self.clients:
            self.clients.disk.remove()

    def _change(self, settings):
        folder = os.path.join(self.folder, settings["node"], "ha")
        settings["listen"]["forward"] = [f"0.0.0.0:{FORWARD_PORT}"]
        settings["service"]["helpers"]["claim"] = os.path.join(folder, "claim")

    def _prepare(self, node):
        folder = os.path.join(node.folder, "ha")
        os.makedirs(folder)
        path = os.path.join(folder, "claim")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CLAIM.format(folder=folder, script=os.path.join(self.world.root, "ha", "vip-claim")))
        os.chmod(path, 0o755)
        if node.name == self.clock_node:
            self.set_clock(0)
            node.environment = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": self.clock_file,
                                "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                                "FAKETIME_DISABLE_SHM": "1"}

    # What faults change

    def set_clock(self, seconds):
        with open(self.clock_file + ".new", "w", encoding="ascii") as file:
            file.write(f"{seconds:+d}\n")
        os.chmod(self.clock_file + ".new", 0o644)
        os.replace(self.clock_file + ".new", self.clock_file)
        self.clock_offset = seconds

    def set_helper(self, node, mode):
        with open(os.path.join(node.folder, "ha", "mode"), "w", encoding="ascii") as file:
            file.write(mode)

    def next_version(self):
        """A copy of the daemon under a path of its own, as an upgrade brings it."""
        self.versions += 1
        path = os.path.join(self.folder, f"version-{self.versions % 2}", "standwatchd")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copyfile(self.world.program("standwatchd"), path + ".new")
        os.chmod(path + ".new", 0o755)
        # A running program can be replaced, not written.
        os.replace(path + ".new", path)
        return path

    def has_standby(self):
        return self.shape == "standby"

    def database_again(self):
        """PostgreSQL runs again, with its standby where it has one."""
        database = self.world.database
        old = database.process.pid
        database.ensure()
        if database.process.pid != old:
            self.world.note_process(database.process.pid)

    # Time that passes

    def tick(self):
        """Looks who leads, and starts a node's service again half a second after it ended, as systemd does."""
        now = time.monotonic()
        for node in self.world.nodes.values():
            if node.process is None or node.process.poll() is None:
                self.down_since.pop(node.name, None)
            elif now - self.down_since.setdefault(node.name, now) > 0.5:
                self.restarts += 1
                node.start()
        active = [node.name for node in self.world.active(self.patience)]
        if not self.seen or self.seen[-1][1] != active:
            self.seen.append((round(now, 2), active))
            del self.seen[:-2000]
        return active

    def pause(self, seconds):
        end = time.monotonic() + seconds
        while True:
            self.tick()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.1, left))

    def wait(self, condition, seconds, every=0.1):
        """True when it came true in time."""
        end = time.monotonic() + seconds
        while True:
            self.tick()
            if condition():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(every)

    def wait_steady(self, seconds):
        return wait_until(self.world.is_healed, seconds, lambda: self.world.explain())

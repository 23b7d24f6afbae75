"""What fails on a node's or an agent's own host: helper scripts, clock, descriptors, the spool's disk."""
import os
import resource
import signal

from ..processes import send_signal
from .kind import Kind


class Helper(Kind):
    """The claiming script of all nodes but one misbehaves, and the active one dies, so that it is needed."""

    touches, lasts, promotions, mode = ("helpers", "processes"), (1.5, 3), 5, ""

    def inject(self):
        active = self.active()
        spared = active if self.random.random() < 0.7 else None
        self.bad = [node for node in self.world.nodes.values() if node is not spared]
        for node in self.bad:
            self.ground.set_helper(node, self.mode)
        self.about = f"at {', '.join(node.name for node in self.bad)}; {active.name} killed"
        if active.worker_pid():
            send_signal(active.worker_pid(), signal.SIGKILL)

    def heal(self):
        for node in self.bad:
            self.ground.set_helper(node, "")


class HelperHangs(Helper):
    name, mode = "helper-hangs", "hang"


class HelperFails(Helper):
    name, mode = "helper-fails", "fail"


class HelperCrashes(Helper):
    name, mode = "helper-crashes", "crash"


class ClockStep(Kind):
    """The wall clock of one node (the one that runs with libfaketime) jumps; the boot clock does not."""

    name, touches, lasts, promotions = "clock-step", ("clock",), (1.5, 3), 2

    def inject(self):
        seconds = self.random.choice([-1, 1]) * self.random.choice([3, 60, 3600, 7200])
        self.ground.set_clock(seconds)
        self.about = f"{seconds:+d} s at {self.ground.clock_node}"

    def heal(self):
        self.ground.set_clock(0)


class Descriptors(Kind):
    """A worker may open hardly any file more."""

    name, touches, lasts, promotions = "descriptors-exhausted", ("descriptors",), (1, 3), 4

    def inject(self):
        node = self.mostly_active()
        self.pid, self.old = node.worker_pid(), None
        self.about = node.name
        if self.pid is None:
            return
        try:
            count = len(os.listdir(f"/proc/{self.pid}/fd"))
            self.old = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (count + self.random.randint(0, 3), self.old[1]))
            self.about += f" at {count}"
        except OSError:
            self.pid = None

    def heal(self):
        if self.pid and self.old:
            try:
                resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.old)
            except OSError:
                pass  # it has ended meanwhile


class SpoolDiskFull(Kind):
    name, touches, lasts, promotions = "spool-disk-full", ("agent",), (1.5, 3), 0

    def inject(self):
        self.ground.clients.disk.fill(0)

    def heal(self):
        self.ground.clients.disk.free()


KINDS = [HelperHangs, HelperFails, HelperCrashes, ClockStep, Descriptors, SpoolDiskFull]

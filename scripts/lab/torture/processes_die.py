"""Processes killed and stopped: worker, guard, both, agent; half a lease, one, and ten."""
import signal

from ..processes import children, send_signal, start_time
from .kind import LEASE, Kind


class KillWorker(Kind):
    name, touches, lasts = "kill-worker", ("processes",), (0.5, 2)

    def inject(self):
        node = self.mostly_active()
        self.about = node.name
        send_signal(node.worker_pid(), signal.SIGKILL)


class KillGuard(Kind):
    name, touches, lasts, orphans = "kill-guard", ("processes",), (0.5, 2), True

    def inject(self):
        node = self.mostly_active()
        self.about = node.name
        if node.guard_pid():
            send_signal(node.guard_pid(), signal.SIGKILL)


class KillNode(Kind):
    name, touches, lasts, orphans = "kill-node", ("processes",), (0.5, 3), True

    def inject(self):
        node = self.mostly_active()
        self.about = node.name
        node.signal_all(signal.SIGKILL)


class KillAgent(Kind):
    name, touches, lasts, promotions = "kill-agent", ("agent",), (0.3, 2), 0

    def inject(self):
        self.ground.clients.agent.kill()

    def heal(self):
        self.ground.clients.agent.ensure()


class Stop(Kind):
    """Guard, worker and helpers of a node stand still, or the worker alone."""

    touches, leases, orphans = ("processes",), 1.0, True

    def inject(self):
        node, alone = self.mostly_active(), self.random.random() < 0.25
        guard = node.guard_pid()
        family = [] if guard is None else ([] if alone else [guard]) + children(guard)
        self.about = f"{node.name}{' (worker)' if alone else ''}"
        self.stopped = [(pid, start_time(pid)) for pid in family]
        for pid, started in self.stopped:
            send_signal(pid, signal.SIGSTOP, started)

    def heal(self):
        for pid, started in self.stopped:
            send_signal(pid, signal.SIGCONT, started)


class StopHalfLease(Stop):
    name, lasts = "stop-half-lease", (LEASE * 0.45, LEASE * 0.55)


class StopLease(Stop):
    name, lasts = "stop-lease", (LEASE, LEASE * 1.2)
    shows = ("lease expired while stopped", "two nodes thought they led", "promotion in the middle of a COPY")


class StopTenLeases(Stop):
    name, lasts = "stop-ten-leases", (LEASE * 10, LEASE * 10)
    shows = ("lease expired while stopped", "two nodes thought they led")


class RollingUpgrade(Kind):
    """Every node is stopped in order and started as the next version (the same program under another name)."""

    name, touches, lasts, promotions = "rolling-upgrade", ("processes",), (0, 0.5), 4

    def inject(self):
        program = self.ground.next_version()
        active = self.active()
        for node in sorted(self.world.nodes.values(), key=lambda node: node is active):
            node.stop()
            node.daemon = program
            node.start()
            # Like an operator who waits for the node to be ready before the next one, but not for ever.
            self.ground.wait(node.is_ready, 4)
        self.about = "ending with " + active.name


class SwitchoverStorm(Kind):
    name, touches, lasts, promotions = "switchover-storm", ("operator",), (0, 0.5), 10

    def inject(self):
        times = self.random.randint(3, 5)
        for _ in range(times):
            self.active().hactl("switchover", check=False)
            self.ground.pause(self.random.uniform(0, 0.4))
        self.about = f"{times} times"


KINDS = [KillWorker, KillGuard, KillNode, KillAgent, StopHalfLease, StopLease, StopTenLeases, RollingUpgrade,
         SwitchoverStorm]

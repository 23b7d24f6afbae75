"""One window: faults injected, held, healed, and the world checked from outside."""
import time

from .checks import CATCH_UP_SECONDS

# Five leases. What can add up: the rest of a lease, a worker started again, the judge's window, the probe that waits
# until the old holder's address has run out.
ACTIVE_SECONDS = 10.0
# Until every node could lead again: after a local fault a node rests before it queues again.
READY_SECONDS = 20.0
QUIET_SECONDS = 1.5
# The kernel's lifetime of the address, and what it may be late.
OVERLAP_MS = 3300.0
GIVEN_UP_SECONDS = 60.0


class Window:
    """`faults` are one or two of the kinds, made for this window."""

    def __init__(self, number, ground, checker, faults, random, history):
        self.number, self.ground, self.checker = number, ground, checker
        self.faults, self.random, self.history = faults, random, history
        self.world, self.load = ground.world, ground.clients.load
        self.problems, self.figures = [], {}
        self.injected = []
        self.is_over = False

    def note(self, what, **more):
        self.history.add(what, window=self.number, **more)

    def run(self):
        self.note("window", shape=self.ground.shape, kinds=[fault.name for fault in self.faults])
        self.epoch = self.world.epoch()
        self.base = self.load.acked()
        self.checker.watch_address()
        began = time.monotonic()
        self.hold()
        healed_at = time.monotonic()
        self.figures["fault_s"] = round(healed_at - began, 2)
        fed, fed_at = self.ground.clients.lines_fed(), time.time()
        if not self.wait_healed(healed_at):
            return self
        self.quiet(healed_at)
        self.check(fed, fed_at)
        return self

    # Faults

    def hold(self):
        ends = []
        for fault in self.faults:
            self.attempt("inject", fault, fault.inject)
            ends.append((time.monotonic() + self.random.uniform(*fault.lasts), fault))
            if fault is not self.faults[-1]:
                self.ground.pause(self.random.uniform(0, 1))
        for end, fault in sorted(ends, key=lambda pair: pair[0]):
            self.ground.pause(max(0, end - time.monotonic()))
            self.attempt("heal", fault, fault.heal)

    def attempt(self, what, fault, action):
        try:
            action()
            if what == "inject":
                self.injected.append(fault.name)
            self.note(what, kind=fault.name, about=fault.about)
        except (RuntimeError, TimeoutError, OSError) as error:
            # What the other fault made impossible is not injected; what can't be healed is our own failure.
            self.note(f"{what} failed", kind=fault.name, about=fault.about, error=str(error)[:2000])
            if what == "heal":
                self.problems.append(f"{fault.name} could not be healed: {str(error)[:300]}")

    # Healing

    def wait_healed(self, since):
        """One active within the bound, all ready within theirs, records flowing. False when the world is of no use."""
        nodes = list(self.world.nodes.values())

        def is_one():
            active = self.world.active()
            return len(active) == 1 and self.world.network.holders() in ([active[0].name], [active[0].name, "intruder"])

        for name, condition, bound in (
                ("one_active_s", is_one, ACTIVE_SECONDS),
                ("flowing_s", self.is_flowing, ACTIVE_SECONDS),
                ("all_ready_s", lambda: all(node.is_ready() for node in nodes), READY_SECONDS)):
            base = self.load.acked()
            self.flow_base = base
            came = self.ground.wait(condition, GIVEN_UP_SECONDS)
            took = round(time.monotonic() - since, 2)
            self.figures[name] = took
            if not came or took > bound:
                self.problems.append(f"{name} is {took}{'' if came else ' and still not'}, the bound is {bound:g}; "
                                     f"{self.world.explain()}")
                self.note("not healed", name=name, took=took)
            if not came:
                self.is_over = True
                self.checker.holders()
                return False
        return True

    def is_flowing(self):
        return self.load.acked() > self.flow_base

    def quiet(self, healed_at):
        """While nothing is wrong, nothing changes."""
        checker, clients = self.checker, self.ground.clients
        came = self.ground.wait(self.syslog_flows, CATCH_UP_SECONDS, every=0.3)
        self.figures["syslog_s"] = round(time.monotonic() - healed_at, 2)
        first, since = clients.lines_fed(), time.time() - 5
        epoch, seen = self.world.epoch(), len(self.ground.seen)
        # A page that comes late on a busy machine is no other active node.
        self.ground.patience, usual = 5.0, self.ground.patience
        self.ground.pause(QUIET_SECONDS)
        self.ground.patience = usual
        last = clients.lines_fed()
        after = self.world.epoch()
        if after != epoch:
            self.problems.append(f"the epoch went from {epoch} to {after} though nothing was wrong any more")
        if any(len(active) != 1 for _, active in self.ground.seen[seen:]):
            self.problems.append("the active node changed though nothing was wrong any more")
        if came:
            self.problems += checker.syslog(first, last, since)
        else:
            self.problems.append(f"rsyslog's messages do not come {CATCH_UP_SECONDS} s after the healing")

    def syslog_flows(self):
        """The youngest messages that were fed to rsyslog are stored."""
        newest = max(self.checker.stored("torture-syslog", time.time() - 4), default=0)
        return newest >= self.ground.clients.lines_fed() - 12

    # The check

    def check(self, fed, fed_at):
        checker, clients = self.checker, self.ground.clients
        self.figures["gap_s"] = self.longest_gap()
        self.problems += checker.records()
        self.problems += checker.stale()
        self.problems += checker.exactly("torture-line", fed, CATCH_UP_SECONDS, fed_at)
        self.problems += checker.exactly("torture-chunk", clients.chunks_acked(), 0)
        found, self.figures["holders"] = checker.holders(self.tolerated_overlap())
        self.problems += found
        found, self.figures["nodes"] = checker.resources()
        self.problems += found
        self.problems += [f"the sender {name} has ended" for name in clients.dead()]
        self.promotions = [(int(row[0]), float(row[1])) for row in self.world.database.sql(
            f"SELECT epoch, extract(epoch FROM at) FROM lab.promotion WHERE epoch > {self.epoch} ORDER BY epoch")]
        bound = sum(fault.promotions for fault in self.faults)
        if len(self.promotions) > bound:
            self.problems.append(f"{len(self.promotions)} promotions, these faults account for {bound} at most")
        checker.totals.takeovers += len(self.promotions)
        self.figures["acked"] = self.load.acked() - self.base
        self.note("checked", problems=self.problems, promotions=self.promotions, **self.figures)

    def tolerated_overlap(self):
        """Milliseconds.

        A node that can't run keeps its address until the kernel's lifetime for it is over. Where frames to it are lost
        as well, its successor can't tell it from one that is off, and doesn't wait: until then both answer, and only
        the successor acknowledges anything.
        """
        hidden = any(fault.hides for fault in self.faults) and any(fault.orphans for fault in self.faults)
        return OVERLAP_MS if hidden else 0.0

    def longest_gap(self):
        """Seconds between two acknowledgements."""
        moments = [ack[0] for ack in self.load.read()]
        return round(max((b - a for a, b in zip(moments, moments[1:])), default=0) / 1e9, 2)

    def line(self):
        """For people, while the run goes on."""
        faults = " + ".join((f"{fault.name} ({fault.about})" if fault.about else fault.name)
                            + ("" if fault.name in self.injected else " (impossible)") for fault in self.faults)
        epochs = f"epoch {self.epoch} -> {self.epoch + len(getattr(self, 'promotions', []))}"
        return (f"window {self.number} ({self.ground.shape}): {faults}: {epochs}, gap {self.figures.get('gap_s')} s, "
                f"one active after {self.figures.get('one_active_s')} s, {self.figures.get('acked', 0)} acknowledged: "
                + ("ok" if not self.problems else "FAILED: " + "; ".join(p.split('\n')[0] for p in self.problems)))

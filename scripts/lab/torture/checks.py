"""What is checked from outside after each window. Every finding is a sentence; none means that all was well."""
import os
import time

from ..load import AddressWatch

FACTS = ("queue", "step", "job", "metric", "log", "event", "process", "web", "span")
# A claim of an older epoch that the next promotion's snapshot does not see was committed after it. Later promotions
# see what an earlier one saw, so the next one is enough.
STALE = """
SELECT count(*) FROM lab.batch AS c CROSS JOIN LATERAL (
  SELECT p.snapshot FROM lab.promotion AS p WHERE p.epoch > c.lab_epoch ORDER BY p.epoch LIMIT 1) AS next
WHERE c.lab_epoch IS NOT NULL AND NOT pg_visible_in_snapshot(c.lab_xact, next.snapshot) AND c.at >= '{since}'
"""
# Four times what is seen; what waits for PostgreSQL is bounded by ingest.memoryBytes, 64 MB.
MEMORY_KILOBYTES = 256 << 10
# Beyond what a node had in the first window: connections of clients come and go.
MORE_DESCRIPTORS = 200
# A guard and an agent have no clients in number.
FEW = 20
# The agent's own bound is 40 MB.
AGENT_KILOBYTES = 40 << 10
# How long after the healing the senders without numbers of their own may take to have caught up.
CATCH_UP_SECONDS = 20


class Totals:
    """Of a whole run."""

    def __init__(self):
        self.acked = self.lost = self.doubled = self.phantom = self.stale_commits = self.takeovers = 0
        self.two_holders_ms = self.tolerated_overlap_ms = 0.0


class Checker:
    """Of one world. `totals` may be shared by several."""

    def __init__(self, world, load, totals=None, clients=None):
        self.world, self.load, self.clients = world, load, clients
        self.totals = totals or Totals()
        self.ids = []
        self.verified = None
        self.descriptors = {}
        # Numbers up to which a sender's messages were looked for, and when those behind them began.
        self.looked = {"torture-line": (0, 0.0), "torture-chunk": (0, 0.0)}
        self.watch = None
        self.since = self.world.database.value("SELECT clock_timestamp()")

    # Records of the load

    def streams(self):
        """The ids of the load's streams in the order of its sources."""
        if len(self.ids) != len(self.load.positions[-1][1]):
            rows = self.world.database.sql(
                "SELECT split_part(source, '/', 2)::int, id FROM ingest.stream "
                "WHERE starts_with(source, 'torture-') ORDER BY 1")
            self.ids = [int(row[1]) for row in rows]
        return self.ids

    def records(self):
        """Everything acknowledged up to now is there once; what was looked at is not looked at again.

        A late copy of an old record has that record's time, and is found by the load's own verification at the end.
        """
        self.load.read()
        high = self.load.positions[-1][2]
        low = self.verified or [0] * len(high)
        ids = self.streams()
        if len(ids) != len(high):
            return [f"{len(ids)} streams are registered of {len(high)}"]
        ranges = ",".join(f"({one},{begin},{end})" for one, begin, end in zip(ids, low, high))
        since = f"to_timestamp({self.load.made_after(low) - 1:.3f})"
        facts = " UNION ALL ".join(
            f"SELECT f.stream_id, f.seq FROM telemetry.{fact} AS f WHERE f.ts >= {since} AND f.stream_id IS NOT NULL"
            for fact in FACTS)
        rows = self.world.database.sql(
            f"WITH sent (id, low, high) AS (VALUES {ranges}), held AS ("
            f"  SELECT s.id, f.seq, count(*) AS rows FROM ({facts}) AS f JOIN sent AS s ON s.id = f.stream_id "
            "  WHERE f.seq > s.low AND f.seq <= s.high GROUP BY 1, 2), refused AS ("
            "  SELECT count(DISTINCT (r.stream, r.seq)) AS n "
            "  FROM ingest.rejected AS r JOIN sent AS s ON s.id = r.stream "
            "  WHERE r.seq > s.low AND r.seq <= s.high) "
            "SELECT (SELECT sum(high - low) FROM sent), (SELECT count(*) FROM held), "
            "  (SELECT coalesce(sum(rows - 1), 0) FROM held), (SELECT n FROM refused)")
        acked, stored, doubled, refused = (int(value or 0) for value in rows[0])
        found = []
        lost = acked - stored - refused
        if lost > 0:
            found.append(f"{lost} acknowledged records are not stored")
        if doubled:
            found.append(f"{doubled} records are stored twice")
        self.totals.lost += max(0, lost)
        self.totals.doubled += doubled
        self.verified = high
        self.load.forget(high)
        return found

    def stale(self):
        """Commits of an older epoch since the last look (with a minute of overlap: transactions take time)."""
        count = int(self.world.database.value(STALE.format(since=self.since)))
        self.totals.stale_commits += count
        self.since = self.world.database.value("SELECT clock_timestamp() - interval '60 s'") if not count else \
            self.world.database.value("SELECT clock_timestamp()")
        return [f"{count} batches were committed under an older epoch after a promotion"] if count else []

    # Senders without numbers of their own

    def stored(self, beginning, since):
        rows = self.world.database.sql(
            "SELECT split_part(message, ' ', 2)::bigint, count(*) FROM telemetry.log "
            f"WHERE ts >= to_timestamp({since:.3f}) AND starts_with(message, '{beginning} ') GROUP BY 1")
        return {int(number): int(count) for number, count in rows}

    def exactly(self, beginning, upto, seconds, at=None):
        """All numbers up to `upto`, the newest at a wall time `at`, are stored once, at the latest after `seconds`."""
        low, since = self.looked[beginning]
        began, wanted = time.time(), range(low + 1, upto + 1)
        deadline = time.monotonic() + seconds
        while True:
            held = self.stored(beginning, since)
            missing = [number for number in wanted if number not in held]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.3)
        doubled = [number for number in wanted if held.get(number, 1) > 1]
        found = []
        if missing:
            found.append(f"{len(missing)} of {beginning} are missing, from {missing[0]} to {missing[-1]}")
            self.totals.lost += len(missing)
        if doubled:
            found.append(f"{len(doubled)} of {beginning} are stored twice, the first is {doubled[0]}")
            self.totals.doubled += len(doubled)
        # What is behind `upto` was written after it; a chunk that was on its way then, a little before.
        self.looked[beginning] = (upto, (at or began) - 15)
        return found

    def syslog(self, first, last, since):
        """Plain syslog promises nothing over a failure; while all is well (since then), each message is there once."""
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while True:
            held = self.stored("torture-syslog", since)
            bad = [number for number in range(first + 1, last + 1) if held.get(number, 0) != 1]
            if not bad or time.monotonic() > deadline:
                break
            time.sleep(0.3)
        return [f"{len(bad)} of torture-syslog {first + 1}..{last} are not there once, the first is {bad[0]}"] \
            if bad else []

    # The address

    def watch_address(self):
        self.watch = AddressWatch(self.world)

    def holders(self, tolerated_ms=0.0):
        """How long two nodes had the address at once since `watch_address`; others than nodes do not count.

        It is a problem beyond `tolerated_ms`, and counted in any case.
        """
        seen, self.watch = self.watch.finish(), None
        nodes = {self.world.network.mac(name): name for name in self.world.nodes}
        spans = [span for span in seen["spans"] if span["mac"] in nodes]
        total, pairs = 0.0, set()
        for index, one in enumerate(spans):
            for other in spans[index + 1:]:
                if other["mac"] != one["mac"] and other["first_ns"] <= one["last_ns"]:
                    total += max(10.0, (min(one["last_ns"], other["last_ns"]) - other["first_ns"]) / 1e6)
                    pairs.add(" and ".join(sorted((nodes[one["mac"]], nodes[other["mac"]]))))
        self.totals.two_holders_ms += total
        self.totals.tolerated_overlap_ms += total if total <= tolerated_ms else 0
        changes = [f"{nodes[span['mac']]} {round((span['last_ns'] - span['first_ns']) / 1e9, 2)} s" for span in spans]
        found = [f"two nodes answered for the address for {total:.0f} ms: {', '.join(sorted(pairs))}"] \
            if total > tolerated_ms else []
        return found, changes

    # Resources

    def resources(self):
        found, figures = [], {}
        for node in self.world.nodes.values():
            kilobytes, _ = node.resident_kilobytes()
            figures[node.name] = {"resident_kb": kilobytes}
            if kilobytes > MEMORY_KILOBYTES:
                found.append(f"node {node.name} has {kilobytes} kB of memory")
            for role, pid, more in (("worker", node.worker_pid(), MORE_DESCRIPTORS), ("guard", node.guard_pid(), FEW)):
                found += self.descriptors_of(f"{role} of {node.name}", pid, more, figures[node.name], role)
        if self.clients:
            pid = self.clients.agent.process.pid
            figures["agent"] = {"resident_kb": resident_kilobytes(pid)}
            if figures["agent"]["resident_kb"] > AGENT_KILOBYTES:
                found.append(f"the agent has {figures['agent']['resident_kb']} kB of memory")
            found += self.descriptors_of("agent", pid, FEW, figures["agent"], "agent")
        return found, figures

    def descriptors_of(self, whose, pid, more, figures, name):
        try:
            count = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return []
        bound = self.descriptors.setdefault(whose, count + more)
        figures[f"descriptors_{name}"] = count
        return [f"{whose} has {count} descriptors open, the bound is {bound}"] if count > bound else []


def resident_kilobytes(pid):
    """0 of a process that is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmRSS:")), 0)
    except OSError:
        return 0

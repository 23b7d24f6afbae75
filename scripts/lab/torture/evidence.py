"""What a run has to have seen, or it proved little: read from the logs of nodes and PostgreSQL, window by window."""
import datetime
import os
import re

COPY, UNKNOWN, TWO, EXPIRED = ("promotion in the middle of a COPY", "unknown commit outcome",
                               "two nodes thought they led", "lease expired while stopped")
WANTED = (COPY, UNKNOWN, TWO, EXPIRED)
STOPPING = re.compile(r"^(\S+) .*msg=transition from=active to=stepping-down reason=\"?([^\"]*?)\"? epoch=(\d+)")
COPYING = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[\d+\] \S+ CONTEXT:  COPY \w+, line")
# An interrupted COPY belongs to a promotion that follows it so soon.
SOON = 3.0


class Evidence:
    """`counts` says how often each was seen in the whole run."""

    def __init__(self):
        self.counts = dict.fromkeys(WANTED, 0)
        self.counts["unknown outcome that had committed"] = 0
        self.places = {}

    def missing(self):
        return [name for name in WANTED if not self.counts[name]]

    def new_lines(self, path):
        """What a log has gained since the last look."""
        try:
            with open(path, "rb") as file:
                file.seek(self.places.get(path, 0))
                data = file.read(64 << 20)
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self.places[path] = self.places.get(path, 0) + whole
        return data[:whole].decode(errors="replace").splitlines()

    def forget(self, folder):
        """A world is gone, its logs with it."""
        for path in [path for path in self.places if path.startswith(folder + os.sep)]:
            del self.places[path]

    def read(self, ground, kinds, promotions):
        """After a window: `promotions` are (epoch, seconds) of it. What was seen in it, by name."""
        before, database = dict(self.counts), ground.world.database
        copies = []
        for server in (database, database.standby):
            for line in self.new_lines(server.log) if server else []:
                found = COPYING.match(line)
                if found:
                    copies.append(seconds(found[1].replace(" ", "T") + "+00:00"))
        if not any(kind.startswith("postgres-restart") for kind in kinds):
            self.counts[COPY] += sum(any(0 <= at - copy <= SOON for copy in copies) for _, at in promotions)
        for node in ground.world.nodes.values():
            for line in self.new_lines(node.log):
                self.one(line, node.name == ground.clock_node and "clock-step" in kinds,
                         any(kind.startswith("stop-") for kind in kinds), promotions)
        return [name for name, count in self.counts.items() if count > before[name]]

    def one(self, line, is_clock_wrong, was_stopped, promotions):
        if 'msg="outcome of a transaction unknown"' in line:
            self.counts[UNKNOWN] += 1
        elif 'msg="batch of unknown outcome was stored"' in line:
            self.counts["unknown outcome that had committed"] += 1
        found = STOPPING.match(line)
        if not found:
            return
        if was_stopped and found[2] == "lease expired":
            self.counts[EXPIRED] += 1
        # It held itself for the leader until this moment, and another one had been promoted before.
        if not is_clock_wrong and any(epoch > int(found[3]) and at < seconds(found[1]) for epoch, at in promotions):
            self.counts[TWO] += 1


def seconds(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()

"""What the site really did: kept by the generator, never read back from Standwatch."""
import collections
import math


class Truth:
    """Counts and values as they were made; `summary` is what reports are compared with."""

    def __init__(self):
        self.records = collections.Counter()
        self.queues = {}
        self.deepest = collections.Counter()
        self.jobs = collections.defaultdict(list)
        self.failed_jobs = collections.Counter()
        self.open_transactions = {}
        self.finished = 0
        self.web = collections.Counter()
        self.sessions = set()
        self.goal_sessions = set()
        self.patterns = collections.Counter()
        self.restarts = collections.Counter()
        self.traces = set()

    def queue(self, application, depth, enqueued, dequeued):
        self.records["queue"] += 1
        self.queues[application] = (depth, enqueued, dequeued)
        self.deepest[application] = max(self.deepest[application], depth)

    def step(self, application, transaction, step, when, is_last):
        """Of each transaction its latest step counts; the last one ends it."""
        self.records["step"] += 1
        if is_last:
            self.open_transactions.pop((application, transaction), None)
            self.finished += 1
        else:
            self.open_transactions[(application, transaction)] = (step, when)

    def job(self, application, job, microseconds, failed):
        self.records["job"] += 1
        self.jobs[(application, job)].append(microseconds)
        self.failed_jobs[application] += failed

    def hit(self, path, code, session, goal):
        self.records["web"] += 1
        self.web[(path, code)] += 1
        self.sessions.add(session)
        if path == goal and code < 400:
            self.goal_sessions.add(session)

    def summary(self, site, stuck_after):
        """Plain values; `stuck_after` seconds before the end a transaction that still waits is stuck."""
        return {
            "records": dict(self.records),
            "applications": len(site.applications),
            "piling_up": site.troubled("piles_up_at"),
            "depth": {name: queue[0] for name, queue in self.queues.items()},
            "deepest": dict(self.deepest),
            "stuck": sorted([application, transaction, step]
                            for (application, transaction), (step, when) in self.open_transactions.items()
                            if when <= site.span - stuck_after),
            "finished_transactions": self.finished,
            "slow": site.troubled("slows_down_at"),
            "job_percentiles_ms": {
                f"{application}/{job}": [percentile(values, p) / 1000 for p in (0.5, 0.95, 0.99)]
                for (application, job), values in self.jobs.items()},
            "failed_jobs": sum(self.failed_jobs.values()),
            "web_codes": dict(self._codes()),
            "web_paths": dict(self._paths()),
            "sessions": len(self.sessions),
            "goal_sessions": len(self.goal_sessions),
            "log_severities": {str(severity): count for severity, count in self._severities().items()},
            "new_pattern": sorted(name for name in site.troubled("new_pattern_at")
                                  if any(key[0] == name and key[2] for key in self.patterns)),
            "restarts": dict(self.restarts),
            "traces": len(self.traces),
        }

    def _codes(self):
        codes = collections.Counter()
        for (_, code), count in self.web.items():
            codes[str(code)] += count
        return codes

    def _paths(self):
        paths = collections.Counter()
        for (path, _), count in self.web.items():
            paths[path] += count
        return paths

    def _severities(self):
        severities = collections.Counter()
        for (_, severity, _), count in self.patterns.items():
            severities[severity] += count
        return severities


def percentile(values, p):
    """The value of rank p (n - 1), rounded down: what a DDSketch estimates (Masson, Rim, Lee 2019, definition 1)."""
    ordered = sorted(values)
    return ordered[math.floor(p * (len(ordered) - 1))]

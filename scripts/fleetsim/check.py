"""Compares what the reports say with what the site really did."""
import collections
import json
import subprocess

SKETCH_ERROR = 0.02


def rows(connection, statement):
    """The rows of a statement as dictionaries."""
    done = subprocess.run(
        ["psql", connection, "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", f"SELECT row_to_json(r) FROM ({statement}) AS r"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{statement}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Comparison:
    """One after the other; what differs is kept as a sentence."""

    def __init__(self, connection, truth):
        self.connection, self.truth = connection, truth
        self.differences = []
        start, end = truth["start"], truth["start"] + truth["span"]
        # Reports round a range outward to whole minutes: nothing else may lie there.
        self.range = f"to_timestamp({start}), to_timestamp({end} + 60)"
        self.end = f"to_timestamp({end})"
        self.sources = ",".join(f"'{name}'" for name in truth["sources"])

    def ask(self, statement):
        return rows(self.connection, statement)

    def ours(self, statement):
        """Only rows of the site's own applications: others may send at the same time."""
        return [row for row in self.ask(statement) if row["app"] in self.truth["depth"]]

    def same(self, what, told, true):
        if told != true:
            self.differences.append(f"{what}: the report says {shortened(told)}, true is {shortened(true)}")

    def near(self, what, told, true, part):
        if told is None or abs(told - true) > part * abs(true) + 0.001:
            self.differences.append(f"{what}: the report says {told}, true is {true}")

    # The questions

    def counts(self):
        """Every record is there, once."""
        told = {}
        for table in self.truth["records"]:
            told[table] = self.ask(
                f"SELECT count(*) AS n FROM telemetry.{table} AS f JOIN ingest.stream AS s ON s.id = f.stream_id "
                f"WHERE s.source IN ({self.sources})")[0]["n"]
        self.same("records", told, self.truth["records"])

    def queues(self):
        told = {row["app"]: row["depth"] for row in self.ours(f"SELECT app, depth FROM report.queues_at({self.end})")}
        self.same("depths at the end", told, self.truth["depth"])
        risks = self.ask(f"SELECT app FROM report.queues_at_risk({self.end}, p_limit => 100000)")
        missing = set(self.truth["piling_up"]) - {row["app"] for row in risks}
        self.same("piling up, but not at risk", sorted(missing), [])

    def transactions(self):
        stuck = {(app, txn): step for app, txn, step in self.truth["stuck"]}
        for app in sorted({app for app, _ in stuck}):
            told = {row["txn"]: row["last_step"] for row in self.ask(
                f"SELECT txn, last_step FROM report.transactions_stuck('{app}', {self.range})")}
            for (_, txn), step in (item for item in stuck.items() if item[0][0] == app):
                self.same(f"where {txn} of {app} is stuck", told.get(txn), step)

    def jobs(self):
        told = {f"{row['app']}/{row['job']}": row for row in self.ours(
            f"SELECT * FROM report.jobs({self.range}, p_limit => 100000)")}
        self.same("jobs there are", sorted(told), sorted(self.truth["job_percentiles_ms"]))
        for name, true in self.truth["job_percentiles_ms"].items():
            for key, value in zip(("p50_ms", "p95_ms", "p99_ms"), true):
                self.near(f"{key} of {name}", told.get(name, {}).get(key), value, SKETCH_ERROR)
        self.same("failed jobs", sum(row["failed"] for row in told.values()), self.truth["failed_jobs"])

    def web(self):
        told = collections.Counter()
        for row in self.ours(
                f"SELECT app, code, requests FROM report.web_status({self.range}, p_limit => 100000)"):
            told[str(row["code"])] += row["requests"]
        self.same("web answers", dict(told), self.truth["web_codes"])

    def logs(self):
        told = self.ours(
            f"SELECT DISTINCT app FROM report.log_patterns_new({self.range}, p_limit => 100000) "
            "WHERE pattern LIKE 'interlock%'")
        self.same("applications with the new pattern", sorted(row["app"] for row in told), self.truth["new_pattern"])

    def processes(self):
        told = self.ours(f"SELECT app, sum(restarts) AS n FROM report.process_restarts({self.range}) GROUP BY 1")
        self.same("restarts", {row["app"]: row["n"] for row in told if row["n"]}, self.truth["restarts"])

    def traces(self):
        told = self.ask(
            "SELECT count(DISTINCT j.trace_id) AS n FROM telemetry.job AS j JOIN telemetry.span AS s "
            "ON s.trace_id = j.trace_id AND s.span_id = j.span_id JOIN ingest.stream AS i ON i.id = j.stream_id "
            f"WHERE j.ts >= to_timestamp({self.truth['start']}) AND i.source IN ({self.sources})")
        self.same("jobs that spans join by trace", told[0]["n"], self.truth["traces"])


def shortened(value):
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 200 else text[:197] + "..."


def compare(connection, truth):
    """What differs, as sentences."""
    comparison = Comparison(connection, truth)
    for question in (comparison.counts, comparison.queues, comparison.transactions, comparison.jobs, comparison.web,
                     comparison.logs, comparison.processes, comparison.traces):
        question()
    return comparison.differences

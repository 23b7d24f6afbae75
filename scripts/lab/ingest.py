"""How fast the node takes records in, beside the fastest that PostgreSQL itself can take the same rows."""
import os
import subprocess
import threading
import time

from .load import run_load
from .processes import run

# Records of one type go to one table, so that the ceiling is the same rows into the same table.
TABLES = {"native": "queue", "syslog": "log"}


def run_ingest(world, protocol, seconds, sources, progress=print, rollups="on"):
    """The figures as `scripts/bench ingest` gives them."""
    table = TABLES[protocol]
    progress(f"ingest: {seconds:g} s from {sources} sources over TCP ({protocol}, rollups {rollups})")
    memory = MemoryWatch(world)
    words = ["--sources", sources, "--rate", "max", "--seconds", seconds, "--drain", "60"]
    if protocol == "native":
        words += ["--types", table]
    report, _ = run_load(world, *words, protocol=protocol, name="ingest")
    resident = memory.finish()
    stored, lost = report["stored"], report["lost"]
    if protocol == "native":
        rate, acked = report["acked_per_s"], report["acked"]
    else:
        # Nothing is acknowledged: what counts is what is stored, from the first record to the last.
        rate, acked, lost = stored / stored_seconds(world, table), stored, report["missing"]
    # What the readers' exactness costs: how many rows of rollups there were for the records.
    deltas = int(world.database.value("SELECT count(*) FROM telemetry.minute"))
    progress(f"ingest: {rate:.0f} rows/s; now the ceiling")
    ceiling, together = copy_rates(world, table, progress, runs=4 if seconds >= 10 else 1)
    return {
        "protocol": protocol, "rollups": rollups, "sources": sources, "seconds": seconds,
        "copy_rows_per_s": round(ceiling), "ingest_rows_per_s": round(rate), "ratio": round(rate / ceiling, 3),
        "copy_two_sessions_rows_per_s": round(together), "ratio_two_sessions": round(rate / together, 3),
        "acked": acked, "lost": lost, "doubled": report["doubled"], "phantom": report["phantom"],
        "ack_ms_p50": report["ack_ms_p50"], "ack_ms_p99": report["ack_ms_p99"], "rss_mb": round(resident / 1024, 1),
        "rollup_rows": deltas, "remarks": report["remarks"],
    }


def stored_seconds(world, table):
    """From the first to the last commit of the table's rows."""
    value = world.database.value(
        f"SELECT extract(epoch FROM max(c) - min(c)) FROM (SELECT pg_xact_commit_timestamp(x) AS c "
        f"FROM (SELECT DISTINCT xmin AS x FROM telemetry.{table}) AS every) AS commits")
    return max(float(value), 0.001)


def copy_rates(world, table, progress, runs, rows=1_000_000):
    """Rows a second of `psql \\copy` (binary) into a table of the same shape: partitions, indexes and settings.

    One session, and two at once as a node has lanes: for each the best of a few runs into an empty table, as a ceiling
    is what nothing else on the machine has lowered.
    """
    database = world.database
    path = os.path.join(world.folder, "rows.binary")
    psql = [database.copy_program(), database.superuser(), "-Xq", "-v", "ON_ERROR_STOP=1"]
    database.sql(f"""
        CREATE SCHEMA ceiling;
        CREATE TABLE ceiling.{table} (LIKE telemetry.{table} INCLUDING ALL) PARTITION BY RANGE (ts);
        DO $$ DECLARE part record; BEGIN
          FOR part IN SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits AS i
            JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'telemetry.{table}'::regclass LOOP
            EXECUTE format('CREATE TABLE ceiling.%I PARTITION OF ceiling.{table} %s', part.name, part.bound);
          END LOOP;
        END $$""")
    run(*psql, "-c", f"\\copy (SELECT * FROM telemetry.{table} LIMIT {rows}) TO '{path}' (FORMAT binary)")
    count = int(database.value(f"SELECT count(*) FROM (SELECT FROM telemetry.{table} LIMIT {rows}) AS sample"))
    best = {1: 0.0, 2: 0.0}
    for number in range(runs):
        for sessions in best:
            database.sql(f"TRUNCATE ceiling.{table}")
            database.sql("CHECKPOINT")
            began = time.monotonic()
            copies = [subprocess.Popen([*psql, "-c", f"\\copy ceiling.{table} FROM '{path}' (FORMAT binary)"],
                                       stdin=subprocess.DEVNULL) for _ in range(sessions)]
            if any([copy.wait() for copy in copies]):
                raise RuntimeError("\\copy failed")
            rate = sessions * count / (time.monotonic() - began)
            best[sessions] = max(best[sessions], rate)
            progress(f"ceiling {number + 1}/{runs}, {sessions} session{'s' * (sessions > 1)}: {rate:.0f} rows/s")
    os.unlink(path)
    database.sql("DROP SCHEMA ceiling CASCADE")
    return best[1], best[2]


class MemoryWatch:
    """The most resident memory that guard and worker of the active node had together, in KiB."""

    def __init__(self, world):
        self.node = world.leader()
        self.most = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.ended.wait(0.2):
            self.most = max(self.most, self.node.resident_kilobytes()[0])

    def finish(self):
        self.ended.set()
        self.thread.join()
        return max(self.most, self.node.resident_kilobytes()[0])

"""Puts a plant's records and their rollups into the tables, as a node and its upkeep would have."""
import math
from datetime import datetime, timezone

FAILURES = {"error", "failed", "failure", "timeout", "aborted", "cancelled", "rejected", "fatal", "nok"}
GAMMA = 1.02 / 0.98
# Table, its columns in the database, and for each how it is made of a row.
NAMES = {"host": "host", "app": "app", "queue": "queue_name", "step": "step_name", "job": "job_name",
         "metric": "metric_name", "event": "event_kind", "process": "process_name", "span": "span_name",
         "status": "status", "pattern": "log_pattern"}
COLUMNS = {
    "queue": ["queue_id:queue", "depth", "enqueued", "dequeued", "capacity", "oldest_ms"],
    "step": ["step_id:step", "status_id:status", "elapsed_us", "txn"],
    "job": ["job_id:job", "status_id:status", "duration_us", "cpu_us", "sql_us", "txn", "trace_id=trace",
        "span_id=span"],
    "metric": ["metric_id:metric", "value"],
    "process": ["process_id:process", "state_id:state", "pid", "up_ms", "restarts", "cpu", "memory_bytes", "threads"],
    "web": ["code", "bytes", "duration_us", "method", "path", "client", "session", "referrer", "agent"],
    "log": ["severity", "message", "pattern_id:pattern", "trace_id=trace", "span_id=span"],
    "span": ["span_name_id:span_name", "status_id:status", "duration_us", "kind", "trace_id=trace", "span_id=span",
             "parent_id=parent"],
    "event": ["kind_id:kind"],
}
DICTIONARY = {"state": "status", "span_name": "span", "kind": "event"}
UNITS = {"minute": 60, "hour": 3600, "day": 86400}


def timestamp(micros):
    return datetime.fromtimestamp(micros // 1_000_000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S") + \
        f".{micros % 1_000_000:06}+00"


class Names:
    """Ids by name, for each dictionary, the same in every run."""

    def __init__(self):
        self.ids = {}

    def id(self, field, name):
        known = self.ids.setdefault(DICTIONARY.get(field, field), {})
        return known.setdefault(name, 1000 + len(known))


def failed(row):
    return int(row["status"].lower() in FAILURES)


def measured(table, row):
    """(measure, field of the key, its name, value or None, errors) of everything that is summed of a record."""
    if table == "queue":
        yield from ((number, "queue", row["queue"], row[field], 0) for number, field in
                    ((1, "depth"), (2, "enqueued"), (3, "dequeued"), (4, "oldest_ms")) if row[field] is not None)
    elif table == "step":
        yield 5, "step", row["step"], row["elapsed_us"], failed(row)
    elif table == "job":
        yield 6, "job", row["job"], row["duration_us"], failed(row)
    elif table == "metric":
        yield 7, "metric", row["metric"], row["value"], 0
    elif table == "process":
        yield from ((number, "process", row["process"], row[field], 0) for number, field in
                    ((8, "cpu"), (9, "memory_bytes")) if row[field] is not None)
    elif table == "log":
        yield 10, "pattern", row["pattern"], None, int(row["severity"] <= 3)
    elif table == "web":
        yield 11, None, row["code"], row["duration_us"], int(row["code"] >= 500)
    elif table == "span":
        yield 12, "span_name", row["span_name"], row["duration_us"], failed(row)
    elif table == "event":
        yield 13, "kind", row["kind"], None, 0


def bucket(value):
    """The bucket of DDSketch (Masson, Rim, Lee 2019) for relative error 2 %, numbered as sql/0008 says."""
    return 20000 + math.ceil(math.log(value) / math.log(GAMMA)) if value > 0 else 0


def rollups(plant, names):
    """Every cell of every unit as a row for COPY, by unit."""
    cells = {unit: {} for unit in UNITS}
    for table, rows in plant.rows.items():
        for row in rows:
            for measure, field, name, value, errors in measured(table, row):
                key = names.id(field, name) if field else name
                for unit, length in UNITS.items():
                    at = row["ts"] // (length * 1_000_000) * length
                    place = (at, names.id("app", row["app"]), names.id("host", row["host"]), measure, key)
                    cell = cells[unit].setdefault(place, [0, 0, [], {}])
                    cell[0] += 1
                    cell[1] += errors
                    if value is not None:
                        cell[2].append(value)
                        number = bucket(value)
                        cell[3][number] = cell[3].get(number, 0) + 1
    for unit, found in cells.items():
        yield unit, [cell_row(place, cell) for place, cell in found.items()]


def cell_row(place, cell):
    n, errors, values, sketch = cell
    keeps = bool(values) and place[3] not in (2, 3)
    buckets = sorted(sketch)
    return [timestamp(place[0] * 1_000_000), *place[1:], n, errors, sum(values) if values else None,
            min(values) if values else None, max(values) if values else None,
            buckets if keeps else None,
            [sketch[each] for each in buckets] if keeps else None]


def store(plant, session):
    """Dictionaries, records and rollups."""
    names = Names()
    stream = 0
    for table, rows in plant.rows.items():
        columns = ["ts", "app_id", "host_id", "stream_id", "seq"]
        columns += [each.replace("=", ":").split(":")[0] for each in COLUMNS[table]]
        lines = []
        for seq, row in enumerate(rows, 1):
            line = [timestamp(row["ts"]), names.id("app", row["app"]), names.id("host", row["host"]), stream, seq]
            for each in COLUMNS[table]:
                column, _, field = each.replace("=", ":").partition(":")
                value = row[field or column]
                line.append(names.id(field, value) if ":" in each else value)
            lines.append(line)
        session.copy(f"telemetry.{table}", ", ".join(columns), lines)
    for unit, rows in rollups(plant, names):
        session.copy(f"telemetry.rollup_{unit}",
                     "at, app_id, host_id, measure, key_id, n, errors, sum, min, max, buckets, counts", rows)
    for field, table in NAMES.items():
        session.copy(f"telemetry.{table}", "id, name",
                     [(number, name) for name, number in names.ids.get(field, {}).items()])
    return names


def history(session, now):
    """Takeovers of the last ten days, with a node that died unseen, a drill, and what is known to be lost."""
    def at(before):
        return timestamp(now - round(before * 1e6))
    events = [  # seconds before now, kind, node, run, epoch, reason, phases
        (10 * 86400, "active", "a", 1, 1, "listeners open and address held", '{"detected": 0.0, "claimed": 12.0}'),
        (5 * 86400 + 0.04, "draining", "a", 1, 1, "switchover to b", "{}"),
        (5 * 86400, "active", "b", 1, 2, "listeners open and address held",
         '{"detected": 5.0, "lockWon": 6.0, "bumped": 20.0, "listening": 25.0, "claimed": 35.0}'),
        # b is killed; a says 900 ms later that it serves.
        (2 * 86400, "active", "a", 1, 3, "listeners open and address held",
         '{"detected": 700.0, "fenced": 720.0, "lockWon": 730.0, "leaseProven": 740.0, "oldSessionsEnded": 750.0, '
         '"bumped": 800.0, "listening": 820.0, "probed": 880.0, "claimed": 900.0}'),
        (2 * 86400 - 30, "standby", "b", 2, None, "started", "{}"),
        (2 * 86400 - 40, "pause", None, None, None, "op: work", "{}"),
        # Nobody for ten minutes: PostgreSQL was away.
        (90000 + 600, "degraded", "a", 1, 3, "no node reaches PostgreSQL", "{}"),
        (90000, "active", "a", 1, 4, "listeners open and address held", '{"detected": 0.0, "claimed": 30.0}'),
    ]
    session.copy("ha.event", "at, kind, node, incarnation, epoch, reason, phases",
                 [(at(before), *rest) for before, *rest in events])
    session.run(f"""
        INSERT INTO ha.cluster (cluster, system_identifier, database_oid, database_name) VALUES ('test', 1, 1, 'x');
        INSERT INTO ha.leadership (epoch, token, node, incarnation, since) VALUES (4, 1, 'a', 1, '{at(90000)}');
        INSERT INTO ha.node (node, incarnation, counter, state, beat_at)
          VALUES ('a', 1, 9, 'active', now() + interval '1 hour'), ('b', 2, 9, 'standby', now());
        INSERT INTO ha.drill (kind, started_at, finished_at, operator, verdict, gap_ms, acked, lost, doubled)
          VALUES ('kill', '{at(86400)}', '{at(86370)}', 'op', 'passed', 112, 5000, 0, 0),
            ('kill', '{at(172800)}', '{at(172770)}', 'op', 'failed', 4000, 5000, 1, 0);
        INSERT INTO ingest.stream (id, source, stream) VALUES (7, 'mes', 's1');
        INSERT INTO ingest.gap (at, stream, first, last, node, epoch) VALUES ('{at(7200)}', 7, 11, 20, 'a', 4);
        INSERT INTO ingest.shed (at, node, listener, source, messages, bytes, reason)
          VALUES ('{at(3600)}', 'a', 'syslog/udp', '10.0.0.7', 42, 4200, 'high-water mark')""")

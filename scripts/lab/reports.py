"""How long reports take: 30 days of rollups of 2,000 applications and 100 million raw rows, made in SQL.

Run by scripts/bench reports, inside of scripts/with-postgres. A smaller scale has fewer applications; with
fewer hour days, only a hundred applications have hours of the days before. Rollups are what merging makes of them: a
    row an hour and key, a row a UTC day and key, and minutes
of the last hours (all of 30 days would be 1.5 thousand million rows, which no report of 30 days reads).
"""
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
DATABASE = "reports"
APPS, RAW_HOURS, MINUTE_HOURS, DAYS = 2000, 48, 2, 30
# Measure, keys an application has, records an hour, mean of the value.
MEASURES = [(1, 2, 360, 50), (2, 2, 360, 1e6), (3, 2, 360, 1e6), (4, 2, 360, 800), (5, 3, 200, 30_000), (6, 3, 400,
    20_000),
            (7, 2, 60, 5), (8, 1, 60, 12), (9, 1, 60, 5e7), (10, 3, 100, None), (11, 3, 200, 9_000), (12, 1, 200,
                40_000),
            (13, 1, 1, None)]
BUCKETS = 20
# What is measured: name, query, aim in ms; $app is one application in the middle.
MONTH = "now() - interval '30 days', now()"
REPORTS = [(f"{name} of all, 30 days", f"SELECT * FROM report.{name}({MONTH})") for name in (
    "queue_depth", "queue_oldest", "queue_growth", "queue_rates", "step_times", "jobs", "jobs_against", "processes",
    "web_status", "log_volume", "log_patterns", "log_patterns_new", "log_patterns_rising", "events", "spans")]
REPORTS += [("metrics of all, 30 days", f"SELECT * FROM report.metrics('name-7-1', {MONTH})")]
REPORTS += [(f"{name} of one, 30 days", f"SELECT * FROM report.{name}({MONTH}, $app)") for name in (
    "queue_depth", "queue_rates", "step_times", "jobs", "jobs_against", "processes", "web_status", "log_patterns",
        "spans")]
REPORTS += [(f"{name} of one by {by}, 30 days", f"SELECT * FROM report.{name}({MONTH}, $app, '{by}')") for name, by in (
    ("queue_depth_over_time", "day"), ("jobs_over_time", "day"), ("jobs_over_time", "hour"), ("web_over_time", "day"),
    ("log_over_time", "day"))]
REPORTS += [(f"{name} of one, 30 days", f"SELECT * FROM report.{name}($app, {MONTH})") for name in (
    "queue_by_hour", "jobs_by_hour_of_day", "coverage")]
NOW = [("jobs of all, last day", "SELECT * FROM report.jobs()"), ("jobs against last week",
    "SELECT * FROM report.jobs_against()"),
       ("queue_now", "SELECT * FROM report.queue_now"), ("queues_at_risk", "SELECT * FROM report.queues_at_risk()"),
       ("queue_rates, last hour", "SELECT * FROM report.queue_rates()"),
       ("process_now", "SELECT * FROM report.process_now"), ("process_restarts",
           "SELECT * FROM report.process_restarts()"),
       ("host_now", "SELECT * FROM report.host_now"), ("new patterns, last hour",
           "SELECT * FROM report.log_patterns_new()")]
HOUR = "ts >= now() - interval '25 hours' AND ts < now() - interval '24 hours'"
RAW = [("raw rows of one, one hour", f"SELECT * FROM telemetry.queue WHERE app_id = $id AND {HOUR} ORDER BY ts"),
       ("raw mean by minute of one, one hour",
           "SELECT date_trunc('minute', ts), avg(depth), max(depth) FROM telemetry.queue "
        f"WHERE app_id = $id AND {HOUR} GROUP BY 1")]


def psql(*statements, user=None, database=DATABASE):
    options = os.environ["STANDWATCH_TEST_POSTGRES"].replace("dbname=postgres", f"dbname={database}")
    options = options.replace("user=postgres", f"user={user}") if user else options
    done = subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", options, *[part for each in statements
                                                                          for part in ("-c", each)]],
                          text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"{statements[-1][:300]}\n{done.stdout}")
    return done.stdout


def progress(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def install():
    # Loading is not what is measured: no waiting for the disk.
    for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_wal_size = '8GB'",
                    "autovacuum = off", "maintenance_work_mem = '1GB'"):
        psql(f"ALTER SYSTEM SET {setting}", database="postgres")
    psql("SELECT pg_reload_conf()", f"CREATE DATABASE {DATABASE}", database="postgres")
    for file in sorted(os.listdir(f"{ROOT}/sql")):
        if file.endswith(".sql"):
            with open(f"{ROOT}/sql/{file}", encoding="utf-8") as text:
                psql("SET client_min_messages = warning; BEGIN; " + text.read() + "; COMMIT")
    psql(f"SELECT telemetry.ensure_partitions({DAYS + 8}, 1), telemetry.ensure_rollups({DAYS + 8}, 1)")


def template_sql():
    """One hour of every key: what the rows of all units are made of. Values differ by application; sketches have as
        many
    buckets as a spread of one to two needs."""
    values = ", ".join(f"({measure}, {keys}, {hourly}, {'NULL' if mean is None else mean})" for measure, keys, hourly,
        mean
                       in MEASURES)
    sketch = "m.mean IS NOT NULL AND m.measure NOT IN (2, 3)"
    return f"""
        CREATE UNLOGGED TABLE template AS
        SELECT a.id AS app_id, 5000 + a.id % {APPS} AS host_id, m.measure::smallint,
          CASE m.measure WHEN 11 THEN 100 * k + 100 ELSE k END::bigint AS key_id, m.hourly::double precision AS
              hourly, v.mean,
          CASE WHEN {sketch} THEN (SELECT array_agg((v.base + b)::integer) FROM generate_series(1, {BUCKETS}) AS b) END
            AS buckets,
          CASE WHEN {sketch} THEN (SELECT array_agg((1 + m.hourly / {BUCKETS} + 0 * b)::bigint)
            FROM generate_series(1, {BUCKETS}) AS b) END AS counts
        FROM (VALUES {values}) AS m(measure, keys, hourly, mean)
        CROSS JOIN telemetry.app AS a
        CROSS JOIN LATERAL generate_series(1, m.keys) AS k
        CROSS JOIN LATERAL (
          SELECT m.mean * (1 + a.id % 7) AS mean,
            20000 + ceil(ln(m.mean * (1 + a.id % 7)) / ln(1.02::double precision / 0.98)) - {BUCKETS // 2} AS base
          OFFSET 0
        ) AS v"""


def rollup_sql(target, unit, first, last, share):
    """Rows of a rollup table from `first` to `last` (SQL), each with `share` of an hour's records; counters grow.
    Minutes lie in the table as merging writes them: in the order of time, and in each of measure and application."""
    return f"""
        INSERT INTO telemetry.{target} (at, app_id, host_id, measure, key_id, n, errors, sum, min, max, buckets, counts)
        SELECT t.at, m.app_id, m.host_id, m.measure, m.key_id, v.n, v.n / 50, v.n * v.mean, v.mean / 3, v.mean * 3,
          m.buckets, m.counts
        FROM generate_series({first}, {last}, interval '1 {unit}') AS t(at)
        CROSS JOIN template AS m
        CROSS JOIN LATERAL (
          SELECT greatest(1, (m.hourly * {share})::bigint) AS n,
            CASE WHEN m.measure IN (2, 3) THEN extract(epoch FROM t.at)::double precision - 1.7e9 ELSE m.mean END AS
                mean
        ) AS v"""


def fill(scale, raw, hour_days):
    apps = max(20, round(APPS * scale))
    progress(f"{apps} applications")
    psql(f"INSERT INTO telemetry.app SELECT i, 'app-' || i FROM generate_series(1, {apps}) AS i",
         f"INSERT INTO telemetry.host SELECT 5000 + i % {APPS}, 'host-' || i FROM generate_series(1, {apps}) AS i",
         "INSERT INTO telemetry.status VALUES (1, 'ok'), (2, 'error'), (3, 'running')",
         *[f"INSERT INTO telemetry.{name} SELECT i, 'name-{measure}-' || i FROM generate_series(1, 10) AS i"
           for name, measure in (("queue_name", 1), ("step_name", 5), ("job_name", 6), ("metric_name", 7),
               ("process_name", 8),
                                 ("log_pattern", 10), ("span_name", 12), ("event_kind", 13))],
         "UPDATE telemetry.rollup_state SET hour_until = date_trunc('hour', now(), 'UTC') "
         "+ floor(extract(minute FROM now()) / 10) * interval '10 minutes', "
         "day_until = date_trunc('hour', now(), 'UTC')")
    psql(template_sql())
    hour, day = "date_trunc('hour', now(), 'UTC')", "date_trunc('day', now(), 'UTC')"
    for table in ("rollup_minute", "rollup_hour", "rollup_day"):
        indexes = psql(f"SELECT indexdef FROM pg_indexes WHERE schemaname = 'telemetry' AND tablename = '{table}' "
                       f"AND indexname = '{table}_at'").strip().replace(" ON ONLY ", " ON ")
        psql(f"DROP INDEX telemetry.{table}_at", f"ALTER TABLE telemetry.{table} DROP CONSTRAINT {table}_pkey")
        if table == "rollup_minute":
            psql(rollup_sql(table, "minute", f"date_trunc('minute', now()) - interval '{MINUTE_HOURS} hours'",
                            "date_trunc('minute', now()) - interval '2 minutes'", "1/60.0")
                 + " ORDER BY t.at, m.measure, m.app_id")
        elif table == "rollup_hour":
            for back in range(DAYS + 1, -1, -1):
                psql(rollup_sql(table, "hour", f"{day} - interval '{back} days'",
                                f"least({hour}, {day} - interval '{back - 1} days' - interval '1 hour')", "1")
                     + (f" WHERE m.app_id BETWEEN {apps // 2 - 50} AND {apps // 2 + 50}" if back > hour_days else ""))
        else:
            psql(rollup_sql(table, "day", f"{day} - interval '{DAYS + 8} days'", day, "24"))
        psql(f"ALTER TABLE telemetry.{table} ADD PRIMARY KEY (measure, app_id, at, key_id, host_id)", indexes)
        progress(f"{table}: " + psql(f"SELECT count(*) FROM telemetry.{table}").strip() + " rows")
    progress("raw rows")
    psql("DROP INDEX telemetry.queue_app_ts")
    step = RAW_HOURS * 3600 * apps / raw
    for chunk in range(RAW_HOURS):
        psql(f"""INSERT INTO telemetry.queue (ts, app_id, host_id, queue_id, depth, enqueued, dequeued, capacity,
            oldest_ms,
              stream_id, seq)
            SELECT t.at, a.id, 5000 + a.id % {APPS}, 1 + (extract(epoch FROM t.at)::bigint / 2) % 2, 40 + a.id % 30,
              extract(epoch FROM t.at)::bigint, extract(epoch FROM t.at)::bigint, 1000, 20, a.id, 1
            FROM generate_series(now() - interval '{RAW_HOURS - chunk} hours',
              now() - interval '{RAW_HOURS - 1 - chunk} hours' - interval '1 microsecond',
              {step} * interval '1 second') AS t(at)
            CROSS JOIN telemetry.app AS a""")
    psql("CREATE INDEX queue_app_ts ON telemetry.queue (app_id, ts)")
    psql(f"""INSERT INTO telemetry.process (ts, app_id, host_id, process_id, state_id, pid, up_ms, restarts, cpu,
        memory_bytes)
        SELECT t.at, a.id, 5000 + a.id % {APPS}, 1, 3, 7, 1000, 0, 12, 5e7
        FROM generate_series(now() - interval '20 hours', now(), interval '1 minute') AS t(at) CROSS JOIN
            telemetry.app AS a""")
    progress("vacuum")
    psql("VACUUM ANALYZE")
    return {"apps": apps, "days": DAYS,
            "rollup_rows": {unit: int(psql(f"SELECT count(*) FROM telemetry.rollup_{unit}")) for unit in
                            ("minute", "hour", "day")},
            "raw_rows": int(psql("SELECT count(*) FROM telemetry.queue")),
            "bytes": int(psql(f"SELECT pg_database_size('{DATABASE}')"))}


def ask(query, trials):
    """Times of all runs in ms, rows of one, and the processor time of one (mean of all but the first)."""
    ticks = "\\! awk '{print \"Ticks: \" $14 + $15}' /proc/$BACKEND/stat"
    script = ["SET timezone = 'UTC';", "SELECT pg_backend_pid() AS pid \\gset", "\\setenv BACKEND :pid", "\\timing on",
              f"{query};", ticks, *[f"{query};"] * trials, ticks]
    options = os.environ["STANDWATCH_TEST_POSTGRES"].replace("dbname=postgres", f"dbname={DATABASE}")
    done = subprocess.run(["stdbuf", "-oL", "psql", "-qAtX", "-v", "ON_ERROR_STOP=1",
                           options.replace("user=postgres", "user=standwatch_analyst")], input="\n".join(script) + "\n",
                          text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"{query}\n{done.stdout}")
    lines = done.stdout.splitlines()
    times = [float(line.split()[1]) for line in lines if line.startswith("Time: ")]
    spent = [int(line.split()[1]) for line in lines if line.startswith("Ticks: ")]
    return times, (len(lines) - len(times) - 2) // (trials + 1), (spent[1] - spent[0]) * 10 / trials


def measure(trials, apps):
    """First, median and worst run of each after one to warm up, as an analyst, planning and all rows included."""
    results = []
    for aim, group in ((200, REPORTS), (200, NOW), (300, RAW)):
        for name, query in group:
            asked = query.replace("$app", f"'app-{apps // 2}'").replace("$id", str(apps // 2))
            times, rows, cpu = ask(asked, trials)
            result = {"report": name, "rows": rows, "first_ms": times[0], "median_ms": statistics.median(times[1:]),
                      "worst_ms": max(times[1:]), "cpu_ms": cpu, "aim_ms": aim}
            results.append(result)
            print(f"{name:46} {rows:5} rows  first {times[0]:7.1f}  median {result['median_ms']:7.1f}  worst "
                  f"{result['worst_ms']:7.1f}  processor {cpu:7.1f} ms  aim {aim}"
                  f"{'' if result['median_ms'] <= aim else '  MISSED'}", flush=True)
    return results


def main():
    scale, raw, hour_days, trials, target = (float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]),
                                             sys.argv[5])
    install()
    made = fill(scale, raw, hour_days)
    print(f"{made['apps']} applications, {made['days']} days (hours of all: {hour_days} days), "
          f"rollup rows {made['rollup_rows']}, "
          f"{made['raw_rows']} raw rows, {made['bytes'] / 1e9:.1f} GB", flush=True)
    results = measure(trials, made["apps"])
    if target:
        with open(target, "w", encoding="utf-8") as file:
            json.dump({**made, "reports": results}, file, indent=1)
    if os.environ.get("STANDWATCH_BENCH_HOLD"):
        progress(os.environ["STANDWATCH_TEST_POSTGRES"])
        time.sleep(float(os.environ["STANDWATCH_BENCH_HOLD"]))
    return 0 if all(result["median_ms"] <= result["aim_ms"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""A small plant with known trouble, as records: what its reports have to say is counted from the very same records.

Times are seconds before now, as whole numbers of microseconds. Nothing here knows SQL or rollups.
"""
import random

MINUTE, HOUR, DAY = 60, 3600, 86400


class Plant:
    """All records of eight days; `rows` by table, each row a dictionary with names instead of ids."""

    def __init__(self, now_us):
        self.now = now_us
        self.random = random.Random(20261120)
        self.rows = {name: [] for name in ("queue", "step", "job", "metric", "process", "web", "log", "span", "event")}
        self.queues()
        self.transactions()
        self.jobs()
        self.hosts()
        self.processes()
        self.web()
        self.logs()
        self.traces()

    def add(self, table, before, app, host, **fields):
        self.rows[table].append({"ts": self.now - round(before * 1e6), "app": app, "host": host, **fields})

    # Queues: EQP-12/in grows by 6 a minute and is full in less than an hour, EQP-13/in drains, EQP-13/out is stalled,
    # EQP-14/in is full, EQP-15/in is steady; EQP-15/in began to count anew 20 minutes ago.
    def queues(self):
        for minute in range(24 * 60, 0, -1):
            before = minute * MINUTE - 30
            fill = max(0, 120 - minute)
            self.add("queue", before, "EQP-12", "mes-07", queue="in", depth=100 + 6 * fill,
                     enqueued=1_000_000 - 60 * minute, dequeued=900_000 - 60 * minute - 6 * fill, capacity=1000,
                     oldest_ms=1000 + 500 * fill)
            self.add("queue", before, "EQP-13", "mes-08", queue="in", depth=200 + 4 * minute,
                     enqueued=500_000 - 10 * minute, dequeued=400_000 - 14 * minute, capacity=10_000, oldest_ms=None)
            self.add("queue", before, "EQP-13", "mes-08", queue="out", depth=40, enqueued=70_000, dequeued=69_960,
                     capacity=500, oldest_ms=minute * 10)
            self.add("queue", before, "EQP-14", "mes-09", queue="in", depth=500, enqueued=None, dequeued=None,
                     capacity=500, oldest_ms=None)
            counted = 30 * (1440 - minute) if minute > 20 else 30 * (20 - minute)
            self.add("queue", before, "EQP-15", "mes-09", queue="in", depth=3, enqueued=counted, dequeued=counted,
                     capacity=None, oldest_ms=20)

    # Transactions: 100 lots of EQP-12 and 40 orders of EQP-13, whose steps are others. They are stored in random order.
    def transactions(self):
        flows = {"EQP-12": (["received", "loaded", "processed", "unloaded", "reported"], "LOT", 100, "mes-07"),
                 "EQP-13": (["accepted", "picked", "shipped"], "ORD", 40, "mes-08")}
        self.lots = {}
        for app, (steps, prefix, count, host) in flows.items():
            for number in range(count):
                name, start = f"{prefix}-{number:04}", 20 * HOUR - number * 600
                last, outcome = len(steps), "finished"
                if app == "EQP-12" and number % 20 == 7:
                    last, outcome = 3, "stuck"  # after "processed"
                elif app == "EQP-12" and number % 25 == 11:
                    last, outcome = 2, "failed"  # in "loaded"
                at, told = start, []
                for index, step in enumerate(steps[:last]):
                    wait = 5 + self.random.random() * 10 * (index + 1) + (120 if name == "LOT-0033" and index == 2
                        else 0)
                    at -= wait
                    status = "NOK" if outcome == "failed" and index == last - 1 else "ok"
                    elapsed = None if step == "received" else round(wait * 0.8e6)
                    told.append({"before": at, "step": step, "status": status, "elapsed_us": elapsed})
                self.lots[(app, name)] = {"outcome": outcome, "steps": told, "began": told[0]["before"]}
                for each in told:
                    self.add("step", each["before"], app, host, txn=name, step=each["step"], status=each["status"],
                             elapsed_us=each["elapsed_us"])
        # One that is in the middle of a step right now.
        self.add("step", 40, "EQP-13", "mes-08", txn="ORD-9000", step="accepted", status="started", elapsed_us=None)
        self.random.shuffle(self.rows["step"])

    # Jobs: "move" of EQP-12 takes twice as long today as a week ago, "query" does not; "move" is slow in one hour.
    def jobs(self):
        for before in range(40, 9 * DAY, 240):
            slow = 2 if before < DAY else 1
            busy = 3 if (self.now // 1_000_000 - before) % DAY // HOUR == 14 else 1
            for app, job, mean in (("EQP-12", "move", 20_000 * slow * busy), ("EQP-12", "query", 5_000),
                                   ("EQP-13", "move", 30_000)):
                took = round(self.random.lognormvariate(0, 0.5) * mean)
                status = "timeout" if self.random.random() < 0.02 else "ok"
                self.add("job", before, app, "mes-07" if app == "EQP-12" else "mes-08", job=job, duration_us=took,
                         status=status, txn=None, cpu_us=took // 4, sql_us=took // 2, trace=None, span=None)

    # Hosts: mes-10 fell silent five hours ago.
    def hosts(self):
        for host, level in (("mes-07", 1.0), ("mes-08", 4.0), ("mes-10", 2.0)):
            for minute in range(6 * 60, 300 if host == "mes-10" else 0, -1):
                self.add("metric", minute * MINUTE - 20, "system", host, metric="load1",
                         value=round(level + self.random.random(), 3))

    # Processes: adapter of EQP-12 was absent for an hour and is up again, collector of EQP-13 is absent now.
    def processes(self):
        for minute in range(12 * 60, 0, -1):
            before = minute * MINUTE - 15
            away, again = 240 < minute <= 300, minute <= 240
            self.add("process", before, "EQP-12", "mes-07", process="adapter", state="absent" if away else "running",
                     pid=None if away else 200 + again, up_ms=None if away else (240 - minute) * 60_000 if again else
                     (900 - minute) * 60_000, restarts=3 + again, cpu=None if away else 10.0 + minute % 7,
                     memory_bytes=None if away else 50_000_000, threads=4)
            gone = minute <= 30
            self.add("process", before, "EQP-13", "mes-08", process="collector", state="absent" if gone else "sleeping",
                     pid=None if gone else 77, up_ms=None if gone else (2000 - minute) * 60_000, restarts=0,
                     cpu=None if gone else 1.5, memory_bytes=None if gone else 8_000_000, threads=None)

    # Web: 60 visits to the portal, every third orders something; /report answers 500 in the last two hours.
    def web(self):
        self.visits = []
        for number in range(60):
            start, session = 20 * HOUR - number * 900 - 7, f"s{number:03}"
            pages = ["/", "/list"] + (["/order", "/order/done"] if number % 3 == 0 else []) if number % 10 else ["/"]
            for index, path in enumerate(pages):
                self.hit(start - 10 * index, session, number, path, 200, "https://search.example/" if index == 0 and
                         number % 2 else None)
            self.visits.append(pages)
        for minute in range(180, 0, -1):
            self.hit(minute * MINUTE - 12, f"r{minute:03}", 999, "/report", 500 if minute <= 120 and minute % 4 == 0
                     else 200, "-")

    def hit(self, before, session, client, path, code, referrer):
        self.add("web", before, "portal", "web-01", code=code, bytes=1000 + len(path),
                 duration_us=round(2000 * (1 + self.random.random())), method="GET", path=path,
                 client=f"10.1.{client // 250}.{client % 250}", session=session, referrer=referrer, agent="test/1")

    # Logs: "lost connection to *" began 40 minutes ago, "retry *" is ten times as frequent as in the week before.
    def logs(self):
        def say(before, app, severity, message, pattern, trace=None):
            self.add("log", before, app, "mes-07", severity=severity, message=message, pattern=pattern, trace=trace,
                     span=None)
        self.say = say
        for before in range(100, 8 * DAY, 600):
            say(before, "EQP-12", 6, f"cycle {before} done", "cycle * done")
            say(before + 5, "EQP-12", 4, f"retry {before}", "retry *")
        for before in range(20, HOUR - 300, 60):
            say(before, "EQP-12", 4, f"retry {before}", "retry *")
        for before in range(30, 2400, 300):
            say(before, "EQP-12", 3, f"lost connection to {before}", "lost connection to *")

    # Traces: ten, of which two go wrong.
    def traces(self):
        self.wrong = []
        for number in range(10):
            trace, start, bad = f"{number + 1:032x}", 3000 - number * 200, number in (3, 8)
            for span, name, app, parent, took in ((1, "order", "portal", None, 90_000), (2, "reserve", "EQP-12", 1,
                60_000)):
                self.add("span", start - span * 0.001, app, "mes-07", span_name=name, kind=2, trace=trace,
                         span=number * 10 + span, parent=None if parent is None else number * 10 + parent,
                         duration_us=took, status="error" if bad and span == 2 else "ok")
            self.add("job", start - 0.010, "EQP-12", "mes-07", job="reserve", duration_us=50_000, trace=trace,
                     status="failed" if bad else "ok", txn=None, cpu_us=None, sql_us=None, span=number * 10 + 2)
            if bad:
                self.wrong.append(trace)
                self.say(start - 0.020, "EQP-12", 3, "no stock", "no stock", trace)
        for before in range(200, DAY, 3600):
            self.add("event", before, "portal", "web-01", kind="deployment")

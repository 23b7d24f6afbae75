"""The site's life as records: JSON lines without their numbers, in the order in which they leave the site."""
import json
import math
import time

from .site import AGENTS, GOAL, LOGS, NEW_PATTERN, PAGES, REFERRERS
from .truth import Truth

TICK = 10  # seconds between two measurements of a queue
STUCK_AFTER = 120


def timestamp(wall):
    whole = int(wall)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((wall - whole) * 1e6):06}Z"


class Telemetry:
    """Records of a site whose span begins at the wall-clock second `start`."""

    def __init__(self, site, start):
        self.site, self.start = site, start
        self.truth = Truth()
        self.held = []  # records that arrive late: (from which time on, application, line)
        self.visits = {}
        self.transactions = 0

    def line(self, kind, now, application, fields):
        return (f'"type":"{kind}","ts":"{timestamp(self.start + now)}","host":"{application.host}",'
                f'"app":"{application.name}",{fields}}}')

    def tick(self, now):
        """What the whole site sends for the tick that begins at `now`: (application number, line)."""
        lines = []
        for application in self.site.applications:
            self._queue(application, now, lines)
            self._transactions(application, now, lines)
            self._jobs(application, now, lines)
            self._logs(application, now, lines)
            if application.serves_web:
                self._web(application, now, lines)
            if int(now) % 60 < TICK:
                self._process(application, now, lines)
        due = [held for held in self.held if held[0] <= now]
        if due:
            self.held = [held for held in self.held if held[0] > now]
            lines += [(number, line) for _, number, line in due]
        return lines

    def rest(self):
        """What was still on its way at the end of the span."""
        lines = [(number, line) for _, number, line in self.held]
        self.held = []
        return lines

    def _queue(self, application, now, lines):
        application.queue_tick(now, TICK)
        oldest = 0 if application.waiting_since is None else int((now - application.waiting_since) * 1000)
        self.truth.queue(application.name, application.depth, application.enqueued, application.dequeued)
        lines.append((application.number, self.line("queue", now, application, (
            f'"queue":"in","depth":{application.depth},"enqueued":{application.enqueued},'
            f'"dequeued":{application.dequeued},"capacity":{application.capacity},"oldest_ms":{oldest}'))))

    def _transactions(self, application, now, lines):
        random = application.random
        for _ in range(1 if random.random() < 0.2 else 0):
            self.transactions += 1
            name = f"LOT-{application.number:04}-{self.transactions}"
            sticks = (application.sticks_at is not None and now >= application.sticks_at and random.random() < 0.5)
            reached = random.randrange(1, len(application.steps)) if sticks else len(application.steps)
            begun = now + random.uniform(0, TICK * 0.2)
            times = sorted(begun + random.uniform(0, TICK * 0.7) for _ in range(reached))
            made = []
            for step, when in zip(application.steps, times):
                is_last = step == application.steps[-1]
                self.truth.step(application.name, name, step, when, is_last)
                made.append(self.line("step", when, application, (
                    f'"txn":"{name}","step":"{step}","status":"{"done" if is_last else "ok"}",'
                    f'"elapsed_us":{random.randrange(200, 900_000)}')))
            random.shuffle(made)
            # Half of them come a tick late: steps arrive out of order.
            for line in made:
                if random.random() < 0.5:
                    self.held.append((now + TICK, application.number, line))
                else:
                    lines.append((application.number, line))

    def _jobs(self, application, now, lines):
        random = application.random
        for job, median in application.jobs.items():
            if random.random() > 0.3:
                continue
            slow = 6.0 if application.slows_down_at is not None and now >= application.slows_down_at else 1.0
            microseconds = max(1, int(1000 * median * slow * math.exp(random.gauss(0, 0.35))))
            failed = random.random() < 0.01
            when = now + random.uniform(0, TICK)
            self.truth.job(application.name, job, microseconds, failed)
            trace = ""
            if random.random() < 0.05:
                trace = self._trace(application, job, when, microseconds, failed, lines)
            lines.append((application.number, self.line("job", when, application, (
                f'"job":"{job}","duration_us":{microseconds},"status":"{"failed" if failed else "ok"}",'
                f'"sql_us":{microseconds // 3}{trace}'))))

    def _trace(self, application, job, when, microseconds, failed, lines):
        """A span for the job and one below it; the fields by which the job's record joins them."""
        random = application.random
        trace = f"{random.getrandbits(128) | 1:032x}"
        span, child = random.getrandbits(63) | 1, random.getrandbits(63) | 1
        self.truth.traces.add(trace)
        status = "error" if failed else "ok"
        for number, parent, name, duration in (
                (span, None, job, microseconds), (child, span, "sql", microseconds // 3)):
            self.truth.records["span"] += 1
            above = "" if parent is None else f'"parent":"{parent:016x}",'
            lines.append((application.number, self.line("span", when, application, (
                f'"trace":"{trace}","span":"{number:016x}",{above}"name":"{name}","kind":"internal",'
                f'"duration_us":{duration},"status":"{status}"'))))
        if failed:
            self._log(application, when, 3, f"job {job} failed", False, lines,
                      f',"trace":"{trace}","span":"{span:016x}"')
        return f',"trace":"{trace}","span":"{span:016x}"'

    def _logs(self, application, now, lines):
        random = application.random
        for _ in range(random.choice((0, 0, 1, 2))):
            severity, _, text = random.choices(LOGS, [weight for _, weight, _ in LOGS])[0]
            self._log(application, now + random.uniform(0, TICK), severity, self._fill(text, random), False, lines)
        if application.new_pattern_at is not None and now >= application.new_pattern_at:
            severity, text = NEW_PATTERN
            self._log(application, now + random.uniform(0, TICK), severity, self._fill(text, random), True, lines)

    def _fill(self, text, random):
        return text.format(n=random.randrange(1, 999), id=f"L{random.randrange(10_000, 99_999)}")

    def _log(self, application, when, severity, message, is_new, lines, more=""):
        self.truth.records["log"] += 1
        self.truth.patterns[(application.name, severity, is_new)] += 1
        lines.append((application.number, self.line(
            "log", when, application, f'"severity":{severity},"message":{json.dumps(message)}{more}')))

    def _web(self, application, now, lines):
        random = application.random
        for _ in range(random.randrange(0, 5)):
            visit = random.randrange(0, 300)
            session = f"{application.number:04}-{visit}"
            path = random.choices([page for page, _ in PAGES], [weight for _, weight in PAGES])[0]
            code = random.choices((200, 304, 404, 500), (90, 5, 4, 1))[0]
            self.truth.hit(path, code, session, GOAL)
            lines.append((application.number, self.line("web", now + random.uniform(0, TICK), application, (
                f'"method":"{"POST" if path == GOAL else "GET"}","path":"{path}","code":{code},'
                f'"bytes":{random.randrange(200, 90_000)},"duration_us":{random.randrange(500, 400_000)},'
                f'"client":"10.9.{application.number % 250}.{visit % 250}","session":"{session}",'
                f'"referrer":"{random.choice(REFERRERS)}","agent":"{random.choice(AGENTS)}"'))))

    def _process(self, application, now, lines):
        restarted = application.restarts_at is not None and now >= application.restarts_at
        if restarted and application.name not in self.truth.restarts:
            self.truth.restarts[application.name] = 1
        since = application.restarts_at if restarted else -3600.0
        self.truth.records["process"] += 1
        lines.append((application.number, self.line("process", now, application, (
            f'"process":"{application.name.lower()}","state":"running","pid":{4000 + application.number + restarted},'
            f'"up_ms":{int((now - since) * 1000)},"restarts":{int(restarted)},'
            f'"cpu":{application.random.uniform(0.5, 40):.2f},"memory":{application.random.randrange(30, 400) << 20},'
            f'"threads":{application.random.randrange(8, 60)}'))))

"""Who there is: applications in their areas, their queues, steps and jobs, and what is going to go wrong where.

Everything follows from the seed. Times are seconds since the beginning of the simulated span.
"""
import random

# Kind of application: share of the fleet, steps of its transactions, its jobs (median milliseconds), whether it
# serves web pages.
KINDS = {
    "EQP-ADAPTER": (0.55, ["receive", "validate", "load", "process", "unload"], {"recipe": 180, "collect": 40}, False),
    "DISPATCHER": (0.12, ["request", "rank", "reserve", "dispatch"], {"rank-lots": 350, "refresh": 90}, False),
    "TRANSPORT": (0.13, ["order", "pick", "move", "drop"], {"route": 60}, False),
    "SPC": (0.10, ["sample", "evaluate", "store"], {"chart": 220, "limits": 130}, False),
    "MES-GATEWAY": (0.06, ["accept", "translate", "forward", "confirm"], {"translate": 25}, True),
    "REPORTING": (0.04, ["collect", "aggregate", "publish"], {"shift-report": 2400, "yield": 900}, True),
}
PAGES = [("/lots", 40), ("/lots/search", 20), ("/orders", 14), ("/orders/confirm", 6), ("/wip", 12), ("/login", 8)]
GOAL = "/orders/confirm"
REFERRERS = ["https://portal.site.example/", "https://portal.site.example/wip", "https://search.example/", ""]
AGENTS = ["Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Windows NT 10.0)", "terminal-client/4.2"]
# Severity, weight, text; {n} is a number and {id} a lot.
LOGS = [
    (6, 30, "lot {id} arrived at port {n}"), (6, 25, "recipe {n} loaded for lot {id}"),
    (6, 20, "heartbeat of equipment {n} received"), (5, 10, "queue drained after {n} ms"),
    (4, 6, "retry {n} for lot {id}"), (3, 2, "timeout after {n} ms talking to equipment {id}"),
]
NEW_PATTERN = (3, "interlock {n} opened unexpectedly on chamber {id}")


class Application:
    """One application; its figures are per second."""

    def __init__(self, number, kind, random_source):
        _, self.steps, self.jobs, self.serves_web = KINDS[kind]
        self.number, self.kind = number, kind
        self.name = f"{kind}-{number:04}"
        self.host = f"site-{number % 200:03}"
        self.random = random.Random(random_source.getrandbits(64))
        self.arrivals = self.random.uniform(0.2, 3.0)
        self.capacity = self.random.choice([200, 500, 1000])
        self.service = self.arrivals * self.random.uniform(1.2, 2.0)
        self.depth = self.enqueued = self.dequeued = 0
        self.fraction = 0.0
        self.waiting_since = None
        # What goes wrong: from this time on, or never.
        self.piles_up_at = self.slows_down_at = self.sticks_at = self.new_pattern_at = self.restarts_at = None

    def queue_tick(self, now, seconds):
        """Lets the queue live for a while; how many were refused because it was full."""
        service = self.service * (0.3 if self.piles_up_at is not None and now >= self.piles_up_at else 1.0)
        expected = self.arrivals * seconds
        came = max(0, round(self.random.gauss(expected, expected ** 0.5)))
        self.enqueued += came
        self.fraction += service * seconds
        able = int(self.fraction)
        self.fraction -= able
        done = min(self.depth + came, able)
        self.dequeued += done
        self.depth += came - done
        refused = max(0, self.depth - self.capacity)
        self.depth -= refused
        self.enqueued -= refused
        if self.depth == 0:
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = now
        return refused


class Site:
    """The fleet, and a list of what is wrong with it that reports have to find."""

    def __init__(self, applications=2000, seed=1, span=600):
        self.random = random.Random(seed)
        self.span = span
        kinds, shares = list(KINDS), [KINDS[kind][0] for kind in KINDS]
        # Every kind exists, however small the site.
        chosen = kinds + self.random.choices(kinds, shares, k=max(0, applications - len(kinds)))
        self.applications = [Application(number + 1, kind, self.random) for number, kind in enumerate(chosen)]
        middle = span * 0.4
        for attribute, share in (("piles_up_at", 0.02), ("slows_down_at", 0.02), ("sticks_at", 0.01),
                                 ("new_pattern_at", 0.01), ("restarts_at", 0.02)):
            for application in self.random.sample(self.applications, max(1, round(applications * share))):
                setattr(application, attribute, middle + self.random.uniform(0, span * 0.2))

    def troubled(self, attribute):
        return sorted(a.name for a in self.applications if getattr(a, attribute) is not None)

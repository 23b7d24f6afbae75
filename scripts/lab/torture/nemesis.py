"""The run: worlds one after the other, faults drawn from a seed, and the sum of what was found."""
import json
import os
import random
import shutil
import time

from . import database_fails, hosts_fail, network_fails, processes_die
from .checks import Checker, Totals
from .evidence import Evidence
from .ground import SHAPES, Ground
from .window import Window

KINDS = processes_die.KINDS + network_fails.KINDS + database_fails.KINDS + hosts_fail.KINDS
WORLD_SECONDS = (60, 300)
# Shorter runs may miss what a run has to have seen; they say so and do not fail for it.
VACUITY_MINUTES = 4.5
KINDS_AT_LEAST = 20
# A run that lacks something of that goes on for at most so many times its length.
LONGER = 3


class History:
    """Everything that was done and seen, a JSON object a line, with seconds since the beginning of the run."""

    def __init__(self, path):
        self.path = path
        self.began = time.monotonic()

    def add(self, what, **more):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"s": round(time.monotonic() - self.began, 3), "what": what, **more}) + "\n")


class Deck:
    """Kinds in a random order, each as often as any other; refilled when none of it will do."""

    def __init__(self, chance):
        self.chance, self.cards = chance, []

    def draw(self, suits):
        """The next kind for which `suits` is true; None when none is."""
        for _ in range(2):
            for index, kind in enumerate(self.cards):
                if suits(kind):
                    return self.cards.pop(index)
            fresh = list(KINDS)
            self.chance.shuffle(fresh)
            self.cards += fresh
        return None


class Run:
    def __init__(self, minutes, seed, folder, rate, sources, progress):
        self.minutes, self.seed, self.folder, self.progress = minutes, seed, folder, progress
        self.rate, self.sources = rate, sources
        # Two of them: what is drawn does not depend on how long things take.
        self.chance, self.details = random.Random(seed), random.Random(seed + 1)
        os.makedirs(folder, exist_ok=True)
        self.history = History(os.path.join(folder, "history.jsonl"))
        self.deck, self.evidence, self.totals = Deck(self.chance), Evidence(), Totals()
        self.kinds, self.windows, self.worlds, self.failures = {}, [], [], []

    def go(self):
        end = time.monotonic() + self.minutes * 60
        length = min(max(self.minutes * 60 / len(SHAPES), WORLD_SECONDS[0]), WORLD_SECONDS[1])
        shapes, self.began = [], time.monotonic()
        self.end = end
        last = self.began + self.minutes * 60 * LONGER
        while time.monotonic() < end or self.lacks() and time.monotonic() < last:
            if not shapes:
                shapes = sorted(SHAPES)
                self.chance.shuffle(shapes)
            left = (end if time.monotonic() < end else last) - time.monotonic()
            # A rest that is too short for a world of its own goes to this one.
            self.world(shapes.pop(), left if left < length * 1.4 else length)

    def lacks(self):
        """What it has to have seen and has not: a slow machine does less in its time, and some of it is luck."""
        if self.minutes < VACUITY_MINUTES:
            return []
        lacking = [f"never seen: {name}" for name in self.evidence.missing()]
        if len(self.kinds) < KINDS_AT_LEAST:
            lacking.append(f"{len(self.kinds)} kinds were injected, of {len(KINDS)}")
        return lacking

    def world(self, shape, seconds):
        folder = os.path.join(self.folder, f"world-{len(self.worlds) + 1}")
        self.history.add("world", shape=shape, folder=folder)
        failures = len(self.failures)
        began = time.monotonic()
        with Ground(shape, self.details, folder, self.rate, self.sources) as ground:
            checker = Checker(ground.world, ground.clients.load, clients=ground.clients)
            while time.monotonic() - began < seconds - 6:
                window = self.window(ground, checker)
                if window.is_over:
                    break
            self.finish(ground, checker, shape)
        self.evidence.forget(folder)
        if len(self.failures) == failures:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            # The programs of the rolling upgrade are of no use to anybody who looks for the reason.
            for name in ("version-0", "version-1"):
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)

    def window(self, ground, checker):
        drawn = self.draw(ground)
        window = Window(len(self.windows) + 1, ground, checker, [kind(ground, self.details) for kind in drawn],
                        self.details, self.history)
        window.run()
        for name in window.injected:
            self.kinds[name] = self.kinds.get(name, 0) + 1
        seen = self.evidence.read(ground, [kind.name for kind in drawn], getattr(window, "promotions", []))
        self.history.add("seen", window=window.number, evidence=seen)
        self.windows.append(window.figures)
        self.failures += [{"window": window.number, "kinds": [kind.name for kind in drawn], "problem": problem[:4000]}
                          for problem in window.problems]
        self.progress(window.line())
        return window

    def draw(self, ground):
        """One kind, half of the time two that do not touch the same."""
        count, missing = 1 + (self.chance.random() < 0.5), self.evidence.missing()
        late = time.monotonic() - self.began > 0.4 * (self.end - self.began)
        drawn = []
        for turn in range(count):
            def suits(kind, sought=late and missing and turn == 0):
                return (kind.is_possible(ground) and (not sought or set(kind.shows) & set(missing))
                        and not any(set(kind.touches) & set(other.touches) for other in drawn))
            kind = self.deck.draw(suits)
            if kind:
                drawn.append(kind)
        return drawn

    def finish(self, ground, checker, shape):
        """The load's own verification of everything, and the whole history of commits once more."""
        report = ground.clients.finish()
        mine, whole = checker.totals, self.totals
        mine.stale_commits = max(mine.stale_commits, ground.world.database.stale_commits())
        whole.acked += report["acked"]
        whole.lost += max(mine.lost, report["lost"] or 0)
        whole.doubled += max(mine.doubled, report["doubled"] or 0)
        whole.phantom += report["phantom"] or 0
        whole.stale_commits += mine.stale_commits
        whole.two_holders_ms += mine.two_holders_ms
        whole.tolerated_overlap_ms += mine.tolerated_overlap_ms
        whole.takeovers += mine.takeovers
        world = {"shape": shape, "sent": report["sent"], "acked": report["acked"], "lost": report["lost"],
                 "doubled": report["doubled"], "phantom": report["phantom"], "failure": report["failure"],
                 "unacknowledged": report["unacknowledged"], "restarts": ground.restarts,
                 "followed_lines": checker.looked["torture-line"][0],
                 "forwarded_records": checker.looked["torture-chunk"][0]}
        self.worlds.append(world)
        self.history.add("world ends", **world)
        for name in ("lost", "doubled", "phantom", "failure", "unacknowledged"):
            if report[name]:
                self.failures.append({"world": shape, "problem": f"{name} by the load's verification: {report[name]} "
                                                                 f"{report['lost_examples'][:5]}"})
        if mine.stale_commits:
            self.failures.append({"world": shape, "problem": f"{mine.stale_commits} stale commits"})

    def result(self):
        missing = self.evidence.missing()
        self.failures += [{"problem": f"vacuous: {lacking}"} for lacking in self.lacks()]
        actives = sorted(window["one_active_s"] for window in self.windows if "one_active_s" in window)
        gaps = sorted(window["gap_s"] for window in self.windows if "gap_s" in window)
        totals = self.totals
        return {
            "seed": self.seed, "minutes": self.minutes, "windows": len(self.windows), "kinds": self.kinds,
            "acked": totals.acked, "lost": totals.lost, "doubled": totals.doubled, "phantom": totals.phantom,
            "stale_commits": totals.stale_commits, "two_holders_ms": round(totals.two_holders_ms, 1),
            "tolerated_overlap_ms": round(totals.tolerated_overlap_ms, 1), "takeovers": totals.takeovers,
            "one_active_s": {"median": middle(actives), "most": actives[-1] if actives else None},
            "gap_s": {"median": middle(gaps), "most": gaps[-1] if gaps else None},
            "evidence": self.evidence.counts, "missing": missing, "worlds": self.worlds,
            "failures": self.failures,
        }


def middle(values):
    return values[len(values) // 2] if values else None

"""Trials: a fault under load, and what the database, the clients and the LAN saw of the takeover."""
import json
import random
import time

from .faults import FAULTS
from .load import AddressWatch, Load
from .processes import boot_ns, wait_until

PHASES = ("detect_ms", "promote_ms", "address_ms", "gap_ms")


class Trial:
    """One fault. The moments are on the boot clock, nanoseconds."""

    def __init__(self, fault, node, epoch, began):
        self.fault, self.node, self.epoch, self.began = fault, node, epoch, began
        self.new_epoch = self.detected = self.promoted = None
        self.new_node = None


def run_trials(world, fault, count, rate=5000, sources=20, progress=print, least=0):
    """`count` trials of one fault on a healed cluster; the figures as `scripts/bench failover` gives them.

    At their end at least `least` records are acknowledged, however long that takes.
    """
    watch = AddressWatch(world)
    load = Load(world, rate=rate, sources=sources)
    load.wait_flowing()
    time.sleep(1)
    trials = []
    for number in range(1, count + 1):
        # Faults hit any phase of beats and leases.
        time.sleep(random.uniform(0, 1))
        trial = one_trial(world, load, fault)
        trials.append(trial)
        gap = gap_milliseconds(load.read(), trial)
        progress(f"{fault} {number}/{count}: {trial.node} -> {trial.new_node}, gap {gap:.0f} ms")
    wait_until(lambda: load.acked() >= least, 300, lambda: f"{least} records are acknowledged; {world.explain()}")
    report = load.finish()
    seen = watch.finish()
    return figures(world, fault, trials, load.read(), report, seen)


def one_trial(world, load, fault):
    """Injects the fault, waits for the takeover, heals."""
    leader, epoch = world.leader(), world.epoch()
    load.wait_flowing(epoch)
    wall_minus_boot = time.time_ns() - boot_ns()
    trial = Trial(fault, leader.name, epoch, boot_ns())
    heal = FAULTS[fault](world, leader)
    load.wait_flowing(epoch + 1, 90)
    trial.new_epoch = next(ack[1] for ack in load.read() if ack[1] > epoch)
    wait_until(lambda: read_takeover(world, trial, wall_minus_boot), 60, "the takeover is in the history")
    # Whatever comes late, like an old holder that wakes, happens before the cluster is mended or right after it.
    time.sleep(1.5)
    heal()
    world.wait_healed()
    time.sleep(0.5)
    return trial


def read_takeover(world, trial, wall_minus_boot):
    """Detection and promotion by the database's own record; true when it is complete."""
    rows = world.database.sql(
        "SELECT p.node, (extract(epoch FROM pg_xact_commit_timestamp(p.xmin)) * 1000000)::bigint, e.phases "
        "FROM lab.promotion AS p JOIN ha.event AS e ON e.epoch = p.epoch AND e.kind = 'active' "
        f"WHERE p.epoch = {trial.new_epoch} ORDER BY e.id LIMIT 1")
    if not rows:
        return False
    trial.new_node = rows[0][0]
    trial.promoted = int(rows[0][1]) * 1000 - wall_minus_boot
    phases = json.loads(rows[0][2])
    if "bumped" in phases and "detected" in phases:
        trial.detected = trial.promoted - int((phases["bumped"] - phases["detected"]) * 1e6)
    return True


def gap_milliseconds(acks, trial):
    """From the last acknowledgement under the old epoch to the first under the new one."""
    old = max((t for t, epoch, _, _ in acks if epoch <= trial.epoch), default=trial.began)
    new = min(t for t, epoch, _, _ in acks if epoch > trial.epoch)
    return max(0.0, (new - old) / 1e6)


def address_milliseconds(world, trial, seen):
    """From the fault until the LAN heard the new active answer for the address."""
    mac = world.network.mac(trial.new_node)
    if trial.new_node == trial.node:
        spans = [span for span in seen["spans"] if span["mac"] == mac and span["last_ns"] >= trial.began]
    else:
        spans = [span for span in seen["spans"] if span["mac"] == mac and span["first_ns"] >= trial.began]
    return max(0.0, (spans[0]["first_ns"] - trial.began) / 1e6) if spans else None


def since(trial, moment):
    """Milliseconds from the fault to a moment; None when it is not known."""
    return None if moment is None else round(max(0.0, (moment - trial.began) / 1e6), 1)


def figures(world, fault, trials, acks, report, seen):
    rows = []
    for trial in trials:
        address = address_milliseconds(world, trial, seen)
        rows.append({
            "detect_ms": since(trial, trial.detected), "promote_ms": since(trial, trial.promoted),
            "address_ms": None if address is None else round(address, 1),
            "gap_ms": round(gap_milliseconds(acks, trial), 1), "from": trial.node, "to": trial.new_node,
        })
    gaps = sorted(row["gap_ms"] for row in rows)
    return {
        "fault": fault, "trials": rows, "p50_ms": median(gaps), "max_ms": gaps[-1], "sent": report["sent"],
        "acked": report["acked"], "lost": report["lost"], "doubled": report["doubled"], "phantom": report["phantom"],
        "stale_commits": world.database.stale_commits(), "two_holders_ms": seen["two_holders_ms"],
        "remarks": report["remarks"],
    }


def median(values):
    """Of sorted values; the mean of the middle two."""
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else round((values[middle - 1] + values[middle]) / 2, 1)


def table(result):
    """The figures for people."""
    def shown(value):
        return "-" if value is None else f"{value:.0f}"
    lines = ["trial   from -> to   detect  promote  address      gap"]
    for number, row in enumerate(result["trials"], 1):
        lines.append(f"{number:5}   {row['from']:>4} -> {row['to']:<4}" + "".join(
            f"{shown(row[key]):>{width}}" for key, width in zip(PHASES, (6, 9, 9, 9))))
    lines.append(f"{result['fault']}: gap {result['p50_ms']:.0f} ms median, {result['max_ms']:.0f} ms worst; "
                 f"acknowledged {result['acked']}, lost {result['lost']}, doubled {result['doubled']}, "
                 f"stale commits {result['stale_commits']}, two holders {result['two_holders_ms']:.0f} ms")
    return "\n".join(lines)


def is_clean(result):
    return not (result["lost"] or result["doubled"] or result["phantom"] or result["stale_commits"]
                or result["two_holders_ms"])

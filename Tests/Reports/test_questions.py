"""The twenty questions of sql/README.md, asked of a plant whose answers are counted from its records without SQL."""
import math
import re
import unittest

import load
from plant import DAY, HOUR, MINUTE, Plant
from session import ROOT, Session, make_database, psql

DATABASE = "questions"


def questions():
    """The document's queries by number."""
    with open(f"{ROOT}/sql/README.md", encoding="utf-8") as file:
        found = re.findall(r"^### (\d+)\. [^\n]+\n\n```sql\n(.*?)^```$", file.read(), flags=re.MULTILINE | re.DOTALL)
    return {int(number): query.strip().rstrip(";") for number, query in found}


def quantile(values, share):
    """The value of rank share x (n - 1), counted from 0, of sorted values."""
    return sorted(values)[math.floor(share * (len(values) - 1))]


def number(text):
    return None if text is None else float(text)


class Questions(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        make_database(DATABASE)
        cls.session = Session(DATABASE)
        cls.session.run("SET timezone = 'UTC'; BEGIN")
        cls.now = int(cls.session.run("SELECT (extract(epoch FROM now()) * 1000000)::bigint")[0][0])
        cls.session.run("SELECT telemetry.ensure_partitions(10, 1), telemetry.ensure_rollups(10, 1)")
        # Everything is folded, up to now.
        cls.session.run("UPDATE telemetry.rollup_state SET hour_until = now(), day_until = now()")
        cls.plant = Plant(cls.now)
        load.store(cls.plant, cls.session)
        load.history(cls.session, cls.now)
        cls.session.run("ANALYZE; SET LOCAL ROLE standwatch_analyst; SET LOCAL jit = off")
        cls.asked = questions()

    @classmethod
    def tearDownClass(cls):
        cls.session.close()
        psql("postgres", "-c", f"DROP DATABASE {DATABASE} WITH (FORCE)")

    def ask(self, question):
        return self.session.run(self.asked[question])

    def rows(self, table, since, unit=None, until=0, **equal):
        """Records of the last `since` seconds, from where the unit's cell begins in which that is."""
        first = self.now - since * 1_000_000
        if unit:
            first = first // (load.UNITS[unit] * 1_000_000) * load.UNITS[unit] * 1_000_000
        return [row for row in self.plant.rows[table] if first <= row["ts"] < self.now - until * 1_000_000
                and all(row[field] == value for field, value in equal.items())]

    def near(self, text, value, share, absolute=0.0006):
        self.assertIsNotNone(text)
        self.assertLessEqual(abs(float(text) - value), share * abs(value) + absolute, f"{text} for {value}")

    def test_there_are_twenty_questions_and_a_test_of_each(self):
        self.assertEqual(sorted(self.asked), list(range(1, 21)))
        tested = {int(name.split("_")[1]) for name in dir(self) if re.match(r"test_\d\d_", name)}
        self.assertEqual(tested, set(range(1, 21)))

    def test_01_queues_at_risk_are_ranked_worst_first(self):
        rows = self.ask(1)
        self.assertEqual([row[:5] for row in rows], [
            ["1", "EQP-14", "in", "full", "500"], ["2", "EQP-12", "in", "full within an hour", str(100 + 6 * 119)],
            ["3", "EQP-13", "out", "stalled", "40"]])
        # 6 more jobs a minute, 186 places free.
        self.near(rows[1][5], (1000 - 814) / 6 * 60, 0.001)
        self.assertEqual(rows[0][5], "0")

    def test_02_the_time_to_drain_is_depth_over_net_service(self):
        rows = self.ask(2)
        self.assertEqual([row[:3] for row in rows], [["EQP-13", "in", "204"]])
        self.near(rows[0][3], 14 / 60, 0.005)
        self.near(rows[0][4], 204 / 4 * 60, 0.002)

    def test_03_the_deepest_queues_with_mean_percentile_and_maximum(self):
        expected = {}
        for row in self.rows("queue", DAY, "hour"):
            expected.setdefault((row["app"], row["queue"]), []).append(row["depth"])
        ranked = sorted(expected.items(), key=lambda each: -sum(each[1]) / len(each[1]))[:3]
        rows = self.ask(3)
        self.assertEqual([(row[0], row[1]) for row in rows], [key for key, _ in ranked])
        for row, (_, depths) in zip(rows, ranked):
            self.near(row[2], sum(depths) / len(depths), 0, 0.006)
            self.near(row[3], quantile(depths, 0.95), 0.02, 0.06)
            self.assertEqual(int(row[4]), max(depths))

    def test_04_arrivals_beyond_services_by_the_counters(self):
        rows = self.ask(4)
        self.assertEqual([row[:2] for row in rows], [["EQP-12", "in"]])
        # The counters go on at 60 and 54 a minute; a cell is a minute, so that one interval is missing in the rate.
        self.near(rows[0][2], 1, 0.04)
        self.near(rows[0][3], 54 / 60, 0.04)
        self.assertEqual(rows[0][4], "0")
        restarted = self.session.run("SELECT counter_restarts, arrived FROM report.queue_rates(p_app => 'EQP-15')")
        self.assertEqual(restarted[0][0], "1")

    def stuck(self):
        return {name: lot for (app, name), lot in self.plant.lots.items() if app == "EQP-12" and lot["outcome"] ==
            "stuck"}

    def test_05_where_transactions_wait(self):
        stuck = self.stuck()
        longest = max(lot["steps"][-1]["before"] for lot in stuck.values())
        rows = self.ask(5)
        self.assertEqual([row[:3] for row in rows], [["processed", "unloaded", str(len(stuck))]])
        self.near(rows[0][3], longest * 1000, 0, 0.01)
        # In the middle of a step: it is the step itself that is awaited.
        self.assertEqual(self.session.run("SELECT last_step, waits_for, waiting FROM report.waiting_by_step('EQP-13')"),
                         [["accepted", "accepted", "1"]])

    def test_06_stuck_transactions(self):
        stuck = self.stuck()
        rows = self.ask(6)
        self.assertEqual([row[0] for row in rows], sorted(stuck))
        for row in rows:
            self.assertEqual(row[1:3], ["processed", "unloaded"])
            self.near(row[3], stuck[row[0]]["steps"][-1]["before"] * 1000, 0, 0.01)

    def test_07_a_transaction_step_by_step_though_they_came_out_of_order(self):
        lot = self.plant.lots[("EQP-12", "LOT-0033")]["steps"]
        stored = [row["step"] for row in self.plant.rows["step"] if row["txn"] == "LOT-0033"]
        self.assertNotEqual(stored, [step["step"] for step in lot], "the plant has them out of order")
        rows = self.ask(7)
        self.assertEqual([row[1] for row in rows], [step["step"] for step in lot])
        self.assertEqual([row[2] for row in rows], [step["status"] for step in lot])
        self.assertEqual([rows[0][3], rows[0][4]], [None, None])
        for row, step, before in zip(rows[1:], lot[1:], lot):
            self.near(row[3], step["elapsed_us"] / 1000, 0, 0.001)
            self.near(row[4], (before["before"] - step["before"]) * 1000, 0, 0.01)

    def test_08_the_slowest_transactions_and_their_slowest_step(self):
        total = {name: lot["steps"][0]["before"] - lot["steps"][-1]["before"] for (app, name), lot
                 in self.plant.lots.items() if app == "EQP-12" and lot["outcome"] != "stuck"}
        ranked = sorted(total, key=lambda name: -total[name])[:3]
        rows = self.ask(8)
        self.assertEqual([row[0] for row in rows], ranked)
        self.assertEqual(rows[0][0:1] + rows[0][2:3], ["LOT-0033", "processed"])
        for row in rows:
            self.near(row[1], total[row[0]] * 1000, 0, 0.01)
            steps = self.plant.lots[("EQP-12", row[0])]["steps"]
            self.near(row[3], max(step["elapsed_us"] or 0 for step in steps) / 1000, 0, 0.001)

    def test_09_steps_with_failures_and_percentiles(self):
        expected = {}
        for row in self.rows("step", DAY, "hour"):
            expected.setdefault((row["app"], row["step"]), []).append(row)
        rows = self.ask(9)
        self.assertEqual([(row[0], row[1]) for row in rows], sorted(expected))
        for app, step, n, failed, mean, p95 in rows:
            found = expected[(app, step)]
            self.assertEqual((int(n), int(failed)), (len(found), sum(row["status"] == "NOK" for row in found)))
            took = [row["elapsed_us"] / 1000 for row in found if row["elapsed_us"] is not None]
            if took:
                self.near(mean, sum(took) / len(took), 0)
                self.near(p95, quantile(took, 0.95), 0.02)
            else:
                self.assertEqual((mean, p95), (None, None))

    def jobs(self, since, unit, until=0):
        found = {}
        for row in self.rows("job", since, unit, until):
            found.setdefault((row["app"], row["job"]), []).append(row)
        return found

    def test_10_percentiles_of_jobs_by_application(self):
        expected = self.jobs(DAY, "hour")
        rows = self.ask(10)
        self.assertEqual([(row[0], row[1]) for row in rows], sorted(expected))
        for app, job, n, failed, *percentiles in rows:
            found = expected[(app, job)]
            self.assertEqual(int(n), len(found))
            self.assertEqual(int(failed), sum(row["status"] in ("timeout", "failed") for row in found))
            for text, share in zip(percentiles, (0.5, 0.95, 0.99)):
                self.near(text, quantile([row["duration_us"] / 1000 for row in found], share), 0.02)

    def test_11_jobs_that_became_slower(self):
        today = self.jobs(DAY, "hour")[("EQP-12", "move")]
        # The hours in which the week-old range begins and ends count whole.
        hour = HOUR * 1_000_000
        first = (self.now - 8 * DAY * 1_000_000) // hour * hour
        last = -(-(self.now - 7 * DAY * 1_000_000) // hour) * hour
        before = [row["duration_us"] / 1000 for row in self.plant.rows["job"] if (row["app"], row["job"]) ==
                  ("EQP-12", "move") and first <= row["ts"] < last]
        rows = self.ask(11)
        self.assertEqual([row[:2] for row in rows], [["EQP-12", "move"]])
        self.near(rows[0][2], quantile([row["duration_us"] / 1000 for row in today], 0.95), 0.02)
        self.near(rows[0][3], quantile(before, 0.95), 0.02)

    def test_12_the_slowest_hour_of_the_day(self):
        rows = self.ask(12)
        self.assertEqual(rows[0][:2], ["move", "14"])
        found = [row["duration_us"] / 1000 for row in self.rows("job", 7 * DAY, "hour", app="EQP-12", job="move")
                 if row["ts"] // 3_600_000_000 % 24 == 14]
        self.near(rows[0][2], quantile(found, 0.95), 0.02)

    def test_13_processes_that_are_down_or_were_restarted(self):
        self.assertEqual(self.ask(13), [["EQP-12", "adapter", "running", "t", "1"],
                                        ["EQP-13", "collector", "absent", "f", "0"]])

    def test_14_availability_of_a_process(self):
        # 12 hours of minutes less the first 45 s of a minute; an hour of them down; known until now.
        rows = self.ask(14)
        self.assertEqual(rows[0][0], "adapter")
        known = 12 * HOUR - 15
        self.near(rows[0][1], known - HOUR, 0, 0.1)
        self.near(rows[0][2], HOUR, 0, 0.1)
        self.near(rows[0][3], 100 * (known - HOUR) / known, 0, 0.001)
        self.assertEqual(rows[0][4], "1")

    def test_15_silent_hosts(self):
        last = max(row["ts"] for row in self.rows("metric", DAY, host="mes-10"))
        rows = self.ask(15)
        self.assertEqual([row[:2] for row in rows if row[0] == "mes-10"], [["mes-10", "silent"]])
        seen = self.session.run("SELECT (extract(epoch FROM last_seen_at) * 1000000)::bigint FROM report.host_now "
                                "WHERE host = 'mes-10'")[0][0]
        self.assertTrue(last <= int(seen) <= last + 3_600_000_000, f"to the hour: {seen} for {last}")
        self.assertNotIn("mes-07", [row[0] for row in rows])

    def test_16_paths_that_fail(self):
        found = self.rows("web", 2 * HOUR, path="/report")
        rows = self.ask(16)
        self.assertEqual([row[:3] for row in rows],
                         [["/report", str(len(found)), str(sum(row["code"] == 500 for row in found))]])
        self.assertGreater(int(rows[0][2]), 10)

    def test_17_the_goal_rate(self):
        visits = self.plant.visits
        reached = sum("/order/done" in pages for pages in visits)
        rows = self.ask(17)
        self.assertEqual(rows[0][:2], [str(len(visits)), str(reached)])
        self.near(rows[0][2], 100 * reached / len(visits), 0, 0.001)
        self.near(rows[0][3], 30, 0, 0.05)

    def test_18_new_and_rising_messages(self):
        since = 45 * MINUTE
        found = {}
        for row in self.rows("log", since, "minute", app="EQP-12"):
            found.setdefault(row["pattern"], []).append(row["severity"])
        self.assertEqual(self.ask(18), [["EQP-12", pattern, str(len(found[pattern])), errors] for pattern, errors in (
            ("lost connection to *", str(len(found["lost connection to *"]))), ("no stock", "2"), ("retry *", "0"))])

    def test_19_errors_by_trace(self):
        rows = self.ask(19)
        self.assertEqual([row[0].replace("-", "") for row in rows], [trace for trace in self.plant.wrong for _ in
            range(3)])
        for first in (0, 3):
            self.assertEqual([[*row[1:4], *row[5:]] for row in rows[first:first + 3]], [
                ["order", "1", "1", "span", "reserve"], ["order", "1", "1", "job", "reserve"],
                ["order", "1", "1", "log", "no stock"]])

    def test_20_gaps_and_takeovers(self):
        rows = self.ask(20)
        self.assertEqual([[float(row[1]), *row[2:6]] for row in rows], [
            [40, "a", "b", "t", "switchover"], [900, "b", "a", "t", "failover"], [600_000, "a", "a", "t", "return"]])
        self.assertEqual([(number(row[6]), number(row[7])) for row in rows], [(5, 35), (700, 900), (0, 30)])


if __name__ == "__main__":
    unittest.main()

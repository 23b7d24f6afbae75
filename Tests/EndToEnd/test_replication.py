"""PostgreSQL's own failover under load: what a promoted standby keeps, and what is said of what it lost."""
import time
import unittest

from support import LabTest, wait_until

from lab.load import Load


class Promotion(LabTest):
    def fail_over(self, hold=False):
        """Load, the primary's death in its middle, and the verdict."""
        world = self.world
        load = Load(world, rate=2000)
        wait_until(lambda: load.acked() > 2000, 120, "records are acknowledged")
        if hold:
            world.database.hold_replication()
            time.sleep(1)
        epoch = world.epoch()
        timeline = int(world.database.value("SELECT ha.timeline()"))
        world.database.fail_over()
        world.note_process(world.database.process.pid)
        self.assertEqual(int(world.database.value("SELECT ha.timeline()")), timeline + 1)
        world.wait_healed()
        load.wait_flowing()
        wait_until(lambda: load.acked() > 4000, 120, "more records are acknowledged")
        self.assertGreaterEqual(world.epoch(), epoch)
        return load.finish()


class Synchronous(Promotion):
    options = {"standby": "sync"}

    def test_a_synchronous_standby_that_is_promoted_under_load_has_everything(self):
        report = self.fail_over()
        self.assertGreater(report["acked"], 3000, report)
        self.assertEqual((report["lost"], report["doubled"], report["phantom"]), (0, 0, 0), report)
        self.assertEqual(self.world.database.stale_commits(), 0)
        self.assertEqual(int(self.world.database.value("SELECT count(*) FROM ingest.gap")), 0)


class Asynchronous(Promotion):
    options = {"standby": "async"}

    def test_what_an_asynchronous_standby_never_received_is_written_down_as_a_gap(self):
        report = self.fail_over(hold=True)
        written = int(self.world.database.value("SELECT coalesce(sum(last - first + 1), 0) FROM ingest.gap"))
        print(f"asynchronous promotion: {report['acked']} acknowledged, {report['lost']} lost, {written} in ingest.gap")
        self.assertGreater(report["lost"], 0, report)
        self.assertEqual(report["lost"], written, report)
        self.assertEqual((report["doubled"], report["phantom"]), (0, 0), report)


if __name__ == "__main__":
    unittest.main()

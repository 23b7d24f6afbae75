"""What the agent measures and follows on a host of the lab, as rows in PostgreSQL: each line once, whatever ends."""
import os
import time
import unittest

from support import LabTest, wait_until
from test_agent import HOST, Agent

from lab import processes

# A log_format of nginx.
TEMPLATE = '$remote_addr [$time_local] "$request" $status $body_bytes_sent $request_time $cookie_s'


class Collect(LabTest):
    def lines(self):
        """Numbers of the lines that are stored, with how often each is."""
        return {int(number): int(count) for number, count in self.world.database.sql(
            "SELECT substring(f.message FROM 'line ([0-9]+)'), count(*) FROM telemetry.log AS f "
            "JOIN telemetry.app AS a ON a.id = f.app_id WHERE a.name = 'mes' GROUP BY 1")}

    def test_lines_of_logs_are_stored_once_through_rotation_failover_and_kills_of_the_agent(self):
        world = self.world
        folder = os.path.join(world.folder, "logs")
        os.makedirs(folder)
        path = os.path.join(folder, "mes.log")
        agent = Agent(world, collect={"intervalMilliseconds": 1000, "host": False}, follow={"files": [
            {"paths": [path + "*"], "app": "mes", "zone": "UTC", "from": "beginning",
             "multiline": {"start": "^[0-9]{4}-", "flushMilliseconds": 300}}]})
        written = 0

        def write(count):
            nonlocal written
            with open(path, "a", encoding="utf-8") as file:
                for _ in range(count):
                    written += 1
                    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
                    file.write(f"{stamp} ERROR line {written}\n  at somewhere\n")

        for turn in range(8):
            write(200)
            if turn == 2:
                self.take_over("kill-all")
            if turn % 2 == 0:
                agent.kill()
                os.rename(path, f"{path}.{turn}")
                write(50)
                agent.start()
            time.sleep(0.4)
        world.wait_healed()
        wait_until(lambda: len(self.lines()) >= written, 60,
                   lambda: f"{written} lines are stored, not {len(self.lines())}: {agent.tail()}", every=0.3)
        stored = self.lines()
        self.assertEqual(sorted(stored), list(range(1, written + 1)))
        self.assertEqual({number for number, count in stored.items() if count != 1}, set(), "stored twice")
        self.assertEqual(
            world.database.sql(
                "SELECT DISTINCT f.severity, f.message LIKE E'%\\n  at somewhere', f.attrs ->> 'lines' "
                "FROM telemetry.log AS f JOIN telemetry.app AS a ON a.id = f.app_id WHERE a.name = 'mes'"),
            [["3", "t", "2"]])
        agent.kill()

    def test_access_logs_and_processes_become_rows_of_their_own(self):
        world = self.world
        path = os.path.join(world.folder, "access.log")
        sleeper = processes.spawn(["/bin/sleep", "4711"], os.path.join(world.folder, "sleeper.log"))
        world.spawned.append(sleeper)
        world.note_process(sleeper.pid)
        agent = Agent(world, collect={"intervalMilliseconds": 1000, "processes": [
            {"process": "sleeper", "commandLine": "/bin/sleep 4711"}, {"name": "of-no-such-name"}]},
            follow={"files": [{"paths": [path], "app": "shop", "format": "access", "from": "beginning",
                               "template": TEMPLATE}]})
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'192.0.2.7 [{stamp}] "GET /orders?id=7 HTTP/1.1" 502 17 1.250 s-1\nno such line\n')
        web = ("SELECT f.method, f.path, f.code, f.bytes, f.duration_us, f.client, f.session FROM telemetry.web AS f "
               "JOIN telemetry.app AS a ON a.id = f.app_id WHERE a.name = 'shop'")
        wait_until(lambda: world.database.sql(web), 30, lambda: f"the request is stored: {agent.tail()}", every=0.3)
        self.assertEqual(world.database.sql(web), [["GET", "/orders", "502", "17", "1250000", "192.0.2.7", "s-1"]])
        self.assertEqual(
            world.database.value("SELECT message FROM telemetry.log WHERE attrs ->> 'unparsed' = 'true'"),
            "no such line")
        seen = ("SELECT n.name, s.name, f.pid FROM telemetry.process AS f "
                "JOIN telemetry.process_name AS n ON n.id = f.process_id "
                "JOIN telemetry.status AS s ON s.id = f.state_id GROUP BY 1, 2, 3 ORDER BY 1")
        wait_until(lambda: {"absent", "sleeping"} <= {row[1] for row in world.database.sql(seen)}, 30,
                   "both processes are reported", every=0.3)
        found = world.database.sql(seen)
        self.assertEqual(found[0][:2], ["of-no-such-name", "absent"])
        # At first it may have been on its way to its sleep.
        self.assertIn(["sleeper", "sleeping"], [row[:2] for row in found])
        busy = ("SELECT count(DISTINCT f.ts) FROM telemetry.metric AS f JOIN telemetry.metric_name AS n "
                f"ON n.id = f.metric_id JOIN telemetry.host AS h ON h.id = f.host_id "
                f"WHERE n.name = 'cpu.busy' AND h.name = '{HOST}'")
        wait_until(lambda: int(world.database.value(busy)) >= 2, 30, "the host is measured", every=0.3)
        agent.kill()


if __name__ == "__main__":
    unittest.main()

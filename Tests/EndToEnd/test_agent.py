"""standwatch-agent on a monitored host of the lab: what it took is stored exactly once, whatever ends in between."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from support import CLIENT, LabTest, wait_until

from lab import faults, processes

HOST = "mes-07"


class Agent:
    """One agent on the client's machine, with a folder of its own."""

    def __init__(self, world, **sections):
        self.world = world
        self.folder = os.path.join(world.folder, world.next_name("agent"))
        os.makedirs(self.folder)
        self.config = os.path.join(self.folder, "agent.json5")
        self.socket = os.path.join(self.folder, "records.sock")
        self.log = os.path.join(self.folder, "log")
        spool = {"folder": os.path.join(self.folder, "spool"), "syncMilliseconds": 50} | sections.pop("spool", {})
        settings = {
            "servers": [f"{world.network.service_address}:7400"], "host": HOST, "spool": spool,
            "listen": {"unix": self.socket, "status": os.path.join(self.folder, "status.sock"),
                       "tcp": ["127.0.0.1:7404"]},
            "collect": {"intervalMilliseconds": 1000},
        } | sections
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(settings, file)
        self.process = None
        self.start()

    def start(self):
        words = [self.world.program("standwatch-agent"), "--config", self.config]
        self.process = processes.spawn(words, self.log, namespace=self.world.network.namespace(CLIENT))
        self.world.spawned.append(self.process)
        self.world.note_process(self.process.pid)
        wait_until(lambda: self.status() is not None, 20, lambda: f"the agent answers: {self.tail()}")

    def kill(self):
        """As the kernel ends it for want of memory; the pid is the agent's own, setpriv and ip have become it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def status(self):
        """What --status --json says; None while nothing answers."""
        done = subprocess.run([self.world.program("standwatch-agent"), "--config", self.config, "--status", "--json"],
                              stdout=subprocess.PIPE, text=True, check=False)
        return json.loads(done.stdout) if done.returncode in (0, 1) else None

    def wait_sent(self, seconds=60):
        """Until everything that applications wrote is acknowledged by the service (the agent's samples go on)."""
        mark = self.status()["last_seq"]
        wait_until(lambda: (self.status() or {}).get("acked_seq", -1) >= mark, seconds,
                   lambda: f"everything is acknowledged: {self.status()} {self.tail()}", every=0.1)

    def tail(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()[-3000:]


class Application(threading.Thread):
    """Writes numbered jobs to the agent's socket and notes which were acknowledged; none is written twice."""

    def __init__(self, agent, app, per_turn=20):
        super().__init__(daemon=True)
        self.agent, self.app, self.per_turn = agent, app, per_turn
        self.ends = threading.Event()
        self.written, self.acked = 0, set()

    def run(self):
        while not self.ends.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(self.agent.socket)
                    connection.settimeout(0.02)
                    self.talk(connection)
            except OSError:
                time.sleep(0.02)

    def talk(self, connection):
        base, counted, left = self.written, 0, b""
        connection.sendall(json.dumps({"hello": {"app": self.app, "ack": True}}).encode() + b"\n")
        while True:
            if not self.ends.is_set():
                lines = b""
                for _ in range(self.per_turn):
                    self.written += 1
                    lines += json.dumps({"type": "job", "job": "weld", "duration_us": self.written,
                                         "status": "ok"}).encode() + b"\n"
                connection.sendall(lines)
            try:
                got = connection.recv(65536)
                if not got:
                    return
                left += got
            except TimeoutError:
                if self.ends.is_set() and base + counted == self.written:
                    return
            *whole, left = left.split(b"\n")
            for line in whole:
                ack = json.loads(line).get("ack")
                if ack is not None:
                    self.acked.update(range(base + counted + 1, base + ack + 1))
                    counted = ack

    def finish(self, least=501):
        """Ends when so many are acknowledged, however long that takes."""
        wait_until(lambda: len(self.acked) >= least, 120, lambda: f"{least} jobs of {self.app}, not {len(self.acked)}")
        self.ends.set()
        self.join(120)
        assert not self.is_alive()


class Exactly(LabTest):
    def stored(self, app):
        rows = self.world.database.sql(
            f"SELECT f.duration_us, count(*) FROM telemetry.job AS f JOIN telemetry.app AS a ON a.id = f.app_id "
            f"WHERE a.name = '{app}' GROUP BY 1")
        return {int(number): int(count) for number, count in rows}

    def check(self, application):
        stored = self.stored(application.app)
        self.assertEqual(set(application.acked) - set(stored), set(), "acknowledged by the agent, not stored")
        self.assertEqual({number for number, count in stored.items() if count != 1}, set(), "stored twice")
        self.assertGreater(len(application.acked), 500)
        doubled = self.world.database.value(
            "SELECT count(*) FROM (SELECT FROM telemetry.metric WHERE stream_id IS NOT NULL "
            "GROUP BY stream_id, seq HAVING count(*) > 1) AS d")
        self.assertEqual(doubled, "0")
        self.assertEqual(self.world.database.value("SELECT count(*) FROM ingest.gap"), "0")

    def test_what_the_agent_took_is_stored_once_through_kills_of_the_active_of_postgresql_and_of_itself(self):
        world = self.world
        agent = Agent(world)
        applications = [Application(agent, f"EQP-{number}") for number in (1, 2)]
        for application in applications:
            application.start()
        time.sleep(1)
        self.take_over("kill-all")
        for _ in range(4):
            time.sleep(0.4)
            agent.kill()
            agent.start()
        faults.FAULTS["postgres-restart"](world, world.leader())
        agent.kill()
        time.sleep(0.3)
        agent.start()
        world.wait_healed()
        for application in applications:
            application.finish()
        agent.wait_sent()
        for application in applications:
            self.check(application)
        # One stream from the first start to the last, but for frames that a kill tore in the middle of their write.
        streams = world.database.value(
            "SELECT count(DISTINCT stream_id) FROM telemetry.job AS f JOIN telemetry.app AS a ON a.id = f.app_id "
            "WHERE a.name LIKE 'EQP-%' AND a.name <> 'EQP-FULL'")
        with open(agent.log, encoding="utf-8") as file:
            torn = file.read().count("torn end of a segment")
        self.assertEqual(int(streams), 1 + torn, agent.tail())

    def test_a_spool_on_a_full_disk_makes_applications_wait_and_loses_nothing(self):
        world = self.world
        disk = os.path.join(world.folder, world.next_name("disk"))
        os.makedirs(disk)
        processes.run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk)
        self.addCleanup(lambda: processes.run("umount", "--lazy", disk, check=False))
        agent = Agent(world, spool={"folder": disk, "bytes": 64 << 20})
        world.network.cut(CLIENT)
        self.addCleanup(lambda: world.network.mend(CLIENT))
        application = Application(agent, "EQP-FULL", per_turn=400)
        application.start()
        wait_until(lambda: agent.status()["applications_waiting"] == 1, 60,
                   lambda: f"the disk is full: {agent.status()}")
        status = agent.status()
        self.assertIn("No space left", status["spool_failure"])
        # A start on a full disk is no reason to refuse, either.
        agent.kill()
        agent.start()
        world.network.mend(CLIENT)
        wait_until(lambda: agent.status()["applications_waiting"] == 0 and agent.status()["spool_failure"] == "", 90,
                   lambda: f"there is room again: {agent.status()}", every=0.2)
        application.finish()
        agent.wait_sent()
        self.check(application)
        self.assertEqual(agent.status()["spool_failure"], "")
        agent.kill()


class Damage(LabTest):
    def write(self, agent, app, numbers):
        """Writes numbered jobs and waits until they are on disk."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(agent.socket)
            connection.settimeout(60)
            connection.sendall(json.dumps({"hello": {"app": app, "ack": True}}).encode() + b"\n")
            back = b""
            for count, number in enumerate(numbers, 1):
                connection.sendall(json.dumps({"type": "job", "job": "j", "duration_us": number,
                                               "status": "ok"}).encode() + b"\n")
                # One frame each.
                while f'{{"ack":{count}}}'.encode() not in back:
                    back += connection.recv(4096)

    def stored(self, app):
        rows = self.world.database.sql(
            "SELECT f.duration_us, count(*) FROM telemetry.job AS f JOIN telemetry.app AS a ON a.id = f.app_id "
            f"WHERE a.name = '{app}' GROUP BY 1 ORDER BY 1")
        return [(int(number), int(count)) for number, count in rows]

    def test_a_damaged_frame_costs_its_own_records_and_the_hole_is_written_down(self):
        agent = Agent(self.world, collect={"intervalMilliseconds": 600_000})
        agent.wait_sent()
        self.world.network.cut(CLIENT)
        self.addCleanup(lambda: self.world.network.mend(CLIENT))
        self.write(agent, "DAMAGED", range(1, 41))
        agent.kill()
        folder = os.path.join(agent.folder, "spool")
        path = os.path.join(folder, sorted(name for name in os.listdir(folder) if name.endswith(".seg"))[-1])
        with open(path, "r+b") as file:
            whole = file.read()
            file.seek(whole.index(b'"duration_us": 20,') + 5)
            file.write(b"X")
        agent.start()
        self.world.network.mend(CLIENT)
        self.write(agent, "DAMAGED", [41])
        wait_until(lambda: (41, 1) in self.stored("DAMAGED"), 40, lambda: f"all is stored: {agent.tail()}", every=0.2)
        self.assertEqual(self.stored("DAMAGED"), [(number, 1) for number in range(1, 42) if number != 20])
        self.assertEqual(self.world.database.value("SELECT count(*) FROM ingest.gap"), "1")
        status = agent.status()
        self.assertEqual((status["damaged_segments"], status["missing"]), (1, 1))
        agent.kill()

    def test_an_overwritten_spool_says_how_much_is_lost_and_the_service_writes_it_down(self):
        agent = Agent(self.world, collect={"intervalMilliseconds": 600_000})
        agent.wait_sent()
        gaps = int(self.world.database.value("SELECT count(*) FROM ingest.gap"))
        self.world.network.cut(CLIENT)
        self.addCleanup(lambda: self.world.network.mend(CLIENT))
        self.write(agent, "LOST", range(1, 41))
        wait_until(lambda: agent.status()["durable_seq"] == agent.status()["last_seq"], 10, "all is durable")
        agent.kill()
        folder = os.path.join(agent.folder, "spool")
        for name in os.listdir(folder):
            if name.endswith(".seg"):
                path = os.path.join(folder, name)
                size = os.path.getsize(path)
                with open(path, "wb") as file:
                    file.write(os.urandom(size))
        agent.start()
        self.assertGreaterEqual(agent.status()["missing"], 40)
        self.world.network.mend(CLIENT)
        self.write(agent, "LOST", [41])
        wait_until(lambda: (41, 1) in self.stored("LOST"), 40, lambda: f"the last is stored: {agent.tail()}", every=0.2)
        # The kernel still delivers what it had of the killed agent; nothing else is there, and nothing twice.
        held = self.stored("LOST")
        self.assertEqual(held, [(number, 1) for number in range(1, len(held))] + [(41, 1)])
        self.assertLess(len(held), 30)
        self.assertEqual(self.world.database.value("SELECT count(*) FROM ingest.gap"), str(gaps + 1))
        agent.kill()

    def test_an_old_copy_of_the_spool_takes_no_number_that_the_service_has(self):
        agent = Agent(self.world, collect={"intervalMilliseconds": 600_000})
        self.write(agent, "OLD", range(1, 11))
        agent.wait_sent()
        agent.kill()
        folder = os.path.join(agent.folder, "spool")
        processes.run("cp", "-a", folder, folder + ".old")
        agent.start()
        self.write(agent, "OLD", range(11, 21))
        agent.wait_sent()
        agent.kill()
        processes.run("rm", "-r", folder)
        processes.run("mv", folder + ".old", folder)
        self.world.network.cut(CLIENT)
        self.addCleanup(lambda: self.world.network.mend(CLIENT))
        agent.start()
        self.write(agent, "OLD", range(21, 31))
        self.world.network.mend(CLIENT)
        wait_until(lambda: (30, 1) in self.stored("OLD"), 40, lambda: f"the last is stored: {agent.tail()}", every=0.2)
        self.assertEqual(self.stored("OLD"), [(number, 1) for number in range(1, 31)])
        agent.kill()


class Live(LabTest):
    def test_while_somebody_watches_the_agent_sends_samples_each_second(self):
        world = self.world
        agent = Agent(world, collect={"intervalMilliseconds": 600_000})
        wait_until(lambda: agent.status()["acked_seq"] > 0, 20, lambda: f"the first sample is stored: {agent.tail()}")
        samples = ("SELECT count(DISTINCT ts) FROM telemetry.metric AS f JOIN telemetry.host AS h ON h.id = f.host_id "
                   f"WHERE h.name = '{HOST}'")
        self.assertEqual(world.database.value(samples), "1")
        shown = world.leader().hactl("watch", HOST, "-n", "8")
        self.assertRegex(shown, r"agent .*memory_bytes \d+ [KM]iB")
        # One of each second, as against one in ten minutes.
        self.assertLess(float(re.search(r"newest sample ([\d.]+) s old", shown.rsplit(HOST, 1)[1])[1]), 10)
        self.assertGreaterEqual(int(world.database.value(samples)), 5)
        self.assertTrue(agent.status()["live"])
        # Nobody watches any more: it goes back to its own interval.
        wait_until(lambda: not agent.status()["live"], 30, "the watch ends")

        def is_quiet():
            before = world.database.value(samples)
            time.sleep(3)
            return world.database.value(samples) == before
        # What was taken when the watch ended may still be on its way.
        wait_until(is_quiet, 60, "no more samples")
        agent.kill()


class Words(LabTest):
    def test_status_says_what_is_wrong_and_what_to_do(self):
        agent = Agent(self.world, servers=[f"{self.world.network.address('probe')}:7400"])
        wait_until(lambda: agent.status()["last_error"], 10, "an attempt has failed")
        code, text = self.ask(agent, "--status")
        self.assertEqual(code, 1)
        self.assertIn("not connected", text)
        self.assertIn("records are kept", text)
        agent.kill()
        code, text = self.ask(agent, "--status")
        self.assertEqual(code, 69)
        self.assertIn("no agent answers", text)

    def test_a_wrong_configuration_is_refused_with_its_mend(self):
        agent = Agent(self.world)
        code, text = self.ask(agent, "--check")
        self.assertEqual(code, 0, text)
        with open(agent.config, "a", encoding="utf-8") as file:
            file.write("}")
        code, text = self.ask(agent, "--check")
        self.assertEqual(code, 78, text)
        self.assertIn("agent.json5: is not JSON5", text)
        agent.kill()

    def ask(self, agent, word):
        done = subprocess.run([self.world.program("standwatch-agent"), "--config", agent.config, word],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    def test_an_agent_that_samples_each_second_is_small(self):
        agent = Agent(self.world)
        time.sleep(3)
        with open(f"/proc/{agent.process.pid}/stat", encoding="ascii") as file:
            began = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        time.sleep(10)
        with open(f"/proc/{agent.process.pid}/stat", encoding="ascii") as file:
            ticks = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13])) - began
        status = agent.status()
        print(f"agent: {ticks} ticks of 10 ms in 10 s, {status['memory_kib']} KiB resident")
        # Ticks of the processor, not time: a busy machine does not make them more.
        self.assertLessEqual(ticks, 10 * os.sysconf("SC_CLK_TCK") // 100)
        self.assertLess(status["memory_kib"], 40 * 1024)
        agent.kill()


if __name__ == "__main__":
    unittest.main()

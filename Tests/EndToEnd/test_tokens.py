"""Tokens on two real nodes: revoked means closed, at once and also by the node that takes over next."""
import json
import os
import subprocess
import time
import unittest

from support import CLIENT, LabTest, wait_until

from lab.load import run_load
from test_agent import Agent

# Says hello with the token in a file, then what it hears; each line with the time it came, as CLOCK_MONOTONIC.
LISTENER = r"""
import json, socket, sys, time
host, source, path = sys.argv[1:4]
token = open(path).read().strip() if path else ""
s = socket.create_connection((host, 7400), 20)
s.sendall((json.dumps({"hello": {"source": source, "stream": "s", "oldest": 1, "token": token}}) + "\n").encode())
s.settimeout(30)
for line in s.makefile("r"):
    print(time.monotonic(), line.strip(), flush=True)
print(time.monotonic(), "closed", flush=True)
"""


class Tokens(LabTest):
    def setUp(self):
        self.world.wait_healed()
        self.leader = self.world.leader()

    def tearDown(self):
        self.world.leader().hactl("config", "reset", "require_tokens")
        self.world.leader().hactl("config", "reset", "open_protocols")

    def make(self, source):
        """A token's id and a file with it."""
        made = json.loads(self.leader.hactl("token", "add", source, "--comment", "of a test", "--json"))
        path = os.path.join(self.world.folder, self.world.next_name("token"))
        with open(path, "w", encoding="ascii") as file:
            file.write(made["token"] + "\n")
        os.chmod(path, 0o600)
        return str(made["id"]), path

    def listen(self, source, path):
        return subprocess.Popen(
            ["ip", "netns", "exec", self.world.network.namespace(CLIENT), "/usr/bin/python3", "-c", LISTENER,
             self.world.network.service_address, source, path], stdout=subprocess.PIPE, text=True)

    def heard(self, source, path):
        """What a hello is answered with, to the end."""
        process = self.listen(source, path)
        try:
            return process.stdout.readline().partition(" ")[2]
        finally:
            process.kill()
            process.communicate()

    def require(self):
        self.leader.hactl("config", "set", "require_tokens", "on")
        wait_until(lambda: "a token is required" in self.heard("nobody", ""), 10, "tokens are required")

    def test_a_revocation_closes_the_connection_within_a_second(self):
        identity, path = self.make("mes-07/*")
        self.require()
        took = []
        for _ in range(5):
            identity, path = self.make("mes-07/*")
            process = self.listen("mes-07/orders", path)
            self.assertIn("welcome", process.stdout.readline())
            began = time.monotonic()
            self.leader.hactl("token", "revoke", identity)
            told = process.stdout.readline()
            self.assertIn("the token is revoked", told)
            took.append((float(told.split()[0]) - began) * 1000)
            self.assertIn("closed", process.stdout.readline())
            process.communicate()
        print(f"\nfrom hactl token revoke to its connection closed, ms: {sorted(round(t) for t in took)}")
        # Most of them also where something else keeps the machine busy, and each before anything else would end it.
        self.assertLess(sorted(took)[2], 1000, took)
        self.assertLess(max(took), 5000, took)
        listed = [json.loads(line) for line in self.leader.hactl("token", "list", "--json").splitlines()]
        self.assertTrue(any(str(one["id"]) == identity and one["revokedAt"] for one in listed))
        self.assertNotIn("swt_", self.leader.hactl("token", "list"))

    def test_a_token_that_was_revoked_just_before_a_takeover_is_refused_by_the_successor(self):
        self.require()
        for fault in ("kill-worker", "kill-worker", "stop-worker"):
            self.world.wait_healed()
            self.leader = self.world.leader()
            identity, path = self.make("mes-08")
            _, other = self.make("mes-09")
            self.assertIn("welcome", self.heard("mes-08", path))
            self.leader.hactl("token", "revoke", identity)
            self.take_over(fault)
            successor = self.world.leader()
            self.assertIn("the token is revoked", self.heard("mes-08", path))
            self.assertIn("welcome", self.heard("mes-09", other))
            self.assertIn("bound to another source", self.heard("mes-08", other))
            text = successor.hactl_status("status")[1]
            self.assertIn("refused: the token is revoked", text)
            self.assertIn("hactl token add SOURCE", text)
            self.assertIn("bound to another source", successor.hactl_status("doctor")[1])
            self.assertIn('standwatch_token_refused_total{reason="the token is revoked"} ',
                          successor.get("/metrics", timeout=30)[1])

    def test_records_with_a_token_are_stored_once_and_without_one_not_at_all(self):
        _, path = self.make("with*")
        self.require()
        words = ("--rate", "20000", "--token-file", path)
        report, status = run_load(self.world, "--records", "20000", *words, name="with")
        self.assertEqual((status, report["acked"], report["lost"]), (0, 20000, 0), report)
        before = self.world.database.value("SELECT count(*) FROM telemetry.queue")
        report, status = run_load(self.world, "--rate", "100", "--seconds", "2", "--drain", "1", "--token-file", path,
                                  name="other")
        self.assertEqual(report["acked"], 0, report)
        self.assertEqual(self.world.database.value("SELECT count(*) FROM telemetry.queue"), before)

    def test_a_drill_brings_a_token_of_its_own(self):
        self.require()
        status, text = self.leader.hactl_status("drill", "switchover", "--yes")
        self.assertEqual(status, 0, text)
        listed = [json.loads(line) for line in self.leader.hactl("token", "list", "--json").splitlines()]
        self.assertTrue(any(one["source"].startswith("hactl-drill/") for one in listed))
        self.assertTrue(all(one["revokedAt"] for one in listed if one["source"].startswith("hactl-drill/")))

    def test_an_agent_shows_its_token_and_says_when_it_is_refused(self):
        identity, path = self.make("mes-07/agent")
        self.require()
        agent = Agent(self.world, tokenFile=path)
        self.addCleanup(agent.kill)
        wait_until(lambda: agent.status()["connected"], 20, "the agent is connected")
        self.leader.hactl("token", "revoke", identity)
        wait_until(lambda: not agent.status()["connected"], 5, "the agent is not let in any more")
        text = subprocess.run([self.world.program("standwatch-agent"), "--config", agent.config, "--status"],
                              stdout=subprocess.PIPE, text=True, check=False).stdout
        self.assertIn("does not let this agent in: the token is revoked", text)
        self.assertIn("hactl token add mes-07/agent", text)
        # It comes again slowly, and takes a new token from the file without a restart.
        _, other = self.make("mes-07/agent")
        os.replace(other, path)
        wait_until(lambda: agent.status()["connected"], 15, "the agent is connected again")
        os.chmod(path, 0o644)
        done = subprocess.run([self.world.program("standwatch-agent"), "--config", agent.config, "--check"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("can be read by others", done.stdout)


if __name__ == "__main__":
    unittest.main()

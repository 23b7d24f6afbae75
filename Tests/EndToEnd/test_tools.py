"""The commands of README.md for the developer's own machine: demonstration, simulator and measurements."""
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

from documents import block, inline_commands, read
from support import ROOT

from lab import figures


class Tools(unittest.TestCase):
    def run_here(self, command, seconds=900, expected=(0,)):
        done = subprocess.run(command, shell=True, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
        self.assertIn(done.returncode, expected, done.stdout)
        return done.stdout

    def test_the_demonstration_can_be_reached_and_leaves_nothing(self):
        command = block("README.md", "scripts/demo").strip()
        demo = subprocess.Popen([*command.split(), "--no-build"], cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        said, found = "", None
        try:
            deadline = time.monotonic() + 300
            while not found and time.monotonic() < deadline:
                line = demo.stdout.readline()
                said += line
                found = re.search(r"curl (http://\S+/)", said)
                if not line:
                    break
            self.assertTrue(found, said)
            address = re.search(r"http://([\d.]+):", found[1])[1]
            # The number of its network is another's as soon as it is free.
            interface = re.search(r" dev (sw\w+h) ", self.route(address))[1]
            with urllib.request.urlopen(found[1] + "active", timeout=30) as answer:
                self.assertEqual(answer.status, 200)
            while line and "Ctrl-C" not in line:
                line = demo.stdout.readline()
                said += line
            time.sleep(2)
            # As Ctrl-C at a terminal reaches every process in the foreground.
            os.killpg(demo.pid, signal.SIGINT)
            rest, _ = demo.communicate(timeout=300)
        finally:
            if demo.poll() is None:
                demo.send_signal(signal.SIGTERM)
                demo.wait(20)
        self.assertEqual(demo.returncode, 0, said + rest)
        self.assertRegex(rest, r"lost 0, doubled 0")
        self.assertNotIn(f" dev {interface} ", self.route(address))
        self.assertFalse(os.path.exists(f"/sys/class/net/{interface}"))

    @staticmethod
    def route(address):
        """The way to an address, with the interface."""
        words = ["ip", "-4", "route", "get", address]
        return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout

    def test_the_unattended_demonstration_is_a_stage_of_the_gate(self):
        self.assertIn("`scripts/demo --once`", read("README.md"))
        self.assertIn("scripts/demo --once", read("scripts/test"))

    def test_the_commands_for_developers(self):
        for line in block("README.md", ".build/release/hasim").splitlines():
            command = line.partition("#")[0].strip()
            with self.subTest(command):
                if "hasim" in command or "fuzz" in command:
                    self.assertIn(command, read("scripts/test"), "the gate runs it, with these very words")
                    continue
                if "sanitize" in command:
                    self.assertIn("2 passed, 0 failed", self.run_here(command, 1800))
                    continue
                # The last of an option's values counts: little of each shows that it works.
                kind = command.split()[1]
                if kind == "reports":
                    # 1: an aim was missed, as it may be on a machine that does something else.
                    said = self.run_here(f"{command} --scale 0.01 --raw 20000 --hour-days 1 --trials 2", 1800, (0, 1))
                    self.assertRegex(said, r"queues_at_risk .* ms  aim 200")
                    self.assertRegex(said, r"raw mean by minute of one, one hour .* ms  aim 300")
                    continue
                if kind == "report":
                    # 1: syslog has no acknowledgement, and loses something when a busy machine changes the active node.
                    said = self.run_here(f"{command} --only ingest --seconds 2 --no-build", expected=(0, 1))
                    self.assertEqual(re.findall("^not clean: (?!syslog: ).*", said, flags=re.MULTILINE), [])
                    self.assertRegex(said, r"\| native, 8 sources \| on \| [\d,]+ \|")
                    continue
                more = "--trials 1" if kind == "failover" else "--seconds 2"
                self.assertRegex(self.run_here(f"{command} {more} --no-build"), r"lost 0, doubled 0")

    def test_every_kind_of_sanitizing_is_explained(self):
        said = self.run_here("scripts/sanitize --help")
        for command in inline_commands("README.md"):
            if command.startswith("scripts/sanitize "):
                self.assertIn(f"\n  {command} ", said)

    def test_the_tables_of_the_figures_are_replaced_between_their_markers_and_nowhere_else(self):
        with tempfile.NamedTemporaryFile("w+", suffix=".md") as file:
            file.write(read("README.md"))
            file.flush()
            for name in ("failover", "rivals", "ingest"):
                figures.put(name, [f"| {name} |"], file.name)
            figures.put("rivals", ["| again |"], file.name)
            with open(file.name, encoding="utf-8") as changed:
                text = changed.read()
            self.assertIn("<!-- scripts/bench report: rivals -->\n| again |\n<!-- end -->\n", text)
            self.assertNotIn("| rivals |", text)
            marked = r"(?s)<!-- scripts/bench report: \w+ -->\n.*?<!-- end -->\n"
            self.assertEqual(re.sub(marked, "", text), re.sub(marked, "", read("README.md")))
            with self.assertRaises(RuntimeError):
                figures.put("weather", [], file.name)


if __name__ == "__main__":
    unittest.main()

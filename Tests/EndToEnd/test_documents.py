"""Every command of the documents, run as a reader would: on two servers and a PostgreSQL of their own.

Each fenced block has one step in a module document_*.py; a block without a step fails the test.
"""
import importlib
import os
import re
import unittest

from document_steps import STEPS, step
from documents import DOCUMENTS, block, blocks, inline_commands, read, table
from installation import SERVICE_ADDRESS, Site
from support import ROOT

# The story's order.
for name in ("installing", "agent", "sending", "asking", "operating", "access"):
    importlib.import_module(f"document_{name}")

HOST_PATHS = ("/etc/standwatch", "/usr/sbin/standwatchd", "/usr/bin/hactl", "/usr/lib/standwatch", "/run/standwatch",
              "/usr/sbin/standwatch-agent", "/etc/standwatch-agent", "/var/lib/standwatch-agent",
              "/root/orders.token", "/root/.pgpass",
              "/usr/share/standwatch", "/usr/lib/systemd/system/standwatchd.service", "/usr/local/bin/systemctl")


@step("README.md", "Package.swift ")
def the_layout(test, site, text):
    """What the layout names is there, and the other way round."""
    sources = set(os.listdir(os.path.join(ROOT, "Sources")))
    named = set(re.findall(r"[\w-]+", text))
    test.assertEqual({name for name in sources if not name.startswith("C")} - named, set())
    for name in re.findall(r"^([\w.]+) ", text, flags=re.MULTILINE):
        test.assertTrue(os.path.exists(os.path.join(ROOT, name)), name)
    scripts = {name for name in os.listdir(os.path.join(ROOT, "scripts")) if not name.startswith((".", "__"))}
    row = re.search(r"^scripts (.*(?:\n +.*)*)", text, flags=re.MULTILINE)[1]
    test.assertEqual(scripts - set(re.findall(r"[\w-]+", row)), set())


@step()
def the_tests_of_the_threats_are_there(test, site, _):
    rows = table("README.md", "attacker")
    test.assertGreater(len(rows), 15)
    for attacker, control, tests in rows:
        names = re.findall(r"[\w/]+\.(?:py|swift|sql)", tests)
        test.assertTrue(names or tests == "-" and "**not covered**" in control, attacker)
        for name in names:
            path = name if "/" in name else f"Tests/EndToEnd/{name}"
            test.assertTrue(os.path.isfile(os.path.join(ROOT, path)), f"{attacker}: {name}")


@step("README.md", "        applications")
def the_picture(test, site, text):
    for number in ("7400", "514", "7480", SERVICE_ADDRESS):
        test.assertIn(number, text)


# Blocks that run elsewhere, and where.
ELSEWHERE = {("README.md", "scripts/demo"): "test_tools.py", ("README.md", "scripts/test"): "the gate itself",
             ("README.md", ".build/release/hasim"): "test_tools.py",
             ("README.md", "scripts/torture"): "the gate itself, and test_torture.py",
             ("ha/AGENT.md", "collect: {"): "Tests/AgentTests/HostTests.swift"}


def questions():
    """The analysts' questions have tests of their own, by number."""
    with open(os.path.join(ROOT, "Tests", "Reports", "test_questions.py"), encoding="utf-8") as file:
        tests = re.findall(r"def test_(\d\d)_", file.read())
    headings = re.findall(r"^### (\d+)\. ", read("sql/README.md"), flags=re.MULTILINE)
    return {("sql/README.md", text): "Tests/Reports/test_questions.py"
            for number, (_, text) in zip(headings, blocks("sql/README.md")) if number.zfill(2) in tests}


# Commands within sentences: where they run, or words of ours that are no command to type.
INLINE = {
    "README.md": {
        "scripts/demo --once": "test_tools.py", "scripts/bench ingest": "test_tools.py",
        "scripts/bench report": "test_tools.py",
        "scripts/torture --minutes 30 --seed 20261201": "test_torture.py",
        "scripts/sanitize thread": "test_tools.py", "scripts/sanitize address": "test_tools.py",
        "scripts/sanitize programs": "test_tools.py",
        "scripts/install --destdir DIR": "everything_that_is_named_is_installed",
        "hactl drill": "rehearse", "hactl doctor": "look", "hactl status": "look", "hactl history": "day_to_day",
        "hactl config": "day_to_day", "hactl report": "analysts_reports_at_a_nodes_shell",
        "hactl switchover": "day_to_day", "hactl key rotate --by-hand": "test_key_rotation.py",
        "hactl watch HOST": "somebody_watches", "hactl quarantine": "day_to_day",
        "hactl quarantine release ID": "test_poison.py",
        "hactl migrate": "install_the_schema", "hactl resume": "day_to_day", "hactl --help": "the_help",
        "hactl COMMAND --help": "the_help", "hactl no-promote NODE --off": "day_to_day",
        "standwatchd --check": "check_the_configuration",
        "systemctl restart postgresql": "encrypt",
        "journalctl -u standwatchd": "systemd's own, for the unit's name",
    },
    "ha/README.md": {
        "systemd-analyze security": "the_unit_is_what_systemd_takes",
        "nft list table inet standwatch_drill": "drills",
    },
    "ha/AGENT.md": {},
    "sql/README.md": {},
    "sql/scale/README.md": {"hactl doctor": "look", "hactl report": "analysts_reports_at_a_nodes_shell"},
}


@step()
def the_help(test, site, _):
    overview = site.run("a", "hactl --help")[1]
    for document in DOCUMENTS:
        for command in sorted(set(re.findall(r"\bhactl ([a-z][a-z-]+)", read(document)))):
            test.assertRegex(overview, rf"(?m)^  {command}  ", f"{document}: hactl {command}")
            site.run("a", f"hactl {command} --help")
    for document, options in (("README.md", ("status --watch", "status --json", "history --drills")),
                              ("ha/README.md", ("drill --limit", "drill --timeout", "drill --json", "drill --yes"))):
        for option in options:
            command, _, word = option.partition(" ")
            test.assertIn(word, read(document))
            test.assertIn(word, site.run("a", f"hactl {command} --help")[1])


class Documents(unittest.TestCase):
    site = None
    broken = None

    @classmethod
    def setUpClass(cls):
        cls.before = [os.path.lexists(path) for path in HOST_PATHS]
        cls.site = Site()
        cls.addClassCleanup(cls.site.remove)
        cls.site.create()

    def test_000_every_block_has_a_step(self):
        steps = [(document, beginning, function.__name__) for document, beginning, function in STEPS if document]
        steps += [(*which, where) for which, where in (ELSEWHERE | questions()).items()]
        for document in DOCUMENTS:
            for language, text in blocks(document):
                claims = [name for where, beginning, name in steps if where == document and text.startswith(beginning)]
                self.assertEqual(len(claims), 1, f"{document}, claimed by {claims}:\n{text}")
                self.assertTrue(language or text.startswith(("C: ", "Package.swift", "        app")), text)
        for document, beginning, _ in steps:
            block(document, beginning)

    def test_001_every_command_in_a_sentence_is_known(self):
        names = {function.__name__ for _, _, function in STEPS}
        for document in DOCUMENTS:
            self.assertEqual(inline_commands(document), sorted(
                code for code in INLINE[document] if not re.fullmatch(r"[\w./-]+", code)))
            for where in INLINE[document].values():
                self.assertTrue(where in names or where.startswith("systemd's")
                                or os.path.exists(os.path.join(ROOT, "Tests", "EndToEnd", where)), where)

    def test_999_nothing_of_this_host_was_touched(self):
        self.assertEqual([os.path.lexists(path) for path in HOST_PATHS], self.before)

    def run_step(self, document, beginning, function):
        if Documents.broken:
            self.skipTest(f"{Documents.broken} failed")
        try:
            function(self, self.site, block(document, beginning) if document else None)
        except BaseException:
            Documents.broken = function.__name__
            raise


def add_steps():
    """A test for each step, in their order."""
    for number, (document, beginning, function) in enumerate(STEPS, 100):
        def test(self, document=document, beginning=beginning, function=function):
            self.run_step(document, beginning, function)
        test.__doc__ = function.__doc__
        setattr(Documents, f"test_{number}_{function.__name__}", test)


add_steps()

if __name__ == "__main__":
    unittest.main()

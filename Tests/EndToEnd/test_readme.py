"""Every command of README.md is run, here or by a stage of the gate; a command that nobody runs fails the test."""
import os
import re
import subprocess
import tempfile
import unittest

from support import ROOT, LabTest

# Commands that other parts of the gate run: pattern -> by whom.
ELSEWHERE = {
    r"scripts/test": "this is the gate",
    r"scripts/setup": "stage setup",
    r"\.build/release/hasim --plants": "stage plants",
    # There is no systemd in a network namespace; the unit files are checked by GuardTests.
    r"systemd-sysusers": "GuardTests",
    r"systemctl enable --now standwatchd": "GuardTests; here the lab starts the nodes",
}
# What differs between the README's site and the lab: pattern -> replacement, in this order.
DIFFERENCES = [
    (r"^scripts/demo$", "scripts/demo --once --no-build"),
    (r"^scripts/install$", "scripts/install --destdir {folder}/installed"),
    (r"hasim --seeds \d+", "hasim --seeds 20"),
    (r"(scripts/bench failover .*)--trials \d+ (--json )", r"\1--trials 1 --no-build \2{folder}/"),
    (r"(scripts/bench ingest .*)(--json )", r"\1--seconds 3 --no-build \2{folder}/"),
    (r"^createdb standwatch$", "createdb readme"),
    (r"psql -d standwatch ", "psql -d postgres "),
    (r"^psql -h 10\.0\.0\.9 -U postgres -d standwatch ", "psql -d readme "),
    (r"standwatch_login", "readme_login"),
    (r"host=10\.0\.0\.9 dbname=standwatch user=postgres", "{database_readme}"),
    (r"host=10\.0\.0\.9 dbname=standwatch user=\w+", "{database}"),
    (r"10\.0\.0\.100", "{service}"),
    (r"/usr/share/doc/standwatch/", "{folder}/installed/usr/share/doc/standwatch/"),
    (r"/etc/standwatch", "{folder}/etc"),
    (r"-g standwatch ", "-g nogroup "),
    (r"^chown standwatch ", "chown nobody "),
    (r"^standwatchd --check$", "standwatchd --check --config {config}"),
    (r"^hactl doctor$", "hactl doctor || test $? -eq 1"),
    (r"^hactl drill kill$", "hactl drill kill --yes"),
]


def commands(path):
    """The commands of the shell blocks of a page, comments and line continuations taken away."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s+#\s.*$", "", line)
            line = re.sub(r"\s+", " ", line).strip()
            if line:
                yield line


class Readme(LabTest):
    def test_every_command_does_what_it_says(self):
        world, node = self.world, self.world.nodes["a"]
        with tempfile.TemporaryDirectory(prefix="standwatch-readme-") as folder:
            os.chmod(folder, 0o755)
            values = {"folder": folder, "service": world.network.service_address, "config": node.config,
                      "database": world.database.superuser(), "database_readme": world.database.superuser("readme")}
            for command in commands(os.path.join(ROOT, "README.md")):
                if any(re.fullmatch(pattern, command) for pattern in ELSEWHERE):
                    continue
                with self.subTest(command):
                    # A drill and a switchover are run where the active node is.
                    if re.match(r"hactl (drill|switchover)", command):
                        world.wait_healed()
                        if world.leader() is not node:
                            world.leader().hactl("switchover", "--to", node.name)
                            world.wait_healed()
                    self.run_command(self.adapt(command, values), node)
                    if command.startswith("hactl pause"):
                        self.assertEqual(world.database.value("SELECT paused FROM ha.control"), "t")
                    if command.startswith("hactl no-promote b"):
                        node.hactl("no-promote", "b", "--off")

    @staticmethod
    def adapt(command, values):
        for pattern, replacement in DIFFERENCES:
            # Inserted values are texts, never patterns.
            command = re.sub(pattern, replacement, command)
        for name, value in values.items():
            command = command.replace("{" + name + "}", value)
        return command

    def run_command(self, command, node):
        world = self.world
        environment = dict(
            os.environ, PATH=f"{world.build}:{os.environ['PATH']}", STANDWATCH_CONFIG=node.config,
            STANDWATCH_SQL=os.path.join(ROOT, "sql"), PGHOST=world.database.folder, PGPORT=str(world.database.port),
            PGUSER="postgres")
        # What makes worlds and files of its own is run on this host, everything else on a machine of the lab.
        words = ["sh", "-c", command]
        if not command.startswith("scripts/"):
            words = ["ip", "netns", "exec", node.namespace, *words]
        done = subprocess.run(words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=400)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")


if __name__ == "__main__":
    unittest.main()

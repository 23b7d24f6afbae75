"""What the end-to-end tests share: the lab, one world for each test file, and senders in the client's namespace."""
import os
import sys
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
from lab import faults, processes  # noqa: E402
from lab.load import CLIENT  # noqa: E402
from lab.world import World  # noqa: E402

# Sends what it reads from standard input to one address, closes, and says what it got back, all within a few seconds.
SENDER = r"""
import socket, sys
kind, host, port, patience = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
data = sys.stdin.buffer.read()
if kind == "udp":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for part in data.split(b"\0\0--\0\0"):
        s.sendto(part, (host, port))
else:
    s = socket.create_connection((host, port), 20)
    s.settimeout(patience)
    back = b""
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        while True:
            got = s.recv(65536)
            if not got: break
            back += got
    except OSError as error:
        back += str(error).encode()
    sys.stdout.buffer.write(back[:65536])
"""
# Where scripts/setup puts client libraries that are senders in tests.
SENDERS_PYTHON = os.path.join(ROOT, ".build", "python", "bin", "python")
# A sanitizer keeps what was freed for a while, and a shadow of all memory.
MEMORY_FACTOR = 10 if os.environ.get("STANDWATCH_SANITIZER") else 1
# What has to come is given this many seconds at least: how soon it comes is judged where that is the question.
LEAST_SECONDS = 90
# After which senders that are nobody's victim give up, in milliseconds: not for what a busy machine lets wait.
# Then only connections that the node ends are counted.
SILENCE = 20_000
DATAGRAM_BREAK = b"\0\0--\0\0"


def wait_until(condition, seconds, what, every=0.02):
    """As the lab's, with time for a machine that is slow or busy with something else."""
    return processes.wait_until(condition, max(seconds, LEAST_SECONDS), what, every)


class LabTest(unittest.TestCase):
    """Every class has a world of its own; a test leaves it well."""

    world = None
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.world = World(**cls.options)
        cls.world.__enter__()
        cls.addClassCleanup(cls.world.remove)

    def send(self, kind, port, data, patience=1.0, host=None, machine=CLIENT):
        """Sends bytes from a machine through the service address; what came back."""
        import subprocess
        done = subprocess.run(
            ["ip", "netns", "exec", self.world.network.namespace(machine), "/usr/bin/python3", "-c", SENDER, kind,
             host or self.world.network.service_address, str(port), str(patience)],
            input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return done.stdout

    def take_over(self, fault="kill-worker"):
        """A fault of the active node; back when another one leads, and this one is healed or about to be."""
        world = self.world
        leader, epoch = world.leader(), world.epoch()
        heal = faults.FAULTS[fault](world, leader)
        wait_until(lambda: world.epoch() > epoch and world.network.holders(), 15, "another node leads")
        wait_until(lambda: any(node.is_active() for node in world.nodes.values()), 15, "another node is active")
        heal()

    def spawn_sender(self, script, *words, name="sender"):
        """Runs a script with the client libraries on the client's machine; the process and the file of its output."""
        log = self.world.next_name(name)
        process = self.world.spawn_in(CLIENT, [SENDERS_PYTHON, "-c", script, *map(str, words)], log)
        return process, os.path.join(self.world.folder, log)

    def stored_messages(self, beginning):
        """How often each log message that begins so is stored."""
        rows = self.world.database.sql(
            f"SELECT message, count(*) FROM telemetry.log WHERE starts_with(message, '{beginning}') GROUP BY 1")
        return {message: int(count) for message, count in rows}

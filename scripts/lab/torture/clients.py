"""Who sends: standwatch-load with numbered records, an agent that follows a file, rsyslog, and a Forward sender."""
import json
import os
import signal
import time

from ..load import Load
from ..node import SYSLOG_PORT
from ..processes import boot_ns, spawn, stop
from ..world import CLIENT, ROOT
from .pair import Disk

FORWARD_PORT = 24224
SENDERS_PYTHON = os.path.join(ROOT, ".build", "python", "bin", "python")
CHUNK = 20  # records of one Forward chunk

# Ten numbers a second: each as a datagram to the local rsyslog and as a line of the file that the agent follows.
FEEDER = r"""
import os, socket, sys, time
path, fed = sys.argv[1], sys.argv[2]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
number = 0
file, told = open(path, "a", buffering=1), os.open(fed, os.O_RDWR | os.O_CREAT)
while True:
    number += 1
    s.sendto(f"<13>1 - client feeder - - - torture-syslog {number}".encode(), ("127.0.0.1", 5514))
    file.write(f"torture-line {number}\n")
    os.pwrite(told, b"%12d" % number, 0)
    time.sleep(0.1)
"""
RSYSLOG = """
global(workDirectory="{folder}")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="5514")
template(name="plain" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% - - - %msg%")
action(type="omfwd" target="{target}" port="{port}" protocol="tcp" TCP_Framing="octet-counted" template="plain"
  queue.type="LinkedList" queue.size="100000" action.resumeRetryCount="-1" action.resumeInterval="1"
  action.resumeIntervalMax="1")
"""
# Chunks that are repeated until they are acknowledged; the highest acknowledged one is told in a file.
CHUNKS = r"""
import base64, os, socket, struct, sys, time
import msgpack
host, port, size, fed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
told = os.open(fed, os.O_RDWR | os.O_CREAT)
def event_time():
    now = time.time_ns()
    return msgpack.ExtType(0, struct.pack(">II", now // 10**9, now % 10**9))
connection, number = None, 0
while True:
    number += 1
    key = base64.b64encode(os.urandom(16)).decode()
    entries = [[event_time(), {"log": f"torture-chunk {(number - 1) * size + i + 1}", "stream": "stdout"}]
               for i in range(size)]
    data = msgpack.packb(["kube.pod", entries, {"chunk": key}])
    while True:
        try:
            if connection is None:
                connection = socket.create_connection((host, port), 0.2)
                connection.settimeout(1)
            connection.sendall(data)
            if msgpack.unpackb(connection.recv(1000)) != {"ack": key}: raise OSError("another answer")
            break
        except (OSError, ValueError):
            if connection: connection.close()
            connection = None
            time.sleep(0.05)
    os.pwrite(told, b"%12d" % (number * size), 0)
    time.sleep(0.1)
"""


class NumberedLoad(Load):
    """A load that tells while it runs how far each of its sources is."""

    def __init__(self, world, rate, sources):
        super().__init__(world, rate=rate, sources=sources, name="torture", more=["--quiet"])
        # (nanoseconds on the boot clock, made, acknowledged) with a number for each source.
        self.positions = []
        self.wall_minus_boot = time.time_ns() - boot_ns()

    def read(self):
        if not os.path.exists(self.timeline):
            return self.acks
        with open(self.timeline, "rb") as file:
            file.seek(self.position)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self.position += whole
        for line in data[:whole].splitlines():
            # Most lines are of other kinds and would cost more to read than they are worth.
            if b'"ack"' in line:
                entry = json.loads(line)
                self.acks.append((entry["t_ns"], entry["epoch"], entry["node"], entry["records"]))
            elif b'"positions"' in line:
                entry = json.loads(line)
                self.positions.append((entry["t_ns"], entry["made"], entry["acked"]))
        return self.acks

    def acked(self):
        """Acknowledged records of all sources as last told."""
        self.read()
        return sum(self.positions[-1][2]) if self.positions else 0

    def made_after(self, acked):
        """A wall time, seconds, after which every record behind these positions was made."""
        found = 0.0
        for moment, made, _ in self.positions:
            if any(one > low for one, low in zip(made, acked)):
                break
            found = (moment + self.wall_minus_boot) / 1e9
        return found

    def forget(self, acked):
        """Drops what `made_after` will not need again."""
        keep = 0
        for index, (_, made, _) in enumerate(self.positions):
            if any(one > low for one, low in zip(made, acked)):
                break
            keep = index
        del self.positions[:keep]
        del self.acks[:-1]


class Agent:
    """An agent on the client's machine that follows one file; its spool is on a small disk of its own."""

    def __init__(self, world, disk, lines):
        self.world = world
        folder = os.path.join(world.folder, "agent")
        os.makedirs(folder)
        self.config, self.log = os.path.join(folder, "agent.json5"), os.path.join(folder, "log")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({
                "servers": [f"{world.network.service_address}:7400"], "host": "followed",
                "spool": {"folder": os.path.join(disk.folder, "spool"), "syncMilliseconds": 50, "bytes": 64 << 20},
                "listen": {"unix": os.path.join(folder, "records.sock"),
                           "status": os.path.join(folder, "status.sock"), "tcp": []},
                "collect": {"intervalMilliseconds": 1000, "host": False},
                "follow": {"journal": False, "files": [{"paths": [lines], "app": "followed", "from": "beginning"}]},
            }, file)
        self.process = None
        self.ensure()

    def ensure(self):
        if self.process is None or self.process.poll() is not None:
            self.process = spawn([self.world.program("standwatch-agent"), "--config", self.config], self.log,
                                 namespace=self.world.network.namespace(CLIENT))
            self.world.spawned.append(self.process)
            self.world.note_process(self.process.pid)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Clients:
    """All senders of a world, begun together."""

    def __init__(self, world, rate, sources):
        self.world = world
        self.disk = Disk(os.path.join(world.folder, "spool-disk"), 256 << 20)
        lines = os.path.join(world.folder, "followed.log")
        self.fed, self.chunks = os.path.join(world.folder, "fed"), os.path.join(world.folder, "chunks-acked")
        folder = os.path.join(world.folder, "rsyslog")
        os.makedirs(folder)
        config = os.path.join(folder, "rsyslog.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(RSYSLOG.format(folder=folder, target=world.network.service_address, port=SYSLOG_PORT))
        self.programs = [world.spawn_in(CLIENT, ["rsyslogd", "-n", "-f", config, "-i", os.path.join(folder, "pid")],
                                        "rsyslog.log")]
        time.sleep(0.3)
        self.programs.append(world.spawn_in(CLIENT, ["/usr/bin/python3", "-c", FEEDER, lines, self.fed], "feeder.log"))
        self.programs.append(world.spawn_in(CLIENT, [SENDERS_PYTHON, "-c", CHUNKS, world.network.service_address,
                                                     FORWARD_PORT, CHUNK, self.chunks], "chunks.log"))
        self.agent = Agent(world, self.disk, lines)
        self.load = NumberedLoad(world, rate, sources)

    def lines_fed(self):
        return told(self.fed)

    def chunks_acked(self):
        return told(self.chunks)

    def dead(self):
        """Names of senders that ended though nobody ended them."""
        return [process.args[-1] for process in self.programs + [self.load.process] if process.poll() is not None]

    def finish(self):
        """Ends all; the report of the load's own verification."""
        for process in self.programs:
            stop(process, 3)
        report = self.load.finish(300)
        self.agent.kill()
        self.disk.remove()
        return report


def told(path):
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read().strip() or 0)
    except FileNotFoundError:
        return 0

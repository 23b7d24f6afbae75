"""The whole test world, and the promise that nothing of it stays."""
import atexit
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile

from . import processes
from .database import Database
from .network import REGISTRY, Network, claim_number
from .node import Node
from .processes import run, spawn, stop, wait_until
from .replication import ReplicatedDatabase

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
CLIENT, PROBER = "client", "probe"


class World:
    """A cluster of `nodes` with its database, clients and prober. Use it with `with`; signals end it as well.

    `standby`: "sync" or "async" gives the database a streaming standby. `daemon`: the program that the nodes run.
    `machines`: further ones on the LAN, with the last byte of their addresses. `database`: another class for it.
    `prepared`: is told of each node before it starts.
    """

    def __init__(self, nodes=("a", "b"), folder=None, build=None, audit=True, change=None, start=True, standby=None,
                 daemon="standwatchd", machines=None, database=None, prepared=None):
        self.root = ROOT
        self.build = build or os.environ.get("STANDWATCH_BUILD") or os.path.join(ROOT, ".build", "release")
        self.node_names = list(nodes)
        self.keep = folder is not None
        self.given_folder, self.audit, self.change, self.autostart = folder, audit, change, start
        self.standby_mode = standby
        self.daemon = daemon
        self.more_machines, self.database_kind, self.prepared = machines or {}, database, prepared
        self.tag = secrets.token_hex(2)
        self.spawned = []
        self.pids = []
        self.nodes = {}
        self.gone = False
        self.names = 0
        self.network = self.database = self.register_lock = self.number_lock = None

    def __enter__(self):
        for name in (self.daemon, "hactl", "standwatch-load"):
            if not os.access(self.program(name), os.X_OK):
                raise RuntimeError(f"{self.program(name)} is not there: build it first (scripts/test release)")
        atexit.register(self.remove)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _: sys.exit(128 + received))
        try:
            self._build()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def _build(self):
        self.folder = self.given_folder or tempfile.mkdtemp(prefix=f"standwatch-lab-{self.tag}-")
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        number, self.number_lock = claim_number()
        self.network = Network(self.tag, number)
        self.register_path = f"{REGISTRY}/{self.tag}.json"
        self.register_lock = open(self.register_path, "a", encoding="utf-8")
        fcntl.flock(self.register_lock, fcntl.LOCK_EX)
        self.network.machines = {name: index + 1 for index, name in enumerate(self.node_names)}
        self.network.machines.update({CLIENT: 200, PROBER: 201, **self.more_machines})
        self._register()
        self.network.build(self.network.machines)
        self.key = os.path.join(self.folder, "beat.key")
        with open(self.key, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
        shutil.chown(self.key, group="nogroup")
        os.chmod(self.key, 0o640)
        kind = self.database_kind or (ReplicatedDatabase if self.standby_mode else Database)
        self.database = kind(os.path.join(self.folder, "postgres"), self.network.host_address,
                             f"10.77.{number}.0/24")
        self.database.create()
        self.note_process(self.database.process.pid)
        self.migrate()
        if self.standby_mode:
            self.database.add_standby(self.standby_mode == "sync")
            self.note_process(self.database.standby.process.pid)
        for name in self.node_names:
            self.nodes[name] = Node(self, name)
            self.nodes[name].prepare(self.change)
            if self.prepared:
                self.prepared(self.nodes[name])
        if self.autostart:
            self.start()

    def migrate(self):
        """The schema, as an operator brings it into being."""
        run(self.program("hactl"), "migrate", "--connection", self.database.superuser(), "--sql",
            os.path.join(self.root, "sql"))
        self.database.sql("GRANT standwatch_node TO standwatch_login")
        if self.audit:
            self.database.audit()

    def start(self):
        """Starts every node and waits until one of them leads and the others could."""
        for node in self.nodes.values():
            node.start()
        self.wait_healed()
        # The first leader ever has all partitions to make.
        wait_until(lambda: self.database.value("SELECT from_ts IS NOT NULL FROM telemetry.accepted_range()") == "t", 90,
                   lambda: f"there are partitions; {self.explain()}")

    # What there is

    def program(self, name):
        return os.path.join(self.build, name)

    def active(self, timeout=0.3):
        """The nodes that say that they lead, each within so many seconds."""
        return [node for node in self.nodes.values() if node.is_active(timeout)]

    def leader(self):
        """The one active node."""
        found = wait_until(self.active, 90, lambda: f"one node leads; {self.explain()}")
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} nodes say that they lead")
        return found[0]

    def standby(self):
        """A node that does not lead."""
        return self.standby_of(self.leader())

    def standby_of(self, leader):
        return next(node for node in self.nodes.values() if node is not leader)

    def epoch(self):
        return int(self.database.value("SELECT epoch FROM ha.leadership"))

    def explain(self):
        return "\n".join(f"node {node.name}: {node.get('/')} {node.tail()}" for node in self.nodes.values())

    def is_healed(self):
        nodes = list(self.nodes.values())
        return (all(node.is_ready() for node in nodes) and len(self.active()) == 1
                and self.network.holders() == [self.active()[0].name])

    def wait_healed(self, seconds=90):
        """One node leads and bears the service address, all others are ready."""
        wait_until(self.is_healed, seconds, lambda: f"all nodes are well; {self.explain()}", every=0.1)

    # Running things in it

    def run_in(self, namespace, *words, check=True):
        return run("ip", "netns", "exec", namespace, *words, check=check)

    def status_in(self, namespace, *words):
        done = subprocess.run(["ip", "netns", "exec", namespace, *map(str, words)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    def next_name(self, beginning):
        """A name that nothing else of this world has."""
        self.names += 1
        return f"{beginning}-{self.names}"

    def spawn_in(self, machine, words, log_name):
        """Starts a program on a machine; it ends with the world at the latest."""
        process = spawn(words, os.path.join(self.folder, log_name), namespace=self.network.namespace(machine))
        self.spawned.append(process)
        self.note_process(process.pid)
        return process

    # The end

    def note_process(self, pid):
        self.pids.append([pid, processes.start_time(pid)])
        self._register()

    def _register(self):
        """What `scripts/lab/cleanup` needs when this process is killed: written before anything comes into being."""
        text = json.dumps({"tag": self.tag, "namespaces": self.network.names(), "folder": self.folder,
                           "interface": self.network.host_interface, "keep": self.keep, "pids": self.pids})
        with open(self.register_path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.register_path + ".new", self.register_path + ".what")

    def remove(self):
        """Takes everything down; may be called at any time and twice."""
        if self.gone:
            return
        self.gone = True
        for process in self.spawned:
            if process.poll() is None:
                stop(process, 3)
        for node in self.nodes.values():
            for pid in processes.children(node.guard_pid() or 0):
                processes.send_signal(pid, signal.SIGCONT)
            node.stop()
        if self.database:
            self.database.remove()
        if self.network:
            kill_namespaces(self.network.names())
            self.network.remove()
            for path in (self.register_path, self.register_path + ".what"):
                if os.path.exists(path):
                    os.unlink(path)
            self.register_lock.close()
            self.number_lock.close()
        if not self.keep and getattr(self, "folder", None) and not os.environ.get("STANDWATCH_KEEP_LOGS"):
            shutil.rmtree(self.folder, ignore_errors=True)


def kill_namespaces(names):
    """Kills whatever still runs in namespaces of ours."""
    for name in names:
        for pid in run("ip", "netns", "pids", name, check=False).split():
            if pid.isdigit():
                processes.send_signal(int(pid), signal.SIGKILL)


def remove_leftovers():
    """Takes down the worlds whose owner is gone (killed with -9, say); the tags of those."""
    removed = []
    if not os.path.isdir(REGISTRY):
        return removed
    for name in sorted(os.listdir(REGISTRY)):
        if not name.endswith(".json.what"):
            continue
        what = os.path.join(REGISTRY, name)
        lock_path = what[:-len(".what")]
        with open(lock_path, "a", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            with open(what, encoding="utf-8") as file:
                world = json.load(file)
            for pid, started in world["pids"]:
                if started is not None:
                    processes.send_signal(pid, signal.SIGKILL, started)
            kill_namespaces(world["namespaces"])
            for space in world["namespaces"]:
                run("ip", "netns", "delete", space, check=False)
            run("ip", "link", "delete", world["interface"], check=False)
            if not world["keep"]:
                shutil.rmtree(world["folder"], ignore_errors=True)
            os.unlink(what)
            os.unlink(lock_path)
            removed.append(world["tag"])
    return removed

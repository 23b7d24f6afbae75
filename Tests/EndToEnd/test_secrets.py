"""Canaries in place of every secret, through load, takeover, drill and crash: nobody else ever gets to see one."""
import base64
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
import unittest

from certificates import Authority
from support import CLIENT, LabTest, wait_until
from test_agent import Agent
from test_key_rotation import own_keys

from lab import processes
from lab.load import Load
from lab.node import NATIVE_PORT

FORWARD_PORT = 24224
# Files of the test's world that are there to hold secrets.
SECRET_FILES = re.compile(r"/(pgpass|beat\.key|shared\.key|[\w-]+\.token|tls/\w+\.key)$")


class Canaries:
    """Secrets in all the forms that a careless program might write, and where one was seen."""

    def __init__(self):
        self.forms, self.seen = {}, set()

    def add(self, name, text):
        """A secret that is text: as it is, in hexadecimal digits and in base64; of digits also what they stand for."""
        raws = [text.encode()]
        if re.fullmatch("(?:[0-9a-f]{2}){32}", text):
            raws.append(bytes.fromhex(text))
        for raw in raws:
            self._add(name, raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="))

    def add_private_key(self, name, path):
        """A key of an elliptic curve: the lines of its file, and its number."""
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")[1:-2]
        der = base64.b64decode(b"".join(lines))
        # ECPrivateKey (RFC 5915): version 1, then 32 bytes.
        at = der.index(b"\x02\x01\x01\x04\x20") + 5
        number = der[at:at + 32]
        # The first line of every key of a curve is nearly the same: its first bytes say which curve.
        self._add(name, number, number.hex().encode(), *lines[1:2])

    def _add(self, name, *forms):
        # Another thread goes through them.
        self.forms = self.forms | {form: name for form in forms}

    def find(self, text, where):
        for form, name in self.forms.items():
            if form in text:
                self.seen.add((name, where))


class ServiceAgent(Agent):
    """As a service: neither root, nor with rights of its own."""

    def start(self, until=lambda status: status["connected"]):
        for folder, _, files in os.walk(self.folder):
            for name in [folder, *(os.path.join(folder, each) for each in files)]:
                shutil.chown(name, "nobody", "nogroup")
        words = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--",
                 self.world.program("standwatch-agent"), "--config", self.config]
        self.process = processes.spawn(words, self.log, namespace=self.world.network.namespace(CLIENT))
        self.world.spawned.append(self.process)
        self.world.note_process(self.process.pid)
        wait_until(lambda: self.status() is not None, 20, lambda: f"the agent answers: {self.tail()}")
        wait_until(lambda: until(self.status()), 20, lambda: f"the agent fares as it should: {self.status()}")


class SecretTest(LabTest):
    """Looks wherever a secret could have got to."""

    def look_at_files(self):
        """What the nodes, the agent and the senders wrote, and what PostgreSQL said."""
        kept = 0
        for path in glob.glob(f"{self.world.folder}/**", recursive=True):
            is_ours = not path.startswith(f"{self.world.folder}/postgres/") or path == self.world.database.log
            if os.path.isfile(path) and is_ours and not SECRET_FILES.search(path):
                self.assertFalse(os.path.basename(path).startswith("core"), path)
                with open(path, "rb") as file:
                    self.canaries.find(file.read(), path)
                kept += 1
        self.assertEqual(glob.glob("core*"), [], "a core file in the working folder")
        return kept

    def look_at_postgres(self, where):
        dump = subprocess.run(["pg_dump", "--dbname", self.world.database.superuser(), "--data-only"],
                              stdout=subprocess.PIPE, check=True).stdout
        self.canaries.find(dump, where)
        return dump

    def token(self, source):
        """A file with a new token for a source, as its sender has it."""
        made = json.loads(self.world.leader().hactl("token", "add", source, "--json"))["token"]
        name = f"token of {source}"
        self.canaries.add(name, made)
        self.canaries.add(name, made.rpartition("_")[2])
        path = os.path.join(self.world.folder, self.world.next_name("sender") + ".token")
        with open(path, "w", encoding="ascii") as file:
            file.write(made + "\n")
        shutil.chown(path, group="nogroup")
        os.chmod(path, 0o640)
        return path


class Secrets(SecretTest):
    options = {"start": False}

    def setUp(self):
        world = self.world
        self.canaries = Canaries()
        password, shared_key = "canary-password-" + os.urandom(8).hex(), "canary-shared-key-" + os.urandom(8).hex()
        beat_key = "canary-beat-key-" + os.urandom(24).hex()
        for name, text in (("password", password), ("beat key", beat_key), ("shared key", shared_key)):
            self.canaries.add(name, text)
        world.database.sql(f"ALTER ROLE standwatch_login PASSWORD '{password}'")
        with open(world.key, "w", encoding="ascii") as file:
            file.write(beat_key + "\n")
        shared = os.path.join(world.folder, "shared.key")
        with open(shared, "w", encoding="ascii") as file:
            file.write(shared_key + "\n")
        shutil.chown(shared, group="nogroup")
        os.chmod(shared, 0o640)
        self.authority = Authority(os.path.join(world.folder, "tls"))
        self.authority.issue("node", f"IP:{world.network.service_address}").issue("agent", "DNS:mes-07")
        for name in ("node", "agent"):
            self.canaries.add_private_key(f"{name}'s TLS key", self.authority.key(name))

        def change(settings):
            own_keys(settings)
            tls = {"certificate": self.authority.certificate("node"), "key": self.authority.key("node"),
                   "clientCA": self.authority.certificate(), "native": "optional"}
            settings["listen"].update({"forward": [f"0.0.0.0:{FORWARD_PORT}"], "forwardSharedKeyFile": shared,
                                       "tls": tls})
        for node in world.nodes.values():
            node.prepare(change)
            with open(node.passfile(), "r+", encoding="utf-8") as file:
                lines = [line.rsplit(":", 1)[0] + ":" + password for line in file.read().splitlines()]
                file.seek(0)
                file.truncate()
                file.write("\n".join(lines) + "\n")
        self.looked, self.done = 0, False
        # A core would be written, if the programs themselves did not forbid it.
        self.old_limit = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, self.old_limit)

    def watch_processes(self):
        """Arguments and environment of every process of this machine that is none of the test's own, all the time."""
        while not self.done:
            for folder in glob.glob("/proc/[0-9]*"):
                if int(folder[6:]) == os.getpid():
                    continue
                for what in ("cmdline", "environ"):
                    try:
                        with open(f"{folder}/{what}", "rb") as file:
                            self.canaries.find(file.read(), f"{what} of a process")
                    except OSError:
                        pass  # it has ended
            self.looked += 1
            time.sleep(0.02)

    def check_core(self, pid, is_root=False):
        """It has forbidden itself to leave a core."""
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            core = next(line for line in file if line.startswith("Max core file size"))
        self.assertEqual(core.split()[4:6], ["0", "0"], core)
        if not is_root:
            # Not dumpable: what of /proc belongs to root although the process does not.
            self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0)

    def rotate_the_key(self):
        """Under the eyes of the test: the new key is a canary as soon as it is there."""
        world, leader = self.world, self.world.leader()

        def rotate(node):
            log = os.path.join(world.folder, world.next_name("rotate"))
            process = processes.spawn([world.program("hactl"), "key", "rotate", "--config", node.config], log,
                                      namespace=node.namespace)
            world.spawned.append(process)
            world.note_process(process.pid)
            return process, log

        def said(log):
            with open(log, encoding="utf-8") as file:
                return file.read()
        first, log = rotate(leader)
        wait_until(lambda: "waiting until" in said(log), 20, lambda: f"the first node waits: {said(log)}")
        with open(os.path.join(leader.folder, "beat.key.next"), encoding="ascii") as file:
            self.canaries.add("new beat key", file.read().strip())
        self.check_core(first.pid, is_root=True)
        # Now it is there, wrapped, for the other node.
        self.assertIn(b"key_rotation", self.look_at_postgres("PostgreSQL during the rotation"))
        self.assertEqual(world.database.value("SELECT count(*) FROM ha.key_rotation WHERE wrapped IS NOT NULL"), "1")
        second, other = rotate(world.standby_of(leader))
        self.assertEqual((first.wait(180), second.wait(180)), (0, 0), said(log) + said(other))
        self.assertIn("the key is rotated", said(log))

    def crash(self, load):
        """Worker and guard, each once."""
        world = self.world
        epoch, leader = world.epoch(), world.leader()
        processes.send_signal(leader.worker_pid(), signal.SIGABRT)
        wait_until(lambda: world.epoch() > epoch, 15, "another epoch")
        world.wait_healed()
        epoch = world.epoch()
        leader = world.leader()
        processes.send_signal(leader.guard_pid(), signal.SIGABRT)
        wait_until(lambda: world.epoch() > epoch, 25, "another epoch")
        leader.stop()
        leader.start()
        world.wait_healed()
        load.wait_flowing(world.epoch())

    def test_no_secret_gets_out(self):
        world = self.world
        watcher = threading.Thread(target=self.watch_processes)
        watcher.start()
        try:
            world.start()
            load_token, agent_token = self.token("load*"), self.token("mes-07/agent")
            world.leader().hactl("config", "set", "require_tokens", "on")
            load = Load(world, rate=500, sources=5, more=("--token-file", load_token))
            load.wait_flowing()
            agent = ServiceAgent(world, tokenFile=agent_token, tls={
                "ca": self.authority.certificate(), "certificate": self.authority.certificate("agent"),
                "key": self.authority.key("agent")})
            answers = [world.leader().hactl_status(*words)[1] for words in (
                ("status", "--json"), ("doctor", "--json"), ("history",), ("config",), ("quarantine",),
                ("token", "list", "--json"), ("key", "show", "--json"), ("drill", "kill", "--yes"))]
            world.wait_healed()
            answers += [node.get(path, timeout=30)[1] for node in world.nodes.values() for path in ("/", "/metrics")]
            answers.append(json.dumps(agent.status()))
            self.rotate_the_key()
            leader = world.leader()
            for pid in (leader.worker_pid(), leader.guard_pid(), agent.process.pid):
                self.check_core(pid)
            self.check_core(load.process.pid, is_root=True)
            self.crash(load)
            wait_until(lambda: agent.status()["connected"], 20, "the agent found the active node")
            agent.process.send_signal(signal.SIGABRT)
            agent.process.wait()
            agent.start()
            # What everybody says where a token is another's.
            os.replace(self.token("mes-08/agent"), agent_token)
            agent.kill()
            agent.start(until=lambda status: "bound to another source" in status["last_error"])
            answers += [json.dumps(agent.status()), world.leader().hactl_status("doctor")[1]]
            load.finish()
            wait_until(lambda: self.looked > 100, 60, "it has looked often enough")
        finally:
            self.done = True
            watcher.join()
        for number, answer in enumerate(answers):
            self.canaries.find(answer.encode(), f"answer {number}")
        kept = self.look_at_files()
        dump = self.look_at_postgres("PostgreSQL")
        self.assertEqual(self.canaries.seen, set())
        # It looked where it says: at its own process list and at what nodes wrote.
        self.assertGreater(self.looked, 100)
        self.assertGreater(kept, 3)
        self.assertIn(b"standwatch", dump)
        self.assertEqual(len(set(self.canaries.forms.values())), 9)

    def test_a_password_among_arguments_is_refused(self):
        world = self.world
        for words in (("hactl", "status", "--connection"),
                      ("standwatch-load", "--target", "127.0.0.1:1", "--database")):
            status, text = world.status_in(
                world.nodes["a"].namespace, world.program(words[0]), *words[1:], "host=127.0.0.1 password=canary-x")
            self.assertIn(status, (2, 64), text)
            self.assertIn("passfile=", text)
            self.assertNotIn("canary-x", text)


# Says hello again and again, with the token in its standard input, until it is refused.
GREETER = r"""
import json, socket, sys, time
hello = {"source": "standwatch-planted-trap", "stream": "s", "oldest": 1, "token": open(sys.argv[3]).read().strip()}
while True:
    try:
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
        s.settimeout(3)
        s.sendall((json.dumps({"hello": hello}) + "\n").encode())
        answer = s.makefile("r").readline()
        print(answer.strip() or "end", flush=True)
        if "(" in answer and "quarantined" in answer: break
    except OSError as error:
        print(error, flush=True)
    time.sleep(0.05)
"""


class CrashingHello(SecretTest):
    options = {"daemon": "standwatchd-planted"}

    def test_a_hello_that_kills_two_workers_is_refused_and_its_token_is_nobody_elses(self):
        world = self.world
        self.canaries = Canaries()
        path = self.token("*")
        sender = world.spawn_in(CLIENT, ["/usr/bin/python3", "-c", GREETER, world.network.service_address, NATIVE_PORT,
                                         path], "greeter")
        self.addCleanup(lambda: sender.poll() is None and sender.kill())
        wait_until(lambda: world.database.value("SELECT count(*) FROM ingest.quarantine") == "1", 60, world.explain)
        # Who it was is known, and that is all.
        self.assertEqual(world.database.sql("SELECT source, coalesce(length(bytes), 0) FROM ingest.crash"),
                         [[world.network.address(CLIENT), "0"]] * 2)
        wait_until(lambda: sender.poll() is not None, 60, lambda: f"the sender is told; {world.explain()}")
        world.wait_healed()
        dump = self.look_at_postgres("PostgreSQL")
        self.assertGreater(self.look_at_files(), 3)
        world.leader().hactl("quarantine")
        self.assertEqual(self.canaries.seen, set())
        self.assertIn(b"ingest.crash", dump)


if __name__ == "__main__":
    unittest.main()

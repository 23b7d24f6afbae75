"""One node of the cluster: its files, its daemon in a namespace, and what it says of itself."""
import http.client
import json
import os
import pwd
import signal
import time

from . import processes
from .processes import spawn, start_time, wait_until

USER = "nobody"
HTTP_PORT, NATIVE_PORT, SYSLOG_PORT, BEAT_PORT = 7480, 7400, 514, 7401


class Node:
    """`name` is the node's name in the cluster and of its machine in the network."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.folder = os.path.join(world.folder, name)
        self.run_folder = os.path.join(self.folder, "run")
        self.config = os.path.join(self.folder, "node.json5")
        self.log = os.path.join(self.folder, "log")
        self.process = None
        self.started = None
        # Another program than the world's as its daemon, and further environment for it.
        self.daemon = None
        self.environment = {}

    @property
    def address(self):
        return self.world.network.address(self.name)

    @property
    def namespace(self):
        return self.world.network.namespace(self.name)

    def settings(self):
        """The node's configuration as a dictionary; JSON is JSON5."""
        network, others = self.world.network, [name for name in self.world.node_names if name != self.name]
        return {
            "cluster": "lab", "node": self.name, "user": USER, "runtimeFolder": self.run_folder, "logLevel": "info",
            "database": {"connection": self.world.database.node_connection(self.passfile()), "lanes": 2},
            "service": {
                "addresses": [{"address": network.service_address, "interface": "eth0"}],
                "helpers": {"folder": os.path.join(self.world.root, "ha"), "deadlineMilliseconds": 400},
            },
            "peers": {
                "listen": [f"{network.address(self.name, net)}:{BEAT_PORT}" for net in (77, 78)],
                "keyFiles": [self.world.key],
                "nodes": [{"node": name, "addresses": [f"{network.address(name, net)}:{BEAT_PORT}" for net in (77, 78)]}
                          for name in others],
            },
            "listen": {"native": [f"0.0.0.0:{NATIVE_PORT}"], "syslogTCP": [f"0.0.0.0:{SYSLOG_PORT}"],
                       "syslogUDP": [f"0.0.0.0:{SYSLOG_PORT}"], "http": [f"0.0.0.0:{HTTP_PORT}"]},
        }

    def passfile(self):
        return os.path.join(self.folder, "pgpass")

    def prepare(self, change=None):
        """Writes the files; `change` may alter the settings first."""
        account = pwd.getpwnam(USER)
        os.makedirs(self.run_folder, exist_ok=True)
        os.chown(self.run_folder, account.pw_uid, account.pw_gid)
        with open(self.passfile(), "w", encoding="utf-8") as file:
            file.write(self.world.database.passfile_line())
        os.chmod(self.passfile(), 0o600)
        os.chown(self.passfile(), account.pw_uid, account.pw_gid)
        settings = self.settings()
        if change:
            change(settings)
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(settings, file, indent=2)

    def start(self):
        environment = dict(os.environ, SWIFT_BACKTRACE="enable=no", **self.environment)
        self.process = spawn([self.daemon or self.world.program(self.world.daemon), "--config", self.config], self.log,
                             namespace=self.namespace, env=environment)
        self.started = start_time(self.process.pid)
        self.world.note_process(self.process.pid)

    def guard_pid(self):
        """None when the guard does not run."""
        return self.process.pid if self.process and self.process.poll() is None else None

    def worker_pid(self):
        """None when there is no worker."""
        guard = self.guard_pid()
        found = [pid for pid in processes.children(guard) if "--worker" in processes.command_line(pid)] if guard else []
        return found[0] if found and processes.state(found[0]) not in (None, "Z") else None

    def signal_all(self, number):
        """Guard, worker and helpers at once: the guard first, so that it cannot act on what befalls the worker."""
        guard = self.guard_pid()
        if guard is None:
            return
        family = [guard] + processes.children(guard)
        for pid in family:
            processes.send_signal(pid, number)

    def stop(self):
        """An orderly end; whatever was stopped is let run first."""
        if self.process:
            self.signal_all(signal.SIGCONT)
            processes.stop(self.process, 8)
            self.process = None

    def get(self, path, timeout=0.3):
        """Status and text of a page of the node; (0, reason) when it does not answer."""
        connection = http.client.HTTPConnection(self.address, HTTP_PORT, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except OSError as error:
            return 0, str(error)
        except http.client.HTTPException as error:
            return 0, repr(error)
        finally:
            connection.close()

    def is_active(self, timeout=0.3):
        return self.get("/active", timeout)[0] == 200

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def wait_ready(self, seconds=90):
        wait_until(self.is_ready, seconds, lambda: f"node {self.name} is ready; {self.get('/readyz')}; {self.tail()}")

    def tail(self, lines=15):
        """The end of its log."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return f"the log {self.log} ends with:\n" + "".join(file.readlines()[-lines:])
        except OSError as error:
            return str(error)

    def resident_kilobytes(self):
        """Memory of guard and worker now, and the most they ever had."""
        now = most = 0
        for pid in (self.guard_pid(), self.worker_pid()):
            if pid is None:
                continue
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                fields = dict(line.split(":", 1) for line in file if ":" in line)
            now += int(fields["VmRSS"].split()[0])
            most += int(fields["VmHWM"].split()[0])
        return now, most

    def hactl(self, *words, check=True):
        """Runs the operator's command beside this node and gives what it says."""
        return self.world.run_in(self.namespace, self.world.program("hactl"), *words, "--config", self.config,
                                 check=check)

    def hactl_status(self, *words):
        """Runs the operator's command for its exit status and text."""
        return self.world.status_in(self.namespace, self.world.program("hactl"), *words, "--config", self.config)

    def wait_gone(self, seconds=10):
        deadline = time.monotonic() + seconds
        while self.worker_pid() and time.monotonic() < deadline:
            time.sleep(0.05)

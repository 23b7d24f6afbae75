"""Machines for the documents' own installation: each a network namespace with a private view of the file system.

/etc, /usr, /var and /root are overlays and /run is new: what an installation writes is seen on that machine alone, and
is gone with it. The network is the documents' own, 10.0.0.0/24, and reaches no further than these machines.
"""
import fcntl
import glob
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time

from support import ROOT, wait_until

from lab import processes
from lab.network import REGISTRY
from lab.processes import run, spawn
from lab.world import kill_namespaces

MACHINES = {"a": "10.0.0.1", "b": "10.0.0.2", "postgres": "10.0.0.9", "client": "10.0.0.50"}
SERVICE_ADDRESS = "10.0.0.100"
VIEW = r"""
mount -t tmpfs view "$1"
for part in etc usr var root; do
  mkdir -p "$1/$part/upper" "$1/$part/work"
  mount -t overlay overlay -o "lowerdir=/$part,upperdir=$1/$part/upper,workdir=$1/$part/work" "/$part"
done
mount -t tmpfs run /run
mkdir -p /run/lock
hostname "$2"
touch "$1/ready" /run/view
exec sleep infinity
"""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
               "LC_ALL": "C.UTF-8"}
# What stands in for parts that such a machine lacks. The release build is the gate's; the words are checked.
STAND_INS = {
    "swift": """#!/bin/sh
case "$*" in
"build -c release --static-swift-stdlib" | "build -c release --static-swift-stdlib --product standwatch-agent") ;;
"build -c release --static-swift-stdlib --show-bin-path") echo '{build}' ;;
*) echo "swift: not what the release build is made by: $*" >&2; exit 1 ;;
esac
""",
    "systemctl": """#!/bin/sh
exec /usr/bin/python3 '{root}/Tests/EndToEnd/stand_in_systemctl.py' "$@"
""",
    "scp": """#!/bin/sh
set -eu
[ "${{2%%:*}}" = root@10.0.0.2 ]
exec nsenter --target "$(cat '{folder}/b.pid')" --mount sh -euc 'cat > "$1"' sh "${{2#*:}}" < "$1"
""",
}


class Site:
    """The four machines of the documents."""

    def __init__(self):
        self.build = os.environ.get("STANDWATCH_BUILD") or os.path.join(ROOT, ".build", "release")
        self.tag = secrets.token_hex(2)
        self.lan = f"sw{self.tag}-lan"
        self.views, self.spawned, self.pids = {}, [], []
        self.folder = tempfile.mkdtemp(prefix=f"standwatch-site-{self.tag}-")
        os.chmod(self.folder, 0o755)
        os.makedirs(REGISTRY, exist_ok=True)
        self.register_path = f"{REGISTRY}/{self.tag}.json"
        self.register_lock = open(self.register_path, "a", encoding="utf-8")
        fcntl.flock(self.register_lock, fcntl.LOCK_EX)
        self._register()

    def create(self):
        run("ip", "netns", "add", self.lan)
        for words in (("link", "add", "br0", "type", "bridge", "forward_delay", "0", "stp_state", "0"),
                      ("link", "set", "br0", "up")):
            run("ip", "-n", self.lan, *words)
        for name, address in MACHINES.items():
            self._add_machine(name, address)

    def _add_machine(self, name, address):
        space = self.namespace(name)
        run("ip", "netns", "add", space)
        run("ip", "-n", self.lan, "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", space)
        run("ip", "-n", self.lan, "link", "set", "dev", name, "master", "br0", "up")
        for words in (("link", "set", "lo", "up"), ("address", "add", f"{address}/24", "dev", "eth0"),
                      ("link", "set", "eth0", "up")):
            run("ip", "-n", space, *words)
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        log = os.path.join(self.folder, f"{name}.log")
        view = spawn(["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-euc", VIEW, "sh", folder,
                      name], log, namespace=space)
        self.views[name] = view
        self._note(view)
        wait_until(lambda: self.run(name, "test -e /run/view", check=False, wrap=False)[0] == 0 or view.poll(), 10,
                   lambda: f"{name} has a view of its own; {open(log, encoding='utf-8').read()}")
        if view.poll() is not None:
            raise RuntimeError(f"no private view of the file system: {open(log, encoding='utf-8').read()}")
        with open(os.path.join(self.folder, f"{name}.pid"), "w", encoding="ascii") as file:
            file.write(str(view.pid))
        for program, text in STAND_INS.items():
            self.write(name, f"/usr/local/bin/{program}",
                       text.format(root=ROOT, build=self.build, folder=self.folder), 0o755)

    def _note(self, process):
        self.spawned.append(process)
        self.pids.append([process.pid, processes.start_time(process.pid)])
        self._register()

    def _register(self):
        text = json.dumps({"tag": self.tag, "namespaces": self.namespaces(), "folder": self.folder,
                           "interface": f"sw{self.tag}h", "keep": False, "pids": self.pids})
        with open(self.register_path + ".what", "w", encoding="utf-8") as file:
            file.write(text)

    def namespaces(self):
        return [self.lan] + [self.namespace(name) for name in MACHINES]

    def namespace(self, name):
        return f"sw{self.tag}-{name}"

    # What is done on the machines

    def words(self, machine, *words, user=None):
        """The words that run a program on a machine."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []
        return ["nsenter", "--target", str(self.views[machine].pid), "--mount", "--net", "--uts", "--", *become,
                *map(str, words)]

    def run(self, machine, script, user=None, check=True, folder=ROOT, seconds=600, wrap=True, given=None):
        """Runs a script as somebody does who types it on that machine; exit status and what it said. A failure of any
        of its commands is an error when `check` is set."""
        began = time.monotonic()
        settings = dict(ENVIRONMENT, HOME="/var/lib/postgresql" if user else "/root")
        done = subprocess.run(self.words(machine, "bash", "-euc", f"cd '{folder}'\n{script}", user=user),
                              stdin=subprocess.DEVNULL if given is None else None, input=given, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=settings, check=False,
                              timeout=seconds)
        if wrap:
            with open(os.path.join(self.folder, "story"), "a", encoding="utf-8") as file:
                file.write(f"--- {machine} ({time.monotonic() - began:.1f} s, exit {done.returncode})\n{script}\n"
                           f"{done.stdout}\n")
        if check and done.returncode != 0:
            raise AssertionError(f"on {machine}: exit {done.returncode}\n{script}\n{done.stdout}\n{self.logs()}")
        return done.returncode, done.stdout

    def write(self, machine, path, text, mode=0o644):
        self.run(machine, f"mkdir -p '{os.path.dirname(path)}' && cat > '{path}' && chmod {mode:o} '{path}'",
                 given=text, folder="/", wrap=False)

    def read(self, machine, path):
        return self.run(machine, f"cat '{path}'", wrap=False)[1]

    def spawn(self, machine, *words):
        """Starts a program that ends with the site at the latest."""
        process = spawn(self.words(machine, *words), os.path.join(self.folder, "spawned.log"), env=ENVIRONMENT)
        self._note(process)
        return process

    def get(self, machine, path, host=None):
        """HTTP status and text of a node's page, asked from the client."""
        url = f"http://{host or MACHINES[machine]}:7480{path}"
        _, text = self.run("client", f"curl -s -m 5 -w '\\n%{{http_code}}' {url}", check=False, wrap=False)
        body, _, code = text.rpartition("\n")
        return int(code or 0), body

    def active(self):
        """The names of the nodes that say they are active."""
        return [name for name in ("a", "b") if self.get(name, "/active")[0] == 200]

    def wait_healed(self, seconds=90):
        """One node active and both ready; the active one's name."""
        wait_until(lambda: len(self.active()) == 1 and all(self.get(name, "/readyz")[0] == 200 for name in "ab"),
                   seconds, lambda: f"both nodes are well\n{self.logs()}", every=0.2)
        return self.active()[0]

    def sql(self, statement):
        return self.run("postgres", f'psql -d standwatch -XAt -c "{statement}"', user="postgres", wrap=False)[1].strip()

    def logs(self):
        """The end of what the nodes wrote."""
        return "\n".join(f"log of {name}:\n" + self.run(
            name, "tail -n 15 /var/log/standwatchd.log 2>/dev/null", check=False, wrap=False)[1] for name in "ab"
            if name in self.views)

    def remove(self):
        """Ends what runs on the machines, and forgets them."""
        kill_namespaces(self.namespaces())
        for process in self.spawned:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        for space in self.namespaces():
            run("ip", "netns", "delete", space, check=False)
        for path in (self.register_path, self.register_path + ".what"):
            if os.path.exists(path):
                os.unlink(path)
        self.register_lock.close()
        if not os.environ.get("STANDWATCH_KEEP_LOGS"):
            shutil.rmtree(self.folder, ignore_errors=True)


def postgres_version():
    """The newest PostgreSQL that is installed here."""
    return max((path.split("/")[4] for path in glob.glob("/usr/lib/postgresql/*/bin")), key=int)

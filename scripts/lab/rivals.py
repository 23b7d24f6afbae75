"""keepalived and Zabbix server, as Debian packages them, under the faults that we put our own nodes under."""
import os
import signal
import time

from .load import AddressWatch
from .processes import boot_ns, children, run, send_signal, stop, wait_until
from .world import CLIENT

# Longer than any of them takes as a rule: what has not happened by then is told as "never".
PATIENCE = {"keepalived": 12, "zabbix": 60}
PACKAGES = {"keepalived": ["keepalived"], "zabbix": ["zabbix-server-pgsql"]}
PROGRAMS = {"keepalived": "/usr/sbin/keepalived", "zabbix": "/usr/sbin/zabbix_server"}
ZABBIX_SQL = "/usr/share/zabbix-server-pgsql"
ZABBIX_PORT = 10051

VRRP = """global_defs {{
  router_id {name}
  vrrp_version 3
}}
vrrp_instance service {{
  state BACKUP
  interface eth0
  virtual_router_id 77
  priority {priority}
  advert_int {interval}
  virtual_ipaddress {{ {address}/24 dev eth0 }}
}}
"""
ZABBIX = """LogType=console
DBHost={host}
DBPort={port}
DBName=zabbix
DBUser=zabbix
DBPassword=zabbix
HANodeName={name}
NodeAddress={address}:{listen}
ListenIP={address}
ListenPort={listen}
PidFile={folder}/zabbix-{name}.pid
SocketDir={folder}/zabbix-{name}
AllowRoot=1
StartPollers=1
StartTrappers=2
"""
# Asks a port again and again and prints the boot clock's nanoseconds of the first answer.
KNOCK = """
import socket, sys, time
deadline = time.monotonic() + float(sys.argv[3])
while time.monotonic() < deadline:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.2).close()
        print(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        break
    except OSError:
        time.sleep(0.01)
"""


def installed():
    return [name for name, program in PROGRAMS.items() if os.access(program, os.X_OK)]


def install():
    run("apt-get", "update", "-q")
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", *[p for names in PACKAGES.values() for p in names],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"})


class Keepalived:
    """Two hosts with one virtual address; what is measured is whose hardware address answers for it."""

    faults = ("links cut", "kill -9", "SIGSTOP", "clean stop")

    def __init__(self, world, interval):
        self.world, self.interval, self.label = world, interval, f"keepalived, adverts every {interval:g} s"
        self.running = {}

    def start(self, name):
        folder = self.world.folder
        path = os.path.join(folder, f"keepalived-{name}.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(VRRP.format(name=name, priority={"a": 150, "b": 100}[name], interval=self.interval,
                                   address=self.world.network.service_address))
        pids = [word for option in ("pid", "vrrp_pid", "checkers_pid")
                for word in (f"--{option}", f"{folder}/keepalived-{name}.{option}")]
        self.running[name] = self.world.spawn_in(
            name, [PROGRAMS["keepalived"], "--dont-fork", "--log-console", "--vrrp", "-f", path, *pids],
            f"keepalived-{name}.log")

    def processes(self, name):
        """All of a host's keepalived; setpriv and ip have become its parent process."""
        parent = self.running[name].pid
        return [parent, *children(parent)]

    def trial(self, fault):
        """Milliseconds until the other host answers for the address (None: not within the patience), and for how long
        both did."""
        network = self.world.network
        for name in ("a", "b"):
            self.start(name)
        wait_until(lambda: network.holders() == ["a"], 30, "host a bears the address alone", every=0.1)
        watch = AddressWatch(self.world, "rival")
        time.sleep(2)
        began = boot_ns()
        if fault == "links cut":
            network.set_links("a", False)
        elif fault == "clean stop":
            self.running["a"].send_signal(signal.SIGTERM)
        else:
            for pid in self.processes("a"):
                send_signal(pid, signal.SIGKILL if fault == "kill -9" else signal.SIGSTOP)
        time.sleep(PATIENCE["keepalived"])
        seen = watch.finish()
        first = [span["first_ns"] for span in seen["spans"]
                 if span["mac"] == network.mac("b") and span["last_ns"] > began]
        both = len(network.holders()) > 1
        network.set_links("a", True)
        for name in ("a", "b"):
            for pid in self.processes(name):
                send_signal(pid, signal.SIGCONT)
            stop(self.running[name])
            run("ip", "-n", network.namespace(name), "address", "delete", f"{network.service_address}/24", "dev",
                "eth0", check=False)
        gap = max(0.0, (first[0] - began) / 1e6) if first else None
        return gap, "both hosts bear the address" if both else ""


class Zabbix:
    """Two servers with the shortest failover delay that they take; what is measured is whose trapper port answers."""

    faults = ("kill -9", "clean stop")
    label = "Zabbix server, failover delay 10 s"

    def __init__(self, world):
        self.world = world
        self.running = {}
        database = world.database
        database.sql("CREATE ROLE zabbix LOGIN PASSWORD 'zabbix'", database="postgres")
        database.sql("CREATE DATABASE zabbix OWNER zabbix", database="postgres")
        for name in ("schema", "images", "data"):
            run("sh", "-c", 'zcat "$1" | psql "$2" -Xq -v ON_ERROR_STOP=1 -c "SET ROLE zabbix" -f - >/dev/null', "sh",
                f"{ZABBIX_SQL}/{name}.sql.gz", database.superuser("zabbix"))
        database.sql("UPDATE config SET ha_failover_delay = '10s'", database="zabbix")

    def start(self, name):
        world = self.world
        os.makedirs(f"{world.folder}/zabbix-{name}", exist_ok=True)
        path = os.path.join(world.folder, f"zabbix-{name}.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(ZABBIX.format(host=world.database.address, port=world.database.port, name=name,
                                     address=world.network.address(name), listen=ZABBIX_PORT, folder=world.folder))
        self.running[name] = world.spawn_in(name, [PROGRAMS["zabbix"], "-f", "-c", path], f"zabbix-{name}.log")

    def answers(self, name, seconds):
        """When the server of a host first answered, on the boot clock; None when it does not within `seconds`."""
        said = self.world.run_in(self.world.network.namespace(CLIENT), "python3", "-c", KNOCK,
                                 self.world.network.address(name), ZABBIX_PORT, seconds).strip()
        return int(said) if said else None

    def trial(self, fault):
        self.start("a")
        if not self.answers("a", 60):
            raise RuntimeError(f"Zabbix server does not start; its log: {self.world.folder}/zabbix-a.log")
        self.start("b")
        wait_until(lambda: self.world.database.sql("SELECT count(*) FROM ha_node WHERE status IN (0, 3)",
                                                   database="zabbix")[0][0] == "2", 60, "both servers are known", 0.2)
        time.sleep(2)
        began = boot_ns()
        parent = self.running["a"].pid
        if fault == "kill -9":
            for pid in [parent, *children(parent)]:
                send_signal(pid, signal.SIGKILL)
        else:
            self.running["a"].send_signal(signal.SIGTERM)
        answered = self.answers("b", PATIENCE["zabbix"])
        for name in ("a", "b"):
            stop(self.running[name], 20)
        self.world.database.sql("DELETE FROM ha_node", database="zabbix")
        return (answered - began) / 1e6 if answered else None, ""


def measure(world, trials, progress):
    """Rows of system, fault, times in ms (None: never), and what else was seen, of everything that is installed."""
    rows = []
    systems = []
    if "keepalived" in installed():
        systems += [Keepalived(world, 1), Keepalived(world, 0.1)]
    if "zabbix" in installed():
        systems.append(Zabbix(world))
    for system in systems:
        for fault in system.faults:
            gaps, seen = [], set()
            for number in range(1, trials + 1):
                gap, note = system.trial(fault)
                gaps.append(gap)
                seen.add(note)
                progress(f"{system.label}: {fault} {number}/{trials}: "
                         + ("never" if gap is None else f"{gap:.0f} ms") + (f", {note}" if note else ""))
            rows.append({"system": system.label, "fault": fault, "gaps_ms": gaps, "notes": sorted(seen - {""})})
    return rows

"""PostgreSQL on small disks of its own: one server, or two that take turns as primary and synchronous standby."""
import os
import pwd
import shutil
import signal
import socket

from ..database import PASSWORD, Database
from ..processes import children, run, send_signal, stop, wait_until

# Room for what a world writes; only what is used takes memory. A full disk is made by taking the free part away.
DISK_BYTES = 6 << 30
# What a standby that was away is missing is kept, and recovery is short: windows are.
SETTINGS = """
wal_log_hints = on
wal_keep_size = 512MB
max_wal_size = 512MB
checkpoint_timeout = 60s
wal_retrieve_retry_interval = 1s
"""


class Disk:
    """A file system in memory whose size can be changed while it is used."""

    def __init__(self, folder, size=DISK_BYTES):
        self.folder, self.size = folder, size
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)

    def used(self):
        seen = os.statvfs(self.folder)
        return (seen.f_blocks - seen.f_bfree) * seen.f_frsize

    def fill(self, left):
        """Leaves `left` bytes free; asked again where somebody wrote meanwhile."""
        for attempt in range(20):
            try:
                return run("mount", "-o", f"remount,size={self.used() + left}", self.folder)
            except RuntimeError:
                if attempt == 19:
                    raise

    def free(self):
        run("mount", "-o", f"remount,size={self.size}", self.folder)

    def remove(self):
        run("umount", "--lazy", self.folder, check=False)


class Server(Database):
    """One server on a disk of its own."""

    more_settings = SETTINGS

    def __init__(self, folder, address, network):
        super().__init__(folder, address, network)
        self.disk = None

    def create(self):
        self.disk = Disk(self.folder)
        super().create()

    def pids(self):
        """The postmaster and its children; empty when it does not run."""
        if not self.process or self.process.poll() is not None:
            return []
        return [self.process.pid] + children(self.process.pid)

    def kill(self):
        """All processes at once, as a machine dies."""
        for pid in self.pids():
            send_signal(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()

    def ensure(self):
        """Started again if it is down; back when it takes connections. True when it had to be started."""
        if self.process.poll() is None:
            wait_until(lambda: self.answers() or self.process.poll() is not None, 60,
                       lambda: f"PostgreSQL is back; its log: {self.log}")
        if self.process.poll() is not None:
            self.start()
            return True
        return False

    def remove(self):
        for pid in self.pids():
            send_signal(pid, signal.SIGCONT)
        if self.process and self.process.poll() is None:
            stop(self.process, 10, signal.SIGQUIT)
        if self.disk:
            self.disk.remove()

    def as_postgres(self, *words, check=True):
        return run("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *words, cwd="/",
                   check=check)


class Pair(Server):
    """This object is always the primary; `standby` is the other one, and they change places."""

    MOVED = ("folder", "data", "log", "port", "process", "disk")

    def __init__(self, folder, address, network):
        super().__init__(folder, address, network)
        self.standby = None
        self.ports = []

    def add_standby(self, _synchronous=True):
        standby = Server(self.folder + "-standby", self.address, self.network)
        standby.disk = Disk(standby.folder)
        account = pwd.getpwnam("postgres")
        os.chown(standby.folder, account.pw_uid, account.pw_gid)
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            standby.port = probe.getsockname()[1]
        self.standby = standby
        self.ports = [self.port, standby.port]
        self._clone()
        self._follow()

    def _clone(self):
        shutil.rmtree(self.standby.data, ignore_errors=True)
        self.standby.as_postgres(f"{self.programs}/pg_basebackup", "-d", self._replication(), "-D", self.standby.data,
                                 "-X", "stream", "-c", "fast")

    def _replication(self):
        return f"host={self.folder} port={self.port} user=postgres application_name=standby"

    def _follow(self):
        """Starts the other as a standby of this one, and waits until it is the synchronous one."""
        standby = self.standby
        with open(f"{standby.data}/postgresql.auto.conf", "a", encoding="utf-8") as file:
            file.write(f"port = {standby.port}\nunix_socket_directories = '{standby.folder}'\n"
                       f"synchronous_standby_names = ''\nprimary_conninfo = '{self._replication()}'\n")
        with open(f"{standby.data}/standby.signal", "w", encoding="ascii"):
            pass
        account = pwd.getpwnam("postgres")
        os.chown(f"{standby.data}/standby.signal", account.pw_uid, account.pw_gid)
        standby.start()
        self.sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)'")
        self.sql("SELECT pg_reload_conf()")
        self.wait_synchronous()

    def wait_synchronous(self):
        wait_until(lambda: self.value("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'") == "sync",
                   40, lambda: f"the standby streams; its log: {self.standby.log}", every=0.1)

    def is_synchronous(self):
        return self.value("SELECT count(*) FROM pg_stat_replication "
                          "WHERE state = 'streaming' AND sync_state = 'sync'") == "1"

    def fail_over(self):
        """The primary dies all at once and its standby is promoted: they have changed places, and one is down."""
        self.kill()
        wait_until(self.standby.answers, 30, lambda: f"the standby is there; its log: {self.standby.log}")
        run("psql", self.standby.superuser(), "-XqAtc", "SELECT pg_promote(true, 30)")
        for name in self.MOVED:
            mine, other = getattr(self, name), getattr(self.standby, name)
            setattr(self, name, other)
            setattr(self.standby, name, mine)

    def rejoin(self):
        """The server that is down becomes the standby of the one that was promoted."""
        # The checkpoint tells pg_rewind of the new timeline.
        self.sql("CHECKPOINT")
        # It takes the configuration along, so its own lines are added anew.
        rewound = self.standby.as_postgres(
            f"{self.programs}/pg_rewind", "-D", self.standby.data, "--source-server",
            f"host={self.folder} port={self.port} user=postgres dbname=postgres", check=False)
        if "Done!" not in rewound and "no rewind required" not in rewound:
            self._clone()
        self._follow()

    def ensure(self):
        started = super().ensure()
        if self.standby and self.standby.process.poll() is not None and not self.is_behind():
            self.standby.start()
        return started

    def is_behind(self):
        """Whether the other one is a former primary that has not been rewound."""
        return not os.path.exists(f"{self.standby.data}/standby.signal")

    def superuser(self, database="standwatch"):
        """Whichever of the two takes writes."""
        if self.standby is None:
            return super().superuser(database)
        return (f"host={self.folder},{self.standby.folder} port={self.port},{self.standby.port} user=postgres "
                f"dbname={database} target_session_attrs=read-write")

    def node_connection(self, passfile):
        ports = self.ports or [self.port]
        return (f"host={','.join(self.address for _ in ports)} port={','.join(map(str, ports))} dbname=standwatch "
                f"user=standwatch_login passfile={passfile}")

    def passfile_line(self):
        return "".join(f"{self.address}:{port}:*:standwatch_login:{PASSWORD}\n" for port in self.ports or [self.port])

    def remove(self):
        super().remove()
        if self.standby:
            self.standby.remove()

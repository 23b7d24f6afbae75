"""A primary with a streaming standby, and the promotion of the standby, as a tool like Patroni does it."""
import os
import pwd
import signal
import socket

from .database import PASSWORD, Database
from .processes import children, run, send_signal, wait_until


class ReplicatedDatabase(Database):
    """Two servers; `sql` and everything else speak to the one that is the primary now."""

    def __init__(self, folder, address, network):
        super().__init__(folder, address, network)
        self.standby = None
        self.promoted = False

    def add_standby(self, synchronous):
        """Clones the primary and waits until the clone streams (synchronously, if so wished)."""
        standby = Database(self.folder + "-standby", self.address, self.network)
        os.makedirs(standby.folder)
        account = pwd.getpwnam("postgres")
        os.chown(standby.folder, account.pw_uid, account.pw_gid)
        run("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", f"{self.programs}/pg_basebackup",
            "-d", f"host={self.folder} port={self.port} user=postgres application_name=standby", "-D", standby.data,
            "-R", "-C", "-S", "standby", "-X", "stream", "-c", "fast", cwd=standby.folder)
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            standby.port = probe.getsockname()[1]
        with open(f"{standby.data}/postgresql.auto.conf", "a", encoding="utf-8") as file:
            file.write(f"port = {standby.port}\nunix_socket_directories = '{standby.folder}'\n"
                       "cluster_name = 'standby'\nsynchronous_standby_names = ''\n")
        standby.start()
        if synchronous:
            self.sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)'")
            self.sql("SELECT pg_reload_conf()")
        wanted = "sync" if synchronous else "async"
        wait_until(lambda: self.value("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'") == wanted,
                   20, lambda: f"the standby streams ({wanted}); its log: {standby.log}")
        self.standby = standby

    def hold_replication(self):
        """The standby receives nothing more; its receiver is stopped, not ended."""
        for pid in children(self.standby.process.pid):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"walreceiver" in file.read():
                    send_signal(pid, signal.SIGSTOP)
                    return
        raise RuntimeError("the standby has no receiver")

    def fail_over(self):
        """The primary dies as a machine does, all at once; the standby is promoted and takes its place here."""
        for pid in [self.process.pid] + children(self.process.pid):
            send_signal(pid, signal.SIGKILL)
        self.process.wait()
        standby = self.standby
        for pid in children(standby.process.pid):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                held = b"walreceiver" in file.read()
            if held:
                # What it had not read from its socket is lost with the primary.
                send_signal(pid, signal.SIGKILL)
                send_signal(pid, signal.SIGCONT)
        wait_until(standby.answers, 30, lambda: f"the standby is there; its log: {standby.log}")
        run("psql", standby.superuser(), "-XqAtc", "SELECT pg_promote(true, 30)")
        self.first = (self.folder, self.port)
        for name in ("folder", "data", "log", "port", "process"):
            setattr(self, name, getattr(standby, name))
        self.promoted = True

    def remove(self):
        super().remove()
        if self.standby and not self.promoted:
            self.standby.remove()

    def superuser(self, database="standwatch"):
        """Whichever of the two takes writes."""
        if self.standby is None or self.promoted:
            return super().superuser(database)
        return (f"host={self.folder},{self.standby.folder} port={self.port},{self.standby.port} user=postgres "
                f"dbname={database} target_session_attrs=read-write")

    def node_connection(self, passfile):
        ports = f"{self.port},{self.standby.port}" if self.standby else self.port
        hosts = f"{self.address},{self.address}" if self.standby else self.address
        return f"host={hosts} port={ports} dbname=standwatch user=standwatch_login passfile={passfile}"

    def passfile_line(self):
        return "".join(f"{self.address}:{port}:*:standwatch_login:{PASSWORD}\n"
                       for port in (self.port, self.standby.port if self.standby else self.port))

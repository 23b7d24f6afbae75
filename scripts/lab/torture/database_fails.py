"""PostgreSQL killed in part and whole, restarted, stopped, promoted, without room for sessions or data."""
import signal
import socket
import struct

from ..processes import send_signal, stop
from .kind import Kind

# What stays free on a full disk: enough to begin something, too little to end it.
LEFT = 256 << 10


class KillBackend(Kind):
    name, touches, lasts, promotions = "kill-backend", ("postgres",), (0.5, 1.5), 4
    shows = ("unknown commit outcome",)

    def inject(self):
        rows = self.database.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'sw/%' ORDER BY pid")
        pid = int(self.random.choice(rows)[0]) if rows else self.database.process.pid
        self.about = f"one of {len(rows)} sessions"
        send_signal(pid, signal.SIGKILL)

    def heal(self):
        self.ground.database_again()


class KillPostgres(Kind):
    name, touches, lasts, promotions = "kill-postgres", ("postgres",), (0.3, 2), 4
    shows = ("unknown commit outcome",)

    def inject(self):
        self.database.kill()

    def heal(self):
        self.ground.database_again()


class Restart(Kind):
    touches, lasts, promotions, how = ("postgres",), (0, 1), 4, signal.SIGINT
    shows = ("unknown commit outcome",)

    def inject(self):
        if self.database.process.poll() is None:
            stop(self.database.process, 20, self.how)

    def heal(self):
        self.ground.database_again()


class RestartFast(Restart):
    name = "postgres-restart-fast"


class RestartImmediate(Restart):
    name, how = "postgres-restart-immediate", signal.SIGQUIT


class StopPostgres(Kind):
    """The server stands still, as with a disk that hangs."""

    name, touches, lasts, promotions = "postgres-hangs", ("postgres",), (0.5, 3), 4
    shows = ("unknown commit outcome",)

    def inject(self):
        self.pids = self.database.pids()
        for pid in self.pids:
            send_signal(pid, signal.SIGSTOP)

    def heal(self):
        for pid in set(self.pids + self.database.pids()):
            send_signal(pid, signal.SIGCONT)
        self.ground.database_again()


class PromoteStandby(Kind):
    name, touches, lasts, promotions = "promote-standby", ("postgres", "processes"), (0, 1), 5
    shows = ("unknown commit outcome",)

    @classmethod
    def is_possible(cls, ground):
        return ground.has_standby() and ground.world.database.is_synchronous()

    def inject(self):
        self.database.fail_over()
        self.about = f"timeline {self.database.value('SELECT ha.timeline()')}"

    def heal(self):
        self.ground.database_again()
        self.database.rejoin()
        self.world.note_process(self.database.standby.process.pid)


class StandbyHangs(Kind):
    """The synchronous standby answers no more: no COMMIT ends."""

    name, touches, lasts, promotions = "standby-hangs", ("postgres",), (1, 4), 4
    shows = ("unknown commit outcome",)

    @classmethod
    def is_possible(cls, ground):
        return ground.has_standby()

    def inject(self):
        self.pids = self.database.standby.pids()
        for pid in self.pids:
            send_signal(pid, signal.SIGSTOP)

    def heal(self):
        for pid in self.pids:
            send_signal(pid, signal.SIGCONT)


class ConnectionsExhausted(Kind):
    """Others take every session there is, and those of a node's writers as they end."""

    name, touches, lasts, promotions = "connections-exhausted", ("postgres",), (1, 3), 4

    def inject(self):
        self.held = []
        self._take_all()
        self.database_sessions_ended()
        self._take_all()
        self.about = f"{len(self.held)} sessions taken"

    def database_sessions_ended(self):
        """Ends what writes, over one of our own sessions: no other could be had."""
        if self.held:
            text = b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sw/%lane%'\0"
            self.held[-1].sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)

    def _take_all(self):
        body = struct.pack("!I", 196608) + b"user\0postgres\0database\0standwatch\0\0"
        while len(self.held) < 200:
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(3)
            try:
                one.connect(f"{self.database.folder}/.s.PGSQL.{self.database.port}")
                one.sendall(struct.pack("!I", len(body) + 4) + body)
                # R: let in; E: no room.
                if one.recv(1) != b"R":
                    one.close()
                    return
            except OSError:
                one.close()
                return
            self.held.append(one)

    def heal(self):
        for one in self.held:
            one.close()
        self.ground.database_again()


class PostgresDiskFull(Kind):
    name, touches, lasts, promotions = "postgres-disk-full", ("postgres",), (1, 4), 4

    def inject(self):
        self.disk = self.database.disk
        self.disk.fill(self.random.choice([0, LEFT]))

    def heal(self):
        self.disk.free()
        self.ground.database_again()


KINDS = [KillBackend, KillPostgres, RestartFast, RestartImmediate, StopPostgres, PromoteStandby, StandbyHangs,
         ConnectionsExhausted, PostgresDiskFull]

"""A private PostgreSQL in a folder of its own, and what it can prove about the order of commits."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess

from .processes import run, spawn, stop, wait_until

# Written into every claim: the epoch that the writer named to ha.check, and its transaction. And at every promotion the
# snapshot of the bump, taken behind its lock: a claim of an older epoch that this snapshot does not see was committed
# after the promotion, whatever any clock says.
AUDIT = r"""
CREATE SCHEMA lab;
CREATE TABLE lab.promotion (
  epoch bigint PRIMARY KEY, node text, incarnation bigint, snapshot pg_snapshot NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION lab.note_promotion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.epoch IS DISTINCT FROM OLD.epoch THEN
    INSERT INTO lab.promotion (epoch, node, incarnation, snapshot)
      VALUES (NEW.epoch, NEW.node, NEW.incarnation, pg_current_snapshot());
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER lab_promotion AFTER UPDATE ON ha.leadership FOR EACH ROW EXECUTE FUNCTION lab.note_promotion();
CREATE FUNCTION lab.named_epoch() RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT substring(current_query() FROM 'ha\.check\(\s*(\d+)')::bigint
$$;
ALTER TABLE ingest.claim ADD COLUMN lab_epoch bigint, ADD COLUMN lab_xact xid8;
ALTER TABLE ingest.claim ALTER COLUMN lab_epoch SET DEFAULT lab.named_epoch(),
  ALTER COLUMN lab_xact SET DEFAULT pg_current_xact_id();
ALTER TABLE ingest.delivery ADD COLUMN lab_epoch bigint, ADD COLUMN lab_xact xid8;
ALTER TABLE ingest.delivery ALTER COLUMN lab_epoch SET DEFAULT lab.named_epoch(),
  ALTER COLUMN lab_xact SET DEFAULT pg_current_xact_id();
CREATE VIEW lab.batch AS
  SELECT at, lab_epoch, lab_xact FROM ingest.claim WHERE prev >= 0
  UNION ALL SELECT at, lab_epoch, lab_xact FROM ingest.delivery;
GRANT USAGE ON SCHEMA lab TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA lab TO PUBLIC;
"""
STALE = """
SELECT count(*) FROM lab.batch AS c
WHERE c.lab_epoch IS NOT NULL AND EXISTS (
  SELECT FROM lab.promotion AS p
  WHERE p.epoch > c.lab_epoch AND NOT pg_visible_in_snapshot(c.lab_xact, p.snapshot))
"""
SETTINGS = """
fsync = on
full_page_writes = on
synchronous_commit = on
track_commit_timestamp = on
max_connections = 100
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
password_encryption = scram-sha-256
logging_collector = off
log_line_prefix = '%m [%p] %a '
"""
PASSWORD = "lab-only"


class Database:
    """One server; the login role of the nodes is standwatch_login, the database standwatch."""

    more_settings = ""

    def __init__(self, folder, address, network):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
        if not found:
            raise RuntimeError("PostgreSQL is not installed; run scripts/setup")
        self.programs = found[-1]
        self.folder, self.address, self.network = folder, address, network
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "postgres.log")
        self.port = 0
        self.process = None

    def create(self):
        """A new, empty server, started, with the database and the login role but without our schema."""
        os.makedirs(self.folder, exist_ok=True)
        account = pwd.getpwnam("postgres")
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        run("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", f"{self.programs}/initdb",
            "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", cwd=self.folder)
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            self.port = probe.getsockname()[1]
        with open(f"{self.data}/postgresql.auto.conf", "a", encoding="utf-8") as file:
            file.write(SETTINGS + self.more_settings + f"listen_addresses = '{self.address}'\nport = {self.port}\n"
                       f"unix_socket_directories = '{self.folder}'\n")
        with open(f"{self.data}/pg_hba.conf", "w", encoding="utf-8") as file:
            file.write("local all all trust\n"
                       "local replication all trust\n"
                       f"host all all {self.network} scram-sha-256\n")
        self.start()
        self.sql(f"CREATE ROLE standwatch_login LOGIN PASSWORD '{PASSWORD}'", database="postgres")
        self.sql("CREATE DATABASE standwatch", database="postgres")

    def start(self):
        self.process = spawn(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "QUIT", "--",
             f"{self.programs}/postgres", "-D", self.data], self.log, death_signal="QUIT", cwd=self.folder)
        wait_until(self.answers, 60, lambda: f"PostgreSQL accepts connections; its log: {self.log}")

    def answers(self):
        return subprocess.run([f"{self.programs}/pg_isready", "-q", "-h", self.folder, "-p", str(self.port)],
                              check=False).returncode == 0

    def restart(self, crash=True):
        """Ends the server (as a crash, with recovery, or orderly) and starts it again."""
        stop(self.process, 30, signal.SIGQUIT if crash else signal.SIGINT)
        self.start()

    def remove(self):
        if self.process:
            stop(self.process, 15, signal.SIGINT)

    def superuser(self, database="standwatch"):
        """Connection string of the superuser, over the local socket."""
        return f"host={self.folder} port={self.port} user=postgres dbname={database}"

    def node_connection(self, passfile):
        return (f"host={self.address} port={self.port} dbname=standwatch user=standwatch_login "
                f"passfile={passfile}")

    def passfile_line(self):
        return f"{self.address}:{self.port}:*:standwatch_login:{PASSWORD}\n"

    def sql(self, statement, database="standwatch"):
        """Runs a script and gives the rows of its last statement as lists of texts."""
        text = run("psql", self.superuser(database), "-XqAt", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-c", statement)
        return [line.split("\x1f") for line in text.splitlines()]

    def value(self, statement):
        rows = self.sql(statement)
        return rows[0][0] if rows else None

    def audit(self):
        """From now on the database itself writes down who wrote what under which epoch."""
        self.sql(AUDIT)

    def stale_commits(self):
        """Batches that were committed under an older epoch after a newer promotion."""
        unknown = int(self.value("SELECT count(*) FROM lab.batch WHERE lab_epoch IS NULL"))
        if unknown:
            raise RuntimeError(f"{unknown} batches name no epoch: the audit can prove nothing")
        return int(self.value(STALE))

    def copy_program(self):
        return shutil.which("psql") or f"{self.programs}/psql"

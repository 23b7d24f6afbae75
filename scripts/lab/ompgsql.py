"""rsyslog's own way into PostgreSQL (ompgsql), measured like the node's: the same messages, the same server."""
import glob
import os
import time

from .processes import run, spawn, stop, wait_until
from .world import CLIENT

# Its documented best: batches from a queue of its own in memory, two workers.
CONFIGURATION = """global(workDirectory="{folder}")
module(load="imptcp")
module(load="ompgsql")
template(name="row" type="string" option.stdsql="on" string="INSERT INTO ompgsql.log (ts, host, app, severity, \
message) VALUES ('%timereported:::date-rfc3339%', '%hostname%', '%app-name%', %syslogseverity%, '%msg%')")
input(type="imptcp" address="127.0.0.1" port="{port}" ruleset="store")
ruleset(name="store") {{
  action(type="ompgsql" server="{server}" port="{server_port}" db="standwatch" user="postgres" pass="none"
    template="row" queue.type="LinkedList" queue.size="200000"
    queue.dequeueBatchSize="2000" queue.workerThreads="2" action.resumeRetryCount="-1")
}}
"""
PORT = 5515


def is_installed():
    return bool(glob.glob("/usr/lib/*/rsyslog/ompgsql.so")) and os.access("/usr/sbin/rsyslogd", os.X_OK)


def install():
    run("apt-get", "install", "-y", "--no-install-recommends", "rsyslog", "rsyslog-pgsql")


def rows_per_second(world, seconds, sources, progress):
    """Rows a second that ompgsql commits of the load's messages, from its first to its last."""
    database = world.database
    database.sql("""
        CREATE SCHEMA ompgsql;
        CREATE TABLE ompgsql.log (ts timestamptz NOT NULL, host text, app text, severity smallint, message text);
        CREATE INDEX ON ompgsql.log USING brin (ts);
        CREATE INDEX ON ompgsql.log (app, ts)""")
    folder = os.path.join(world.folder, "ompgsql")
    os.makedirs(folder)
    path = os.path.join(folder, "rsyslog.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(folder=folder, port=PORT, server=database.folder,
                                        server_port=database.port))
    space = world.network.namespace(CLIENT)
    rsyslog = spawn(["/usr/sbin/rsyslogd", "-n", "-f", path, "-i", os.path.join(folder, "pid")],
                    os.path.join(folder, "log"), namespace=space)
    try:
        time.sleep(1)
        load = world.spawn_in(CLIENT, [
            world.program("standwatch-load"), "--target", f"127.0.0.1:{PORT}", "--sources", sources, "--rate", "max",
            "--seconds", seconds, "--protocol", "syslog", "--drain", "1"], "ompgsql-load.log")
        load.wait(seconds + 120)
        wait_until(lambda: settled(database), 300, lambda: "rsyslog has written everything")
    finally:
        stop(rsyslog)
    count = int(database.value("SELECT count(*) FROM ompgsql.log"))
    if count == 0:
        with open(os.path.join(folder, "log"), encoding="utf-8") as file:
            raise RuntimeError(f"ompgsql stored nothing: {file.read()[-500:]}")
    took = float(database.value(
        "SELECT extract(epoch FROM max(c) - min(c)) FROM (SELECT pg_xact_commit_timestamp(x) AS c "
        "FROM (SELECT DISTINCT xmin AS x FROM ompgsql.log) AS every) AS commits"))
    database.sql("DROP SCHEMA ompgsql CASCADE")
    rate = count / max(took, 0.001)
    progress(f"ompgsql: {rate:.0f} rows/s ({count} rows)")
    return rate


def settled(database):
    """Whether nothing has come for two seconds."""
    before = database.value("SELECT count(*) FROM ompgsql.log")
    time.sleep(2)
    return before == database.value("SELECT count(*) FROM ompgsql.log")

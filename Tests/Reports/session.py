"""One psql session in one transaction: now() stands still in it, so that data and questions have the same now."""
import os
import subprocess
import tempfile
import uuid

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def connection():
    """The server of scripts/with-postgres, as arguments of psql."""
    said = os.environ.get("STANDWATCH_TEST_POSTGRES")
    if not said:
        raise RuntimeError("run it with scripts/with-postgres")
    return said


def psql(database, *arguments, user=None, check=True):
    """One run of psql on a database, as (exit status, what it said)."""
    options = connection().replace("dbname=postgres", f"dbname={database}")
    if user:
        options = options.replace("user=postgres", f"user={user}")
    done = subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", options, *arguments], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check and done.returncode != 0:
        raise RuntimeError(f"psql {' '.join(arguments)[:200]}\n{done.stdout}")
    return done.returncode, done.stdout


def make_database(name):
    """An empty database with the schema as it is installed."""
    psql("postgres", "-c", f"CREATE DATABASE {name}")
    for file in sorted(os.listdir(f"{ROOT}/sql")):
        if file.endswith(".sql"):
            psql(name, "-1", "-f", f"{ROOT}/sql/{file}")


class Session:
    """Statements in, rows out; rows are lists of text, NULL is None."""

    def __init__(self, database):
        options = connection().replace("dbname=postgres", f"dbname={database}")
        # psql writes whole blocks to a pipe otherwise, and an answer would not come before the next question.
        self.psql = subprocess.Popen(
            ["stdbuf", "-oL", "psql", "-qAtX", "-F", "\x1f", "-P", "null=\x1e", "-v", "ON_ERROR_STOP=1", options],
                text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, sql):
        """Runs statements; answers the rows of all of them."""
        mark = uuid.uuid4().hex
        self.psql.stdin.write(f"{sql}\n;\n\\echo {mark}\n")
        self.psql.stdin.flush()
        rows = []
        for line in self.psql.stdout:
            if line.rstrip("\n") == mark:
                return rows
            rows.append([None if field == "\x1e" else field for field in line.rstrip("\n").split("\x1f")])
        raise AssertionError(f"{sql[:400]}\n{rows}")

    def copy(self, table, columns, rows):
        """COPY of rows, each a sequence of Python values."""
        lines = "\n".join("\t".join(copied(value) for value in row) for row in rows)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(lines + "\n" if lines else "")
            file.flush()
            self.run(f"\\copy {table} ({columns}) FROM '{file.name}'")

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()
        self.psql.stdout.close()


def copied(value):
    """A value as COPY's text format has it."""
    if value is None:
        return "\\N"
    if isinstance(value, (list, tuple)):
        return "{" + ",".join(str(each) for each in value) + "}"
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")

"""Runs the test files of this folder: those that can bear company side by side, the others alone after them.

    suite.py            all files
    suite.py FILE...    only these (test_limits, say)
    suite.py --jobs N   so many side by side

Every file is a process of its own, whose worlds are its own. What one says is shown as a whole when it has ended; the
end names what failed. The status is 1 then.
"""
import argparse
import glob
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
# They judge how soon something happens, or load the machine until it has no time left for others.
ALONE = ("test_failover", "test_drills", "test_torture", "test_hostile", "test_replication")
# Begun first, because they take longest.
LONG = ("test_tools", "test_documents", "test_tls", "test_poison_hang", "test_agent", "test_fleet", "test_limits")
EVERY_SECONDS = 0.1


class Result(unittest.TextTestResult):
    """Says behind each test how long it took."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def getDescription(self, test):
        return str(test)

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok ({time.monotonic() - self.began:.1f} s)")
        self.stream.flush()


def run_file(name):
    """The tests of one file in this process; its exit status."""
    sys.path.insert(0, FOLDER)
    module = __import__(name)
    # Not what it has imported: that is run where it stands.
    tests = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(kind) for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, unittest.TestCase) and kind.__module__ == name)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(tests)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"processor: {used.ru_utime + used.ru_stime:.0f} s")
    # A file whose tests nobody finds has not passed.
    return 0 if result.wasSuccessful() and result.testsRun > 0 else 1


class Running:
    """A file whose process runs, and what it has said."""

    def __init__(self, name):
        self.name, self.began = name, time.monotonic()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, os.path.abspath(__file__), "--in-process", name],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def show(self):
        """Shows it; whether all was well."""
        seconds = time.monotonic() - self.began
        self.log.seek(0)
        text = self.log.read().decode(errors="replace")
        self.log.close()
        print(f"-- {self.name} ({seconds:.0f} s)\n{text.rstrip()}", flush=True)
        self.failed = [line for line in text.splitlines() if line.startswith(("FAIL: ", "ERROR: "))]
        if self.process.returncode != 0 and not self.failed:
            self.failed = [f"ERROR: {self.name} ended with {self.process.returncode}"]
        return self.process.returncode == 0


def run_all(names, jobs):
    """Runs the files, at most so many at a time; the lines of what failed."""
    waiting = sorted(names, key=lambda name: (name in ALONE, LONG.index(name) if name in LONG else len(LONG), name))
    running, failed = [], []
    try:
        while waiting or running:
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                one.show()
                failed += one.failed
            while waiting and len(running) < (1 if waiting[0] in ALONE else jobs):
                if running and running[0].name in ALONE:
                    break
                running.append(Running(waiting.pop(0)))
            time.sleep(EVERY_SECONDS)
    finally:
        # An interrupt: each takes its worlds down.
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.wait()
            one.show()
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--in-process", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        return run_file(options.in_process)
    known = sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(FOLDER, "test_*.py")))
    for name in options.files:
        if name not in known:
            parser.error(f"there is no {name}; there are: {' '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = run_all(options.files or known, options.jobs)
    for line in failed:
        print(line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

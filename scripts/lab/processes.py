"""Processes that this run started: recorded by pid and start time, so that no other is ever signalled."""
import os
import signal
import subprocess
import time

# Under a sanitizer (scripts/sanitize) everything takes a few times as long.
PATIENCE = 3 if os.environ.get("STANDWATCH_SANITIZER") else 1


def start_time(pid):
    """Clock ticks since boot when a process started; None when it is gone. With the pid it names one process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def state(pid):
    """The kernel's letter for what a process does (R, S, T, Z, ...); None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None


def children(pid):
    """The direct children of a process."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found


def command_line(pid):
    """The words a process was started with; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [word.decode(errors="replace") for word in file.read().split(b"\0") if word]
    except OSError:
        return []


def send_signal(pid, number, started=None):
    """Signals a process if it is still the one that started then; true when it was there.

    None is a process that is not there, and 0 would be every process of our own group.
    """
    if not pid:
        return False
    if started is not None and start_time(pid) != started:
        return False
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def run(*words, check=True, **more):
    """Runs a command to its end and gives its output; a failure shows what it said."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, check=False, **more)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout.strip()}")
    return done.stdout


def spawn(words, log_path, namespace=None, death_signal="KILL", **more):
    """Starts a command that dies with this process, in a session of its own (so that Ctrl-C reaches only us)."""
    prefix = ["setpriv", "--pdeathsig", death_signal, "--"]
    if namespace:
        prefix += ["ip", "netns", "exec", namespace]
    with open(log_path, "ab") as log:
        return subprocess.Popen(prefix + [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log,
                                stderr=subprocess.STDOUT, start_new_session=True, **more)


def stop(process, seconds=5.0, number=signal.SIGTERM):
    """Ends a process that `spawn` started, kindly first; its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_until(condition, seconds, what, every=0.02):
    """Asks until the answer is true and gives it back; after `seconds` an error that says what was waited for."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(every)


def boot_ns():
    """Nanoseconds on the clock that all our programs share."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

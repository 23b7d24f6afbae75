"""systemctl for machines without systemd: runs the unit as it is installed, with what of it can be had without systemd
(command, environment, capabilities, limits, readiness, watchdog). Nothing is started again."""
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time

UNIT = "/usr/lib/systemd/system/standwatchd.service"
STATE = "/run/standwatchd-unit"
LOG = "/var/log/standwatchd.log"


def settings():
    """The [Service] section: key -> list of values."""
    found, section = {}, None
    with open(UNIT, encoding="utf-8") as file:
        for line in file:
            if line.startswith("["):
                section = line.strip()
            elif section == "[Service]" and "=" in line and not line.startswith("#"):
                key, _, value = line.strip().partition("=")
                found.setdefault(key, []).append(value)
    return found


def supervise():
    """Starts the service and listens to what it notifies, until it ends."""
    unit = settings()
    address = STATE + "/notify"
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(address)
    watchdog = int(re.fullmatch(r"(\d+)s", unit["WatchdogSec"][0])[1])
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "NOTIFY_SOCKET": address,
                   "WATCHDOG_USEC": str(watchdog * 1_000_000)}
    environment.update(value.split("=", 1) for value in unit.get("Environment", []))
    bounding = ",".join("+" + name.removeprefix("CAP_").lower() for name in unit["CapabilityBoundingSet"][0].split())
    for kind, value in ((resource.RLIMIT_RTPRIO, int(unit["LimitRTPRIO"][0])),
                        (resource.RLIMIT_NICE, 20 - int(unit["LimitNICE"][0])),
                        (resource.RLIMIT_NOFILE, int(unit["LimitNOFILE"][0]))):
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError) as error:
            # In a container even root may not; the guard says what it could not have, and goes on.
            print(f"no limit {kind}: {error}", file=sys.stderr)
    words = ["setpriv", "--pdeathsig", "KILL", f"--bounding-set=-all,{bounding}",
             "--inh-caps=-all", "--no-new-privs", "sh", "-c", f"umask {unit['UMask'][0]}; exec {unit['ExecStart'][0]}"]
    with open(LOG, "ab") as log:
        service = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/")
    with open(STATE + "/pid", "w", encoding="ascii") as file:
        file.write(str(service.pid))
    notify.settimeout(0.1)
    while service.poll() is None:
        try:
            for line in notify.recv(4096).decode().split("\n"):
                with open(f"{STATE}/{line.split('=')[0]}", "w", encoding="utf-8") as file:
                    file.write(line)
        except socket.timeout:
            pass
    with open(STATE + "/ended", "w", encoding="ascii") as file:
        file.write(str(service.returncode))


def start():
    subprocess.run(["rm", "-rf", STATE], check=True)
    os.makedirs(STATE)
    with open(LOG, "ab") as log:
        subprocess.Popen([sys.executable, __file__, "--supervise"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True)
    deadline = time.monotonic() + int(re.fullmatch(r"(\d+)s", settings()["TimeoutStartSec"][0])[1])
    while time.monotonic() < deadline:
        if os.path.exists(STATE + "/READY"):
            return 0
        if os.path.exists(STATE + "/ended"):
            break
        time.sleep(0.05)
    print("Job for standwatchd.service failed; the end of its log:")
    subprocess.run(["tail", "-n", "5", LOG], check=False)
    return 1


def stop():
    if not os.path.exists(STATE + "/pid"):
        return 0
    with open(STATE + "/pid", encoding="ascii") as file:
        os.kill(int(file.read()), signal.SIGTERM)
    deadline = time.monotonic() + int(re.fullmatch(r"(\d+)s", settings()["TimeoutStopSec"][0])[1])
    while not os.path.exists(STATE + "/ended"):
        if time.monotonic() > deadline:
            print("standwatchd.service did not stop in time")
            return 1
        time.sleep(0.05)
    return 0


def main():
    words = " ".join(sys.argv[1:])
    if words == "--supervise":
        return supervise()
    if words == "daemon-reload":
        return 0
    if words == "restart postgresql":
        version = max(os.listdir("/etc/postgresql"), key=int)
        return subprocess.run(["pg_ctlcluster", version, "main", "restart"], check=False).returncode
    if words == "enable --now standwatchd":
        return start()
    if words == "restart standwatchd":
        return stop() or start()
    if words == "stop standwatchd":
        return stop()
    print(f"systemctl: not taught: {words}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

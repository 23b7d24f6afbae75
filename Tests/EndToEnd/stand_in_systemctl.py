"""systemctl for machines without systemd: runs the unit as it is installed, with what of it can be had without systemd
(command, environment, capabilities, limits, readiness, watchdog). Nothing is started again."""
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import sys
import time

SERVICES = ("standwatchd", "standwatch-agent")
# The unit that this call is about.
NAME = next((word for word in sys.argv[1:] if word in SERVICES), SERVICES[0])
UNIT = f"/usr/lib/systemd/system/{NAME}.service"
STATE = f"/run/{NAME}-unit"
LOG = f"/var/log/{NAME}.log"


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
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "NOTIFY_SOCKET": address}
    if "WatchdogSec" in unit:
        environment["WATCHDOG_USEC"] = str(int(re.fullmatch(r"(\d+)s", unit["WatchdogSec"][0])[1]) * 1_000_000)
    environment.update(value.split("=", 1) for value in unit.get("Environment", []))
    bounding = "".join(",+" + name.removeprefix("CAP_").lower() for name in unit["CapabilityBoundingSet"][0].split())
    limits = {resource.RLIMIT_RTPRIO: int(unit.get("LimitRTPRIO", ["0"])[0]),
              resource.RLIMIT_NICE: 20 - int(unit.get("LimitNICE", ["0"])[0]),
              resource.RLIMIT_NOFILE: int(unit["LimitNOFILE"][0])}
    for kind, value in limits.items():
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError) as error:
            # In a container even root may not; the guard says what it could not have, and goes on.
            print(f"no limit {kind}: {error}", file=sys.stderr)
    words = ["setpriv", "--pdeathsig", "KILL", f"--bounding-set=-all{bounding}", "--inh-caps=-all", "--no-new-privs"]
    if "User" in unit:
        words += [f"--reuid={unit['User'][0]}", f"--regid={unit['User'][0]}", "--init-groups"]
        account = pwd.getpwnam(unit["User"][0])
        for key, above in (("State", "/var/lib"), ("Runtime", "/run")):
            folder = os.path.join(above, unit[f"{key}Directory"][0])
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, int(unit[f"{key}DirectoryMode"][0], 8))
            os.chown(folder, account.pw_uid, account.pw_gid)
        os.chmod(STATE, 0o755)
        os.chmod(address, 0o666)
    words += ["sh", "-c", f"umask {unit['UMask'][0]}; exec {unit['ExecStart'][0]}"]
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
        subprocess.Popen([sys.executable, __file__, "--supervise", NAME], stdin=subprocess.DEVNULL, stdout=log,
                         stderr=log, start_new_session=True)
    deadline = time.monotonic() + int(re.fullmatch(r"(\d+)s", settings()["TimeoutStartSec"][0])[1])
    while time.monotonic() < deadline:
        if os.path.exists(STATE + "/READY"):
            return 0
        if os.path.exists(STATE + "/ended"):
            break
        time.sleep(0.05)
    print(f"Job for {NAME}.service failed; the end of its log:")
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
            print(f"{NAME}.service did not stop in time")
            return 1
        time.sleep(0.05)
    return 0


def main():
    words = " ".join(sys.argv[1:])
    if words == f"--supervise {NAME}":
        return supervise()
    if words == "daemon-reload":
        return 0
    if words == "restart postgresql":
        version = max(os.listdir("/etc/postgresql"), key=int)
        return subprocess.run(["pg_ctlcluster", version, "main", "restart"], check=False).returncode
    if words == f"enable --now {NAME}":
        return start()
    if words == f"restart {NAME}":
        return stop() or start()
    if words == f"stop {NAME}":
        return stop()
    print(f"systemctl: not taught: {words}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

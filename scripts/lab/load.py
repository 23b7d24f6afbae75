"""standwatch-load and its address watch, run in the lab."""
import json
import os
import signal

from .node import NATIVE_PORT, SYSLOG_PORT
from .processes import wait_until
from .world import CLIENT, PROBER


class Load:
    """A steady load from the client's machine through the service address."""

    def __init__(self, world, rate=5000, sources=20, name="load", more=()):
        self.world = world
        name = world.next_name(name)
        self.json = os.path.join(world.folder, f"{name}.json")
        self.timeline = os.path.join(world.folder, f"{name}.timeline")
        words = [world.program("standwatch-load"), "--target", f"{world.network.service_address}:{NATIVE_PORT}",
                 "--sources", sources, "--rate", rate, "--database", world.database.superuser(), "--json", self.json,
                 "--timeline", self.timeline, "--stay-until-signal", "--name", name, *more]
        self.process = world.spawn_in(CLIENT, words, f"{name}.log")
        self.position = 0
        self.acks = []

    def read(self):
        """Takes in what the timeline has gained; every acknowledgement is (t_ns, epoch, node, records)."""
        if not os.path.exists(self.timeline):
            return self.acks
        with open(self.timeline, encoding="utf-8") as file:
            file.seek(self.position)
            text = file.read()
        whole = text.rfind("\n") + 1
        self.position += len(text[:whole].encode())
        for line in text[:whole].splitlines():
            entry = json.loads(line)
            if entry["event"] == "ack":
                self.acks.append((entry["t_ns"], entry["epoch"], entry["node"], entry["records"]))
        return self.acks

    def wait_flowing(self, epoch=None, seconds=90):
        """Waits for acknowledgements (under an epoch of at least `epoch`)."""
        seen = len(self.read())
        wait_until(lambda: any(ack[1] >= (epoch or 0) for ack in self.read()[seen if epoch is None else 0:]), seconds,
                   lambda: f"the load is acknowledged; {self.world.explain()}")

    def acked(self):
        """Records that were acknowledged so far."""
        return sum(ack[3] for ack in self.read())

    def finish(self, seconds=300):
        """Stops sending, lets it settle and verify, and gives its report."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)
        with open(self.json, encoding="utf-8") as file:
            return json.load(file)


class AddressWatch:
    """Probes the service address from a machine of its own all the time."""

    def __init__(self, world, name="watch"):
        name = world.next_name(name)
        self.json = os.path.join(world.folder, f"{name}.json")
        self.process = world.spawn_in(
            PROBER, [world.program("standwatch-load"), "watch-address", "--interface", "eth0", "--address",
                     world.network.service_address, "--json", self.json], f"{name}.log")

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)
        with open(self.json, encoding="utf-8") as file:
            return json.load(file)


def run_load(world, *words, name="burst", protocol="native", target=None):
    """A bounded load run to its end; its report and exit status."""
    name = world.next_name(name)
    path = os.path.join(world.folder, f"{name}.json")
    port = NATIVE_PORT if protocol == "native" else SYSLOG_PORT
    status, text = world.status_in(
        world.network.namespace(CLIENT), world.program("standwatch-load"), "--target",
        target or f"{world.network.service_address}:{port}", "--protocol", protocol, "--database",
        world.database.superuser(), "--json", path, "--quiet", "--name", name, *words)
    if status not in (0, 1):
        raise RuntimeError(f"standwatch-load: exit {status}\n{text}")
    with open(path, encoding="utf-8") as file:
        return json.load(file), status

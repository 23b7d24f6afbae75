"""Links down, loss on one way, random loss, too little bandwidth, delay and reordering, a second claimant."""
import os
import sys

from ..load import CLIENT
from ..processes import run, spawn, stop
from .kind import Kind

HERE = os.path.dirname(os.path.abspath(__file__))
INTRUDER = "intruder"


class LinkDown(Kind):
    name, touches, promotions, hides = "link-down", ("links",), 3, True

    def inject(self):
        node, how = self.mostly_active(), self.random.choice(["all", "lan", "second"])
        self.about, self.node = f"{node.name} ({how})", node
        ports = {"all": ["1", "0"], "lan": ["0"], "second": ["1"]}[how]
        for port in ports:
            run("ip", "-n", self.network.lan, "link", "set", node.name + port, "down")

    def heal(self):
        self.network.set_links(self.node.name, True)


class Rules(Kind):
    """Packets dropped at the switch by nftables: both bridges pass one table, which is this fault's own."""

    def drop(self, *rules):
        self.table = self.world.next_name("nemesis").replace("-", "_")
        text = f"table bridge {self.table} {{\n chain f {{\n type filter hook forward priority 0\n"
        run("ip", "netns", "exec", self.network.lan, "nft", text + "".join(f"{rule}\n" for rule in rules) + "}\n}\n")

    def heal(self):
        run("ip", "netns", "exec", self.network.lan, "nft", "delete", "table", "bridge", self.table, check=False)


class OneWayPeers(Rules):
    name, touches, hides = "one-way-peers", ("loss",), True

    def inject(self):
        one = self.mostly_active()
        other = self.other_than(one)
        if self.random.random() < 0.5:
            one, other = other, one
        self.about = f"{one.name} to {other.name}"
        self.drop(*(f'iifname "{one.name}{net}" oifname "{other.name}{net}" drop' for net in "01"))


class OneWayPostgres(Rules):
    name, touches, promotions = "one-way-postgres", ("loss",), 3
    shows = ("promotion in the middle of a COPY", "unknown commit outcome")

    def inject(self):
        node, away = self.mostly_active(), self.random.random() < 0.5
        self.about = f"{node.name} {'to' if away else 'from'} PostgreSQL"
        self.drop(f'iifname "{node.name}0" oifname "host" drop' if away
                  else f'iifname "host" oifname "{node.name}0" drop')


class OneWayClients(Rules):
    name, touches = "one-way-clients", ("loss",)

    def inject(self):
        node, away = self.active(), self.random.random() < 0.5
        self.about = f"{node.name} {'to' if away else 'from'} clients"
        self.drop(f'iifname "{node.name}0" oifname "{CLIENT}0" drop' if away
                  else f'iifname "{CLIENT}0" oifname "{node.name}0" drop')


class PacketLoss(Rules):
    name, touches, lasts, promotions, hides = "packet-loss", ("loss",), (2, 4), 5, True
    shows = ("promotion in the middle of a COPY", "unknown commit outcome")

    def inject(self):
        node, percent = self.mostly_active(), self.random.randint(5, 50)
        self.about = f"{percent} % at {node.name}"
        self.drop(*(f'{way} "{node.name}{net}" numgen random mod 100 < {percent} drop'
                    for way in ("iifname", "oifname") for net in "01"))


class Bandwidth(Rules):
    name, touches, lasts, promotions = "bandwidth", ("loss",), (2, 4), 5
    shows = ("promotion in the middle of a COPY",)

    def inject(self):
        node, rate = self.mostly_active(), self.random.choice([50, 200, 800])
        self.about = f"{rate} kB/s at {node.name}"
        # A policer: what is too much is lost, and TCP has to find out.
        self.drop(*(f'{way} "{node.name}0" limit rate over {rate} kbytes/second burst {rate} kbytes drop'
                    for way in ("iifname", "oifname")))


class DelayAndReorder(Kind):
    """A relay of ours between the switch and a node's port."""

    name, touches, lasts, promotions = "delay-reorder", ("links",), (2, 4), 4

    def inject(self):
        node = self.mostly_active()
        delay, jitter = self.random.randint(1, 40), self.random.randint(0, 30)
        self.about, self.port = f"{delay}+{jitter} ms at {node.name}", node.name + "0"
        lan = self.network.lan
        run("ip", "-n", lan, "link", "add", "relay0", "type", "veth", "peer", "name", "relay1")
        for name in ("relay0", "relay1"):
            run("ip", "-n", lan, "link", "set", name, "up")
        self.relay = spawn([sys.executable, os.path.join(HERE, "relay.py"), self.port, "relay0", delay, jitter,
                            self.random.randint(0, 1 << 30)], os.path.join(self.world.folder, "relay.log"),
                           namespace=lan)
        self.world.spawned.append(self.relay)
        self.world.note_process(self.relay.pid)
        run("ip", "-n", lan, "link", "set", self.port, "nomaster")
        run("ip", "-n", lan, "link", "set", "relay1", "master", "br0")

    def heal(self):
        lan = self.network.lan
        run("ip", "-n", lan, "link", "delete", "relay0", check=False)
        run("ip", "-n", lan, "link", "set", self.port, "master", "br0")
        stop(self.relay)


class SecondClaimant(Kind):
    """A machine that is no node takes the service address and says so to everybody."""

    name, touches, promotions = "second-claimant", ("address",), 4

    def inject(self):
        self.space = self.network.namespace(INTRUDER)
        run("ip", "-n", self.space, "address", "add", f"{self.network.service_address}/32", "dev", "eth0")
        self.caller = spawn([sys.executable, os.path.join(HERE, "claimant.py"), "eth0", self.network.service_address,
                             self.network.mac(INTRUDER)], os.path.join(self.world.folder, "claimant.log"),
                            namespace=self.space)
        self.world.spawned.append(self.caller)
        self.world.note_process(self.caller.pid)
        self.about = self.network.mac(INTRUDER)

    def heal(self):
        stop(self.caller)
        run("ip", "-n", self.space, "address", "delete", f"{self.network.service_address}/32", "dev", "eth0",
            check=False)


KINDS = [LinkDown, OneWayPeers, OneWayPostgres, OneWayClients, PacketLoss, Bandwidth, DelayAndReorder, SecondClaimant]

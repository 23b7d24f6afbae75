"""The lab's network: two bridges in a namespace of their own, and one namespace for each machine on them.

    lan   br0  10.77.N.0/24   nodes (eth0), clients, prober, and this host (where PostgreSQL runs)
    link  br1  10.78.N.0/24   the nodes' second link for their beats (eth1)
"""
import fcntl
import os

from .processes import run

REGISTRY = "/run/standwatch-lab"


def claim_number(first=0):
    """A number N whose networks nobody uses, with the lock file that keeps it ours while it is open."""
    os.makedirs(REGISTRY, exist_ok=True)
    routes = run("ip", "-4", "route", "show", "table", "all")
    for offset in range(256):
        number = (first + offset) % 256
        if f"10.77.{number}." in routes or f"10.78.{number}." in routes:
            continue
        lock = open(f"{REGISTRY}/network-{number}.lock", "a", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number, lock
        except OSError:
            lock.close()
    raise RuntimeError("no free network: 256 labs at once")


class Network:
    """Builds and removes the network; every name carries the run's tag."""

    def __init__(self, tag, number):
        self.tag, self.number = tag, number
        self.lan = f"sw{tag}-lan"
        self.host_interface = f"sw{tag}h"
        self.machines = {}
        self.host_address = f"10.77.{number}.254"
        self.service_address = f"10.77.{number}.100"

    def names(self):
        """All namespaces, for the register of what to remove."""
        return [self.lan] + [f"sw{self.tag}-{name}" for name in self.machines]

    def build(self, machines):
        """`machines`: name -> last byte of its address. Nodes are those with a byte below 100: they get both links."""
        self.machines = dict(machines)
        run("ip", "netns", "add", self.lan)
        self._in(self.lan, "link", "set", "lo", "up")
        for bridge in ("br0", "br1"):
            self._in(self.lan, "link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0",
                     "mcast_snooping", "0")
            self._in(self.lan, "link", "set", bridge, "up")
        run("ip", "link", "add", self.host_interface, "type", "veth", "peer", "name", "host", "netns", self.lan)
        self._in(self.lan, "link", "set", "host", "master", "br0", "up")
        run("ip", "address", "add", f"{self.host_address}/24", "dev", self.host_interface)
        run("ip", "link", "set", self.host_interface, "up")
        for name, byte in self.machines.items():
            self._add_machine(name, byte)

    def _add_machine(self, name, byte):
        space = self.namespace(name)
        run("ip", "netns", "add", space)
        self._in(space, "link", "set", "lo", "up")
        links = [("eth0", "br0", 77, f"{name}0")]
        if byte < 100:
            links.append(("eth1", "br1", 78, f"{name}1"))
        for interface, bridge, net, port in links:
            self._in(self.lan, "link", "add", port, "type", "veth", "peer", "name", interface, "netns", space)
            self._in(self.lan, "link", "set", port, "master", bridge, "up")
            self._in(space, "link", "set", interface, "address", self._mac(net, byte))
            self._in(space, "address", "add", f"10.{net}.{self.number}.{byte}/24", "dev", interface)
            self._in(space, "link", "set", interface, "up")

    def remove(self):
        """Forgets everything that may be there."""
        for space in self.names():
            run("ip", "netns", "delete", space, check=False)
        run("ip", "link", "delete", self.host_interface, check=False)

    def namespace(self, name):
        return f"sw{self.tag}-{name}"

    def address(self, name, net=77):
        return f"10.{net}.{self.number}.{self.machines[name]}"

    def mac(self, name):
        """Hardware address of a machine on the LAN."""
        return self._mac(77, self.machines[name])

    def holders(self):
        """Machines whose interface bears the service address."""
        return [name for name in self.machines
                if f" {self.service_address}/" in self._in(self.namespace(name), "-4", "address", "show", "dev", "eth0",
                                                           check=False)]

    # Faults

    def set_links(self, name, up):
        """Cuts or mends all links of a machine at the switch; the LAN last, so that no farewell gets out."""
        for port in (f"{name}1", f"{name}0"):
            self._in(self.lan, "link", "set", port, "up" if up else "down")

    def set_second_link(self, name, up):
        self._in(self.lan, "link", "set", f"{name}1", "up" if up else "down")

    def cut(self, name, address=None, second=False):
        """Drops silently, both ways, what passes between a machine's port and an address (all when None)."""
        table = f"cut_{name}{'1' if second else ''}"
        port = f"{name}{'1' if second else '0'}"
        to, of = (f"ip daddr {address} ", f"ip saddr {address} ") if address else ("", "")
        rules = (f"table bridge {table} {{\n chain f {{\n type filter hook forward priority 0\n"
                 f'iifname "{port}" {to}drop\noifname "{port}" {of}drop\n}}\n}}\n')
        run("ip", "netns", "exec", self.lan, "nft", rules)

    def mend(self, name, second=False):
        """Ends a cut; one that is not there is passed over."""
        table = f"cut_{name}{'1' if second else ''}"
        run("ip", "netns", "exec", self.lan, "nft", "delete", "table", "bridge", table, check=False)

    def _mac(self, net, byte):
        return f"02:5a:{net:02x}:{self.number:02x}:00:{byte:02x}"

    @staticmethod
    def _in(space, *words, check=True):
        return run("ip", "-n", space, *words, check=check)

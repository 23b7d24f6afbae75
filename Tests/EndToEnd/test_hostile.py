"""Clients that mean harm, each kind beside well-behaved ones: whose acknowledgements still come in time, and whose
records are all stored once."""
import os
import subprocess
import unittest

from support import MEMORY_FACTOR, LabTest, wait_until

from lab.load import CLIENT, Load
from lab.node import BEAT_PORT, HTTP_PORT, NATIVE_PORT, SYSLOG_PORT
from lab.processes import PATIENCE

FORWARD_PORT = 24224

# Runs in the client's namespace: one kind of attack, with as many threads as it is told, for some seconds.
ATTACKER = r"""
import gzip, json, os, select, socket, struct, sys, threading, time
kind, threads, seconds, vip, node = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], sys.argv[5]
NATIVE, SYSLOG, HTTP, BEATS, FORWARD = (int(word) for word in sys.argv[6:11])
end = time.monotonic() + seconds
tag = f"{os.getpid()}-{time.time_ns()}"
count = 0

def connect(port=NATIVE, host=vip):
    s = socket.socket()
    s.settimeout(2)
    s.connect((host, port))
    return s

def hello(source, stream, oldest=1):
    return json.dumps({"hello": {"source": source, "stream": stream, "oldest": oldest}}).encode() + b"\n"

def greeted(number):
    global count
    count += 1
    s = connect()
    s.settimeout(10)
    s.sendall(hello(f"evil/{kind}-{number}", f"{tag}-{count}"))
    s.recv(4096)
    return s

def pour(s, make, reads=True):
    s.setblocking(False)
    while time.monotonic() < end:
        data, sent = make(), 0
        while sent < len(data) and time.monotonic() < end:
            readable, writable, _ = select.select([s] if reads else [], [s], [], 0.2)
            if readable and not s.recv(1 << 18):
                return
            if writable:
                sent += s.send(data[sent:sent + 262144])

def numbered(form):
    state = [1]
    def make():
        first = state[0]
        state[0] += 1000
        return b"".join(form(seq) for seq in range(first, first + 1000))
    return make

now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
def pings(number): pour(connect(), lambda: b'{"ping":1}\n' * 20000)
def rejects(number): pour(greeted(number), numbered(lambda seq: b'{"seq":%d}\n' % seq))
def deaf(number): pour(greeted(number), numbered(lambda seq: b'{"seq":%d}\n' % seq), reads=False)
def tiny(number): pour(connect(SYSLOG), lambda: b"<1>x\n" * 20000, reads=False)
def names(number):
    pour(greeted(number), numbered(lambda seq: (
        '{"seq":%d,"type":"queue","ts":"%s","host":"h-%s-%d-%d","app":"a-%s-%d-%d","queue":"q-%s-%d-%d","depth":1}\n'
        % (seq, now, tag, number, seq, tag, number, seq, tag, number, seq)).encode()))
def storm(number):
    global count
    count += 1
    s = connect()
    s.sendall(hello(f"storm/{count}", f"{tag}-{number}-{count}"))
    s.close()
def holes(number):
    global count
    count += 1
    s = connect()
    s.sendall(hello(f"hole/{number}", f"{tag}-{number}-{count}", 1 << 61))
    s.recv(100)
def rivals(number):
    s = connect()
    s.sendall(hello("rival/one", tag))
    s.recv(1000)
def resets(number):
    s = greeted(number)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.sendall("".join('{"seq":%d,"type":"event","ts":"%s","host":"h","app":"a","kind":"k"}\n' % (seq, now)
                      for seq in range(1, 2000)).encode())
    s.close()
def endless(number):
    s = greeted(number)
    s.sendall(b'{"seq":1,"type":"' + b"q" * 60000)
    time.sleep(max(0, end - time.monotonic()))
def crowd(number):
    for _ in range(200):
        keep.append(connect())
    time.sleep(max(0, end - time.monotonic()))
def datagrams(number):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while time.monotonic() < end:
        for data in (b"<13>1 - h a - - - x", b"\xff" * 60000, b"\0"):
            s.sendto(data, (vip, SYSLOG))
        for data in (os.urandom(132), os.urandom(64), b"SWB1" + os.urandom(128)):
            s.sendto(data, (node, BEATS))
def web(number):
    s = connect(HTTP, node)
    if number % 2:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 300)
        while s.recv(65536): pass
    s.sendall(b"GET / HTTP/1.1\r\n")
    while time.monotonic() < end:
        s.sendall(b"X-a: b\r\n")
        time.sleep(0.2)
event = b'{"type":"event","ts":"%s","host":"h","app":"a","kind":"k"}\n' % now.encode()
def post(path, body, more=""):
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n").encode() + body
# Each request is there while the one before is acknowledged.
def pipes(number):
    s = connect(HTTP)
    s.settimeout(5)
    s.sendall(post("/ingest", event) * 100)
    got = b""
    while got.count(b"HTTP/1.1 ") < 100:
        more = s.recv(65536)
        if not more: return
        got += more
# Refused lines of 64 KiB: more than a batch, beside others' records.
wide = gzip.compress((b"m " + b"x" * 64000 + b"\n") * 60)
def bodies(number):
    s = connect(HTTP)
    s.settimeout(20)
    s.sendall(post("/write?db=x", wide, "Content-Encoding: gzip\r\n"))
    s.recv(1000)
# A message of megabytes whose last bytes come one by one.
def trickle(number):
    s = connect(FORWARD)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(b"\x93\xa3tag\xc6" + struct.pack(">I", (4 << 20) - 100) + b"x" * 3900000)
    while time.monotonic() < end:
        s.sendall(b"x")
        time.sleep(0.0005)

keep = []
def run(number):
    while time.monotonic() < end:
        try:
            globals()[kind](number)
        except OSError:
            time.sleep(0.01)
for number in range(threads):
    threading.Thread(target=run, args=(number,), daemon=True).start()
time.sleep(max(0, end - time.monotonic()))
os._exit(0)
"""

ATTACKS = [("pings", 16), ("rejects", 8), ("deaf", 8), ("tiny", 60), ("names", 4), ("storm", 8), ("holes", 32),
           ("rivals", 16), ("resets", 8), ("endless", 100), ("crowd", 10), ("datagrams", 2), ("web", 40),
           ("pipes", 8), ("bodies", 2), ("trickle", 7)]
SECONDS = 2


class Hostile(LabTest):
    options = {"change": lambda settings: settings["listen"].update(forward=[f"0.0.0.0:{FORWARD_PORT}"])}

    def test_no_attack_stops_the_others_or_fells_the_node(self):
        world = self.world
        leader = world.leader()
        workers = {node.name: node.worker_pid() for node in world.nodes.values()}
        load = Load(world, rate=1000, sources=10, more=("--dead-after", "20000"))
        load.wait_flowing()
        log_before = os.path.getsize(leader.log)
        for kind, threads in ATTACKS:
            attack = subprocess.Popen(
                ["ip", "netns", "exec", world.network.namespace(CLIENT), "/usr/bin/python3", "-c", ATTACKER, kind,
                 str(threads), str(SECONDS), world.network.service_address, leader.address,
                 *map(str, (NATIVE_PORT, SYSLOG_PORT, HTTP_PORT, BEAT_PORT, FORWARD_PORT))],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            said = attack.communicate(timeout=180)[1]
            self.assertEqual(attack.returncode, 0, said.decode(errors="replace"))
            # One page may wait behind what the attack asked for; that nobody took over is asserted below.
            wait_until(leader.is_active, 2, lambda: f"after {kind} the node says that it leads; {leader.tail()}")
        for node in world.nodes.values():
            self.assertEqual(node.worker_pid(), workers[node.name], node.tail())
            _, most = node.resident_kilobytes()
            self.assertLess(most, 150 * 1024 * MEMORY_FACTOR, f"node {node.name}: {most} KiB at its most")
        self.assertTrue(leader.is_active(30))
        self.assertLess(os.path.getsize(leader.log) - log_before, 64 << 10, "clients can fill the log")
        report = load.finish()
        self.assertEqual((report["lost"], report["doubled"], report["phantom"]), (0, 0, 0), report)
        self.assertEqual(report["takeovers"], [], report)
        self.assertEqual(report["disconnects"], 0, report)
        # Without their bounds pings stop everybody for 6 s, tiny records for minutes, names for 10 s.
        self.assertLess(report["ack_ms_max"], 5000 * PATIENCE, report)


if __name__ == "__main__":
    unittest.main()

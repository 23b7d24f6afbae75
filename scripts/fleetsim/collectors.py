"""The site's collectors: clients of the native protocol that keep what is not acknowledged and send it again."""
import collections
import json
import select
import socket
import time
import uuid

CONNECT_SECONDS = 0.15
SILENCE_SECONDS = 5


class Collector:
    """One connection, one stream. Single-threaded: `pump` moves all collectors."""

    def __init__(self, target, name):
        self.target, self.name = target, name
        self.stream = str(uuid.uuid4())
        self.waiting = collections.deque()  # (number, bytes), the first not acknowledged one in front
        self.numbered = 0
        self.acked = 0
        self.rejected = 0
        self.sent = 0  # up to which number this connection has taken
        self.window = 0
        self.socket = None
        self.outgoing = b""
        self.incoming = b""
        self.heard = 0.0
        self.retry_at = 0.0
        self.connections = 0

    def add(self, line):
        self.numbered += 1
        self.waiting.append((self.numbered, f'{{"seq":{self.numbered},{line}\n'.encode()))

    @property
    def is_settled(self):
        return not self.waiting

    def connect(self):
        if time.monotonic() < self.retry_at:
            return
        self.retry_at = time.monotonic() + 0.05
        try:
            self.socket = socket.create_connection(self.target, CONNECT_SECONDS)
        except OSError:
            self.socket = None
            return
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        self.socket.setblocking(False)
        self.connections += 1
        self.heard = time.monotonic()
        self.window = 0
        self.incoming = b""
        oldest = self.waiting[0][0] if self.waiting else self.numbered + 1
        self.outgoing = json.dumps({"hello": {"source": self.name, "stream": self.stream, "oldest": oldest}},
                                   separators=(",", ":")).encode() + b"\n"

    def drop(self):
        if self.socket:
            self.socket.close()
        self.socket, self.window = None, 0

    def fill(self):
        """More lines into the outgoing bytes, as far as window and patience reach."""
        if not self.window or len(self.outgoing) > 1 << 18 or not self.waiting:
            return
        index = self.sent + 1 - self.waiting[0][0]
        last = min(len(self.waiting), index + 4000, self.acked + self.window - self.waiting[0][0] + 1)
        if index < last:
            parts = [self.waiting[i][1] for i in range(max(index, 0), last)]
            self.outgoing += b"".join(parts)
            self.sent = self.waiting[last - 1][0]

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            return
        if not data:
            self.drop()
            return
        self.heard = time.monotonic()
        self.incoming += data
        *lines, self.incoming = self.incoming.split(b"\n")
        for line in lines:
            self.take(json.loads(line))

    def take(self, message):
        if "welcome" in message:
            self.settle(message["welcome"]["committed"])
            self.sent, self.window = message["welcome"]["committed"], message["welcome"]["window"]
        elif "ack" in message:
            self.settle(message["ack"])
        elif "reject" in message:
            self.rejected += 1
        elif "bye" in message:
            self.drop()

    def settle(self, number):
        self.acked = max(self.acked, number)
        while self.waiting and self.waiting[0][0] <= number:
            self.waiting.popleft()

    def flush(self):
        try:
            self.outgoing = self.outgoing[self.socket.send(self.outgoing[:1 << 17]):]
        except BlockingIOError:
            pass
        except OSError:
            self.drop()


def pump(collectors, seconds):
    """Sends and receives for at most `seconds`; returns early when everything is acknowledged."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not all(collector.is_settled for collector in collectors):
        open_ones = []
        for collector in collectors:
            if collector.socket and time.monotonic() - collector.heard > SILENCE_SECONDS and collector.waiting:
                collector.drop()
            if collector.socket is None:
                collector.connect()
            if collector.socket:
                collector.fill()
                open_ones.append(collector)
        if not open_ones:
            time.sleep(0.02)
            continue
        readable, writable, _ = select.select(
            [c.socket for c in open_ones], [c.socket for c in open_ones if c.outgoing], [], 0.05)
        for collector in open_ones:
            if collector.socket in readable:
                collector.receive()
            if collector.socket and collector.socket in writable:
                collector.flush()

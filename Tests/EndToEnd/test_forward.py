"""Fluent Forward across takeovers: Fluentd's own libraries for Go (acknowledged) and Python (not), and all modes."""
import os
import subprocess
import unittest

from support import ROOT, SENDERS_PYTHON, LabTest, wait_until

from lab.load import CLIENT

PORT = 24224
# Debian's Go packages lie where no module is looked for.
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": os.path.join(ROOT, ".build", "go-cache"),
      "PATH": os.environ["PATH"], "HOME": "/nonexistent"}

# Our own client: chunks in the three modes that carry many records, gzip in two members among them, each repeated on a
# new connection until it is acknowledged. The libraries above have neither packed modes with acknowledgements nor gzip.
CHUNKS = r"""
import base64, gzip, os, socket, struct, sys, time
import msgpack
host, seconds = sys.argv[1], float(sys.argv[2])
def event_time():
    now = time.time_ns()
    return msgpack.ExtType(0, struct.pack(">II", now // 10**9, now % 10**9))
def chunk(number):
    key = base64.b64encode(os.urandom(16)).decode()
    entries = [[event_time(), {"log": f"from-chunk {number} {i}\n", "stream": "stdout"}] for i in range(50)]
    packed = [msgpack.packb(entry) for entry in entries]
    first, second = b"".join(packed[:20]), b"".join(packed[20:])
    body, option = [(entries, {}), (first + second, {"size": 50}),
                    (gzip.compress(first) + gzip.compress(second), {"compressed": "gzip"})][number % 3]
    return key, msgpack.packb(["kube.pod", body, {"chunk": key, **option}])
connection, repeated = None, 0
end, number = time.time() + seconds, 0
while time.time() < end:
    key, data = chunk(number)
    while True:
        try:
            if connection is None:
                connection = socket.create_connection((host, 24224), 0.2)
                connection.settimeout(2)
            # Every seventh answer is thrown away, as if the connection had broken before it came.
            connection.sendall(data)
            answer = msgpack.unpackb(connection.recv(1000))
            assert answer == {"ack": key}, answer
            if number % 7 == 0 and not repeated % 2:
                repeated += 1
                raise OSError("thrown away")
            repeated += repeated % 2
            break
        except (OSError, ValueError):
            if connection: connection.close()
            connection = None
            time.sleep(0.02)
    number += 1
print(number)
"""
# Fluentd's library for Python asks for no acknowledgements: what it has written to a socket it holds for delivered.
UNACKED = r"""
import sys, time
from fluent import sender
logger = sender.FluentSender("web", host=sys.argv[1], port=24224, nanosecond_precision=True, timeout=0.2)
end, number = time.time() + float(sys.argv[2]), 0
while time.time() < end:
    number += 1
    logger.emit("access", {"message": f"from-python {number}", "severity": "info", "path": "/a"})
    time.sleep(0.02)
logger.close()
print(number)
"""


def listen(settings):
    settings["listen"]["forward"] = [f"0.0.0.0:{PORT}"]


class Forward(LabTest):
    options = {"change": listen}

    def told(self, process, log):
        """The last line that a sender printed when it had ended well."""
        status = process.wait(180)
        with open(log, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(status, 0, text)
        return int(text.split()[-1])

    def go_client(self):
        """The Go client, built when its source is newer."""
        source = os.path.join(ROOT, "Tests", "EndToEnd", "forward_client.go")
        program = os.path.join(ROOT, ".build", "forward-client")
        if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
            subprocess.run(["go", "build", "-o", program, source], env=GO, check=True)
        return program

    def test_the_official_go_library_has_every_message_stored_once_through_a_takeover(self):
        program, log = self.go_client(), self.world.next_name("go")
        process = self.world.spawn_in(CLIENT, [program, self.world.network.service_address, str(PORT), "8"], log)
        wait_until(lambda: len(self.stored_messages("from-go")) > 50, 15, "the first messages are stored")
        self.take_over()
        sent = self.told(process, os.path.join(self.world.folder, log))
        self.world.wait_healed()
        self.assertEqual(self.stored_messages("from-go"), {f"from-go {n}": 1 for n in range(1, sent + 1)})
        row = self.world.database.sql("""
            SELECT DISTINCT a.name, h.name, l.severity, l.attrs - 'number' FROM telemetry.log AS l
            JOIN telemetry.app AS a ON a.id = l.app_id JOIN telemetry.host AS h ON h.id = l.host_id
            WHERE starts_with(l.message, 'from-go ')""")
        client = self.world.network.address(CLIENT)
        self.assertEqual(row, [["shop.orders", client, "4", "{}"]])

    def test_chunks_of_every_mode_are_stored_once_though_they_are_repeated_and_nodes_die(self):
        process, log = self.spawn_sender(CHUNKS, self.world.network.service_address, 12, name="chunks")
        wait_until(lambda: len(self.stored_messages("from-chunk")) > 500, 15, "the first chunks are stored")
        self.take_over()
        self.world.wait_healed()
        self.take_over("stop-worker")
        sent = self.told(process, log)
        self.world.wait_healed()
        self.assertEqual(self.stored_messages("from-chunk"),
                         {f"from-chunk {n} {i}": 1 for n in range(sent) for i in range(50)})

    def test_the_official_python_library_goes_on_after_a_takeover(self):
        process, log = self.spawn_sender(UNACKED, self.world.network.service_address, 7, name="unacked")
        wait_until(lambda: len(self.stored_messages("from-python")) > 30, 15, "the first messages are stored")
        self.take_over()
        sent = self.told(process, log)
        self.world.wait_healed()
        last = f"from-python {sent}"
        wait_until(lambda: last in self.stored_messages("from-python"), 10, "the last message is stored")
        # Unacknowledged: what was in the dead connection is gone, and no more than that.
        self.assertGreater(len(self.stored_messages("from-python")), sent - 120)

    def test_a_standby_refuses_the_connection(self):
        self.world.wait_healed()
        answer = self.send("tcp", PORT, b"\xc0", host=self.world.standby().address)
        self.assertEqual(answer, b"")


if __name__ == "__main__":
    unittest.main()

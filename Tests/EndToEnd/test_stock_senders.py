"""Stock senders of syslog through the service address, across a takeover."""
import os
import unittest

from support import LabTest, wait_until

from lab.load import CLIENT
from lab.node import SYSLOG_PORT
from lab.processes import run, spawn, stop

RSYSLOG = """
global(workDirectory="{folder}")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="5514")
template(name="plain" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% - - - %msg%")
action(type="omfwd" target="{target}" port="{port}" protocol="tcp" TCP_Framing="octet-counted" template="plain"
  queue.type="LinkedList" queue.size="100000" action.resumeRetryCount="-1" action.resumeInterval="1"
  action.resumeIntervalMax="1")
"""
# Numbered messages to the local rsyslog, a hundred a second.
FEEDER = r"""
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end, number = time.time() + float(sys.argv[1]), 0
while time.time() < end:
    number += 1
    s.sendto(f"<13>1 - client feeder - - - from-rsyslog {number}".encode(), ("127.0.0.1", 5514))
    time.sleep(0.01)
print(number)
"""


def wait_listening(space):
    """Until rsyslog takes what the feeder sends; what comes before is gone."""
    wait_until(lambda: run("ip", "netns", "exec", space, "ss", "-Hlnu", "sport = :5514").strip(), 60, "rsyslog listens")


class StockSenders(LabTest):
    def logger(self, *words):
        self.world.run_in(self.world.network.namespace(CLIENT), "logger", "-n", self.world.network.service_address,
                          "-P", str(SYSLOG_PORT), *words)

    def test_logger_over_tcp_and_udp_reaches_both_nodes(self):
        for round_number in ("before", "after"):
            for way, name in (("-T", "tcp"), ("-d", "udp")):
                self.logger(way, f"from-logger {name} {round_number}")
                self.logger(way, "--rfc3164", f"from-logger {name} rfc3164 {round_number}")
            self.logger("-T", "--octet-count", f"from-logger counted {round_number}")
            wanted = {f"from-logger {way} {round_number}" for way in ("tcp", "udp", "tcp rfc3164", "udp rfc3164",
                                                                     "counted")}
            wait_until(lambda: wanted <= set(self.stored_messages("from-logger")), 5,  # noqa: B023
                       lambda: f"{wanted} are stored; there are {self.stored_messages('from-logger')}")
            if round_number == "before":
                self.take_over()
                self.world.wait_healed()
        self.assertEqual(set(self.stored_messages("from-logger").values()), {1})

    def test_a_stock_rsyslog_goes_on_after_a_takeover(self):
        world = self.world
        folder = os.path.join(world.folder, "rsyslog")
        os.makedirs(folder)
        path = os.path.join(folder, "rsyslog.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(RSYSLOG.format(folder=folder, target=world.network.service_address, port=SYSLOG_PORT))
        space = world.network.namespace(CLIENT)
        rsyslog = spawn(["rsyslogd", "-n", "-f", path, "-i", os.path.join(folder, "pid")],
                        os.path.join(folder, "log"), namespace=space)
        self.addCleanup(stop, rsyslog)
        wait_listening(space)
        feeder = spawn(["/usr/bin/python3", "-c", FEEDER, "12"], os.path.join(folder, "fed"), namespace=space)
        wait_until(lambda: len(self.stored_messages("from-rsyslog")) > 50, 60, "the first messages are stored")
        self.take_over()
        feeder.wait(120)
        with open(os.path.join(folder, "fed"), encoding="utf-8") as file:
            fed = int(file.read())
        world.wait_healed()
        last = f"from-rsyslog {fed}"
        wait_until(lambda: last in self.stored_messages("from-rsyslog"), 15,
                   lambda: f"the last message is stored; {len(self.stored_messages('from-rsyslog'))} of {fed} are")
        stored = self.stored_messages("from-rsyslog")
        # Plain syslog has no acknowledgement: what was in the dead connection's buffers is gone, and no more than that.
        self.assertGreater(len(stored), fed - 200, f"{len(stored)} of {fed}")


if __name__ == "__main__":
    unittest.main()

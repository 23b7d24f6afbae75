"""The steps in which the documents' commands are run, and what several of them need."""
import json
import re
import time

STEPS = []


def step(document=None, beginning=None):
    """A step of the story; it claims the block of a document that begins so."""
    def note(function):
        STEPS.append((document, beginning, function))
        return function
    return note


def with_warnings(text):
    """The doctor may warn (of priorities that a container does not give, say), and must find no error."""
    return re.sub(r"^hactl doctor", "hactl doctor || test $? = 1", text, flags=re.MULTILINE)


# Sends what it reads from standard input to an address, and says what it got back.
SENDER = r"""
import socket, sys
kind, *address = sys.argv[1:]
if kind == "unix":
    s = socket.socket(socket.AF_UNIX)
    s.connect(address[0])
else:
    s = socket.create_connection((address[0], int(address[1])), 20)
s.settimeout(60)
s.sendall(sys.stdin.buffer.read())
s.shutdown(socket.SHUT_WR)
while True:
    got = s.recv(65536)
    if not got: break
    sys.stdout.buffer.write(got)
"""


def talk(site, lines, *address):
    """Sends lines from the client's machine to the native port, or to another address; the answers, decoded."""
    site.write("client", "/run/sender.py", SENDER)
    words = " ".join(map(str, address or ("tcp", "10.0.0.100", 7400)))
    said = site.run("client", f"python3 /run/sender.py {words}", given="".join(line + "\n" for line in lines))[1]
    return [json.loads(line) for line in said.splitlines()]


def dialogue(text):
    """A block of lines that each begin with who says them: as (who, line)."""
    return [line.partition(": ")[::2] for line in text.splitlines()]


def shape(value):
    return {key: shape(each) for key, each in value.items()} if isinstance(value, dict) else type(value).__name__


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime())

"""The documents as data: their fenced blocks, the commands in their text, and their tables."""
import os
import re

from support import ROOT

DOCUMENTS = ("README.md", "ha/README.md", "ha/AGENT.md", "sql/README.md", "sql/scale/README.md")
OUR_PROGRAMS = ("scripts/", "hactl", "standwatchd ", "standwatch-load", "systemctl", "journalctl", "systemd-analyze",
                "nft", ".build/", "zabbix_sender", "standwatch-agent ", "curl", "openssl", "psql", "ip ")


def read(document):
    with open(os.path.join(ROOT, document), encoding="utf-8") as file:
        return file.read()


def blocks(document):
    """Every fenced block as (language, text)."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", read(document), flags=re.MULTILINE | re.DOTALL)


def block(document, beginning):
    """The one block that begins so."""
    found = [text for _, text in blocks(document) if text.startswith(beginning)]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} blocks of {document} begin with {beginning!r}")
    return found[0]


def inline_commands(document):
    """What stands in the text between backquotes and begins as one of our commands does."""
    text = re.sub(r"^```.*?^```$", "", read(document), flags=re.MULTILINE | re.DOTALL)
    return sorted({code for code in re.findall(r"`([^`\n]+)`", text)
                   if code.startswith(OUR_PROGRAMS) and not re.fullmatch(r"[\w./-]+", code)})


def table(document, first_heading):
    """The rows of the table whose first column is headed so, each a list of its cells."""
    rows, inside = [], False
    for line in read(document).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else None
        if cells and cells[0] == first_heading:
            inside = True
        elif inside and cells is None:
            return rows
        elif inside and not set(cells[0]) <= set("-: "):
            rows.append(cells)
    if not rows:
        raise AssertionError(f"{document} has no table headed {first_heading}")
    return rows


def codes(text):
    """Everything between backquotes."""
    return re.findall(r"`([^`]+)`", text)

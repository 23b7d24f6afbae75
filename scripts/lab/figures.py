"""The tables of README.md that `scripts/bench report` makes anew from what it measured."""
import os

from .failover import median
from .world import ROOT

README = os.path.join(ROOT, "README.md")
# Fault: its words in the table, and the aim of median and worst gap in ms.
FAULTS = {
    "kill-worker": ("the worker is killed (kill -9)", "150 / 300"),
    "switchover": ("`hactl switchover`", "100 / 250"),
    "stop-worker": ("the worker hangs (SIGSTOP)", "1,000 / 2,500"),
    "database-cut": ("the active is cut off from PostgreSQL", "1,000 / 2,500"),
    "host-down": ("the host's links are cut", "1,000 / 2,500"),
    "kill-all": ("guard and worker are killed: the kernel removes the address", "2,700 / 3,500"),
    "stop-all": ("guard and worker hang: the kernel removes the address", "2,700 / 3,500"),
    "postgres-restart": ("PostgreSQL crashes and recovers (the gap is its own)", "-"),
}


def failover_table(results):
    """Of what `scripts/bench failover --fault all` gives."""
    trials = {len(result["trials"]) for result in results}
    lines = [f"| fault | gap, median / worst of {' or '.join(map(str, sorted(trials)))}, ms | aim | acknowledged | "
             "lost, doubled, stale | two hosts answering |", "| --- | --- | --- | --- | --- | --- |"]
    by_fault = {result["fault"]: result for result in results}
    for fault, (words, aim) in FAULTS.items():
        if fault in by_fault:
            result = by_fault[fault]
            lines.append(f"| {words} | **{result['p50_ms']:,.0f}** / {result['max_ms']:,.0f} | {aim} | "
                         f"{result['acked']:,} | {result['lost']}, {result['doubled']}, {result['stale_commits']} | "
                         f"{result['two_holders_ms']:.0f} ms |")
    return lines


def rivals_table(rows):
    """Of what lab.rivals measures."""
    lines = ["| system | fault | until the other serves, median / worst, ms | seen |", "| --- | --- | --- | --- |"]
    for row in rows:
        gaps = sorted(gap for gap in row["gaps_ms"] if gap is not None)
        never = len(row["gaps_ms"]) - len(gaps)
        shown = f"{median(gaps):,.0f} / {gaps[-1]:,.0f}" if gaps else "never"
        if gaps and never:
            shown += f", {never} of {len(row['gaps_ms'])} never"
        lines.append(f"| {row['system']} | {row['fault']} | {shown} | {'; '.join(row['notes']) or '-'} |")
    return lines


def ingest_table(results):
    """Of what lab.ingest gives for native records, rollups on and off."""
    lines = ["| sender | rollups | records/s | `\\copy`, rows/s | ratio | two `\\copy` at once | ratio | resident |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for result in results:
        rate = f"{round(result['ingest_rows_per_s'], -2):,}"
        if "ompgsql_rows_per_s" in result:
            rate += f"; rsyslog's ompgsql in the same run {round(result['ompgsql_rows_per_s'], -2):,}"
        sender = {"native": "native", "syslog": "syslog over TCP"}[result["protocol"]]
        lines.append(f"| {sender}, {result['sources']} sources | {result['rollups']} | {rate} | "
                     f"{round(result['copy_rows_per_s'], -2):,} | {result['ratio']:.2f} | "
                     f"{round(result['copy_two_sessions_rows_per_s'], -2):,} | {result['ratio_two_sessions']:.2f} | "
                     f"{result['rss_mb']:.0f} MB |")
    return lines


def put(name, lines, path=README):
    """Replaces the table between README's two markers of that name; an error when they are not there."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    begin, end = f"<!-- scripts/bench report: {name} -->\n", "<!-- end -->\n"
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise RuntimeError(f"{path} has no markers \"{begin.strip()}\" and \"{end.strip()}\"")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(head + begin + "\n".join(lines) + "\n" + end + tail)
    os.replace(path + ".new", path)

"""Relays frames between two interfaces, late and out of order: relay.py PORT OTHER DELAY_MS JITTER_MS SEED.

Frames keep the kernel's own header about checksums and segments, so that large ones pass whole.
"""
import heapq
import random
import select
import socket
import sys
import time

SOL_PACKET, IGNORE_OUTGOING, VNET_HEADER, ALL = 263, 23, 15, 0x0003
# Bounded as any switch's queue: what finds no room is lost.
QUEUE = 20_000


def opened(interface):
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    one.setsockopt(SOL_PACKET, VNET_HEADER, 1)
    one.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    one.bind((interface, 0))
    one.setblocking(False)
    return one


def main(port, other, delay, jitter, seed):
    chance = random.Random(seed)
    ends = [opened(port), opened(other)]
    waiting, count = [], 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, way, frame = heapq.heappop(waiting)
            try:
                ends[way].send(frame)
            except OSError:
                pass  # a full queue or a link that is down loses frames, as a wire does
        patience = max(0.0, waiting[0][0] - now) if waiting else 0.1
        for one in select.select(ends, [], [], patience)[0]:
            for _ in range(64):
                try:
                    frame = one.recv(70_000)
                except OSError:
                    break
                if len(waiting) < QUEUE:
                    count += 1
                    due = time.monotonic() + (delay + chance.uniform(0, jitter)) / 1000
                    heapq.heappush(waiting, (due, count, 1 - ends.index(one), frame))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))

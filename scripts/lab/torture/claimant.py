"""Tells the LAN five times a second that an address is here: claimant.py INTERFACE ADDRESS MAC."""
import socket
import struct
import sys
import time


def main(interface, address, mac):
    own, ip = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address)
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    one.bind((interface, 0))
    while True:
        for operation in (1, 2):
            one.send(b"\xff" * 6 + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) + own + ip
                     + b"\xff" * 6 + ip)
        time.sleep(0.2)


if __name__ == "__main__":
    main(*sys.argv[1:4])

"""A module that behaves as the firmware of ESP-AT's example at_interface_security, on two pseudo-terminals.

usage: device.py KEY IV [fault]     both in hexadecimal
faults: lose=N    the N-th byte that it sends is lost on the way
        noise=N   N bytes come from the command port before "ready"
        halves    "ready" comes in two pieces, 200 ms apart

Written from what the example does, with PyCryptodome's AES: two keystreams from the same key and IV, each one big-endian
counter from the module's start on; a write of more than 4096 and a read of more than 8192 bytes fails. The first line on
standard output is {"cmd": PATH, "log": PATH}; each transfer is a line {"tx": HEX} or {"rx": HEX}; it ends when its
standard input does.
"""

import json
import os
import select
import sys
import time
import tty

from Crypto.Cipher import AES
from Crypto.Util import Counter


class Terminal:
    """The master of a pseudo-terminal, which knows whether somebody has the other end open."""

    def __init__(self):
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        self.name = os.ttyname(slave)
        os.close(slave)
        self.poller = select.poll()
        self.poller.register(self.master, select.POLLIN)

    def is_open(self):
        return not any(event & select.POLLHUP for _, event in self.poller.poll(0))

    def read(self):
        if any(event & select.POLLIN for _, event in self.poller.poll(5)):
            return os.read(self.master, 16384)
        return b""

    def write(self, data):
        os.write(self.master, data)


class Module:
    def __init__(self, key, iv, command, fault):
        self.command, self.fault, self.sent = command, fault, 0

        def stream():
            return AES.new(key, AES.MODE_CTR, counter=Counter.new(128, initial_value=int.from_bytes(iv, "big")))

        self.tx, self.rx = stream(), stream()
        self.buffer, self.echo = b"", True

    def write(self, plain):
        if len(plain) > 4096:
            return
        wire = self.tx.encrypt(plain)
        print(json.dumps({"tx": wire.hex()}), flush=True)
        begin, self.sent = self.sent, self.sent + len(wire)
        if self.fault.startswith("lose="):
            lost = int(self.fault[5:])
            if begin <= lost < self.sent:
                wire = wire[: lost - begin] + wire[lost - begin + 1 :]
        if self.fault == "halves" and begin == 0:
            self.command.write(wire[:4])
            time.sleep(0.2)
            wire = wire[4:]
        if wire:
            self.command.write(wire)

    def start(self):
        if self.fault.startswith("noise="):
            self.command.write(os.urandom(int(self.fault[6:])))
        self.write(b"\r\nready\r\n")

    def read(self, wire):
        print(json.dumps({"rx": wire.hex()}), flush=True)
        if len(wire) > 8192:
            return
        self.buffer += self.rx.decrypt(wire)
        while b"\r\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            self.obey(line)

    def obey(self, line):
        reply = b"\r\nOK\r\n"
        if line == b"AT+GMR":
            reply = b"AT version:4.2.0.0-dev(2a4c2a8 - ESP32C3)\r\nSDK version:v5.4.1\r\nBin version:v4.2.0(MINI-1)\r\n" + reply
        elif line in (b"AT", b"AT+CWMODE=1"):
            pass
        elif line == b"ATE0":
            self.echo = False
        elif line.startswith(b'AT+CWJAP="688018"'):
            self.write(line + b"\r\n" if self.echo else b"")
            self.write(b"WIFI CONNECTED\r\n")
            time.sleep(0.05)
            self.write(b"WIFI GOT IP\r\n")
            self.write(reply)
            return
        else:
            reply = b"\r\nERROR\r\n"
        self.write((line + b"\r\n" if self.echo else b"") + reply)


def main():
    key, iv = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2])
    fault = sys.argv[3] if len(sys.argv) > 3 else ""
    command, log = Terminal(), Terminal()
    print(json.dumps({"cmd": command.name, "log": log.name}), flush=True)
    module = None
    while not select.select([sys.stdin], [], [], 0)[0]:
        if not command.is_open():
            module = None
            time.sleep(0.01)
            continue
        if module is None:
            time.sleep(0.3)
            if log.is_open():
                log.write(b"ESP-ROM:esp32c3-api1-20210207\r\n")
            module = Module(key, iv, command, fault)
            module.start()
        wire = command.read()
        if wire:
            module.read(wire)


main()

"""What the host script of ESP-AT's example at_interface_security does, written from a description of it: used where the
script itself cannot be fetched. Same ports, keys, order, waiting and texts; like the script it says `success` in any case.
"""
import threading
import time

import serial
from Crypto.Cipher import AES
from Crypto.Util import Counter

LOG_PORT, COMMAND_PORT = "/dev/ttyUSB0", "/dev/ttyUSB1"
KEY, IV = b"A" * 16, b"T" * 16
over = threading.Event()


def cipher():
    # Little-endian, as in the script: the same for an IV of one letter, and wrong for all others.
    return AES.new(KEY, AES.MODE_CTR, counter=Counter.new(128, initial_value=int.from_bytes(IV, "little")))


class Host:
    def __init__(self):
        self.port = serial.Serial(COMMAND_PORT, 115200, timeout=1, rtscts=False)

    def read(self):
        if not self.port.in_waiting:
            return ""
        data = self.port.read(self.port.in_waiting)
        print("intf-sec-rx:", data.hex(" "))
        text = self.receiving.decrypt(data).decode("utf-8", "ignore")
        print("intf-rx:", text)
        return text

    def wait(self):
        while not over.is_set():
            self.sending, self.receiving = cipher(), cipher()
            print("Waiting for AT ready... (You may need to reset or power on the ESP module)")
            if "ready" in self.read():
                return
            time.sleep(3)

    def ask(self, command, wanted):
        self.read()
        data = self.sending.encrypt(f"{command}\r\n".encode())
        print("intf-sec-tx:", data.hex(" "))
        self.port.write(data)
        start, heard = time.monotonic(), ""
        while time.monotonic() - start < 16:
            heard += self.read()
            if wanted in heard:
                return
            if "ERROR" in heard:
                print(command, "returns ERROR")
                return
        print(command, "cmd timeout (16s)")


def watch():
    log = serial.Serial(LOG_PORT, 115200, timeout=1, rtscts=False)
    while not over.is_set():
        if log.in_waiting:
            print(log.readline().decode("utf-8", "ignore"), end="")


threading.Thread(target=watch, daemon=True).start()
host = Host()
host.wait()
for command in ["AT", "AT+GMR", "AT+CWMODE=1"]:
    host.ask(command, "OK\r\n")
host.ask('AT+CWJAP="688018",""', "GOT IP")
print("AT interface security test success!")
over.set()

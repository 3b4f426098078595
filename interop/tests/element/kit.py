"""Microchip's kit protocol (cryptoauthlib 20260505 `kit_protocol.c`, compiled) on a board of `cotter element simulate --kit`.
Only the bytes of the serial line are ours.

usage: kit.py ADDRESS PUBLIC_KEY SERIAL_NUMBER
"""

import ctypes
import socket
import sys

import hal
from cryptoauthlib import *
from cryptoauthlib.iface import ATCADeviceType, ATCAIfaceCfg, ATCAIfaceType, ATCAKitType
from cryptoauthlib.library import AtcaReference
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

host, port = sys.argv[1].rsplit(":", 1)
line = socket.create_connection((host, int(port)))
line.settimeout(5)
sent, received = bytearray(), bytearray()


def send(_iface, _word_address, data, length):
    content = bytes(data[:length])
    sent.extend(content)
    line.sendall(content)
    return hal.SUCCESS


def receive(_iface, _word_address, data, length):
    try:
        content = line.recv(length[0])
    except TimeoutError:
        return hal.COMM_FAIL
    received.extend(content)
    ctypes.memmove(data, content, len(content))
    length[0] = len(content)
    return hal.SUCCESS


def nothing(*_arguments):
    return hal.SUCCESS


cfg = ATCAIfaceCfg()
cfg.iface_type, cfg.devtype = int(ATCAIfaceType.ATCA_UART_IFACE), int(ATCADeviceType.ATECC608)
cfg.cfg.atcauart.dev_interface, cfg.cfg.atcauart.dev_identity = int(ATCAKitType.ATCA_KIT_I2C_IFACE), 0xC0
cfg.wake_delay, cfg.rx_retries = 1500, 2
library.load_cryptoauthlib()
own = library.get_cryptoauthlib()
Hal = hal.Hal
kit = Hal(Hal.INIT(("kit_init", own)), Hal.ONE(("kit_post_init", own)), Hal.SEND(("kit_send", own)),
          Hal.RECEIVE(("kit_receive", own)), Hal.CONTROL(("kit_control", own)), Hal.ONE(("kit_release", own)))
phy = Hal(Hal.INIT(nothing), Hal.ONE(nothing), Hal.SEND(send), Hal.RECEIVE(receive), Hal.CONTROL(nothing), Hal.ONE(nothing))
status = own.hal_iface_register_hal(int(ATCAIfaceType.ATCA_UART_IFACE), ctypes.byref(kit), None, ctypes.byref(phy), None)
assert status == hal.SUCCESS, hex(status)
status = atcab_init(cfg)
assert int(status) == hal.SUCCESS, hex(status)


def bytes_of(count, function, *arguments):
    out = bytearray(count)
    status = function(*arguments, out)
    assert int(status) == 0, (function.__name__, hex(status))
    return bytes(out)


assert bytes_of(9, atcab_read_serial_number).hex() == sys.argv[3]
assert bytes_of(4, atcab_info)[:3].hex() == "000060"
point = bytes_of(64, atcab_get_pubkey, 0)
assert point.hex() == sys.argv[2]
assert bytes_of(32, atcab_random) != bytes_of(32, atcab_random)
public = ec.EllipticCurvePublicNumbers(
    int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big"), ec.SECP256R1()).public_key()
for index in range(4):
    digest = bytes([index]) * 32
    signature = bytes_of(64, atcab_sign, 0, digest)
    numbers = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    public.verify(utils.encode_dss_signature(*numbers), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
for expected in (1, 2, 3):
    count = AtcaReference(0)
    assert int(atcab_counter_increment(1, count)) == 0 and count.value == expected
written = bytes(range(64)) + bytes(8)
assert int(atcab_write_bytes_zone(2, 10, 0, written, 72)) == 0
assert bytes_of(72, lambda out: atcab_read_bytes_zone(2, 10, 0, out, 72)) == written
# What the plan forbids: a new key, by its status.
assert int(atcab_genkey(0, bytearray(64))) & 0xFF == 0xF4
for word in (b"board:device(00)\n", b"E:physical:select(C0)\n", b"E:w()\n", b"E:i()\n", b"E:t("):
    assert word in bytes(sent), word
print(f"{bytes(sent).count(10)} lines sent, {bytes(received).count(10)} received")

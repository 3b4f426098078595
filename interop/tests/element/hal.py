"""The bus of docs/element-bus.md as the I2C HAL of Microchip's cryptoauthlib (20260505)."""

import ctypes
import socket

from cryptoauthlib import atcab_init, library
from cryptoauthlib.iface import ATCADeviceType, ATCAIfaceCfg, ATCAIfaceType

SUCCESS, COMM_FAIL, UNIMPLEMENTED = 0x00, 0xF0, 0xF5
SELECT, DESELECT = 4, 5


class Bus:
    """One connection. A request per line, an answer per line."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.line = socket.create_connection((host, int(port))).makefile("rw")
        self.transactions = 0

    def ask(self, request):
        self.transactions += 1
        print(request, file=self.line, flush=True)
        answer = self.line.readline().split()
        assert answer and answer[0] != "error", (request, answer)
        return answer

    def write(self, address, data):
        return self.ask(f"w {address:02x} {bytes(data).hex()}") == ["ack", str(len(data))]

    def read(self, address, count):
        answer = self.ask(f"r {address:02x} {count}")
        return bytes.fromhex(answer[1]) if answer[0] == "data" else None


class Hal(ctypes.Structure):
    """ATCAHAL_t of lib/atca_iface.h."""

    INIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    ONE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    SEND = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint8, ctypes.POINTER(ctypes.c_uint8), ctypes.c_int)
    RECEIVE = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_uint8, ctypes.POINTER(ctypes.c_uint8), ctypes.POINTER(ctypes.c_uint16))
    CONTROL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint8, ctypes.c_void_p, ctypes.c_size_t)
    _fields_ = [("init", INIT), ("post_init", ONE), ("send", SEND), ("receive", RECEIVE), ("control", CONTROL),
                ("release", ONE)]


def attach(bus):
    """Puts the library on the bus, in place of its own I2C HAL. What is returned must be kept."""
    cfg = ATCAIfaceCfg()
    cfg.iface_type, cfg.devtype = int(ATCAIfaceType.ATCA_I2C_IFACE), int(ATCADeviceType.ATECC608)
    cfg.cfg.atcai2c.address, cfg.cfg.atcai2c.bus, cfg.cfg.atcai2c.baud = 0xC0, 1, 100000
    cfg.wake_delay, cfg.rx_retries = 1500, 20

    def send(_iface, word_address, data, length):
        content = [word_address] + (data[:length] if length > 0 else [])
        return SUCCESS if bus.write(cfg.cfg.atcai2c.address >> 1, content) else COMM_FAIL

    def receive(_iface, _word_address, data, length):
        content = bus.read(cfg.cfg.atcai2c.address >> 1, length[0])
        if content is None:
            return COMM_FAIL
        ctypes.memmove(data, content, len(content))
        return SUCCESS

    def control(_iface, option, _parameter, _length):
        return SUCCESS if option in (SELECT, DESELECT) else UNIMPLEMENTED

    hal = Hal(Hal.INIT(lambda _iface, _cfg: SUCCESS), Hal.ONE(lambda _iface: SUCCESS), Hal.SEND(send),
              Hal.RECEIVE(receive), Hal.CONTROL(control), Hal.ONE(lambda _data: SUCCESS))
    library.load_cryptoauthlib()
    own = library.get_cryptoauthlib()
    status = own.hal_iface_register_hal(int(ATCAIfaceType.ATCA_I2C_IFACE), ctypes.byref(hal), None, None, None)
    assert status == SUCCESS, hex(status)
    status = atcab_init(cfg)
    assert status == SUCCESS, hex(status)
    return hal, cfg

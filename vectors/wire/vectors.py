"""Second opinion on cotter-wire, from Python's `cryptography` (OpenSSL underneath) and the standard library.

Prints `name = hex` lines. Everything is fixed (keys, IVs, nonces), except signatures, whose keys and bytes
`sign.sh` made once.
"""
import base64, hashlib, hmac, json, pathlib, struct, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

ROOT = bytes(range(32))
DEVICE = b"esp32-001"
EPOCH = 1


def hkdf(ikm, salt, info, length):
    return HKDF(hashes.SHA256(), length, salt, info).derive(ikm)


def key(use, length, device=DEVICE, epoch=EPOCH):
    info = b"cotter/v1/" + use + b"\0" + struct.pack(">IB", epoch, len(device)) + device
    return hkdf(ROOT, b"cotter/v1", info, length)


def out(name, value):
    print(f"{name} = {value.hex()}")


def keys():
    for device, epoch in ((DEVICE, 1), (DEVICE, 2), (b"0123456789abcdef0123456789abcdef", 0xFFFFFFFF)):
        for use, length in (
            (b"telemetry-mac", 32),
            (b"telemetry-cipher", 16),
            (b"firmware-unwrap", 32),
            (b"downlink", 32),
            (b"request", 32),
        ):
            out(f"{device.decode()} {epoch} {use.decode()}", key(use, length, device, epoch))


def cbc(k, iv, data):
    encryptor = Cipher(algorithms.AES(k), modes.CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def pad(data):
    padder = PKCS7(128).padder()
    return padder.update(data) + padder.finalize()


def packet(name, nonce, padded, compressed):
    iv = bytes(range(0xA0, 0xB0))
    payload = base64.b64encode(cbc(key(b"telemetry-cipher", 16), iv, padded)).decode()
    flags = 1 | 2 * compressed
    message = (b"cotter/packet/v1\0" + bytes([len(DEVICE)]) + DEVICE
               + struct.pack(">IIB", EPOCH, nonce, flags) + iv + payload.encode())
    mac = hmac.new(key(b"telemetry-mac", 32), message, hashlib.sha256).hexdigest()
    text = json.dumps({"version": 1, "device_id": DEVICE.decode(), "epoch": EPOCH, "nonce": nonce, "encrypted": True,
                       "compressed": bool(compressed), "iv": iv.hex(), "payload": payload, "mac": mac},
                      separators=(",", ":"))
    here(name).write_text(text)


def packets():
    packet("packet-compressed.json", 10001, pad(here("heatshrink/reading.hs").read_bytes()), 1)
    packet("packet-identity.json", 10002, pad(here("heatshrink/max_random.bin").read_bytes()), 0)
    packet("packet-padding-zero.json", 10003, bytes(16), 0)
    packet("packet-padding-17.json", 10004, b"\x11" * 32, 0)
    packet("packet-padding-mixed.json", 10005, b"x" * 12 + b"\x04\x04\x03\x04", 0)
    packet("packet-padding-none.json", 10006, b"y" * 32, 0)
    # tag 0, index 00000000, length 1111: 16 bytes out of 13 bits, 304 times
    bits = "0000000001111" * 304
    bomb = int(bits, 2).to_bytes(len(bits) // 8, "big")
    packet("packet-bomb.json", 10007, pad(bomb), 1)


def sessions():
    party = bytes([len(DEVICE)]) + DEVICE + struct.pack(">I", EPOCH)
    device_nonce, server_nonce, session, now = b"\xd0" * 16, b"\x5e" * 16, b"\x51" * 16, 1_800_000_000
    mac = lambda k, message: hmac.new(k, message, hashlib.sha256).hexdigest()
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    here("session-hello.json").write_text(dump({
        "version": 1, "device_id": DEVICE.decode(), "epoch": EPOCH, "device_nonce": device_nonce.hex(),
        "mac": mac(key(b"request", 32), b"cotter/hello/v1\0" + party + device_nonce)}))
    here("session-welcome.json").write_text(dump({
        "session": session.hex(), "server_nonce": server_nonce.hex(), "time": now,
        "mac": mac(key(b"downlink", 32), b"cotter/welcome/v1\0" + party + device_nonce + session + server_nonce
                   + struct.pack(">Q", now))}))
    session_key = hkdf(key(b"request", 32), device_nonce + server_nonce, b"cotter/session/v1\0" + party + session, 32)
    for name, counter, method, path, body in (
        ("get", 1, b"GET", b"/v1/devices/esp32-001/update?version=1.0.0&secure_version=0", b""),
        ("post", 2, b"POST", b"/v1/devices/esp32-001/status", b"{}"),
    ):
        message = (b"cotter/request/v1\0" + session + struct.pack(">IB", counter, len(method)) + method
                   + struct.pack(">H", len(path)) + path + hashlib.sha256(body).digest())
        here(f"session-{name}.txt").write_text(f"{session.hex()}:{counter}:{mac(session_key, message)}")


def enrolments():
    for name, certificate, nonce in (
        ("enrolment.json", None, b"\xc0" * 12),
        ("enrolment-certificate.json", here("heatshrink/max_random.bin").read_bytes(), b"\xc1" * 12),
    ):
        record = {"format": 1, "device_id": DEVICE.decode(), "epoch": EPOCH, "chip": "esp32c3", "mac": "7cdfa1000001",
                  "secure_boot": "5b" * 32}
        if certificate:
            record["certificate"] = base64.b64encode(certificate).decode()
        head = json.dumps(record, separators=(",", ":"))[:-1]
        aad = b"cotter/enrolment/v1\0" + hashlib.sha256(head.encode()).digest()
        record |= {"nonce": nonce.hex(), "root_key": AESGCM(b"\xe0" * 32).encrypt(nonce, ROOT, aad).hex()}
        here(name).write_text(json.dumps(record, separators=(",", ":")))


def here(name):
    return pathlib.Path(__file__).parent / name


if __name__ == "__main__":
    for topic in sys.argv[1:]:
        globals()[topic]()

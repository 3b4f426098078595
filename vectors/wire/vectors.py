"""Second opinion on cotter-wire, from Python's `cryptography` (OpenSSL underneath) and the standard library.

Prints `name = hex` lines. Everything is fixed (keys, IVs, nonces), except signatures, whose keys and bytes
`sign.sh` made once.
"""
import base64, hashlib, hmac, struct, sys
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


if __name__ == "__main__":
    for topic in sys.argv[1:]:
        globals()[topic]()

"""Keys and IVs of a link by Python's `cryptography`, from the description in wire/src/link/derivation.rs.

`derivation.py vectors > derivation.txt`: one line per derived value:
SECRET MAC UNIQUE_ID OWN USE VALUE, hexadecimal but for the use, `-` for what is left out.
"""
import hashlib, hmac, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CIPHERS = {"aes-128-ctr": (16, 16), "aes-192-ctr": (24, 16), "aes-256-ctr": (32, 16), "chacha20": (32, 12), "salsa20": (32, 8)}
SECRETS = [bytes(range(32)), hmac.new(bytes(range(32, 64)), b"cotter/link/v1/efuse-hmac", hashlib.sha256).digest()]
INGREDIENTS = [
    (b"", b"", b""),
    (bytes.fromhex("7cdfa1e00b5c"), b"", b""),
    (bytes.fromhex("7cdfa1fffee00b5c"), bytes(range(16)), b"board revision 3"),
    (b"", b"", bytes(255)),
]


def derive(secret, mac, unique_id, own, use, length):
    tagged = b"".join(bytes([tag, len(value)]) + value for tag, value in ((1, mac), (2, unique_id), (3, own)))
    info = b"cotter/link/v1/" + use.encode() + b"\0" + tagged
    return HKDF(hashes.SHA256(), length, b"cotter/link/v1", info).derive(secret)


def uses():
    yield "psk", 32
    for cipher, (key, iv) in CIPHERS.items():
        for way in ("both", "to-host", "to-module"):
            yield f"compat-key/{cipher}/{way}", key
            yield f"compat-iv/{cipher}/{way}", iv


def main():
    assert sys.argv[1:] == ["vectors"], __doc__
    for secret in SECRETS:
        for mac, unique_id, own in INGREDIENTS:
            for use, length in uses():
                words = [value.hex() or "-" for value in (secret, mac, unique_id, own)]
                print(*words, use, derive(secret, mac, unique_id, own, use, length).hex())


main()

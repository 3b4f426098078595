"""The keystreams of the example by Python's `cryptography` (it has no Salsa20).

`keystream.py check CASES.json`  encrypts what was encrypted, and exits with 1 at the first difference
"""
import json, sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def encrypt(case):
    key, iv, plain = (bytes.fromhex(case[name]) for name in ("key", "iv", "plain"))
    if case["cipher"] == "chacha20":
        # Its nonce has 16 bytes here: a little-endian counter of 4, and the nonce of RFC 8439.
        cipher = Cipher(algorithms.ChaCha20(key, bytes(4) + iv), None)
    else:
        assert case["cipher"] == f"aes-{8 * len(key)}-ctr"
        cipher = Cipher(algorithms.AES(key), modes.CTR(iv))
    return cipher.encryptor().update(plain).hex()


assert len(sys.argv) == 3 and sys.argv[1] == "check", __doc__
cases = json.load(open(sys.argv[2]))
for case in cases:
    assert encrypt(case) == case["sealed"], case
print(f"checked {len(cases)} keystreams")

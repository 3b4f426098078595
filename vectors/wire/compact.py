"""Compact packets by pycose (COSE) and cbor2 (CBOR), which are not ours.

`compact.py vectors > compact.txt`, from fixed input: name, device, epoch, direction, sequence, content, packet.
`compact.py seal CASES.json` seals what it is told and prints the packets as JSON.
`compact.py open CASES.json` opens what cotter-wire sealed and exits with 1 at the first difference.
"""
import json, struct, sys
import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pycose.algorithms import A128GCM
from pycose.headers import Algorithm, PartialIV
from pycose.keys import SymmetricKey
from pycose.messages import CoseMessage, Enc0Message

# pycose 1.1.0 drops leading zero bytes of a nonce that it makes.
made = Enc0Message._get_nonce
Enc0Message._get_nonce = lambda message: made(message).rjust(12, b"\0")


def derive(root, use, length, device, epoch, direction):
    info = b"cotter/v2/" + use + b"\0" + struct.pack(">BIB", direction, epoch, len(device)) + device.encode()
    return HKDF(hashes.SHA256(), length, b"cotter/v2", info).derive(root)


def prepare(message, c):
    root = bytes.fromhex(c["root"])
    key = lambda use, length: derive(root, use, length, c["device"], c["epoch"], c["direction"])
    # pycose makes the nonce of this base IV and the Partial IV.
    message.key = SymmetricKey(k=key(b"key", 16), optional_params={"BASE_IV": key(b"iv", 12)})
    context = ["cotter/telemetry/v2", c["device"], c["direction"], c["epoch"], "reading"]
    message.external_aad = cbor2.dumps(context)


def partial_iv(sequence):
    return sequence.to_bytes(max(1, (sequence.bit_length() + 7) // 8), "big")


def seal(c):
    message = Enc0Message(phdr={Algorithm: A128GCM}, uhdr={PartialIV: partial_iv(c["sequence"])})
    message.payload = bytes.fromhex(c["plain"])
    prepare(message, c)
    return message.encode().hex()


def open_one(c):
    packet = bytes.fromhex(c["packet"])
    message = CoseMessage.decode(packet)
    assert isinstance(message, Enc0Message), type(message)
    assert message.get_attr(Algorithm) is A128GCM, message.phdr
    assert message.get_attr(PartialIV) == partial_iv(c["sequence"]), message.uhdr
    prepare(message, c)
    plain = message.decrypt()
    assert plain.hex() == c["plain"], (plain.hex(), c["plain"])
    # Our CBOR is what a canonical writer makes of the same items.
    assert cbor2.dumps(cbor2.loads(packet), canonical=True) == packet
    if "reading" in c:
        assert cbor2.loads(plain) == c["reading"], (cbor2.loads(plain), c["reading"])
        assert cbor2.dumps(c["reading"], canonical=True) == plain


def vectors():
    four = [86400, 7, 1, 0, 0, 0, 0, 2300, 1, 1700, 2, 5000, 9, 4000]
    last = (1 << 40) - 1
    for name, device, epoch, direction, sequence, plain in (
        ("four", "esp32-001", 1, 0, 7, cbor2.dumps(four)),
        ("zero", "esp32-001", 1, 0, 0, cbor2.dumps([0] * 6)),
        ("down", "esp32-001", 1, 1, 7, cbor2.dumps(four)),
        ("last", "0123456789abcdef0123456789abcdef", 0xFFFFFFFF, 0, last, bytes(106)),
        ("empty", "a", 2, 0, 0x1_0000_0000, b""),
    ):
        case = {"root": bytes(range(32)).hex(), "device": device, "epoch": epoch, "direction": direction,
                "sequence": sequence, "plain": plain.hex()}
        print(name, device, epoch, direction, sequence, plain.hex() or "-", seal(case))


if __name__ == "__main__":
    if sys.argv[1] == "vectors":
        vectors()
    else:
        cases = json.load(open(sys.argv[2]))
        if sys.argv[1] == "seal":
            print(json.dumps([seal(c) for c in cases]))
        else:
            for c in cases:
                open_one(c)
            print(f"opened {len(cases)} compact packets")

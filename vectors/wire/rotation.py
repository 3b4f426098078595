"""Rotation of root keys by Python's `cryptography`, which is not ours.

`rotation.py vectors > rotation.txt`, from fixed input: both keys, then offer, confirmation and acknowledgement.
`rotation.py open CASES.json` opens and checks what cotter-wire made and exits with 1 at the first difference.
`rotation.py make CASES.json` makes offers and acknowledgements as it is told and prints them as JSON.
"""
import hashlib, hmac, json, struct, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive(root, use, device):
    info = b"cotter/rotation/v1/" + use + b"\0" + name(device)
    return HKDF(hashes.SHA256(), 32, b"cotter/rotation/v1", info).derive(root)


def name(device):
    return bytes([len(device)]) + device.encode()


def mac(root, domain, device, *parts):
    message = b"cotter/rotation-" + domain + b"/v1\0" + name(device) + b"".join(parts)
    return hmac.new(derive(root, b"confirm", device), message, hashlib.sha256).hexdigest()


def be(number):
    return struct.pack(">I", number)


def aad(c):
    head = b"cotter/rotation-offer/v1\0" + name(c["device"]) + be(c["present_epoch"]) + be(c["epoch"])
    return head + bytes.fromhex(c["device_nonce"]) + bytes.fromhex(c["ticket"])


def one_spelling(members):
    return json.dumps(members, separators=(",", ":"))


def offer(c):
    key = derive(bytes.fromhex(c["present_root"]), b"offer", c["device"])
    sealed = AESGCM(key).encrypt(bytes.fromhex(c["nonce"]), bytes.fromhex(c["root"]), aad(c))
    return one_spelling({"epoch": c["epoch"], "ticket": c["ticket"], "nonce": c["nonce"], "sealed": sealed.hex()})


def confirm(c):
    nonce, ticket = bytes.fromhex(c["device_nonce"]), bytes.fromhex(c["ticket"])
    proof = mac(bytes.fromhex(c["root"]), b"confirm", c["device"], be(c["epoch"]), nonce, ticket)
    return one_spelling({"version": 1, "device_id": c["device"], "epoch": c["epoch"],
                         "device_nonce": c["device_nonce"], "ticket": c["ticket"], "mac": proof})


def ack(c):
    nonce = bytes.fromhex(c["device_nonce"])
    return one_spelling({"epoch": c["epoch"],
                         "mac": mac(bytes.fromhex(c["root"]), b"ack", c["device"], be(c["epoch"]), nonce)})


def check(c):
    said = json.loads(c["offer"])
    key = derive(bytes.fromhex(c["present_root"]), b"offer", c["device"])
    opened = AESGCM(key).decrypt(bytes.fromhex(said["nonce"]), bytes.fromhex(said["sealed"]), aad(c))
    assert opened.hex() == c["root"], (opened.hex(), c["root"])
    for made, ours in [(offer(c), c["offer"]), (confirm(c), c["confirm"]), (ack(c), c["ack"])]:
        assert made == ours, (made, ours)


FIXED = {"device": "esp32-001", "present_epoch": 3, "epoch": 4, "present_root": bytes(range(32)).hex(),
         "root": bytes(range(0x80, 0xa0)).hex(), "device_nonce": "11" * 16, "ticket": "22" * 60, "nonce": "33" * 12}

if sys.argv[1] == "vectors":
    print("offer-key", derive(bytes.fromhex(FIXED["present_root"]), b"offer", FIXED["device"]).hex())
    print("confirmation-key", derive(bytes.fromhex(FIXED["root"]), b"confirm", FIXED["device"]).hex())
    for message in (offer(FIXED), confirm(FIXED), ack(FIXED)):
        print("message", message)
elif sys.argv[1] == "open":
    cases = json.load(open(sys.argv[2]))
    for case in cases:
        check(case)
    print(len(cases))
elif sys.argv[1] == "make":
    print(json.dumps([{"offer": offer(c), "confirm": confirm(c), "ack": ack(c)} for c in json.load(open(sys.argv[2]))]))

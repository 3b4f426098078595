"""Opens what cotter-wire sealed: `open.py CASES.json`, see interop/tests/wire.rs. Exits with 1 at the first difference."""
import base64, hashlib, hmac, json, struct, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7


def hkdf(ikm, salt, info, length):
    return HKDF(hashes.SHA256(), length, salt, info).derive(ikm)


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def decrypt(key, iv, data):
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()


def heatshrink(data):
    """LZSS: 1 + 8 literal bits, or 0 + 8 bits of distance - 1 + 4 bits of length - 1."""
    bits, at, out = "".join(f"{byte:08b}" for byte in data), 0, bytearray()
    while True:
        width = 9 if bits[at:at + 1] == "1" else 13
        if at + width > len(bits):
            assert len(bits) - at < 8 and "1" not in bits[at:], "only padding may be left"
            return bytes(out)
        if width == 9:
            out.append(int(bits[at + 1:at + 9], 2))
        else:
            distance, length = int(bits[at + 1:at + 9], 2) + 1, int(bits[at + 9:at + 13], 2) + 1
            for _ in range(length):
                out.append(out[-distance] if distance <= len(out) else 0)
        at += width


def same(ours, theirs):
    assert ours == theirs, (ours, theirs)


def case(c):
    device, h = c["device"].encode(), bytes.fromhex
    party = bytes([len(device)]) + device + struct.pack(">I", c["epoch"])

    def key(use, length=32):
        info = b"cotter/v1/" + use + b"\0" + struct.pack(">IB", c["epoch"], len(device)) + device
        return hkdf(h(c["root"]), b"cotter/v1", info, length)

    p = json.loads(c["packet"])
    same(json.dumps(p, separators=(",", ":")), c["packet"])
    same((p["device_id"], p["epoch"], p["nonce"], p["encrypted"]), (c["device"], c["epoch"], c["nonce"], True))
    message = (b"cotter/packet/v1\0" + party + struct.pack(">IB", p["nonce"], 1 + 2 * p["compressed"]) + h(p["iv"])
               + p["payload"].encode())
    same(p["mac"], mac(key(b"telemetry-mac"), message))
    plain = decrypt(key(b"telemetry-cipher", 16), h(p["iv"]), base64.b64decode(p["payload"], validate=True))
    same((heatshrink(plain) if p["compressed"] else plain).hex(), c["plain"])

    hello, welcome = json.loads(c["hello"]), json.loads(c["welcome"])
    device_nonce, session, server_nonce = h(hello["device_nonce"]), h(welcome["session"]), h(welcome["server_nonce"])
    same((hello["device_id"], hello["epoch"]), (c["device"], c["epoch"]))
    same(hello["mac"], mac(key(b"request"), b"cotter/hello/v1\0" + party + device_nonce))
    same(welcome["time"], c["time"])
    same(welcome["mac"], mac(key(b"downlink"), b"cotter/welcome/v1\0" + party + device_nonce + session + server_nonce
                             + struct.pack(">Q", welcome["time"])))
    session_key = hkdf(key(b"request"), device_nonce + server_nonce, b"cotter/session/v1\0" + party + session, 32)
    path = c["path"].encode()
    request = (b"cotter/request/v1\0" + session + struct.pack(">IB", 1, 4) + b"POST" + struct.pack(">H", len(path)) + path
               + hashlib.sha256(h(c["body"])).digest())
    same(c["header"], f"{session.hex()}:1:{mac(session_key, request)}")

    record, (head, _) = json.loads(c["record"]), c["record"].split(',"nonce":')
    same((record["device_id"], record["epoch"], record["mac"]), (c["device"], c["epoch"], c["mac"]))
    aad = b"cotter/enrolment/v1\0" + hashlib.sha256(head.encode()).digest()
    same(AESGCM(h(c["enrolment_key"])).decrypt(h(record["nonce"]), h(record["root_key"]), aad).hex(), c["root"])

    aad = b"cotter/content-key/v1\0" + party + h(c["release"])
    content_key = AESGCM(key(b"firmware-unwrap")).decrypt(h(c["wrap_nonce"]), h(c["wrapped"]), aad)
    same(content_key.hex(), c["content_key"])
    same(decrypt(content_key, h(c["iv"]), h(c["content"])).hex(), c["image"])


def recovery(c):
    device, h = c["device"].encode(), bytes.fromhex
    party = bytes([len(device)]) + device
    key = hkdf(h(c["root"]), b"cotter/recovery/v1", b"cotter/recovery/v1\0" + party, 32)
    ask, challenge, claim, grant = (json.loads(text) for text in c["recovery"])
    for message, text in zip((ask, challenge, claim, grant), c["recovery"]):
        same(json.dumps(message, separators=(",", ":")), text)
    own, both = h(ask["device_nonce"]), h(ask["device_nonce"] + challenge["server_nonce"])
    same((claim["device_nonce"], claim["server_nonce"]), (ask["device_nonce"], challenge["server_nonce"]))
    same((ask["device_id"], claim["device_id"], claim["epoch"]), (c["device"], c["device"], c["epoch"]))
    same(ask["mac"], mac(key, b"cotter/recovery-ask/v1\0" + party + own))
    same(challenge["mac"], mac(key, b"cotter/recovery-challenge/v1\0" + party + both))
    same(claim["mac"], mac(key, b"cotter/recovery-claim/v1\0" + party + both + struct.pack(">I", claim["epoch"])))
    same((grant["epoch"], grant["nonce"]), (c["epoch"] ^ 1, c["nonce"]))
    same(grant["mac"], mac(key, b"cotter/recovery-grant/v1\0" + party + both
                           + struct.pack(">II", grant["epoch"], grant["nonce"])))


cases = json.load(open(sys.argv[1]))
for one in cases:
    case(one)
    recovery(one)
print(f"opened {len(cases)} cases, {sum(json.loads(c['packet'])['compressed'] for c in cases)} of them compressed")

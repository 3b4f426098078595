"""The link by Noise, by the letter of docs/link.md: the handshake is PyPI's `noiseprotocol`, frames are sealed by
`cryptography`.

`noise_psk0.py vectors > noise.txt`   handshakes and frames of both patterns from fixed input
`noise_psk0.py check CASES.json`      reads what cotter-wire put onto the wire, as either end, and exits with 1 at the first
                                 difference
`noise_psk0.py make CASES.json`       makes the same messages from the same input, by either end, and prints them as JSON
"""
import hashlib, hmac, json, struct, sys
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from noise.connection import Keypair, NoiseConnection

MODES = {"nn": 0x11, "kk": 0x21}
NAMES = {"nn": b"Noise_NNpsk0_25519_ChaChaPoly_SHA256", "kk": b"Noise_KKpsk0_25519_ChaChaPoly_SHA256"}


def knock(psk, mode):
    greeting = HKDF(SHA256(), 32, b"cotter/link/psk/v1", b"greeting").derive(psk)
    head = bytes([0x81, mode])
    return head + hmac.new(greeting, b"cotter/link/knock/v1\0" + head, hashlib.sha256).digest()[:8]


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def payload(about):
    return struct.pack(">H", about["longest"]) + bytes.fromhex(about["lineage"])


def connection(case, side):
    """One end of a case, `host` or `module`, before its first message."""
    own, peer = case[side], case["module" if side == "host" else "host"]
    noise = NoiseConnection.from_name(NAMES[case["mode"]])
    noise.set_prologue(b"cotter/link/noise/v1\0" + bytes([MODES[case["mode"]], 1]))
    noise.set_psks(bytes.fromhex(case["psk"]))
    noise.set_as_initiator() if side == "host" else noise.set_as_responder()
    if case["mode"] == "kk":
        noise.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(own["static"]))
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public(bytes.fromhex(peer["static"])))
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, bytes.fromhex(own["ephemeral"]))
    noise.start_handshake()
    return noise


class Direction:
    def __init__(self, key, session):
        self.cipher, self.session, self.counter = ChaCha20Poly1305(key), session, 0

    def sealed(self, head, counter):
        return bytes(4) + struct.pack(">Q", counter), self.session + bytes([head])

    def seal(self, head, data):
        nonce, associated = self.sealed(head, self.counter)
        out = bytes([head]) + struct.pack(">H", self.counter & 0xffff) + self.cipher.encrypt(nonce, data, associated)
        self.counter += 1
        return out

    def open(self, frame):
        counter = self.counter + ((struct.unpack(">H", frame[1:3])[0] - self.counter) & 0xffff)
        nonce, associated = self.sealed(frame[0], counter)
        self.counter = counter + 1
        return self.cipher.decrypt(nonce, frame[3:], associated)


def directions(noise):
    """After the finish; of the host, and by the first byte of a frame."""
    noise.rekey_outbound_cipher()
    noise.rekey_inbound_cipher()
    session = noise.get_handshake_hash()[:8]
    state = noise.noise_protocol
    return {0: Direction(state.cipher_state_encrypt.k, session), 0x80: Direction(state.cipher_state_decrypt.k, session)}


def make(case):
    host, module, mode = connection(case, "host"), connection(case, "module"), MODES[case["mode"]]
    hello = bytes(host.write_message(payload(case["host"])))
    assert bytes(module.read_message(hello)) == payload(case["host"])
    reply = bytes(module.write_message(payload(case["module"])))
    assert bytes(host.read_message(reply)) == payload(case["module"])
    assert host.get_handshake_hash() == module.get_handshake_hash()
    finish = host.encrypt(b"")
    assert module.decrypt(finish) == b""
    ways, frames = directions(host), []
    for frame in case["frames"]:
        way = ways[frame["head"] & 0x80]
        way.counter += frame["lost"]
        frames.append(way.seal(frame["head"], bytes.fromhex(frame["payload"])).hex())
    texts = {
        "knock": knock(bytes.fromhex(case["psk"]), mode), "hello": bytes([0x02, mode]) + hello,
        "reply": bytes([0x83, mode]) + reply, "finish": b"\4" + finish, "hash": host.get_handshake_hash(),
    }
    return {name: text.hex() for name, text in texts.items()} | {"frames": frames}


def check(case):
    said, mode = case["out"], MODES[case["mode"]]
    hello, reply, finish = (bytes.fromhex(said[name]) for name in ("hello", "reply", "finish"))
    assert bytes.fromhex(said["knock"]) == knock(bytes.fromhex(case["psk"]), mode), "knock"
    assert hello[:2] == bytes([0x02, mode]) and reply[:2] == bytes([0x83, mode]) and finish[:1] == b"\4", "heads"
    # 1. The module is ours: Python greets, reads its reply, and both say the same last.
    host = connection(case, "host")
    assert bytes(host.write_message(payload(case["host"]))) == hello[2:], "hello"
    assert bytes(host.read_message(reply[2:])) == payload(case["module"]), "payload of the reply"
    assert host.encrypt(b"") == finish[1:], "finish"
    # 2. The host is ours: Python reads its hello, replies, and reads its finish.
    module = connection(case, "module")
    assert bytes(module.read_message(hello[2:])) == payload(case["host"]), "payload of the hello"
    assert bytes(module.write_message(payload(case["module"]))) == reply[2:], "reply"
    assert module.decrypt(finish[1:]) == b"", "finish at the module"
    assert host.get_handshake_hash() == module.get_handshake_hash() == bytes.fromhex(said["hash"]), "handshake hash"
    ways = directions(host)
    for frame, sealed in zip(case["frames"], said["frames"], strict=True):
        sealed = bytes.fromhex(sealed)
        assert sealed[0] == frame["head"], "head"
        assert ways[frame["head"] & 0x80].open(sealed) == bytes.fromhex(frame["payload"]), "payload"


def fixed():
    for mode in MODES:
        ends = [{"longest": longest, "lineage": "00" * 8, "static": bytes(range(at, at + 32)).hex(),
                 "ephemeral": bytes(range(at + 32, at + 64)).hex()} for longest, at in ((280, 0x40), (128, 0x80))]
        payloads = [(0x10, "00000000" + b"AT+GMR\r\n".hex()), (0x91, "0008"), (0x90, "00000008" + b"\r\nOK\r\n".hex()),
                    (0x12, "00000000"), (0x13, "0008010d")]
        frames = [{"head": head, "lost": 1000 * (head == 0x12), "payload": data} for head, data in payloads]
        yield {"mode": mode, "psk": bytes(range(32)).hex(), "host": ends[0], "module": ends[1], "frames": frames}


def main():
    match sys.argv[1:]:
        case ["vectors"]:
            for case in fixed():
                out = make(case)
                print("handshake", case["mode"], *(out[name] for name in ("knock", "hello", "reply", "finish", "hash")))
                for frame, sealed in zip(case["frames"], out["frames"]):
                    print("frame", f"{frame['head']:02x}", frame["lost"], frame["payload"], sealed)
        case ["check", path]:
            cases = json.load(open(path))
            for case in cases:
                check(case)
            print(f"checked {len(cases)} handshakes, {sum(len(case['frames']) for case in cases)} frames")
        case ["make", path]:
            print(json.dumps([make(case) for case in json.load(open(path))]))
        case _:
            sys.exit(__doc__)


main()

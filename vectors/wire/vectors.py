"""Second opinion on cotter-wire, from Python's `cryptography` (OpenSSL underneath) and the standard library.

`keys` prints, all else writes files beside this one. Everything is fixed (keys, IVs, nonces), except `release`, whose
signing keys are new each time and then thrown away.
"""
import base64, hashlib, hmac, json, pathlib, struct, subprocess, sys, tempfile
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.asymmetric import utils
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
            (b"command", 32),
            (b"command-result", 32),
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


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout


def release():
    """Makes new keys and signatures each time; the private keys are thrown away."""
    folder = here("release")
    folder.mkdir(exist_ok=True)
    image = hashlib.shake_256(b"cotter image").digest(5000)
    content_key, iv = b"\x5a" * 32, b"\x1f" * 16
    content = cbc(content_key, iv, pad(image))
    (folder / "image.bin").write_bytes(image)
    (folder / "content.bin").write_bytes(content)
    body = json.dumps({
        "format": 1, "project": "cotter-app", "chip": "esp32c3", "version": "1.1.0", "secure_version": 1,
        "size": len(image), "sha256": hashlib.sha256(image).hexdigest(), "encrypted_size": len(content),
        "chunk_size": 2048, "iv": iv.hex(), "issued": 1_800_000_000, "expires": 1_800_604_800},
        separators=(",", ":")).encode()
    (folder / "body.json").write_bytes(body)
    nonce = b"\x77" * 12
    aad = (b"cotter/content-key/v1\0" + bytes([len(DEVICE)]) + DEVICE + struct.pack(">I", EPOCH)
           + hashlib.sha256(body).digest())
    wrapped = AESGCM(key(b"firmware-unwrap", 32)).encrypt(nonce, content_key, aad)
    with tempfile.TemporaryDirectory() as name:
        secret = pathlib.Path(name)
        options = {
            "rsa": ("RSA", "rsa_keygen_bits:2048"), "rsa-e3": ("RSA", "rsa_keygen_bits:2048", "rsa_keygen_pubexp:3"),
            "rsa3072": ("RSA", "rsa_keygen_bits:3072"), "p256": ("EC", "ec_paramgen_curve:P-256"),
            "p384": ("EC", "ec_paramgen_curve:P-384"), "ed25519": ("ED25519",),
        }
        for kind, (algorithm, *settings) in options.items():
            openssl("genpkey", "-algorithm", algorithm, "-out", secret / kind,
                    *[part for setting in settings for part in ("-pkeyopt", setting)])
            openssl("pkey", "-in", secret / kind, "-pubout", "-outform", "DER", "-out", folder / f"{kind}.spki.der")
        openssl("ec", "-in", secret / "p256", "-pubout", "-conv_form", "compressed", "-outform", "DER",
                "-out", folder / "p256-compressed.spki.der")
        (secret / "message").write_bytes(b"cotter/manifest/v1\0" + body)
        (secret / "body").write_bytes(body)

        def sign(kind, *settings, digest="-sha256", message="message"):
            return openssl("dgst", digest, "-sign", secret / kind,
                           *[part for setting in settings for part in ("-sigopt", setting)], secret / message)

        pss = ("rsa_padding_mode:pss", "rsa_pss_saltlen:32")
        der = sign("p256")
        r, s = utils.decode_dss_signature(der)
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        signatures = {
            "rsa": ("rsa", "rsa-pss-2048", sign("rsa", *pss)),
            "p256": ("p256", "es256", raw),
            "rsa-salt-max": ("rsa", "rsa-pss-2048", sign("rsa", "rsa_padding_mode:pss", "rsa_pss_saltlen:max")),
            "rsa-salt-0": ("rsa", "rsa-pss-2048", sign("rsa", "rsa_padding_mode:pss", "rsa_pss_saltlen:0")),
            "rsa-mgf1-sha1": ("rsa", "rsa-pss-2048", sign("rsa", *pss, "rsa_mgf1_md:sha1")),
            "rsa-sha512": ("rsa", "rsa-pss-2048", sign("rsa", *pss, digest="-sha512")),
            "rsa-pkcs1-v1_5": ("rsa", "rsa-pss-2048", sign("rsa")),
            "rsa-without-domain": ("rsa", "rsa-pss-2048", sign("rsa", *pss, message="body")),
            "p256-der": ("p256", "es256", der),
            "p256-zero": ("p256", "es256", bytes(64)),
            "p256-without-domain": ("p256", "es256", None),
            "p256-as-rsa": ("p256", "rsa-pss-2048", raw),
            "rsa3072": ("rsa3072", "rsa-pss-2048", sign("rsa", *pss)),
        }
        r, s = utils.decode_dss_signature(sign("p256", message="body"))
        signatures["p256-without-domain"] = ("p256", "es256", r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def entry(name):
        kind, algorithm, signature = signatures[name]
        key_id = hashlib.sha256((folder / f"{kind}.spki.der").read_bytes()).hexdigest()[:16]
        return {"key_id": key_id, "alg": algorithm, "signature": base64.b64encode(signature).decode()}

    def envelope(name, entries, content_key=False):
        value = {"manifest": base64.b64encode(body).decode(), "signatures": entries}
        if content_key:
            value["content_key"] = {"epoch": EPOCH, "nonce": nonce.hex(), "wrapped": wrapped.hex()}
        (folder / f"{name}.json").write_text(json.dumps(value, separators=(",", ":")))

    envelope("envelope", [entry("rsa"), entry("p256")], True)
    for name in signatures:
        envelope(f"by-{name}", [entry(name)])


def here(name):
    return pathlib.Path(__file__).parent / name


if __name__ == "__main__":
    for topic in sys.argv[1:]:
        globals()[topic]()

"""The other side of interop/tests/encrypted_image.rs: `peer.py CASES.json OUT.json` opens what cotter encrypted, and
encrypts the same images for cotter to open. Written from the format's description; exits with 1 at the first difference."""
import hashlib, json, os, struct, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = hashlib.sha256(b"esp_encrypted_img").digest()[:4][::-1]
SALT = bytes.fromhex("0e2160642dae76d33448e43d7720123d9f3b1eceb88e573a4e8f7fb94ff0c869")
CURVE, ECDH = ec.SECP256R1(), ec.ECDH()


def private_key(case):
    if "hmac_key" in case:
        scalar = hashlib.pbkdf2_hmac("sha256", bytes.fromhex(case["hmac_key"]), SALT, 2048)
        return ec.derive_private_key(int.from_bytes(scalar, "big"), CURVE)
    return serialization.load_pem_private_key(case["key"].encode(), None)


def agreed(ours, theirs, salt):
    shared = ours.exchange(ECDH, theirs)
    return HKDF(hashes.SHA256(), 32, salt, b"_esp_enc_img_ecc").derive(shared)


def decrypt(file, key):
    wrapped, iv, length, tag = file[4:388], file[388:404], struct.unpack("<I", file[404:408])[0], file[408:424]
    assert file[:4] == MAGIC and not any(file[424:512]) and len(file) == 512 + length
    if isinstance(key, ec.EllipticCurvePrivateKey):
        assert not any(wrapped[96:])
        point = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, b"\4" + wrapped[:64])
        content_key = agreed(key, point, wrapped[64:96])
    else:
        content_key = key.decrypt(wrapped, padding.PKCS1v15())
        assert len(content_key) == 32
    return AESGCM(content_key).decrypt(iv, file[512:] + tag, None)


def encrypt(image, key):
    if isinstance(key, ec.EllipticCurvePublicKey):
        ephemeral, salt = ec.generate_private_key(CURVE), os.urandom(32)
        content_key = agreed(ephemeral, key, salt)
        encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        wrapped = ephemeral.public_key().public_bytes(encoding, form)[1:] + salt + bytes(288)
    else:
        content_key = os.urandom(32)
        wrapped = key.encrypt(content_key, padding.PKCS1v15())
    iv = os.urandom(16)
    sealed = AESGCM(content_key).encrypt(iv, image, None)
    head = MAGIC + wrapped + iv + struct.pack("<I", len(image)) + sealed[-16:]
    return head.ljust(512, b"\0") + sealed[:-16]


def locked(key):
    encryption = serialization.BestAvailableEncryption(b"a password")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


cases, answers = json.load(open(sys.argv[1])), []
for case in cases:
    image, key = bytes.fromhex(case["image"]), private_key(case)
    assert decrypt(bytes.fromhex(case["file"]), key) == image, "cotter's file holds another image"
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert public.decode() == case["public"], "another public key"
    answers.append({"file": encrypt(image, key.public_key()).hex(), "locked": locked(key)})
json.dump(answers, open(sys.argv[2], "w"))
print(f"opened and made {len(cases)} files")

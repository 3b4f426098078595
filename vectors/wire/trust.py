"""Trust statements by Python's `cryptography`, written from docs/protocol.md without looking at the Rust code.

trust.py sign            generates keys, signs a chain of statements, prints them with the keys
trust.py verify CASES   checks statements that Cotter signed, and that they have the one spelling
"""
import base64
import hashlib
import json
import random
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

DOMAIN = b"cotter/trust/v1\0"


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def b64(data):
    return base64.b64encode(data).decode()


def sign(key, body):
    message, public = DOMAIN + body, key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        alg, made = "rsa-pss-2048", key.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    else:
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        alg, made = "es256", r.to_bytes(32, "big") + s.to_bytes(32, "big")
    key_id = hashlib.sha256(spki(public)).hexdigest()[:16]
    return {"key_id": key_id, "alg": alg, "signature": b64(made)}


def statement(number, keys, required, secure_boot, signers):
    body = {"format": 1, "project": "cotter-app", "number": number, "required": required,
            "keys": [b64(spki(key.public_key())) for key in keys], "secure_boot": secure_boot}
    body = json.dumps(body, separators=(",", ":")).encode()
    signed = {"statement": b64(body), "signatures": [sign(key, body) for key in signers]}
    return json.dumps(signed, separators=(",", ":"))


def fresh():
    if random.random() < 0.3:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def make():
    old, new, last = [[fresh() for _ in range(2)] for _ in range(3)]
    digests = [random.randbytes(32).hex() for _ in range(random.randrange(4))]
    print(json.dumps({
        "keys": [spki(key.public_key()).hex() for key in old], "required": 2,
        "chain": [statement(1, new, 2, digests, old + new), statement(2, last, 1, [], new + last[:1])],
        "unsigned_by_old": statement(1, new, 2, [], new),
        "unsigned_by_new": statement(1, new, 2, [], old + new[:1]),
    }))


def check(path):
    for case in json.load(open(path)):
        signed = json.loads(case["statement"])
        assert json.dumps(signed, separators=(",", ":")) == case["statement"], "another spelling"
        body = base64.b64decode(signed["statement"], validate=True)
        said = json.loads(body)
        assert json.dumps(said, separators=(",", ":")).encode() == body, "another spelling of the body"
        assert list(said) == ["format", "project", "number", "required", "keys", "secure_boot"]
        assert said["number"] == case["number"] and said["required"] == case["required"]
        own = {hashlib.sha256(der).hexdigest()[:16]: der for der in map(base64.b64decode, said["keys"])}
        old = {hashlib.sha256(der).hexdigest()[:16]: der for der in map(bytes.fromhex, case["old_keys"])}
        valid = set()
        for signature in signed["signatures"]:
            der = {**own, **old}.get(signature["key_id"])
            if der is None:
                continue  # a key of neither side counts for nothing
            key = serialization.load_der_public_key(der)
            made = base64.b64decode(signature["signature"], validate=True)
            try:
                if signature["alg"] == "rsa-pss-2048":
                    key.verify(made, DOMAIN + body, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
                else:
                    made = utils.encode_dss_signature(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:], "big"))
                    key.verify(made, DOMAIN + body, ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                sys.exit("a signature does not match")
            valid.add(signature["key_id"])
        assert len(valid & set(own)) >= said["required"], "too few new keys"
        assert len(valid & set(old)) >= case["old_required"], "too few old keys"
    print("ok")


if __name__ == "__main__":
    make() if sys.argv[1] == "sign" else check(sys.argv[2])

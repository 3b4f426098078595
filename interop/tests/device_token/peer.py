"""Device tokens by PyJWT. `sign COUNT` makes keys and tokens of random claims; `verify FILE` believes or ends with an error."""
import base64, datetime, json, random, sys
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
DAY = 24 * 60 * 60

def b64(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "unused")])
    now = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM).decode()

def raw(key, message):
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")

def spaced(key, algorithm, claims):
    """As MicroPython's ujson writes it, and in another order."""
    claims = {name: claims[name] for name in ("exp", "aud", "iat")}
    message = b64(b'{"typ":"JWT","alg":"%s"}' % algorithm.encode()) + "." + b64(json.dumps(claims).encode())
    return message + "." + b64(raw(key, message.encode()))

def sign(count):
    def new(algorithm):
        if algorithm == "ES256": return ec.generate_private_key(ec.SECP256R1())
        return rsa.generate_private_key(65537, random.choice([2048, 3072]))
    pool = {algorithm: [new(algorithm) for _ in range(3)] for algorithm in ("ES256", "RS256")}
    certificates = {id(key): certificate(key) for keys in pool.values() for key in keys}
    cases = []
    for index in range(count):
        algorithm = ("ES256", "RS256")[index % 2]
        key, other = random.sample(pool[algorithm], 2)
        aud = "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789-:.", k=random.randint(1, 40)))
        iat = random.randint(10**9, 2**32)
        claims = {"aud": aud, "iat": iat, "exp": iat + random.randint(0, DAY)}
        extra = {"nbf": iat + DAY, "sub": "d\u00e9vice \"1\"", "jti": None, "flags": [True, {"deep": [1.5e-3]}], "n": -1}
        claims.update({name: extra[name] for name in random.sample(sorted(extra), random.randint(0, 5))})
        claims = dict(random.sample(sorted(claims.items(), key=lambda item: item[0]), len(claims)))
        headers = random.choice([None, {"kid": "../../key"}, {"typ": None}, {"x5t": "YQ", "cty": "x"}])
        make = lambda changed, algorithm=algorithm, key=key: jwt.encode({**claims, **changed}, key, algorithm=algorithm)
        pem = key.public_key().public_bytes(PEM, SPKI)
        # PyJWT does not help with the classic confusion: it is made by hand.
        confused = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(json.dumps(claims).encode())
        mac = __import__("hmac").new(pem, confused.encode(), "sha256").digest()
        without = {name: value for name, value in claims.items() if name != "aud"}
        prefix = "ES256" if algorithm == "ES256" else "RSA"
        cases.append({
            "token": jwt.encode(claims, key, algorithm=algorithm, headers=headers),
            "spaced": spaced(key, algorithm, claims),
            "aud": aud, "iat": iat, "exp": claims["exp"],
            "spki": key.public_key().public_bytes(DER, SPKI).hex(),
            "other_spki": other.public_key().public_bytes(DER, SPKI).hex(),
            "keys": {prefix + "_PEM": pem.decode(), prefix + "_X509_PEM": certificates[id(key)]},
            "bad": {
                "none": jwt.encode(claims, None, algorithm="none"),
                "hmac": confused + "." + b64(mac),
                "other_hash": jwt.encode(claims, pool["RS256"][0], algorithm=random.choice(["RS384", "RS512", "PS256"])),
                "many_audiences": make({"aud": [aud]}),
                "no_audience": jwt.encode(without, key, algorithm=algorithm),
                "fraction": make({"iat": iat + 0.5}),
                "far": make({"exp": iat + DAY + 601}),
                "future": make({"iat": iat + 601, "exp": iat + 700}),
                "expired": make({"iat": iat - 1000, "exp": iat - 600}),
            },
        })
    print(json.dumps(cases))

def verify(cases):
    for case in cases:
        key = serialization.load_der_public_key(bytes.fromhex(case["spki"]))
        algorithm = "RS256" if isinstance(key, rsa.RSAPublicKey) else "ES256"
        assert jwt.get_unverified_header(case["token"]) == {"typ": "JWT", "alg": algorithm}
        options = {"verify_exp": False, "verify_iat": False, "require": ["aud", "iat", "exp"]}
        claims = jwt.decode(case["token"], key, algorithms=[algorithm], audience=case["aud"], options=options)
        assert claims == {name: case[name] for name in ("aud", "iat", "exp")}
    print("ok")

if sys.argv[1] == "sign":
    sign(int(sys.argv[2]))
else:
    verify(json.load(open(sys.argv[2])))

"""The other side of interop/tests/secure_debug.rs: `check.py CASES.json` puts each certificate together again with
espsecure's own functions, and verifies its signature. Exits with 1 at the first difference."""
import json, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from espsecure.esp_sdc import SDCCertificateGenerator, _calculate_chip_info

theirs, cases = SDCCertificateGenerator(), json.load(open(sys.argv[1]))
for case in cases:
    ours = bytes.fromhex(case["certificate"])
    point, nonce = ours[276:340], ours[436:]
    r, s = int.from_bytes(ours[340:372], "big"), int.from_bytes(ours[372:404], "big")
    usc = theirs.generate_usc_data(*case["unlock"])
    body = theirs.create_sdc_certificate(usc, point, r, s, theirs.calculate_cert_hash(usc, point, r, s))
    assert ours == body + nonce, "espsecure writes other bytes"
    chip_info = _calculate_chip_info(case["mac"], case["counter"], nonce)
    assert chip_info.hex() == case["chip_info"], "another chip info"
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + point)
    key.verify(utils.encode_dss_signature(r, s), usc + chip_info, ec.ECDSA(hashes.SHA256()))
print(f"checked {len(cases)} certificates")

"""Azure's signatures by Python's hmac and urllib; AWS's by cryptography. Reads cases, ends with an error at the first difference."""
import base64, hmac, json, sys, urllib.parse
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

def quoted(text): return urllib.parse.quote(text, safe="")

def mac(key, message): return base64.b64encode(hmac.new(base64.b64decode(key), message.encode(), "sha256").digest()).decode()

def azure(case):
    key = case["key"]
    if "registration" in case:
        key = mac(key, case["registration"])
        assert case["derived"] == key, case
        resource, rest = case["scope"] + "/registrations/" + case["registration"], "&skn=registration"
    else:
        resource, rest = case["hub"] + "/devices/" + case["device"], ""
    signature = mac(key, quoted(resource) + "\n" + str(case["expiry"]))
    expected = f"SharedAccessSignature sr={quoted(resource)}&sig={quoted(signature)}&se={case['expiry']}{rest}"
    assert case["sas"] == expected, (case, expected)
    fields = urllib.parse.parse_qs(case["sas"].split(" ", 1)[1], strict_parsing=True)
    assert fields["sr"] == [resource] and fields["sig"] == [signature], fields

def aws(case):
    user, query = case["user_name"].split("?")
    fields = urllib.parse.parse_qs(query, strict_parsing=True)
    names = {"x-amz-customauthorizer-name", case["token_key"], "x-amz-customauthorizer-signature"}
    assert user == case["user"] and set(fields) == names, fields
    assert fields["x-amz-customauthorizer-name"] == [case["authorizer"]], fields
    [token], [signature] = fields[case["token_key"]], fields["x-amz-customauthorizer-signature"]
    assert token == case["token"], fields
    key = serialization.load_pem_public_key(case["public"].encode())
    key.verify(base64.b64decode(signature, validate=True), token.encode(), padding.PKCS1v15(), hashes.SHA256())

for case in json.load(open(sys.argv[1])):
    (aws if "user_name" in case else azure)(case)
print("ok")

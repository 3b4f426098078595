"""Certificates for servers and clients in a folder, and the CSV of a manufacturing partition that has them."""
import datetime
import ipaddress
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOLDER = sys.argv[1]
NOW = datetime.datetime.now(datetime.timezone.utc)


def issue(name, issuer=None, is_ca=False, names=()):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(issuer[0].subject if issuer else subject).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - datetime.timedelta(days=1)).not_valid_after(NOW + datetime.timedelta(days=9))
    builder = builder.add_extension(x509.BasicConstraints(is_ca, None), True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), False)
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    with open(f"{FOLDER}/{name}.pem", "wb") as file:
        file.write(certificate.public_bytes(pem))
    with open(f"{FOLDER}/{name}.key", "wb") as file:
        plain = serialization.NoEncryption()
        file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return certificate, key


ca = issue("ca", is_ca=True)
issue("other-ca", is_ca=True)
issue("server", ca, names=[x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
issue("client", ca)
with open(f"{FOLDER}/mfg_nvs.csv", "w") as csv:
    csv.write("key,type,encoding,value\n")
    for name, file in [("mqtt_ca", "ca.pem"), ("mqtt_cert", "client.pem"), ("mqtt_key", "client.key")]:
        csv.write(f"{name},namespace,,\n{name},file,binary,{FOLDER}/{file}\n")

"""Microchip's atcacert (cryptoauthlib 20260505) on a part whose slot 10 has a certificate that Cotter compressed, and the
other way round.

usage: certificate.py ADDRESS FOLDER

FOLDER: whole.der, the certificate; template.der, one by the same CA for another key and another part, on another day;
ca.point, X and Y of the CA's key. Left there: written.bin, what atcacert stored in slot 12 of whole.der.
"""

import ctypes
import pathlib
import sys

import hal
from cryptoauthlib import *
from cryptoauthlib.atcacert import *
from cryptoauthlib.library import AtcaReference
from cryptography import x509

TBS, SERIAL, ALGORITHM = 4, 15, 12


def read(name):
    return (folder / name).read_bytes()


def place(zone, slot, count, is_genkey=0):
    return {"zone": zone, "slot": slot, "is_genkey": is_genkey, "offset": 0, "count": count}


def definition(template, slot):
    """Where in the template what is. The lengths are those of any certificate of this CA for such a part."""
    parsed = x509.load_der_x509_certificate(template)
    tbs = parsed.tbs_certificate_bytes
    issued = template.index(b"\x17\x0d")
    expires = issued + 15
    generalized = template[expires] == 0x18
    name = parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value.encode()
    subject = template.index(name, expires)
    subject_id = parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    point = template.index(b"\x03\x42\x00\x04") + 4
    assert template[13:15] == b"\x02\x14" and len(name) == 18
    found = atcacert_def_t()
    found.type, found.private_key_slot, found.template_id, found.chain_id = 0, 0, 1, 0
    found.std_sig_size, found.sn_source = 64, 0xA
    found.comp_cert_dev_loc = atcacert_device_loc_t(**place(2, slot, 72))
    found.cert_sn_dev_loc = atcacert_device_loc_t(**place(7, 0, 0))
    found.public_key_dev_loc = atcacert_device_loc_t(**place(2, 0, 64, 1))
    found.issue_date_format, found.expire_date_format = 1, 4 if generalized else 1
    found.tbs_cert_loc = atcacert_cert_loc_t(TBS, len(tbs))
    lives = parsed.not_valid_after_utc.year - parsed.not_valid_before_utc.year
    found.expire_years = lives
    locations = [
        (point, 64), (TBS + len(tbs) + ALGORITHM, 64), (issued + 2, 13), (expires + 2, 15 if generalized else 13), (0, 0),
        (SERIAL, 20), (0, 0), (template.index(subject_id), 20)]  # the issuer's key identifier is in the template
    found.std_cert_elements = (atcacert_cert_loc_t * 8)(*(atcacert_cert_loc_t(*one) for one in locations))
    serial = []
    for label, offset, count, at in ((b"SN03", 0, 4, subject), (b"SN48", 8, 5, subject + 8)):
        element = atcacert_cert_element_t()
        element.id = label
        element.device_loc = atcacert_device_loc_t(zone=0, slot=0, is_genkey=0, offset=offset, count=count)
        element.cert_loc = atcacert_cert_loc_t(at, 2 * count)
        element.transforms = (ctypes.c_uint * 2)(3, 0)
        serial.append(element)
    elements = (atcacert_cert_element_t * 2)(*serial)
    content = (ctypes.c_uint8 * len(template))(*template)
    found.cert_elements, found.cert_elements_count = ctypes.cast(elements, ctypes.POINTER(atcacert_cert_element_t)), 2
    found.cert_template, found.cert_template_size = ctypes.cast(content, ctypes.POINTER(ctypes.c_uint8)), len(template)
    return found, (elements, content)


address, folder = sys.argv[1], pathlib.Path(sys.argv[2])
bus = hal.Bus(address)
kept = hal.attach(bus)

whole = read("whole.der")
cert_def, alive = definition(read("template.der"), 10)
size, cert = AtcaReference(1024), bytearray(1024)
status = atcacert_read_cert(cert_def, read("ca.point"), cert, size)
assert status == 0, hex(status)
assert bytes(cert[:size.value]) == whole, (bytes(cert[:size.value]).hex(), whole.hex())

cert_def, alive = definition(whole, 12)
status = atcacert_write_cert(cert_def, whole, len(whole))
assert status == 0, hex(status)
stored = bytearray(72)
assert atcab_read_bytes_zone(2, 12, 0, stored, 72) == 0
(folder / "written.bin").write_bytes(bytes(stored))
print(f"read {size.value} bytes out of 72, wrote 72 out of {len(whole)}")

"""Microchip's cryptoauthlib on a simulated part, from blank to locked; what it computes is held against OpenSSL.

usage: session.py ADDRESS SEED
"""

import ctypes
import hashlib
import hmac
import random
import sys

import hal
from cryptoauthlib import *
from cryptoauthlib.library import AtcaReference, get_cryptoauthlib
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

EXECUTION, MISCOMPARE = 0xF4, 0xD1
checks = 0


def ok(status, what=""):
    same(int(status) & 0xFF, 0, what)


def refused(status, expected, what=""):
    same(int(status) & 0xFF, expected, what)


def same(found, expected, what=""):
    global checks
    checks += 1
    assert found == expected, f"{what}: expected {expected!r}, got {found!r}"


def bytes_of(count, function, *arguments):
    """The result that a function leaves in its last argument."""
    out = bytearray(count)
    ok(function(*arguments, out), function.__name__)
    return bytes(out)


def flag_of(function, *arguments):
    out = AtcaReference(0)
    ok(function(*arguments, out), function.__name__)
    return bool(out.value)


def public_of(point):
    return ec.EllipticCurvePublicNumbers(
        int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big"), ec.SECP256R1()).public_key()


def point_of(public):
    numbers = public.public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def openssl_accepts(point, digest, signature):
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        public_of(point).verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return True
    except InvalidSignature:
        return False


def openssl_sign(key, digest):
    r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


def kdf(mode, key_id, details, message, length):
    """The C function: Python's wants buffers where there is nothing to come."""
    out, nonce = ctypes.create_string_buffer(length), ctypes.create_string_buffer(32)
    ok(get_cryptoauthlib().atcab_kdf(mode, key_id, details | len(message) << 24, message, out, nonce), "KDF")
    return out.raw, nonce.raw


def secure_boot_status(mode, digest, signature):
    return get_cryptoauthlib().atcab_secureboot(mode, 0, digest, signature, None)


def crc16(data):
    value = 0
    for byte in data:
        for bit in range(8):
            value = (value << 1 & 0xFFFF) ^ (0x8005 if (byte >> bit & 1) != value >> 15 else 0)
    return value


SLOTS = [36] * 8 + [416] + [72] * 7
IO_KEY_SLOT, SECRET, AES_SLOT, KDF_SLOT, PARENT, CHILD, OPEN = 4, 3, 13, 5, 11, 14, 12
SERIAL = bytes.fromhex("ee0123")


def configuration():
    """That of Microchip's own tests, as a board in the field has it, with keys of three more kinds."""
    config = bytearray.fromhex(
        "012310ba0000600268e82c53ee013500c000a100af2fc4448720c4f48f0f0f0f9f8f8364c444c4640f0f0f0f0f0f0f0f"
        "0f0f0f0fffffffff00000000ffffffff00000000ff8403bc09697600000000000000000000005555ffff0e4000000000"
        "33001c0013001c003c003e001c0033003c003c003c003c003c003c003c001c00")

    def key_config(slot, value):
        config[96 + 2 * slot:98 + 2 * slot] = value.to_bytes(2, "little")

    key_config(PARENT, 0x0030)
    key_config(CHILD, 0x0032)
    key_config(AES_SLOT, 0x003A)
    config[20 + 2 * CHILD:22 + 2 * CHILD] = (0x1F00 | PARENT).to_bytes(2, "little")
    return config


def personalise(randomness):
    """Blank part to locked part. Returns what the host knows of it."""
    revision = bytes_of(4, atcab_info)
    same(revision[2], 0x60)
    serial = bytes_of(9, atcab_read_serial_number)
    same((serial[:2], serial[8:]), (bytes.fromhex("0123"), b"\xee"))
    same(bytes_of(32, atcab_random), bytes.fromhex("ffff0000") * 8, "random numbers of an open part")
    same((flag_of(atcab_is_locked, 0), flag_of(atcab_is_locked, 1)), (False, False))
    refused(atcab_genkey(2, bytearray(64)), EXECUTION, "a key in an open part")
    refused(atcab_write_zone(2, OPEN, 0, 0, bytes(32), 32), EXECUTION, "a slot of an open part")

    config = configuration()
    ok(atcab_write_config_zone(config), "configuration")
    assert flag_of(atcab_cmp_config_zone, config)
    whole = bytes_of(128, atcab_read_config_zone)
    same(whole[16:84], bytes(config[16:84]))
    same(whole[88:], bytes(config[88:]))
    refused(atcab_lock_config_zone_crc(crc16(whole) ^ 1), EXECUTION, "a wrong summary")
    ok(atcab_lock_config_zone_crc(crc16(whole)), "lock configuration")
    refused(atcab_lock_config_zone(), EXECUTION, "it is locked")
    refused(atcab_write_config_zone(config), EXECUTION, "it is locked")
    assert bytes_of(32, atcab_random) != bytes_of(32, atcab_random)

    io_key, secret = randomness.randbytes(32), randomness.randbytes(32)
    parent = ec.derive_private_key(randomness.getrandbits(255) + 1, ec.SECP256R1())
    content = {slot: bytearray(b"\xff" * size) for slot, size in enumerate(SLOTS)}
    for slot, data in [(IO_KEY_SLOT, io_key), (SECRET, secret), (AES_SLOT, randomness.randbytes(64)),
                       (8, randomness.randbytes(416)), (10, (2**21 - 32).to_bytes(4, "little") * 2 + bytes(24))]:
        ok(atcab_write_bytes_zone(2, slot, 0, data, len(data)), f"slot {slot}")
        content[slot][:len(data)] = data
    ok(atcab_write_pubkey(PARENT, point_of(parent.public_key())))
    point = point_of(parent.public_key())
    content[PARENT][:] = bytes(4) + point[:32] + bytes(4) + point[32:]
    refused(atcab_read_zone(2, OPEN, 0, 0, bytearray(32), 32), EXECUTION, "nothing is read before the lock")
    slots = b"".join(bytes(content[slot]) for slot in range(16) if slot not in (0, 2, 7))
    summary = crc16(slots + b"\xff" * 64)
    refused(atcab_lock_data_zone_crc(summary ^ 1), EXECUTION, "a wrong summary")
    ok(atcab_lock_data_zone_crc(summary), "lock data")
    same((flag_of(atcab_is_locked, 0), flag_of(atcab_is_locked, 1)), (True, True))
    return io_key, secret, parent, bytes(content[AES_SLOT][:64]), bytes(content[8]), serial


def signatures(io_key, randomness):
    point = bytes_of(64, atcab_genkey, 2)
    same(bytes_of(64, atcab_get_pubkey, 2), point)
    digest = randomness.randbytes(32)
    signature = bytes_of(64, atcab_sign, 2, digest)
    assert openssl_accepts(point, digest, signature)
    assert flag_of(atcab_verify_extern, digest, signature, point)
    assert not flag_of(atcab_verify_extern, randomness.randbytes(32), signature, point)
    nonce = randomness.randbytes(32)
    assert flag_of(atcab_verify_extern_mac, digest, signature, point, nonce, io_key)
    assert not flag_of(atcab_verify_extern_mac, digest, signature, point, nonce, bytes(32)), "another I/O key"
    host = ec.derive_private_key(randomness.getrandbits(255) + 1, ec.SECP256R1())
    theirs = openssl_sign(host, digest)
    assert flag_of(atcab_verify_extern, digest, theirs, point_of(host.public_key()))
    damaged = bytes([theirs[0] ^ 1]) + theirs[1:]
    assert not flag_of(atcab_verify_extern, digest, damaged, point_of(host.public_key()))
    refused(atcab_sign(4, digest, bytearray(64)), EXECUTION, "a slot without a private key")
    refused(atcab_genkey(4, bytearray(64)), EXECUTION, "a slot for a secret")


def stored_keys(io_key, parent, randomness):
    digest = randomness.randbytes(32)
    signature = openssl_sign(parent, digest)
    assert flag_of(atcab_verify_stored, digest, signature, PARENT)
    assert not flag_of(atcab_verify_stored, randomness.randbytes(32), signature, PARENT)
    assert flag_of(atcab_verify_stored_mac, digest, signature, PARENT, randomness.randbytes(32), io_key)
    # The child is of use once its parent has signed for it.
    child = ec.derive_private_key(randomness.getrandbits(255) + 1, ec.SECP256R1())
    point = point_of(child.public_key())
    ok(atcab_write_pubkey(CHILD, point))
    signed = openssl_sign(child, digest)
    refused(atcab_verify_stored(digest, signed, CHILD, AtcaReference(0)), EXECUTION, "not validated")
    for changes, expected in [(atcab_verify_validate, 0), (atcab_verify_invalidate, EXECUTION)]:
        nonce = randomness.randbytes(32)
        ok(atcab_nonce(nonce))
        ok(atcab_genkey_base(0x10, CHILD, bytes(3), None), "digest of the public key")
        # 9.7 and 9.20 of the data sheet.
        message = sha256(nonce, b"\x40", bytes(3), SERIAL, bytes(25), point)
        other = bytearray(19)
        other[17] = 1 if changes is atcab_verify_invalidate else 0
        message = sha256(message, b"\x41", other[:10], SERIAL[:1], other[10:14], SERIAL[1:], other[14:])
        assert flag_of(changes, CHILD, openssl_sign(parent, message), other)
        refused(atcab_verify_stored(digest, signed, CHILD, AtcaReference(0)), expected)


def agreement(io_key, randomness):
    point = bytes_of(64, atcab_genkey, 2)
    host = ec.derive_private_key(randomness.getrandbits(255) + 1, ec.SECP256R1())
    theirs = point_of(host.public_key())
    expected = host.exchange(ec.ECDH(), public_of(point))
    same(bytes_of(32, atcab_ecdh, 2, theirs), expected, "ECDH in the clear")
    out = bytearray(32)
    ok(atcab_ecdh_ioenc(2, theirs, out, io_key))
    same(bytes(out), expected, "ECDH under the I/O protection key")
    point = bytes_of(64, atcab_genkey, 0xFFFF)
    same(bytes_of(32, atcab_ecdh_tempkey, theirs), host.exchange(ec.ECDH(), public_of(point)), "ECDH of an ephemeral key")
    point = bytes_of(64, atcab_genkey, 0xFFFF)
    ok(atcab_ecdh_tempkey_ioenc(theirs, out, io_key))
    same(bytes(out), host.exchange(ec.ECDH(), public_of(point)))


def secrets(io_key, secret, slot8, randomness):
    out = bytearray(32)
    ok(atcab_read_enc(SECRET, 0, out, io_key, IO_KEY_SLOT, randomness.randbytes(20)))
    same(bytes(out), secret, "encrypted read")
    ok(atcab_read_enc(8, 12, out, io_key, IO_KEY_SLOT, randomness.randbytes(20)))
    same(bytes(out), slot8[384:], "encrypted read of the last block")
    other = randomness.randbytes(32)
    ok(atcab_write_enc(SECRET, 0, other, io_key, IO_KEY_SLOT, randomness.randbytes(20)))
    ok(atcab_read_enc(SECRET, 0, out, io_key, IO_KEY_SLOT, randomness.randbytes(20)))
    same(bytes(out), other, "encrypted write")
    refused(atcab_write_enc(SECRET, 0, secret, bytes(32), IO_KEY_SLOT, bytes(20)), EXECUTION, "under another key")
    refused(atcab_read_zone(2, SECRET, 0, 0, bytearray(32), 32), EXECUTION, "in the clear")
    refused(atcab_read_zone(2, 2, 0, 0, bytearray(32), 32), EXECUTION, "a private key")
    data = randomness.randbytes(72)
    ok(atcab_write_bytes_zone(2, OPEN, 0, data, 72))
    found = bytearray(72)
    ok(atcab_read_bytes_zone(2, OPEN, 0, found, 72))
    same(bytes(found), data, "an open slot")
    ok(atcab_write_bytes_zone(2, OPEN, 4, b"word", 4))
    ok(atcab_read_bytes_zone(2, OPEN, 0, found, 72))
    same(bytes(found), data[:4] + b"word" + data[8:])
    # A private key that the host made.
    key = ec.derive_private_key(randomness.getrandbits(255) + 1, ec.SECP256R1())
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    ok(atcab_priv_write(7, bytes(4) + scalar, IO_KEY_SLOT, io_key, randomness.randbytes(20)))
    same(bytes_of(64, atcab_get_pubkey, 7), point_of(key.public_key()), "PrivWrite")


def macs(io_key, serial, randomness):
    challenge = randomness.randbytes(32)
    found = bytearray(32)
    ok(atcab_mac(0x40, IO_KEY_SLOT, challenge, found))
    same(bytes(found), sha256(io_key, challenge, bytes([8, 0x40, IO_KEY_SLOT, 0]), bytes(11), serial[8:], serial[4:8],
                              serial[:2], serial[2:4]), "MAC")
    other = randomness.randbytes(13)
    response = sha256(io_key, challenge, other[:4], bytes(8), other[4:7], SERIAL[:1], other[7:11], SERIAL[1:],
                      other[11:])
    ok(atcab_checkmac(0, IO_KEY_SLOT, challenge, response, other))
    refused(atcab_checkmac(0, IO_KEY_SLOT, challenge, bytes(32), other), MISCOMPARE)
    # The library's own host side: nonce, GenDig and MAC over TempKey.
    number, out = randomness.randbytes(20), bytearray(32)
    ok(atcab_nonce_rand(number, out))
    temp = sha256(out, number, b"\x16\x00\x00")
    ok(atcab_gendig(2, IO_KEY_SLOT, b"", 0))
    temp = sha256(io_key, bytes([0x15, 2, IO_KEY_SLOT, 0]), SERIAL, bytes(25), temp)
    ok(atcab_mac(0x01, IO_KEY_SLOT, bytes(32), found))
    same(bytes(found), sha256(io_key, temp, bytes([8, 1, IO_KEY_SLOT, 0]), bytes(11), SERIAL[:1], bytes(4), SERIAL[1:],
                              bytes(2)), "MAC over GenDig")


def digests(io_key, randomness):
    for length in [0, 1, 55, 56, 63, 64, 65, 127, 128, 200]:
        message = randomness.randbytes(length)
        same(bytes_of(32, atcab_hw_sha2_256, message, length), sha256(message), f"SHA-256 of {length} bytes")
    for length in [0, 64, 100]:
        message, found = randomness.randbytes(length), bytearray(32)
        ok(atcab_sha_hmac(message, length, IO_KEY_SLOT, found, 0xC0))
        same(bytes(found), hmac.digest(io_key, message, "sha256"), f"HMAC of {length} bytes")
    first, second = randomness.randbytes(64), randomness.randbytes(30)
    ok(atcab_sha_start())
    ok(atcab_sha_update(first))
    context, size = bytearray(99), AtcaReference(99)
    ok(atcab_sha_read_context(context, size))
    ok(atcab_sha_start())
    ok(atcab_sha_write_context(context[:size.value], size.value))
    found = bytearray(32)
    ok(atcab_sha_end(found, len(second), second))
    same(bytes(found), sha256(first, second), "a context that was taken out and put back")


def blocks(aes_keys, randomness):
    for key_block in range(4):
        key, plain = aes_keys[16 * key_block:][:16], randomness.randbytes(16)
        out = bytearray(16)
        ok(atcab_aes_encrypt(AES_SLOT, key_block, plain, out))
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        same(bytes(out), encryptor.update(plain), "AES")
        back = bytearray(16)
        ok(atcab_aes_decrypt(AES_SLOT, key_block, bytes(out), back))
        same(bytes(back), plain)
    nonce, text, extra = randomness.randbytes(12), randomness.randbytes(37), randomness.randbytes(20)
    context = atca_aes_gcm_ctx()
    ok(atcab_aes_gcm_init(context, AES_SLOT, 1, nonce, 12))
    ok(atcab_aes_gcm_aad_update(context, extra, len(extra)))
    cipher, tag = bytearray(len(text)), bytearray(16)
    ok(atcab_aes_gcm_encrypt_update(context, text, len(text), cipher))
    ok(atcab_aes_gcm_encrypt_finish(context, tag, 16))
    same(bytes(cipher + tag), AESGCM(aes_keys[16:32]).encrypt(nonce, text, extra), "AES-GCM")


def counters(digest):
    before, after = AtcaReference(0), AtcaReference(0)
    ok(atcab_counter_read(1, before))
    for step in range(1, 40):
        ok(atcab_counter_increment(1, after))
        same(after.value, before.value + step)
    # A key that counts its uses.
    ok(atcab_counter_read(0, before))
    bytes_of(64, atcab_genkey, 0)
    for step in range(1, 4):
        bytes_of(64, atcab_sign, 0, digest)
        ok(atcab_counter_read(0, after))
        same(after.value, before.value + step)
    limit = (after.value // 32 * 32).to_bytes(4, "little")
    ok(atcab_write_bytes_zone(2, 10, 0, limit * 2 + bytes(24), 32))
    refused(atcab_sign(0, digest, bytearray(64)), EXECUTION, "its limit is reached")


def derivations(io_key, randomness):
    key, message = randomness.randbytes(32), randomness.randbytes(48)

    def p_sha256(length):
        out, chain = b"", message
        while len(out) < length:
            chain = hmac.digest(key, chain, "sha256")
            out += hmac.digest(key, chain + message, "sha256")
        return out[:length]

    for length, details in [(32, 0x001), (64, 0x101)]:
        ok(atcab_nonce(key))
        same(kdf(0x10, 0, details, message, length)[0], p_sha256(length), "PRF")
    ok(atcab_nonce(key))
    out, nonce = kdf(0x54, 0, 2, message, 32)
    pad = sha256(io_key, nonce[:16])
    same(bytes(a ^ b for a, b in zip(out, pad)), hmac.digest(key, message, "sha256"), "HKDF, encrypted")
    ok(atcab_nonce(key))
    kdf(0x08, KDF_SLOT << 8, 0x001, message, 32)
    found = bytearray(32)
    ok(atcab_mac(0, KDF_SLOT, message[:32], found))
    same(bytes(found), sha256(p_sha256(32), message[:32], bytes([8, 0, KDF_SLOT, 0]), bytes(11), SERIAL[:1], bytes(4),
                              SERIAL[1:], bytes(2)), "PRF into a slot")


def secure_boot(io_key, parent, randomness):
    digest = randomness.randbytes(32)
    signature = openssl_sign(parent, digest)
    ok(secure_boot_status(5, digest, signature), "full")
    ok(secure_boot_status(7, digest, signature), "full, and remember")
    ok(secure_boot_status(6, digest, None), "remembered")
    refused(secure_boot_status(6, bytes(32), None), MISCOMPARE)
    refused(secure_boot_status(5, bytes(32), signature), MISCOMPARE)
    for mode in [5, 7]:
        assert flag_of(atcab_secureboot_mac, mode, digest, signature, randomness.randbytes(20), io_key)
    assert not flag_of(atcab_secureboot_mac, 5, bytes(32), signature, randomness.randbytes(20), io_key)


def internal_signature(serial, config, randomness):
    """What the part says about a key that it has made: the message is put together by the library's host side."""
    point = bytes_of(64, atcab_genkey, 7)
    own = bytes_of(64, atcab_genkey, 2)
    nonce = randomness.randbytes(32)
    ok(atcab_nonce(nonce))
    ok(atcab_genkey_base(0x08, 7, b"", bytearray(64)))
    signature = bytes_of(64, atcab_sign_internal, 2, False, True)
    temp = sha256(nonce, bytes([0x40, 0x08, 7, 0]), SERIAL, bytes(25), point)
    message = sha256(temp, bytes([0x41, 0x40, 2, 0]), config[34:36], config[110:112], bytes([0x57, 0, 0]), serial[8:],
                     serial[4:8], serial[:2], serial[2:4], b"\x01\x00\x00")
    assert openssl_accepts(own, message, signature)


def main():
    bus = hal.Bus(sys.argv[1])
    randomness = random.Random(int(sys.argv[2]))
    kept = hal.attach(bus)
    io_key, secret, parent, aes_keys, slot8, serial = personalise(randomness)
    signatures(io_key, randomness)
    stored_keys(io_key, parent, randomness)
    agreement(io_key, randomness)
    secrets(io_key, secret, slot8, randomness)
    macs(io_key, serial, randomness)
    digests(io_key, randomness)
    blocks(aes_keys, randomness)
    derivations(io_key, randomness)
    secure_boot(io_key, parent, randomness)
    internal_signature(serial, bytes_of(128, atcab_read_config_zone), randomness)
    counters(randomness.randbytes(32))
    result = AtcaReference(0)
    ok(atcab_selftest(0x3B, 0, result))
    same(result.value, 0, "self-test")
    ok(get_cryptoauthlib().atcab_wakeup())
    ok(get_cryptoauthlib().atcab_sleep())
    ok(atcab_lock_data_slot(OPEN))
    refused(atcab_write_zone(2, OPEN, 0, 0, bytes(32), 32), EXECUTION, "a locked slot")
    assert kept
    print(f"{checks} checks over {bus.transactions} transactions")


if __name__ == "__main__":
    main()

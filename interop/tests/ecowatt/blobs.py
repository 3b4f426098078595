"""An EcoWatt device's compression, after a reading of its documentation and source (RPX2001/EcoWatt_TeamPowerPort at
00afa9c, PIO/ECOWATT/src/application/compression.cpp; the facts, none of the code), and a reader of what it writes.

Usage: blobs.py FILE, with [{"registers": [..], "arrays": [[..], ..], "theirs": [{method: hex}, ..]}, ..]
Reads every blob in "theirs", which must mean its array, and prints what a device makes of the arrays:
[[{"dictionary": hex, "temporal": hex, "semantic": hex, "bitpack": hex, "sent": method}, ..], ..]
"""

import json
import struct
import sys

KINDS = {0: 1, 1: 2, 2: 3, 3: 4, 4: 4, 5: 5, 6: 5, 7: 6, 8: 7, 9: 7}
TOLERANCE = {1: 10, 2: 5, 3: 1, 4: 15, 5: 3, 6: 5, 7: 50}
BITS = {1: 12, 2: 8, 3: 6, 4: 9, 5: 7, 6: 10, 7: 13}


def bitpack(values):
    width = max(8, max(values).bit_length())
    bits = "".join(format(value, f"0{width}b") for value in values)
    bits += "0" * (-len(bits) % 8)
    return bytes([1, width, len(values)]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def dictionary(values):
    patterns = list(dict.fromkeys(values))
    width = len(patterns).bit_length()
    number = sum(patterns.index(value) << (at * width) for at, value in enumerate(values))
    tail = number.to_bytes((len(values) * width + 7) // 8, "little")
    blob = bytes([0xD0, len(values), len(patterns)]) + struct.pack(f"<{len(patterns)}f", *patterns) + tail
    return blob if len(blob) < 2 * len(values) else bitpack(values)


def semantic(values, registers):
    groups = {}
    for at, register in enumerate(registers):
        groups.setdefault(KINDS[register], []).append(at)
    blob = [0x50, len(values), len(groups)]
    for kind, positions in groups.items():
        blob += [kind, len(positions), *positions]
        rest = [values[at] for at in positions]
        while rest:
            run = next((n for n, value in enumerate(rest) if abs(value - rest[0]) > TOLERANCE[kind]), len(rest))
            blob += [rest[0] & 0xFF] + ([] if BITS[kind] <= 8 else [rest[0] >> 8]) + [run]
            rest = rest[run:]
    return bytes(blob)


class Ring:
    """Eight rows, one column per register; a row keeps the last value of each register in an array."""

    def __init__(self):
        self.rows, self.write, self.full, self.last = [[0] * 10 for _ in range(8)], 0, False, None

    def predict(self, register):
        last, before = (self.rows[(self.write - back) % 8][register] for back in (1, 2))
        predicted = 2 * last - before
        return predicted if 0 <= predicted <= 65535 else last

    def temporal(self, values, registers):
        # Ten registers have room; beyond, the comparison runs into the counters behind them and always fails.
        if self.full and self.last == registers and len(registers) <= 10:
            blob = bytes([0x71, len(values)])
            for value, register in zip(values, registers):
                off = (value - self.predict(register) + 0x8000) % 0x10000 - 0x8000
                if abs(off) <= 63:
                    blob += bytes([0x80 | (0x40 if off < 0 else 0) | abs(off)])
                elif abs(off) <= 127:
                    blob += b"\0" + struct.pack("<b", off)
                else:
                    blob += b"\1" + struct.pack("<h", off)
        else:
            blob = bytes([0x70, len(values), *registers]) + struct.pack(f"<{len(values)}H", *values)
        for value, register in zip(values, registers):
            self.rows[self.write][register] = value
        self.last, self.write = registers, (self.write + 1) % 8
        self.full = self.full or self.write == 0
        return blob


def read(blob, registers, ring):
    """The values of a blob, None where they were lost."""
    count = blob[1] if blob[0] != 1 else blob[2]
    assert count == len(registers), (count, registers)
    if blob[0] == 1:
        bits = bin(int.from_bytes(b"\1" + blob[3:], "big"))[3:]
        return [int(bits[at * blob[1] : (at + 1) * blob[1]], 2) for at in range(count)]
    if blob[0] == 0xD0:
        patterns = struct.unpack_from(f"<{blob[2]}f", blob, 3)
        width, number = blob[2].bit_length(), int.from_bytes(blob[3 + 4 * blob[2] :], "little")
        return [int(patterns[number >> (at * width) & ((1 << width) - 1)]) for at in range(count)]
    if blob[0] == 0x70:
        assert list(blob[2 : 2 + count]) == registers
        return list(struct.unpack_from(f"<{count}H", blob, 2 + count))
    if blob[0] == 0x71:
        values, at = [], 2
        for register in registers:
            head = blob[at]
            if head & 0x80:
                off, at = (head & 0x3F) * (-1 if head & 0x40 else 1), at + 1
            elif head == 0:
                off, at = struct.unpack_from("<b", blob, at + 1)[0], at + 2
            else:
                off, at = struct.unpack_from("<h", blob, at + 1)[0], at + 3
            values.append((ring.predict(register) + off) % 0x10000)
        assert at == len(blob)
        return values
    assert blob[0] == 0x50
    values, at = [None] * count, 3
    for _ in range(blob[2]):
        kind, n = blob[at], blob[at + 1]
        positions, at = list(blob[at + 2 : at + 2 + n]), at + 2 + n
        while positions:
            size = 1 if BITS[kind] <= 8 else 2
            value, run = int.from_bytes(blob[at : at + size], "little"), blob[at + size]
            if size == 2:
                values[positions[0]] = value
            positions, at = positions[run:], at + size + 1
    assert at == len(blob)
    return values


def device(case):
    ring, out = Ring(), []
    for samples, theirs in zip(case["arrays"], case["theirs"]):
        registers = (case["registers"] * len(samples))[: len(samples)]
        for method, blob in theirs.items():
            found = read(bytes.fromhex(blob), registers, ring)
            assert all(ours in (None, value) for ours, value in zip(found, samples)), (method, blob, found, samples)
        blobs = {
            "dictionary": dictionary(samples),
            "temporal": ring.temporal(samples, registers),
            "semantic": semantic(samples, registers),
            "bitpack": bitpack(samples),
        }
        sent = min(blobs, key=lambda method: len(blobs[method]))
        out.append({method: blob.hex() for method, blob in blobs.items()} | {"sent": sent})
    return out


if __name__ == "__main__":
    print(json.dumps([device(case) for case in json.load(open(sys.argv[1]))]))

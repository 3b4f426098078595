"""A device that talks as EcoWatt's firmware does (RPX2001/EcoWatt_TeamPowerPort at 00afa9c, read, not copied): plain
HTTP, its own nonce from 11001 on, up to eight blobs in a signed JSON, one more attempt with a new nonce, and an eye for
nothing but the status code.

Usage: device.py PORT NAME KEY SEED, prints {"codes": [..], "arrays": [{"at": s, "samples": [[..], ..]}, ..], "last": "<body>"}
"""

import base64
import hashlib
import hmac
import http.client
import json
import random
import sys

from blobs import Ring, bitpack, dictionary, semantic

REGISTERS = [0, 1, 2, 9]
INTERVAL = 5


class Device:
    def __init__(self, port, name, key):
        self.port, self.name, self.key, self.nonce = port, name, bytes.fromhex(key), 11000
        self.ring, self.codes, self.last = Ring(), [], ""

    def compress(self, values, registers):
        blobs = [dictionary(values), self.ring.temporal(values, registers), semantic(values, registers), bitpack(values)]
        return min(blobs, key=len)

    def packet(self, at, samples):
        values = [value for sample in samples for value in sample]
        blob = self.compress(values, REGISTERS * len(samples))
        ratio = len(blob) / (2 * len(values))
        return {
            "compressed_binary": base64.b64encode(blob).decode(),
            "decompression_metadata": {
                "method": "dictionary",
                "register_count": len(REGISTERS),
                "sample_count": len(samples),
                "original_size_bytes": 2 * len(values),
                "compressed_size_bytes": len(blob),
                "timestamp": at,
                "register_layout": REGISTERS,
            },
            "performance_metrics": {
                "academic_ratio": ratio,
                "traditional_ratio": 1 / ratio,
                "compression_time_us": 812,
                "savings_percent": (1 - ratio) * 100,
                "lossless_verified": True,
            },
        }

    def upload(self, at, packets):
        inner = {
            "device_id": self.name,
            "timestamp": at,
            "data_type": "compressed_sensor_batch",
            "total_samples": len(packets),
            "sampling_interval": INTERVAL,
            "register_mapping": {"0": "Vac1", "1": "Iac1", "2": "Fac1", "3": "Pac"},
            "compressed_data": packets,
            "session_summary": {"total_original_bytes": 8, "total_compressed_bytes": 8, "overall_academic_ratio": 1},
        }
        inner = json.dumps(inner, separators=(",", ":")).encode()
        assert len(inner) < 4095
        self.nonce += 1
        body = {
            "nonce": self.nonce,
            "payload": base64.b64encode(inner).decode(),
            "mac": hmac.new(self.key, self.nonce.to_bytes(4, "big") + inner, hashlib.sha256).hexdigest(),
            "encrypted": False,
            "compressed": False,
        }
        self.last = json.dumps(body, separators=(",", ":"))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        connection.request("POST", f"/aggregated/{self.name}", self.last, {"Content-Type": "application/json"})
        self.codes.append(connection.getresponse().status)
        connection.close()


def main():
    port, name, key, seed = sys.argv[1:]
    device, generator = Device(int(port), name, key), random.Random(int(seed))
    at, level, arrays = 1_700_000_000, [2300, 170, 5000, 4000], []
    for number in range(12):
        packets = []
        for _ in range(generator.randint(1, 4)):
            samples = []
            for _ in range(generator.randint(1, 2)):
                level = [max(0, value + generator.randint(-3, 3)) for value in level]
                samples.append(list(level))
            at += INTERVAL * len(samples)
            arrays.append({"at": at, "samples": samples})
            packets.append(device.packet(at, samples))
        device.upload(at, packets)
        if number % 4 == 3:
            # The answer was lost: the same arrays again, under a new nonce.
            device.upload(at + 1, packets)
    print(json.dumps({"codes": device.codes, "arrays": arrays, "last": device.last, "nonce": device.nonce}))


if __name__ == "__main__":
    main()

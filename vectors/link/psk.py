"""The link with a shared key, by the letter of docs/link.md: Python's `cryptography`, and Ascon-AEAD128 written down from
NIST SP 800-232 below, because `cryptography` has none.

`psk.py vectors > psk.txt`    handshakes and frames of each suite from fixed input
`psk.py check CASES.json`     reads what cotter-wire put onto the wire, and exits with 1 at the first difference
`psk.py make CASES.json`      makes the same messages from the same input and prints them as JSON
`psk.py host|module PSK SUITE COUNT`
                              an end that talks on its standard input and output: it sends COUNT lines and an escape, and
                              says on standard error what it was told
"""
import hashlib, hmac, json, os, select, struct, sys, time
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

LABEL = b"cotter/link/psk/v1"
KNOCK, HELLO, REPLY, FINISH = 0x81, 0x02, 0x83, 0x04
DATA, ACK, GAP, ESCAPE = 0x10, 0x11, 0x12, 0x13


# Ascon-AEAD128

def rotate(word, by):
    return (word >> by | word << (64 - by)) & (1 << 64) - 1


def permute(s, rounds):
    for constant in range(0xf0, 0x4a, -0x0f):
        if constant <= 0xf0 - 0x0f * (12 - rounds):
            s[2] ^= constant
            s[0] ^= s[4]; s[4] ^= s[3]; s[2] ^= s[1]
            t = [(s[i] ^ (1 << 64) - 1) & s[(i + 1) % 5] for i in range(5)]
            for i in range(5):
                s[i] ^= t[(i + 1) % 5]
            s[1] ^= s[0]; s[0] ^= s[4]; s[3] ^= s[2]; s[2] ^= (1 << 64) - 1
            for i, (a, b) in enumerate(((19, 28), (61, 39), (1, 6), (10, 17), (7, 41))):
                s[i] ^= rotate(s[i], a) ^ rotate(s[i], b)


class Ascon:
    def __init__(self, key):
        self.key = struct.unpack("<2Q", key)

    def start(self, nonce, associated):
        s = [0x00001000808c0001, *self.key, *struct.unpack("<2Q", nonce)]
        permute(s, 12)
        s[3] ^= self.key[0]; s[4] ^= self.key[1]
        if associated:
            padded = associated + b"\1" + bytes(-(len(associated) + 1) % 16)
            for at in range(0, len(padded), 16):
                a, b = struct.unpack_from("<2Q", padded, at)
                s[0] ^= a; s[1] ^= b
                permute(s, 8)
        s[4] ^= 1 << 63
        return s

    def crypt(self, nonce, data, associated, sealing):
        s, out = self.start(nonce, associated), b""
        for at in range(0, len(data) + 1, 16):
            block = data[at:at + 16]
            stream = struct.pack("<2Q", s[0], s[1])
            mixed = bytes(x ^ y for x, y in zip(block, stream))
            out += mixed
            plain = block if sealing else mixed
            last = len(block) < 16
            a, b = struct.unpack("<2Q", plain + (b"\1" + bytes(15 - len(plain)) if last else b""))
            s[0] ^= a; s[1] ^= b
            if last:
                break
            permute(s, 8)
        s[2] ^= self.key[0]; s[3] ^= self.key[1]
        permute(s, 12)
        return out, struct.pack("<2Q", s[3] ^ self.key[0], s[4] ^ self.key[1])

    def encrypt(self, nonce, data, associated):
        return b"".join(self.crypt(nonce, data, associated, True))

    def decrypt(self, nonce, data, associated):
        plain, tag = self.crypt(nonce, data[:-16], associated, False)
        if not hmac.compare_digest(tag, data[-16:]):
            raise InvalidTag
        return plain


# number: cipher, bytes of its key, nonce and tag, in the order of preference
SUITES = {
    1: (ChaCha20Poly1305, 32, 12, 16), 2: (AESGCM, 16, 12, 16), 3: (Ascon, 16, 16, 16),
    4: (lambda key: AESCCM(key, 16), 16, 12, 16), 5: (lambda key: AESCCM(key, 8), 16, 12, 8),
}


# COBS

def delimit(frame, lead):
    out, run = bytearray(), bytearray()
    for at, byte in enumerate(frame):
        if byte:
            run.append(byte)
        if byte == 0 or (len(run) == 254 and at + 1 < len(frame)):
            out += bytes([len(run) + 1]) + run
            run.clear()
    out += bytes([len(run) + 1]) + run
    return (b"\0" if lead else b"") + bytes(out) + b"\0"


def undelimit(wire):
    out, at = b"", 0
    while at < len(wire):
        code = wire[at]
        run = wire[at + 1:at + code]
        if len(run) != code - 1:
            return None
        out, at = out + run, at + code
        if code < 255 and at < len(wire):
            out += b"\0"
    return out


# The handshake

def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def greeting_key(psk):
    return HKDF(hashes.SHA256(), 32, LABEL, b"greeting").derive(psk)


def make_knock(psk):
    return b"\x81\1" + mac(greeting_key(psk), b"cotter/link/knock/v1\0\x81\1")[:8]


def message(head, suites, offer):
    return bytes([head, 1, suites]) + struct.pack(">H", offer["longest"]) + offer["lineage"] + offer["nonce"]


def offer_of(text):
    return {"longest": struct.unpack(">H", text[3:5])[0], "lineage": text[5:13], "nonce": text[13:29]}


def make_hello(psk, suites, offer):
    text = message(HELLO, suites, offer)
    return text + mac(greeting_key(psk), b"cotter/link/hello/v1\0", text)[:16]


class Schedule:
    def __init__(self, psk, hello, reply):
        self.transcript = hashlib.sha256(LABEL + b"\0" + hello + reply[:29]).digest()
        self.secret = mac(hello[13:29] + reply[13:29], psk)
        self.reply_mac = mac(self.expand("confirm-module", 32), self.transcript)[:16]
        self.finish = bytes([FINISH]) + mac(self.expand("confirm-host", 32), self.transcript, self.reply_mac)[:16]
        self.session = self.expand("session", 8)

    def expand(self, use, length):
        info = LABEL + b"/" + use.encode() + b"\0" + self.transcript
        return HKDFExpand(hashes.SHA256(), length, info).derive(self.secret)

    def direction(self, suite, way):
        make, key, nonce, _ = SUITES[suite]
        return Direction(suite, self.session, make(self.expand("key/" + way, key)), self.expand("iv/" + way, nonce))


def make_reply(psk, hello, suite, offer):
    text = message(REPLY, suite, offer)
    return text + Schedule(psk, hello, text).reply_mac


def choose(ours, theirs):
    return next(suite for suite in SUITES if (ours & theirs) >> (suite - 1) & 1)


# Frames

class Direction:
    def __init__(self, suite, session, cipher, iv):
        self.tag, self.session, self.cipher, self.iv, self.counter = SUITES[suite][3], session, cipher, iv, 0

    def nonce(self, counter):
        return (int.from_bytes(self.iv, "big") ^ counter).to_bytes(len(self.iv), "big")

    def seal(self, head, payload):
        sealed = self.cipher.encrypt(self.nonce(self.counter), payload, self.session + bytes([head]))
        frame = bytes([head]) + struct.pack(">H", self.counter & 0xffff) + sealed
        self.counter += 1
        return frame

    def open(self, frame):
        if len(frame) < 3 + self.tag:
            raise InvalidTag
        ahead = (struct.unpack(">H", frame[1:3])[0] - self.counter) & 0xffff
        if ahead > 32767:
            raise InvalidTag
        counter = self.counter + ahead
        payload = self.cipher.decrypt(self.nonce(counter), frame[3:], self.session + frame[:1])
        self.counter = counter + 1
        return payload


# An end, which has one piece under way at a time

class End:
    def __init__(self, side, psk, suites):
        self.host, self.psk, self.suites = side == "host", psk, suites
        self.session = self.pending = self.greeting = self.finish = None
        self.proven, self.lineage, self.queue, self.sent, self.expected = False, bytes(8), [], 0, 0
        self.due, self.answer, self.buffer = 0.0, False, b""

    def say(self, frame):
        os.write(1, delimit(frame, True))

    def bit(self):
        return 0 if self.host else 0x80

    def offer(self):
        return {"longest": 280, "lineage": self.lineage, "nonce": os.urandom(16)}

    def adopt(self, schedule, suite, peer):
        to_module, to_host = schedule.direction(suite, "to-module"), schedule.direction(suite, "to-host")
        self.sending, self.receiving = (to_module, to_host) if self.host else (to_host, to_module)
        self.session, self.suite = schedule.session, suite
        if peer["lineage"] != self.lineage or self.lineage == bytes(8):
            self.lineage, self.sent, self.expected = schedule.session, 0, 0

    def tick(self):
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + 0.1
            if self.host and not self.session:
                self.greeting = self.greeting or make_hello(self.psk, self.suites, self.offer())
                self.say(self.greeting)
            elif self.host and not self.proven:
                self.say(self.finish)
            elif not self.session:
                self.say(make_knock(self.psk))
            elif self.queue:
                self.piece()
        if self.session and self.proven and self.answer:
            self.answer = False
            self.say(self.sending.seal(ACK | self.bit(), struct.pack(">H", self.expected & 0xffff)))

    def piece(self):
        data = self.queue[0]
        head = struct.pack(">HH", self.sent & 0xffff, self.expected & 0xffff)
        kind, payload = (ESCAPE, head) if data is None else (DATA, head + data)
        self.say(self.sending.seal(kind | self.bit(), payload))

    def take(self, wire, told):
        self.buffer += wire
        *frames, self.buffer = self.buffer.split(b"\0")
        for stuffed in frames:
            frame = undelimit(stuffed)
            if frame:
                try:
                    self.frame(frame, told)
                except InvalidTag:
                    told("refused")

    def frame(self, frame, told):
        head = frame[0]
        if head >> 7 == (0 if self.host else 1):
            raise InvalidTag
        if head == KNOCK and self.host:
            return
        if head == HELLO and not self.host:
            if not hmac.compare_digest(make_hello(self.psk, frame[2], offer_of(frame)), frame):
                raise InvalidTag
            if not self.pending or self.pending[0] != frame:
                suite = choose(self.suites, frame[2])
                reply = make_reply(self.psk, frame, suite, self.offer())
                self.pending = (frame, reply, suite, Schedule(self.psk, frame, reply))
            return self.say(self.pending[1])
        if head == REPLY and self.host and not self.session:
            schedule = Schedule(self.psk, self.greeting, frame)
            if not hmac.compare_digest(schedule.reply_mac, frame[29:]) or not self.suites >> (frame[2] - 1) & 1:
                raise InvalidTag
            self.finish, self.due = schedule.finish, 0.0
            return self.adopt(schedule, frame[2], offer_of(frame))
        if head == FINISH and not self.host:
            if self.session and frame == self.finish:
                self.answer = True
                return
            if not self.pending or not hmac.compare_digest(self.pending[3].finish, frame):
                raise InvalidTag
            hello, _, suite, schedule = self.pending
            self.finish, self.proven, self.answer, self.pending = frame, True, True, None
            self.adopt(schedule, suite, offer_of(hello))
            return told(f"opened {suite}")
        if not self.session:
            raise InvalidTag
        payload = self.receiving.open(frame)
        if not self.proven:
            self.proven = True
            told(f"opened {self.suite}")
        kind = head & 0x7f
        numbers = struct.unpack(">2H", payload[:4]) if kind != ACK else (0, struct.unpack(">H", payload)[0])
        acknowledged = numbers[0] if kind == GAP else numbers[1]
        length = 1 if not self.queue or self.queue[0] is None else len(self.queue[0])
        if self.queue and acknowledged == (self.sent + length) & 0xffff:
            self.queue.pop(0)
            self.sent, self.due = self.sent + length, 0.0
        if kind in (DATA, ESCAPE):
            self.answer, behind = True, (self.expected - numbers[0]) & 0xffff
            data = payload[4:] if kind == DATA else b"+"
            if behind < len(data):
                self.expected += len(data) - behind
                told("data " + data[behind:].hex() if kind == DATA else "escape")


def live(side, psk, suites, count):
    end = End(side, bytes.fromhex(psk), int(suites))
    end.queue = [b"%s says %d\r\n" % (side.encode(), number) for number in range(int(count))] + [None]
    while True:
        end.tick()
        if select.select([0], [], [], 0.02)[0]:
            wire = os.read(0, 4096)
            if not wire:
                return
            end.take(wire, lambda text: print(text, file=sys.stderr, flush=True))


# Vectors and cases

def bare(offer):
    return {name: bytes.fromhex(value) if name != "longest" else value for name, value in offer.items()}


def make(case):
    psk = bytes.fromhex(case["psk"])
    host, module = bare(case["host"]), bare(case["module"])
    suite = choose(case["suites"], case["module_suites"])
    hello = make_hello(psk, case["suites"], host)
    reply = make_reply(psk, hello, suite, module)
    schedule = Schedule(psk, hello, reply)
    ways = {0: schedule.direction(suite, "to-module"), 0x80: schedule.direction(suite, "to-host")}
    wire = []
    for frame in case["frames"]:
        way = ways[frame["head"] & 0x80]
        way.counter += frame["lost"]
        wire.append(delimit(way.seal(frame["head"], bytes.fromhex(frame["payload"])), False).hex())
    texts = {"knock": make_knock(psk), "hello": hello, "reply": reply, "finish": schedule.finish, "session": schedule.session}
    return {name: text.hex() for name, text in texts.items()} | {"wire": wire}


def check(case):
    psk, said = bytes.fromhex(case["psk"]), case["out"]
    hello, reply, finish = (bytes.fromhex(said[name]) for name in ("hello", "reply", "finish"))
    assert bytes.fromhex(said["knock"]) == make_knock(psk), "knock"
    assert offer_of(hello) == bare(case["host"]) and hello[2] == case["suites"], "hello"
    assert make_hello(psk, hello[2], offer_of(hello)) == hello, "mac of the hello"
    schedule = Schedule(psk, hello, reply)
    assert offer_of(reply) == bare(case["module"]) and reply[2] == choose(case["suites"], case["module_suites"]), "reply"
    assert schedule.reply_mac == reply[29:], "mac of the reply"
    assert schedule.finish == finish, "finish"
    ways = {0: schedule.direction(reply[2], "to-module"), 0x80: schedule.direction(reply[2], "to-host")}
    for frame, wire in zip(case["frames"], said["wire"], strict=True):
        opened = undelimit(bytes.fromhex(wire)[:-1])
        assert opened[0] == frame["head"], "head"
        assert ways[frame["head"] & 0x80].open(opened) == bytes.fromhex(frame["payload"]), "payload"


def fixed():
    for suite in SUITES:
        offers = [{"longest": longest, "lineage": "00" * 8, "nonce": bytes(range(at, at + 16)).hex()}
                  for longest, at in ((280, 16), (128, 32))]
        payloads = [(DATA, "00000000" + b"AT+GMR\r\n".hex()), (ACK | 0x80, "0008"), (DATA | 0x80, "00000008" + "00" * 3 + "41" * 254),
                    (GAP, "00000000"), (ESCAPE, "0008010d")]
        frames = [{"head": head, "lost": 1000 * (head == GAP), "payload": payload} for head, payload in payloads]
        yield {"psk": bytes(range(32)).hex(), "suites": 1 << (suite - 1), "module_suites": 31, "host": offers[0],
               "module": offers[1], "frames": frames}


def main():
    match sys.argv[1:]:
        case ["vectors"]:
            for case in fixed():
                out = make(case)
                print("handshake", case["suites"], *(out[name] for name in ("knock", "hello", "reply", "finish", "session")))
                for frame, wire in zip(case["frames"], out["wire"]):
                    print("frame", f"{frame['head']:02x}", frame["lost"], frame["payload"], wire)
        case ["check", path]:
            cases = json.load(open(path))
            for case in cases:
                check(case)
            print(f"checked {len(cases)} handshakes, {sum(len(case['frames']) for case in cases)} frames")
        case ["make", path]:
            print(json.dumps([make(case) for case in json.load(open(path))]))
        case [("host" | "module") as side, psk, suites, count]:
            live(side, psk, suites, count)
        case _:
            sys.exit(__doc__)


main()

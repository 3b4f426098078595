"""The bridge through the eyes of other people's clients. Argument: a file with the cases."""
import base64, faulthandler, hmac, http.client, json, os, random, signal, socket, ssl, struct, subprocess, sys, threading, time, types
import jwt
import paho.mqtt.client as paho
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

# Not for ever.
faulthandler.dump_traceback_later(500, exit=True)

CASE = json.load(open(sys.argv[1]))
HOME, PROJECT = CASE["home"], "stoked-axle-258910"
CA = HOME + "/ca.pem"

def b64(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

class Server:
    def __init__(self):
        environment = {**os.environ, CASE["variable"]: CASE["config"], "RUST_LOG": "error"}
        self.process = subprocess.Popen(CASE["server"], stdout=subprocess.PIPE, env=environment, text=True)
        for line in self.process.stdout:
            if line.startswith("{"):
                ready = json.loads(line)
                self.https, self.mqtt = (int(ready[name].rsplit(":", 1)[1]) for name in ("listening", "mqtt"))
                return
        sys.exit("the server did not start")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, method, path, body=None, status=None):
        context = ssl.create_default_context(cafile=CA)
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        connection = http.client.HTTPSConnection("localhost", self.https, context=context, timeout=60)
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, "/admin/v1" + path, body, {"Authorization": "Bearer " + CASE["admin"]})
        answer = connection.getresponse()
        text = answer.read()
        assert status is None or answer.status == status, (method, path, answer.status, text)
        return json.loads(text) if text else None

    def events(self, device):
        after, found = 0, []
        while page := self.ask("GET", f"/devices/{device}/bridge/events?after={after}", status=200)["events"]:
            found += [base64.b64decode(event["payload"]) for event in page]
            after = page[-1]["number"]
        return found

def client_id(device): return f"projects/{PROJECT}/locations/asia-east1/registries/esp32/devices/{device}"

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

def claims(**changed):
    now = int(time.time())
    return {"aud": PROJECT, "iat": now, "exp": now + 43200, **changed}

def good(): return jwt.encode(claims(), KEY, algorithm="ES256")

def bad():
    """What must not open a connection, by name."""
    now, token = int(time.time()), good()
    head, body, signature = token.split(".")
    confused = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(json.dumps(claims()).encode())
    twice = json.dumps(claims())[:-1] + ', "aud": "%s"}' % PROJECT
    message = b64(b'{"alg":"ES256","typ":"JWT"}') + "." + b64(twice.encode())
    der = KEY.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    raw = lambda text: b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256()))))
    last = signature[-1]
    return {
        "none": jwt.encode(claims(), None, algorithm="none"),
        "HS256 with the public key": confused + "." + b64(hmac.new(PEM, confused.encode(), "sha256").digest()),
        "another key": jwt.encode(claims(), OTHER, algorithm="ES256"),
        "ES384": jwt.encode(claims(), ec.generate_private_key(ec.SECP384R1()), algorithm="ES384"),
        "another project": jwt.encode(claims(aud="another"), KEY, algorithm="ES256"),
        "two projects": jwt.encode(claims(aud=[PROJECT, "another"]), KEY, algorithm="ES256"),
        "expired": jwt.encode(claims(iat=now - 7200, exp=now - 1200), KEY, algorithm="ES256"),
        "from the future": jwt.encode(claims(iat=now + 1200, exp=now + 7200), KEY, algorithm="ES256"),
        "for 25 hours": jwt.encode(claims(exp=now + 90000), KEY, algorithm="ES256"),
        "DER signature": f"{head}.{body}." + b64(der),
        "a byte too short": f"{head}.{body}." + b64(base64.urlsafe_b64decode(signature + "==")[:-1]),
        "a claim twice": message + "." + b64(raw(message)),
        "padded": token + "==",
        "another spelling of the last byte": token[:-1] + chr(ord(last) + 1),
    }

def published(server, token, *more):
    command = ["mosquitto_pub", "-h", "localhost", "-p", str(server.mqtt), "--cafile", CA, "-i", client_id("one"),
               "-u", "ignored", "-P", token, "-q", "1", "-t", "/devices/one/events", *more]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode

def subscribe(server, topic, *more):
    command = ["mosquitto_sub", "-h", "localhost", "-p", str(server.mqtt), "--cafile", CA, "-i", client_id("one"),
               "-u", "ignored", "-P", good(), "-q", "1", "-t", topic, "-F", "%t %r %p", "-W", "60", "-C", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

def mosquitto(server):
    for version in ("mqttv311", "mqttv5"):
        assert published(server, good(), "-V", version, "-m", version) == 0, version
    assert server.events("one") == [b"mqttv311", b"mqttv5"], server.events("one")
    print("mosquitto_pub: good tokens accepted in 3.1.1 and 5")
    refused = bad()
    for name, token in refused.items():
        codes = tuple(published(server, token, "-V", version, "-m", "bad") for version in ("mqttv311", "mqttv5"))
        assert codes == (5, 135), (name, codes)
    assert server.events("one")[2:] == []
    print(f"mosquitto_pub: {len(refused)} bad tokens refused, exit 5 and 135")
    payload = base64.b64encode(b'{"every":4}').decode()
    server.ask("POST", "/devices/one/bridge/config", {"payload": payload}, 201)
    listening = subscribe(server, "/devices/one/config", "1")
    assert listening.communicate()[0] == '/devices/one/config 1 {"every":4}\n'
    listening = subscribe(server, "/devices/one/commands/#", "2")
    for folder in (None, "led"):
        wish = {"payload": base64.b64encode(b"blink").decode(), **({"folder": folder} if folder else {})}
        for _ in range(200):
            answer = server.ask("POST", "/devices/one/bridge/commands", wish)
            if answer is None: break
            time.sleep(0.05)
        assert answer is None, answer
    assert listening.communicate()[0] == "/devices/one/commands 0 blink\n/devices/one/commands/led 0 blink\n"
    print("mosquitto_sub: configuration at once, retained; commands")

class Paho:
    def __init__(self, server, token, version=paho.MQTTv311, certificate=None, device="one"):
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id(device), protocol=version)
        self.answer, self.answered = None, threading.Event()
        def connected(client, data, flags, code, properties):
            self.answer = str(code)
            self.answered.set()
        self.client.on_connect = connected
        context = ssl.create_default_context(cafile=CA)
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        if certificate: context.load_cert_chain(f"{HOME}/{certificate}.pem", f"{HOME}/{certificate}.key.pem")
        self.client.tls_set_context(context)
        if token: self.client.username_pw_set("unused", token)
        self.client.connect("localhost", server.mqtt, 30)
        self.client.loop_start()
        assert self.answered.wait(60)

    def publish(self, payload):
        message = self.client.publish("/devices/one/events", payload, 1)
        message.wait_for_publish(60)
        return message.is_published()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

def by_paho(server):
    before = server.events("one")
    for version in (paho.MQTTv311, paho.MQTTv5):
        client = Paho(server, good(), version)
        assert client.answer == "Success" and all(client.publish(b"%d" % count) for count in range(50))
        client.close()
    assert server.events("one") == before + [b"%d" % count for count in range(50)] * 2
    for name, token in bad().items():
        for version in (paho.MQTTv311, paho.MQTTv5):
            client = Paho(server, token, version)
            assert client.answer == "Not authorized", (name, client.answer)
            client.close()
    client = Paho(server, None, certificate="one")
    assert client.answer == "Success" and client.publish(b"certified")
    client.close()
    client = Paho(server, None, certificate="two")
    assert client.answer == "Not authorized"
    client.close()
    print("paho: good tokens accepted in 3.1.1 and 5, bad ones refused, a certificate instead")

def micropython():
    """The modules that MicroPython has and Python has under other names; sockets that read and write."""
    class Socket:
        def __init__(self, inner=None): self.inner = inner or socket.socket()
        def connect(self, address): self.inner.connect(address)
        def setblocking(self, flag): self.inner.setblocking(flag)
        def close(self): self.inner.close()
        def write(self, data, length=None):
            data = data.encode() if isinstance(data, str) else bytes(data)
            self.inner.sendall(data[:length])
        def read(self, count):
            data = b""
            while len(data) < count:
                piece = self.inner.recv(count - len(data))
                if not piece: return data
                data += piece
            return data
    def wrap(plain, **parameters):
        context = ssl.create_default_context(cafile=CA)
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        return Socket(context.wrap_socket(plain.inner, server_hostname="localhost"))
    usocket, ussl = types.ModuleType("usocket"), types.ModuleType("ussl")
    usocket.socket, ussl.wrap_socket = Socket, wrap
    usocket.getaddrinfo = lambda host, port: socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
    import binascii
    sys.modules.update(usocket=usocket, ussl=ussl, ustruct=struct, ubinascii=binascii)
    sys.path.insert(0, CASE["umqtt"])
    from umqtt.simple import MQTTClient, MQTTException
    return MQTTClient, MQTTException

def by_umqtt(server):
    Client, Refused = micropython()
    def connect(token):
        client = Client(client_id("one"), "localhost", server.mqtt, b"ignored", token.encode(), 0, True)
        client.connect()
        return client
    # As the demo writes its claims: MicroPython's order, and a space behind each colon and comma.
    now = int(time.time())
    head = b64(b'{"typ":"JWT","alg":"ES256"}')
    body = b64(b'{"exp": %d, "aud": "%s", "iat": %d}' % (now + 43200, PROJECT.encode(), now))
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    r, s = decode_dss_signature(KEY.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
    client = connect(f"{head}.{body}." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big")))
    heard = []
    client.set_callback(lambda topic, message: heard.append((topic, message)))
    client.subscribe(b"/devices/one/config", 1)
    client.subscribe(b"/devices/one/commands/#", 1)
    while not heard: client.wait_msg()
    assert heard[0] == (b"/devices/one/config", b'{"every":4}'), heard
    before = server.events("one")
    messages = [json.dumps({"temp": 128 + count, "device_id": "one"}).encode() for count in range(20)]
    for count, message in enumerate(messages): client.publish(b"/devices/one/events", message, False, count % 2)
    client.ping()
    client.wait_msg()
    for _ in range(200):
        if len(server.events("one")) == len(before) + 20: break
        time.sleep(0.05)
    assert server.events("one") == before + messages
    client.disconnect()
    for name, token in bad().items():
        try: connect(token)
        except Refused as refused: assert refused.args == (5,), (name, refused)
        else: sys.exit(f"{name} was let in")
    print("umqtt.simple: as the demo does it; bad tokens refused")

def killed(server):
    before = len(server.events("one"))
    acknowledged, next_one = [], 0
    for _ in range(5):
        client = Paho(server, good())
        assert client.answer == "Success"
        client.client.reconnect_delay_set(3600)
        seen, limit = [], random.randint(50, 400)
        enough = threading.Event()
        numbers = {}
        def published(_, data, number, code, properties):
            seen.append(number)
            if len(seen) >= limit: enough.set()
        client.client.on_publish = published
        for _ in range(1000):
            numbers[client.client.publish("/devices/one/events", b"kill %d" % next_one, 1).mid] = next_one
            next_one += 1
        enough.wait(60)
        server.kill()
        client.client.loop_stop()
        acknowledged += [numbers[number] for number in seen]
        server = Server()
        stored = {int(event[5:]) for event in server.events("one")[before:] if event.startswith(b"kill ")}
        lost = [number for number in acknowledged if number not in stored]
        assert not lost, lost
    assert len(acknowledged) >= 250, len(acknowledged)
    print(f"kill -9: nothing acknowledged is lost (5 kills, {len(acknowledged)} acknowledged)")
    return server

server = Server()
try:
    for device in ("one", "two"):
        server.ask("POST", "/devices", open(f"{HOME}/{device}.json", "rb").read(), 201)
    server.ask("POST", "/devices/one/keys", {"format": "ES256_PEM", "pem": PEM.decode()}, 201)
    mosquitto(server)
    by_paho(server)
    by_umqtt(server)
    server = killed(server)
finally:
    server.kill()

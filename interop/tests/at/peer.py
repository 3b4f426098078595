"""A host of an ESP-AT module, written without ours: pyserial on the module's command port, and real servers.

peer.py PORT commands TIMEPORT | sockets FOLDER | mqtt FOLDER
"""
import calendar
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import serial

OK = b"\r\nOK\r\n"
ERROR = b"\r\nERROR\r\n"
PROMPT = b"\r\nOK\r\n\r\n>"


class Module:
    def __init__(self, port):
        self.port = serial.Serial(port, 115200, timeout=0.05)
        self.heard = b""
        self.until(b"ready\r\n")
        assert self.ask("ATE0") == b"ATE0\r\n" + OK

    def until(self, *ends, seconds=10):
        """All that is heard up to one of these."""
        start = time.monotonic()
        while True:
            found = [self.heard.find(end) + len(end) for end in ends if end in self.heard]
            if found:
                heard, self.heard = self.heard[: min(found)], self.heard[min(found):]
                return heard
            assert time.monotonic() - start < seconds, f"{ends} expected, heard {self.heard!r}"
            self.heard += self.port.read(self.port.in_waiting or 1)

    def say(self, data):
        self.port.write(data)

    def ask(self, command, seconds=10):
        self.say(command.encode() + b"\r\n")
        return self.until(OK, ERROR, seconds=seconds)

    def ok(self, command, *lines, seconds=10):
        answer = self.ask(command, seconds)
        assert answer.endswith(OK), (command, answer)
        for line in lines:
            assert re.search(line.encode(), answer), (command, line, answer)
        return answer

    def refused(self, command, *lines):
        answer = self.ask(command)
        assert answer.endswith(ERROR), (command, answer)
        for line in lines:
            assert re.search(line.encode(), answer), (command, line, answer)

    def data(self, command, data, end=OK):
        self.say(command.encode() + b"\r\n")
        assert self.until(b">") == PROMPT
        self.say(data)
        return self.until(end)

    def join(self):
        self.ok("AT+CWMODE=1")
        answer = self.ok('AT+CWJAP="any \\"one\\"\\,here","secret"')
        assert answer == b"WIFI CONNECTED\r\nWIFI GOT IP\r\n" + OK, answer
        self.ok("AT+CWJAP?", '\\+CWJAP:"any "one",here",')


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def reach(port):
    """Waits until somebody listens there."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)


def commands(module, time_port):
    module.ok("AT")
    module.ok("AT+GMR", "^AT version:", "\nSDK version:", "\ncompile time", r"\nBin version:.*\(MINI-1\)")
    names = re.findall(rb'\+CMD:\d+,"(AT[^"]*)",(\d),(\d),(\d),(\d)\r\n', module.ok("AT+CMD?"))
    assert len(names) > 60, len(names)
    module.ok("AT+SYSRAM?", r"\+SYSRAM:\d+,\d+")
    module.ok("AT+SYSMSG?", r"\+SYSMSG:0")
    module.ok("AT+UART_CUR=921600,8,1,0,3")
    module.ok("AT+UART_CUR?", r"\+UART_CUR:921600,8,1,0,3")
    module.ok("AT+UART_DEF?", r"\+UART_DEF:115200,8,1,0,0")
    module.refused("AT+UART_CUR=921600")
    module.ok("AT+SYSLOG=1")
    module.refused("AT+FAKE", "ERR CODE:0x01090000")
    module.refused("AT+CWMODE=7", "ERR CODE:0x01070000")
    module.ok("AT+SYSLOG=0")
    module.ok("AT+CWMODE=?", r"\+CWMODE:\(0-3\)")
    module.join()
    module.ok("AT+CIPSTA?", r'\+CIPSTA:ip:"192\.', r'\+CIPSTA:gateway:', r'\+CIPSTA:netmask:')
    module.ok("AT+CIFSR", r'\+CIFSR:STAIP,"192', r'\+CIFSR:STAMAC,"02:')
    module.ok("AT+CWSTATE?", r"\+CWSTATE:2,")
    module.ok("AT+CIPSNTPTIME?", r"\+CIPSNTPTIME:Thu Jan  1 .* 1970")
    sntp(module, int(time_port))
    noise = os.urandom(3000)
    assert module.data('AT+SYSFLASH=1,"fs_storage",8192,3000', noise) == OK
    assert module.ok('AT+SYSFLASH=2,"fs_storage",8192,3000') == b"+SYSFLASH:3000," + noise + b"\r\n" + OK
    module.ok('AT+SYSFLASH=0,"fs_storage",8192,4096')
    erased = module.ok('AT+SYSFLASH=2,"fs_storage",8192,16')
    assert erased == b"+SYSFLASH:16," + b"\xff" * 16 + b"\r\n" + OK, erased
    assert module.data('AT+SYSMFG=2,"own","blob",8,500', noise[:500]) == OK
    whole = module.ok('AT+SYSMFG=1,"own","blob"')
    assert whole == b'+SYSMFG:"own","blob",8,500,' + noise[:500] + b"\r\n" + OK
    # A command that comes while another one works is refused, and lost.
    module.say(b'AT+CWJAP="any","x"\r\nAT+GMR\r\n')
    module.until(b"\r\nbusy p...\r\n")
    module.until(OK)
    module.say(b"AT+RST\r\n")
    assert module.until(b"ready\r\n").endswith(OK + b"\r\nready\r\n")
    assert module.ask("AT").startswith(b"AT\r\n"), "the echo is back"
    # It joins by itself what it was told to.
    module.until(b"WIFI GOT IP\r\n")


def sntp(module, port):
    """A time server by the letter of RFC 4330, and what others send."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", port))
    server.settimeout(10)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def question():
        packet, client = server.recvfrom(512)
        assert len(packet) == 48 and packet[0] == 0x23 and not any(packet[1:40]), packet
        return packet[40:], client

    def answer(token, seconds, flags=0x24, stratum=2, reference=bytes(4)):
        moment = struct.pack(">II", seconds + 2208988800 & 0xFFFFFFFF, 0)
        return struct.pack(">BBbb8x4s8x", flags, stratum, 6, -20, reference) + token + moment + moment

    def told():
        text = re.search(rb"\+CIPSNTPTIME:(.*)\r\n", module.ok("AT+CIPSNTPTIME?"))[1].decode()
        return calendar.timegm(time.strptime(text))

    noon = calendar.timegm((2031, 5, 4, 12, 0, 0))
    module.ok('AT+CIPSNTPCFG=1,0,"127.0.0.1"')
    token, client = question()
    # From elsewhere; without the token; from a client; from a server that knows no time.
    stranger.sendto(answer(token, 1), client)
    server.sendto(answer(bytes(8), 2), client)
    server.sendto(answer(token, 3, flags=0x23), client)
    server.sendto(answer(token, noon)[:47], client)
    server.sendto(answer(token, noon), client)
    module.until(b"+TIME_UPDATED\r\n")
    assert 0 <= told() - noon < 5, told()
    # After 2036, when the count of seconds has begun anew.
    later = calendar.timegm((2037, 1, 1, 0, 0, 0))
    module.ok('AT+CIPSNTPCFG=1,0,"127.0.0.1"')
    second, client = question()
    assert second != token
    server.sendto(answer(second, later), client)
    module.until(b"+TIME_UPDATED\r\n")
    assert 0 <= told() - later < 5, told()
    # Who does not want to be asked is not, and the next one is.
    module.ok('AT+CIPSNTPCFG=1,0,"127.0.0.1","localhost"')
    token, client = question()
    server.sendto(answer(token, 4, stratum=0, reference=b"DENY"), client)
    token, client = question()
    server.sendto(answer(token, noon), client)
    module.until(b"+TIME_UPDATED\r\n")
    assert 0 <= told() - noon < 5, told()
    # No time is no time, and the clock goes on.
    module.ok('AT+CIPSNTPCFG=1,0,"127.0.0.1"')
    token, client = question()
    server.sendto(answer(token, 5, flags=0xE4), client)
    time.sleep(0.2)
    assert b"+TIME_UPDATED" not in module.ok("AT") and 0 <= told() - noon < 10
    module.ok("AT+CIPSNTPCFG=0")
    server.close()
    stranger.close()


def serve(handler, wrap=None):
    """One connection of a TCP server, in the background; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        connection, _ = listener.accept()
        try:
            connection = wrap(connection) if wrap else connection
            connection.settimeout(10)
            handler(connection)
        except OSError:
            # The module has hung up, as it should or not: what it said is asserted elsewhere.
            pass
        connection.close()
        listener.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


def echo_once(connection):
    connection.sendall(connection.recv(8192)[::-1])
    connection.recv(1)


def sockets(module, folder):
    module.join()
    port, _ = serve(echo_once)
    module.ok(f'AT+CIPSTART="TCP","127.0.0.1",{port}', "^CONNECT\r\n")
    assert module.data("AT+CIPSEND=5", b"abc\r\n", b"SEND OK\r\n") == b"\r\nRecv 5 bytes\r\n\r\nSEND OK\r\n"
    assert module.until(b"\n\rcba") == b"\r\n+IPD,5:\n\rcba"
    module.ok("AT+CIPSTATE?", rf'\+CIPSTATE:0,"TCP","127.0.0.1",{port},\d+,0')
    module.refused(f'AT+CIPSTART="TCP","127.0.0.1",{port}', "ALREADY CONNECTED")
    module.ok("AT+CIPCLOSE", "^CLOSED\r\n")
    # Nothing but this machine is reached.
    module.refused('AT+CIPSTART="TCP","192.0.2.1",80')
    # A peer that goes away.
    port, _ = serve(lambda connection: connection.sendall(b"bye"))
    module.ok(f'AT+CIPSTART="TCP","127.0.0.1",{port}')
    module.until(b"+IPD,3:bye")
    module.until(b"CLOSED\r\n")
    # More than one at a time, fetched when it suits.
    module.ok("AT+CIPMUX=1")
    module.ok("AT+CIPRECVTYPE=2,1")
    port, _ = serve(echo_once)
    module.ok(f'AT+CIPSTART=2,"TCP","localhost",{port}', "^2,CONNECT\r\n")
    module.data("AT+CIPSEND=2,8000", bytes(range(250)) * 32, b"SEND OK\r\n")
    fetched = b""
    while len(fetched) < 8000:
        if b"+IPD,2," not in module.heard:
            module.until(b"+IPD,2,")
        answer = module.ask("AT+CIPRECVDATA=2,3000")
        while answer.endswith(OK):
            head = re.search(rb"\+CIPRECVDATA:(\d+),", answer)
            fetched += answer[head.end(): head.end() + int(head[1])]
            answer = module.ask("AT+CIPRECVDATA=2,3000")
    assert fetched == (bytes(range(250)) * 32)[::-1], len(fetched)
    module.ok("AT+CIPCLOSE=2", "2,CLOSED\r\n")
    # A server of the module's own.
    port = free_port()
    module.ok(f"AT+CIPSERVER=1,{port}")
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    module.until(b"0,CONNECT\r\n")
    client.sendall(b"hello")
    module.until(b"+IPD,0,5:hello")
    module.data("AT+CIPSEND=0,5", b"world", b"SEND OK\r\n")
    assert client.recv(100) == b"world"
    client.close()
    module.until(b"0,CLOSED\r\n")
    module.ok("AT+CIPSERVER=0,1")
    module.ok("AT+CIPMUX=0")
    module.ok("AT+CIPRECVTYPE=0")
    # UDP, with its peer told.
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.settimeout(10)
    port = udp.getsockname()[1]
    module.ok("AT+CIPDINFO=1")
    module.ok(f'AT+CIPSTART="UDP","127.0.0.1",{port},0,0')
    module.data("AT+CIPSEND=4", b"ping", b"SEND OK\r\n")
    data, address = udp.recvfrom(100)
    assert data == b"ping"
    udp.sendto(b"pong", address)
    module.until(f'+IPD,4,"127.0.0.1",{port}:pong'.encode())
    module.ok("AT+CIPCLOSE")
    module.ok("AT+CIPDINFO=0")
    passthrough(module)
    secure(module, folder)


def passthrough(module):
    got = []

    def collect(connection):
        connection.sendall(b"welcome")
        while True:
            data = connection.recv(4096)
            if not data:
                return
            got.append(data)
            if b"reply" in data:
                connection.sendall(b"reply")

    port, thread = serve(collect)
    module.ok("AT+CIPMODE=1")
    module.say(f'AT+CIPSTART="TCP","127.0.0.1",{port}\r\n'.encode())
    module.until(OK)
    module.say(b"AT+CIPSEND\r\n")
    module.until(b">")
    for piece in [b"AT\r\n", b"++", b"+++still data", b"reply"]:
        time.sleep(0.2)
        module.say(piece)
    module.until(b"reply")
    time.sleep(0.2)
    module.say(b"+++")
    time.sleep(1)
    module.ok("AT")
    module.ok("AT+CIPCLOSE", "CLOSED\r\n")
    module.ok("AT+CIPMODE=0")
    thread.join(10)
    assert b"".join(got) == b"AT\r\n+++++still datareply", got


def secure(module, folder):
    """TLS, as a client, with and without a CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
    wrap = lambda connection: context.wrap_socket(connection, server_side=True)
    # Whoever it is.
    port, _ = serve(echo_once, wrap)
    module.ok(f'AT+CIPSTART="SSL","127.0.0.1",{port}', "CONNECT\r\n")
    module.data("AT+CIPSEND=3", b"abc", b"SEND OK\r\n")
    module.until(b"+IPD,3:cba")
    module.ok("AT+CIPCLOSE")
    # Only whom the CA vouches for; and it has to be there.
    module.ok("AT+CIPSSLCCONF=2,0,1")
    module.refused(f'AT+CIPSTART="SSL","127.0.0.1",{port}', "NO CA FOUND")
    module.ok("AT+CIPSSLCCONF=2,0,0")
    ca = open(f"{folder}/ca.pem", "rb").read()
    assert module.data(f'AT+SYSMFG=2,"client_ca","client_ca.0",8,{len(ca)}', ca) == OK
    # In 1970 no certificate is valid yet.
    port, _ = serve(lambda connection: None, wrap)
    module.refused(f'AT+CIPSTART="SSL","localhost",{port}')
    module.ok(f"AT+SYSTIMESTAMP={int(time.time())}")
    port, _ = serve(echo_once, wrap)
    module.ok(f'AT+CIPSTART="SSL","localhost",{port}', "CONNECT\r\n")
    module.ok("AT+CIPCLOSE")
    other = open(f"{folder}/other-ca.pem", "rb").read()
    assert module.data(f'AT+SYSMFG=2,"client_ca","client_ca.0",8,{len(other)}', other) == OK
    port, _ = serve(lambda connection: None, wrap)
    module.refused(f'AT+CIPSTART="SSL","localhost",{port}')
    module.ok("AT+CIPSSLCCONF=0")
    for version in ["-tls1_2", "-tls1_3"]:
        shared_key(module, version)


def shared_key(module, version):
    """TLS with a key that both ends have, against OpenSSL's s_server, which turns lines round."""
    port = free_port()
    key = os.urandom(16).hex()
    # Without a certificate: who has no key is not talked to.
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-psk", key, "-psk_identity", "module", "-nocert", "-rev", "-quiet"]
    server = subprocess.Popen([*command, version], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        reach(port)
        module.ok(f'AT+CIPSSLCPSKHEX="{key}","module"')
        module.ok("AT+CIPSSLCPSKHEX?", rf'\+CIPSSLCPSKHEX:0,"{key}","module"')
        module.ok(f'AT+CIPSTART="SSL","127.0.0.1",{port}', "CONNECT\r\n")
        module.data("AT+CIPSEND=5", b"hello\n"[:5], b"SEND OK\r\n")
        module.data("AT+CIPSEND=1", b"\n", b"SEND OK\r\n")
        module.until(b"olleh")
        module.ok("AT+CIPCLOSE")
        # Another key, and none.
        module.ok('AT+CIPSSLCPSK="another key","module"')
        module.ok("AT+CIPSSLCPSK?", r'\+CIPSSLCPSK:0,"another key","module"')
        module.refused(f'AT+CIPSTART="SSL","127.0.0.1",{port}')
        module.ok('AT+CIPSSLCPSK="",""')
        module.refused(f'AT+CIPSTART="SSL","127.0.0.1",{port}')
    finally:
        server.terminate()
        server.wait(10)
    print(f"shared key, {version}: connected, and no other")


class Broker:
    """mosquitto, with and without TLS, with a password and a certificate if asked for."""

    def __init__(self, folder, password):
        ports = [free_port() for _ in range(6)]
        self.plain, self.tls, self.mutual, self.web, self.web_tls, self.web_mutual = ports
        subprocess.run(["mosquitto_passwd", "-b", "-c", f"{folder}/passwords", "user", password], check=True)
        os.chmod(f"{folder}/passwords", 0o644)
        files = f"cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
        with open(f"{folder}/mosquitto.conf", "w") as conf:
            conf.write(f"user root\nallow_anonymous false\npassword_file {folder}/passwords\npersistence false\n")
            conf.write(f"listener {self.plain} 127.0.0.1\n")
            conf.write(f"listener {self.tls} 127.0.0.1\n{files}")
            conf.write(f"listener {self.mutual} 127.0.0.1\n{files}require_certificate true\n")
            conf.write(f"listener {self.web} 127.0.0.1\nprotocol websockets\n")
            conf.write(f"listener {self.web_tls} 127.0.0.1\nprotocol websockets\n{files}")
            conf.write(f"listener {self.web_mutual} 127.0.0.1\nprotocol websockets\n{files}require_certificate true\n")
        self.process = subprocess.Popen(["mosquitto", "-c", f"{folder}/mosquitto.conf"])
        for port in ports:
            reach(port)

    def listen(self, topic, password):
        """mosquitto_sub as a witness; the text of the first message."""
        command = ["stdbuf", "-oL", "mosquitto_sub", "-p", str(self.plain), "-u", "user", "-P", password, "-t", topic, "-C", "1", "-q", "2"]
        witness = subprocess.Popen([*command, "-N", "-d"], stdout=subprocess.PIPE, bufsize=0)
        while b"SUBACK" not in witness.stdout.readline():
            assert witness.poll() is None
        return lambda: witness.communicate(timeout=10)[0]

    def say(self, topic, text, password):
        command = ["mosquitto_pub", "-p", str(self.plain), "-u", "user", "-P", password, "-t", topic, "-m", text]
        subprocess.run(command, check=True)


def mqtt(module, folder):
    # As long as a JWT, which no command has room for.
    password = "j" * 214
    broker = Broker(folder, password)
    try:
        module.join()
        module.ok(f"AT+SYSTIMESTAMP={int(time.time())}")
        for scheme, host, port in [
            (1, "127.0.0.1", broker.plain),
            (2, "127.0.0.1", broker.tls),
            (3, "localhost", broker.tls),
            (4, "127.0.0.1", broker.mutual),
            (5, "localhost", broker.mutual),
            (6, "127.0.0.1", broker.web),
            (7, "127.0.0.1", broker.web_tls),
            (8, "localhost", broker.web_tls),
            (9, "127.0.0.1", broker.web_mutual),
            (10, "localhost", broker.web_mutual),
        ]:
            session(module, broker, scheme, host, port, password)
        # A port where nobody speaks WebSocket.
        module.ok('AT+MQTTUSERCFG=0,6,"module","user","x",0,0,"/mqtt"')
        module.refused(f'AT+MQTTCONN=0,"127.0.0.1",{broker.plain},0')
        # A server that the CA does not vouch for under this name, and one that it does not vouch for at all.
        module.ok('AT+MQTTUSERCFG=0,3,"module","user","x",0,0,""')
        module.refused(f'AT+MQTTCONN=0,"other.example",{broker.tls},0')
        other = open(f"{folder}/other-ca.pem", "rb").read()
        assert module.data(f'AT+SYSMFG=2,"mqtt_ca","mqtt_ca",8,{len(other)}', other) == OK
        module.refused(f'AT+MQTTCONN=0,"localhost",{broker.tls},0')
        module.ok("AT+MQTTCLEAN=0")
        # A wrong password.
        module.ok('AT+MQTTUSERCFG=0,1,"module","user","wrong",0,0,""')
        module.refused(f'AT+MQTTCONN=0,"127.0.0.1",{broker.plain},0')
        module.ok("AT+MQTTCLEAN=0")
        last_will(module, broker, password)
    finally:
        broker.process.terminate()
        broker.process.wait(10)


def session(module, broker, scheme, host, port, password):
    module.ok(f'AT+MQTTUSERCFG=0,{scheme},"x","user","",0,0,""')
    assert module.data("AT+MQTTLONGCLIENTID=0,100", b"c" * 100) == OK
    assert module.data("AT+MQTTLONGUSERNAME=0,4", b"user") == OK
    assert module.data("AT+MQTTLONGPASSWORD=0,214", password.encode()) == OK
    module.ok(f'AT+MQTTCONN=0,"{host}",{port},0', rf'^\+MQTTCONNECTED:0,{scheme},"{host}","{port}","",0\r\n')
    module.ok("AT+MQTTCONN?", rf'\+MQTTCONN:0,4,{scheme},"{host}","{port}","",0')
    module.ok('AT+MQTTSUB=0,"down/#",1')
    module.ok('AT+MQTTSUB=0,"down/#",1', "ALREADY SUBSCRIBE")
    module.ok("AT+MQTTSUB?", r'\+MQTTSUB:0,6,"down/#",1')
    broker.say("down/1", "from below", password)
    module.until(b'+MQTTSUBRECV:0,"down/1",10,from below\r\n')
    for qos in range(3):
        heard = broker.listen("up", password)
        module.ok(f'AT+MQTTPUB=0,"up","a \\"quoted\\"\\, text",{qos},0')
        assert b'a "quoted", text' in heard()
    heard = broker.listen("raw", password)
    # Nothing in it is a command, whatever it looks like.
    payload = b"AT\r\n" * 500
    assert module.data('AT+MQTTPUBRAW=0,"raw",2000,2,0', payload, b"+MQTTPUB:OK\r\n") == b"\r\n+MQTTPUB:OK\r\n"
    assert payload in heard()
    module.ok('AT+MQTTUNSUB=0,"down/#"')
    module.ok('AT+MQTTUNSUB=0,"down/#"', "NO UNSUBSCRIBE")
    module.ok("AT+MQTTCLEAN=0", r"\+MQTTDISCONNECTED:0")
    print(f"scheme {scheme}: connected, subscribed, published")


def last_will(module, broker, password):
    module.ok('AT+MQTTUSERCFG=0,1,"mortal","user","",0,0,""')
    assert module.data("AT+MQTTLONGPASSWORD=0,214", password.encode()) == OK
    module.ok('AT+MQTTCONNCFG=0,60,0,"last","words",1,0')
    module.ok(f'AT+MQTTCONN=0,"127.0.0.1",{broker.plain},0')
    heard = broker.listen("last", password)
    # Without a goodbye, as when the power goes.
    module.say(b"AT+RST\r\n")
    module.until(b"ready\r\n")
    assert b"words" in heard()


def main():
    signal.alarm(150)
    port, what, argument = sys.argv[1:]
    module = Module(port)
    {"commands": commands, "sockets": sockets, "mqtt": mqtt}[what](module, argument)
    print(what, "passed")


main()

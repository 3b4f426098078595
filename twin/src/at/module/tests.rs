//! A module spoken to as a host does, with time that the test moves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use super::super::dial::{Reach, TIME_PORT};
use super::super::grammar::LINE_MAX;
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

struct Bench {
    module: Module,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with(Vec::new(), Flash::default())
    }

    fn with(access_points: Vec<AccessPoint>, flash: Flash) -> Self {
        let network = Network { reach: Reach::Loopback, hosts: Vec::new(), time_port: TIME_PORT };
        let surroundings = Surroundings { network, access_points, mac: [2, 0xC0, 0x77, 0xE2, 0, 9] };
        let now = Instant::now();
        Self { module: Module::new(surroundings, flash, now), now }
    }

    /// A module that is on the air, silent, without echo.
    fn joined() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.say("ATE0\r\n"), "ATE0\r\n\r\nOK\r\n");
        assert_eq!(bench.say("AT+CWMODE=1\r\n"), "\r\nOK\r\n");
        assert_eq!(bench.ask("AT+CWJAP=\"any\",\"\""), "WIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n");
        bench
    }

    /// What is answered at once.
    fn say(&mut self, text: &str) -> String {
        self.module.receive(text.as_bytes(), self.now);
        self.heard()
    }

    /// What is answered until it is OK, ERROR or a prompt.
    fn ask(&mut self, command: &str) -> String {
        self.module.receive(format!("{command}\r\n").as_bytes(), self.now);
        self.until(&["OK\r\n", "ERROR\r\n", ">"])
    }

    fn until(&mut self, ends: &[&str]) -> String {
        let start = Instant::now();
        let mut heard = String::new();
        while !ends.iter().any(|end| heard.ends_with(end)) {
            assert!(start.elapsed() < Duration::from_secs(10), "{heard:?}, and then nothing");
            self.wait(10);
            heard += &self.heard();
            std::thread::sleep(Duration::from_micros(200));
        }
        heard
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
        self.module.tick(self.now);
    }

    fn heard(&mut self) -> String {
        String::from_utf8_lossy(&self.module.take_output()).into_owned()
    }
}

const OK: &str = "\r\nOK\r\n";
const ERROR: &str = "\r\nERROR\r\n";

#[test]
fn the_first_words_are_those_of_the_example() {
    let mut bench = Bench::new();
    bench.module.ready(bench.now);
    assert_eq!(bench.heard(), "\r\nready\r\n");
    assert_eq!(bench.say("AT\r\n"), "AT\r\n\r\nOK\r\n");
    assert!(bench.say("AT+GMR\r\n").starts_with("AT+GMR\r\nAT version:"));
    assert_eq!(bench.say("AT+CWMODE=1\r\n"), "AT+CWMODE=1\r\n\r\nOK\r\n");
    let joined = "AT+CWJAP=\"688018\",\"\"\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n";
    assert_eq!(bench.ask("AT+CWJAP=\"688018\",\"\""), joined);
    assert!(String::from_utf8(bench.module.take_log()).unwrap().starts_with("ESP-ROM:"));
}

#[test]
fn a_line_is_a_command_when_it_ends_and_however_it_is_cut() {
    let mut bench = Bench::new();
    for piece in ["A", "T\r", "\n"] {
        assert!(!bench.say(piece).contains("OK") || piece == "\n");
    }
    assert_eq!(bench.say("ATE0\r\nAT+CWMODE?\r\nAT\r\n"), "ATE0\r\n\r\nOK\r\n+CWMODE:0\r\n\r\nOK\r\n\r\nOK\r\n");
    assert_eq!(bench.say("nonsense\r\n"), ERROR);
    assert_eq!(bench.say(&format!("AT+CWJAP=\"{}\"\r\n", "a".repeat(LINE_MAX))), ERROR);
    assert_eq!(bench.say(&format!("{}\r\n", "AT".repeat(4000))), ERROR);
    assert_eq!(bench.say("AT\r\n"), OK);
}

#[test]
fn reasons_are_told_when_they_are_asked_for() {
    let mut bench = Bench::new();
    bench.say("ATE0\r\n");
    assert_eq!(bench.say("AT+FAKE\r\n"), ERROR);
    assert_eq!(bench.say("AT+SYSLOG=1\r\n"), OK);
    for (command, code) in [
        ("AT+FAKE", "0x01090000"),
        ("at", "0x01030000"),
        ("AT+GMR?", "0x010c0000"),
        ("AT+CWMODE=4", "0x01070000"),
        ("AT+CWMODE=\"1\"", "0x01050000"),
        ("AT+UART_CUR=115200,8,1,0", "0x01060504"),
        ("AT+CWMODE=x", "0x01080000"),
        ("AT+MQTTCLEAN=0", "0x00006003"),
    ] {
        assert_eq!(bench.say(&format!("{command}\r\n")), format!("ERR CODE:{code}\r\n{ERROR}"), "{command}");
    }
}

#[test]
fn every_command_is_listed_with_its_forms_and_refuses_the_others() {
    let mut bench = Bench::new();
    bench.say("ATE0\r\n");
    let list = bench.say("AT+CMD?\r\n");
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("+CMD:")).collect();
    assert_eq!(rows.len(), entries().count());
    assert!(rows[0].starts_with("+CMD:0,\"AT\",0,0,0,1"));
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        let name = fields[1].trim_matches('"');
        if name == "AT+RST" || name == "AT+RESTORE" || name.starts_with("ATE") {
            continue;
        }
        for (form, field) in [("=?", 2), ("?", 3), ("", 5)] {
            let answer = Bench::joined().ask(&format!("{name}{form}"));
            assert!(fields[field] == "1" || answer == ERROR, "{name}{form}: {answer}");
        }
    }
}

#[test]
fn commands_that_come_too_early_are_refused_as_busy() {
    let mut bench = Bench::new();
    bench.say("ATE0\r\nAT+CWMODE=1\r\n");
    assert_eq!(bench.say("AT+CWJAP=\"any\",\"\"\r\nAT\r\n"), "\r\nbusy p...\r\n");
    assert!(bench.until(&["OK\r\n"]).starts_with("WIFI CONNECTED"));
    assert_eq!(bench.say("AT\r\n"), OK);
}

#[test]
fn access_points_want_their_passwords() {
    let point = AccessPoint { ssid: "home".to_owned(), password: Some("long enough".to_owned()) };
    let mut bench = Bench::with(vec![point], Flash::default());
    bench.say("ATE0\r\nAT+CWMODE=1\r\n");
    assert_eq!(bench.ask("AT+CWJAP=\"away\",\"\""), format!("+CWJAP:3\r\n{ERROR}"));
    assert_eq!(bench.ask("AT+CWJAP=\"home\",\"wrong\""), format!("+CWJAP:2\r\n{ERROR}"));
    assert!(bench.ask("AT+CWLAP").starts_with("+CWLAP:(3,\"home\","));
    assert!(bench.ask("AT+CWJAP=\"home\",\"long enough\"").ends_with(OK));
    assert!(bench.ask("AT+CWSTATE?").starts_with("+CWSTATE:2,\"home\""));
    assert_eq!(bench.ask("AT+CWQAP"), format!("WIFI DISCONNECT\r\n{OK}"));
    // It joins by itself when it gets power again.
    let mut again = Bench::with(bench.module.surroundings.access_points.clone(), bench.module.into_flash());
    again.module.ready(again.now);
    assert_eq!(again.until(&["WIFI GOT IP\r\n"]), "\r\nready\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n");
}

#[test]
fn a_restart_forgets_what_is_not_stored() {
    let mut bench = Bench::new();
    bench.say("ATE0\r\nAT+SYSLOG=1\r\nAT+UART_DEF=921600,8,1,0,3\r\nAT+SYSSTORE=0\r\nAT+CWMODE=1\r\n");
    assert_eq!(bench.say("AT+RST\r\n"), OK);
    assert!(bench.module.wants_restart());
    let mut bench = Bench::with(Vec::new(), bench.module.into_flash());
    assert_eq!(bench.say("AT+CWMODE?\r\n"), "AT+CWMODE?\r\n+CWMODE:0\r\n\r\nOK\r\n");
    bench.say("ATE0\r\n");
    assert_eq!(bench.say("AT+UART_CUR?\r\n"), format!("+UART_CUR:921600,8,1,0,3\r\n{OK}"));
    assert_eq!(bench.say("AT+SYSLOG?\r\n"), format!("+SYSLOG:0\r\n{OK}"));
    assert_eq!(bench.say("AT+RESTORE\r\n"), OK);
    let mut bench = Bench::with(Vec::new(), bench.module.into_flash());
    bench.say("ATE0\r\n");
    assert_eq!(bench.say("AT+UART_DEF?\r\n"), format!("+UART_DEF:115200,8,1,0,0\r\n{OK}"));
}

#[test]
fn tcp_sends_and_receives_with_a_real_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut bench = Bench::joined();
    assert_eq!(bench.ask(&format!("AT+CIPSTART=\"TCP\",\"127.0.0.1\",{port}")), format!("CONNECT\r\n{OK}"));
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(bench.ask("AT+CIPSEND=4"), "\r\nOK\r\n\r\n>");
    assert_eq!(bench.say("te"), "");
    assert_eq!(bench.say("stAT\r\n"), "\r\nRecv 4 bytes\r\n\r\nSEND OK\r\n\r\nbusy p...\r\n");
    let mut got = [0; 4];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"test");
    peer.write_all(b"answer").unwrap();
    assert_eq!(bench.until(&["answer"]), "\r\n+IPD,6:answer");
    assert!(bench.ask("AT+CIPSTATE?").starts_with(&format!("+CIPSTATE:0,\"TCP\",\"127.0.0.1\",{port},")));
    assert_eq!(bench.ask("AT+CIPMUX=1"), ERROR);
    drop(peer);
    assert_eq!(bench.until(&["CLOSED\r\n"]), "CLOSED\r\n");
    assert_eq!(bench.ask("AT+CIPCLOSE"), ERROR);
}

#[test]
fn nothing_but_this_machine_is_reached() {
    let mut bench = Bench::joined();
    for host in ["192.0.2.1", "server.example"] {
        assert_eq!(bench.ask(&format!("AT+CIPSTART=\"TCP\",\"{host}\",80")), ERROR);
        let log = String::from_utf8(bench.module.take_log()).unwrap();
        assert!(log.contains("is not on this machine"), "{log}");
    }
    assert_eq!(Bench::new().ask("AT+CIPSTART=\"TCP\",\"127.0.0.1\",80").lines().last(), Some("ERROR"));
}

#[test]
fn passthrough_begins_with_a_prompt_and_ends_with_an_escape() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut bench = Bench::joined();
    assert_eq!(bench.ask("AT+CIPSEND"), ERROR);
    assert_eq!(bench.ask("AT+CIPMODE=1"), OK);
    bench.ask(&format!("AT+CIPSTART=\"TCP\",\"127.0.0.1\",{port}"));
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(bench.ask("AT+SYSMSG=1"), OK);
    assert!(!bench.module.has_data_mode());
    assert_eq!(bench.ask("AT+CIPSEND"), "\r\nOK\r\n\r\n>");
    assert!(bench.module.has_data_mode());
    assert_eq!(bench.say("AT\r\n"), "");
    bench.wait(30);
    let mut got = [0; 4];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"AT\r\n");
    peer.write_all(b"raw").unwrap();
    assert_eq!(bench.until(&["raw"]), "raw");
    // The connection is made again when it is lost.
    drop(peer);
    let mut peer = loop {
        listener.set_nonblocking(true).unwrap();
        bench.wait(20);
        if let Ok((peer, _)) = listener.accept() {
            break peer;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    bench.wait(20);
    peer.set_nonblocking(false).unwrap();
    peer.write_all(b"back").unwrap();
    assert_eq!(bench.until(&["back"]), "back");
    bench.module.escape(bench.now);
    assert_eq!(bench.heard(), "\r\n+QUITT\r\n");
    peer.write_all(b"later").unwrap();
    assert_eq!(bench.until(&["later"]), "\r\n+IPD,5:later");
    assert_eq!(bench.ask("AT+CIPCLOSE"), format!("CLOSED\r\n{OK}"));
}

#[test]
fn data_waits_until_it_is_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut bench = Bench::joined();
    assert_eq!(bench.say("AT+CIPMUX=1\r\nAT+CIPRECVTYPE=5,1\r\nAT+CIPDINFO=1\r\n"), OK.repeat(3));
    assert_eq!(bench.ask(&format!("AT+CIPSTART=3,\"TCP\",\"localhost\",{port}")), format!("3,CONNECT\r\n{OK}"));
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(bench.ask("AT+CIPRECVDATA=3,10"), ERROR);
    peer.write_all(b"hello").unwrap();
    assert_eq!(bench.until(&["5\r\n"]), "\r\n+IPD,3,5\r\n");
    drop(peer);
    assert_eq!(bench.until(&["CLOSED\r\n"]), "3,CLOSED\r\n");
    assert_eq!(bench.ask("AT+CIPRECVLEN?"), format!("+CIPRECVLEN:,,,5,\r\n{OK}"));
    // What the peer said before it left is still there.
    let head = |bytes: usize| format!("+CIPRECVDATA:{bytes},\"127.0.0.1\",{port},");
    assert_eq!(bench.ask("AT+CIPRECVDATA=3,3"), format!("{}hel\r\n{OK}", head(3)));
    assert_eq!(bench.ask("AT+CIPRECVDATA=3,3"), format!("{}lo\r\n{OK}", head(2)));
    assert_eq!(bench.ask("AT+CIPRECVDATA=3,3"), ERROR);
}

#[test]
fn a_server_takes_clients_in() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut bench = Bench::joined();
    assert_eq!(bench.ask(&format!("AT+CIPSERVER=1,{free}")), ERROR);
    assert_eq!(bench.say(&format!("AT+CIPMUX=1\r\nAT+CIPSERVERMAXCONN=1\r\nAT+CIPSERVER=1,{free}\r\n")), OK.repeat(3));
    let mut client = TcpStream::connect(("127.0.0.1", free)).unwrap();
    assert_eq!(bench.until(&["CONNECT\r\n"]), "0,CONNECT\r\n");
    client.write_all(b"hi").unwrap();
    assert_eq!(bench.until(&["hi"]), "\r\n+IPD,0,2:hi");
    let mut second = TcpStream::connect(("127.0.0.1", free)).unwrap();
    bench.wait(10);
    assert_eq!(second.read(&mut [0; 1]).unwrap_or(0), 0);
    assert_eq!(bench.ask("AT+CIPSERVER=0,1"), format!("0,CLOSED\r\n{OK}"));
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
fn udp_goes_where_it_is_told() {
    let peers: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = peers.iter().map(|peer| peer.local_addr().unwrap().port()).collect();
    let mut bench = Bench::joined();
    assert!(bench.ask(&format!("AT+CIPSTART=\"UDP\",\"127.0.0.1\",{},0,2", ports[0])).ends_with(OK));
    bench.ask("AT+CIPSEND=3");
    bench.say("one");
    bench.ask(&format!("AT+CIPSEND=3,\"127.0.0.1\",{}", ports[1]));
    bench.say("two");
    let mut buffer = [0; 8];
    for (peer, text) in peers.iter().zip([b"one", b"two"]) {
        let (count, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], text);
        peer.send_to(text, from).unwrap();
        let heard = bench.until(&[&String::from_utf8_lossy(text)]);
        assert!(heard.starts_with("\r\n+IPD,3:"), "{heard}");
    }
    assert!(bench.ask("AT+CIPSTATE?").contains(&format!("\"127.0.0.1\",{},", ports[1])));
}

#[test]
fn partitions_behave_like_flash() {
    let mut bench = Bench::new();
    bench.say("ATE0\r\n");
    assert!(bench.ask("AT+SYSFLASH?").starts_with("+SYSFLASH:\"mfg_nvs\",1,2,0x1f000,0x1f000\r\n"));
    assert_eq!(bench.ask("AT+SYSFLASH=1,\"fs_storage\",4094,4"), "\r\nOK\r\n\r\n>");
    assert_eq!(bench.say("\r\nAT"), OK);
    assert_eq!(bench.ask("AT+SYSFLASH=2,\"fs_storage\",4094,4"), format!("+SYSFLASH:4,\r\nAT\r\n{OK}"));
    bench.ask("AT+SYSFLASH=1,\"fs_storage\",4096,1");
    bench.say("B");
    // 'A' & 'B'
    assert_eq!(bench.ask("AT+SYSFLASH=2,\"fs_storage\",4096,2"), format!("+SYSFLASH:2,@T\r\n{OK}"));
    assert_eq!(bench.ask("AT+SYSFLASH=0,\"fs_storage\",4096,100"), ERROR);
    assert_eq!(bench.ask("AT+SYSFLASH=0,\"fs_storage\",4096,4096"), OK);
    assert_eq!(bench.ask("AT+SYSFLASH=2,\"fs_storage\",102400,1"), ERROR);
    assert_eq!(bench.ask("AT+SYSFLASH=0,\"ota_0\""), ERROR);
    assert_eq!(bench.ask("AT+SYSFLASH=0,\"mfg_nvs\""), OK);
    assert_eq!(bench.ask("AT+SYSMFG?"), OK);
}

#[test]
fn manufacturing_values_are_written_read_and_erased() {
    let mut bench = Bench::new();
    bench.say("ATE0\r\n");
    assert_eq!(bench.ask("AT+SYSMFG?"), format!("+SYSMFG:\"factory_param\"\r\n{OK}"));
    let name = |name: &str| format!("+SYSMFG:\"factory_param\",\"module_name\",7,{},{name}\r\n{OK}", name.len());
    assert_eq!(bench.ask("AT+SYSMFG=1,\"factory_param\",\"module_name\""), name("MINI-1"));
    assert_eq!(bench.ask("AT+SYSMFG=2,\"factory_param\",\"module_name\",7,12"), "\r\nOK\r\n\r\n>");
    assert_eq!(bench.say("MY-MODULE-01"), OK);
    assert_eq!(bench.ask("AT+SYSMFG=1,\"factory_param\",\"module_name\""), name("MY-MODULE-01"));
    assert!(bench.ask("AT+GMR").contains("(MY-MODULE-01)\r\n"));
    let piece = format!("+SYSMFG:\"factory_param\",\"module_name\",7,6,MODULE\r\n{OK}");
    assert_eq!(bench.ask("AT+SYSMFG=1,\"factory_param\",\"module_name\",3,6"), piece);
    let baud = format!("+SYSMFG:\"factory_param\",\"uart_baudrate\",6,6,115200\r\n{OK}");
    assert_eq!(bench.ask("AT+SYSMFG=1,\"factory_param\",\"uart_baudrate\""), baud);
    assert_eq!(bench.ask("AT+SYSMFG=2,\"own\",\"serial\",5,4294967295"), OK);
    assert_eq!(bench.ask("AT+SYSMFG=1,\"own\""), format!("+SYSMFG:\"own\",\"serial\",5\r\n{OK}"));
    assert_eq!(bench.ask("AT+SYSMFG=2,\"own\",\"serial\",1,256"), ERROR);
    assert_eq!(bench.ask("AT+SYSMFG=0,\"own\""), OK);
    assert_eq!(bench.ask("AT+SYSMFG=0,\"own\""), ERROR);
    assert_eq!(bench.ask("AT+SYSMFG=1,\"own\",\"serial\""), ERROR);
}

#[test]
fn the_clock_is_of_1970_until_it_is_told() {
    let mut bench = Bench::joined();
    assert!(bench.ask("AT+CIPSNTPTIME?").starts_with("+CIPSNTPTIME:Thu Jan  1 00:00:"));
    assert_eq!(bench.ask("AT+CIPSNTPCFG=1,8,\"ntp1.example\""), OK);
    assert_eq!(bench.until(&["UPDATED\r\n"]), "+TIME_UPDATED\r\n");
    assert!(bench.ask("AT+CIPSNTPCFG?").starts_with("+CIPSNTPCFG:1,8,\"ntp1.example\"\r\n"));
    let stamp = bench.ask("AT+SYSTIMESTAMP?");
    let seconds: u64 = stamp.trim_start_matches("+SYSTIMESTAMP:").lines().next().unwrap().parse().unwrap();
    assert!(seconds.abs_diff(Clock::host()) < 3);
    assert_eq!(bench.ask("AT+SYSTIMESTAMP=1634636876"), OK);
    assert!(bench.ask("AT+CIPSNTPTIME?").starts_with("+CIPSNTPTIME:Tue Oct 19 17:47:5"));
    assert_eq!(bench.ask("AT+CIPSNTPCFG=1,1275"), ERROR);
}

#[test]
fn mqtt_goes_through_its_states_in_order() {
    let mut bench = Bench::joined();
    bench.ask("AT+SYSLOG=1");
    let refused = |code: &str| format!("ERR CODE:0x0000{code}\r\n{ERROR}");
    assert_eq!(bench.ask("AT+MQTTCONN=0,\"127.0.0.1\",1883,0"), refused("6001"));
    assert_eq!(bench.ask("AT+MQTTLONGPASSWORD=0,214"), refused("6001"));
    assert_eq!(bench.ask("AT+MQTTUSERCFG=1,1,\"c\",\"u\",\"p\",0,0,\"\""), refused("6011"));
    assert_eq!(bench.ask("AT+MQTTUSERCFG=0,11,\"c\",\"u\",\"p\",0,0,\"\""), refused("6013"));
    let long = "p".repeat(65);
    assert_eq!(bench.ask(&format!("AT+MQTTUSERCFG=0,1,\"c\",\"u\",\"{long}\",0,0,\"\"")), refused("601c"));
    assert_eq!(bench.ask("AT+MQTTUSERCFG=0,3,\"c\",\"u\",\"p\",0,0,\"\""), OK);
    assert!(bench.ask("AT+MQTTCONN?").starts_with("+MQTTCONN:0,1,3,"));
    assert_eq!(bench.ask("AT+MQTTCONN=0,\"127.0.0.1\",1883,0"), format!("NO CA FOUND\r\n{}", refused("6009")));
    assert_eq!(bench.ask("AT+MQTTPUB=0,\"t\",\"d\",0,0"), refused("6051"));
    assert_eq!(bench.ask("AT+MQTTCLEAN=0"), OK);
    assert_eq!(bench.ask("AT+MQTTCLEAN=0"), refused("6003"));
    // A line has no room for 214 characters beside the rest, so they are asked for.
    assert_eq!(bench.ask("AT+MQTTUSERCFG=0,1,\"c\",\"u\",\"p\",0,0,\"\""), OK);
    assert_eq!(bench.ask("AT+MQTTLONGPASSWORD=0,1025"), "ERR CODE:0x01070001\r\n\r\nERROR\r\n");
    assert_eq!(bench.ask("AT+MQTTLONGPASSWORD=0,214"), "\r\nOK\r\n\r\n>");
    assert_eq!(bench.say(&"j".repeat(214)), OK);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(bench.ask(&format!("AT+MQTTCONN=0,\"127.0.0.1\",{closed},0")), refused("600b"));
}

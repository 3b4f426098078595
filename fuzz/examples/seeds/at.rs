//! Seeds of what is said to an AT module.

use super::{Outcome, seed};

pub(super) fn at_command() -> Outcome {
    seed("at_command", "example", b"AT\r\nAT+GMR\r\nAT+CWMODE=1\r\nAT+CWJAP=\"688018\",\"\"\r\n")?;
    seed("at_command", "escapes", b"AT+CWJAP=\"comma\\,backslash\\\\ssid\",\"0123456789\\\"\\\\\",,1\r\n")?;
    seed(
        "at_command",
        "forms",
        b"ATE0\r\nAT+CMD?\r\nAT+CWMODE=?\r\nAT+SYSLOG=1\r\nAT+CIPMUX=1\r\nAT+CIPSEND=4,10\r\nAT+CIPSSLCALPN=5,2,\"a\",\"b\"\r\nAT+RST\r\n",
    )?;
    seed(
        "at_command",
        "flash",
        b"AT+SYSFLASH=1,\"fs_storage\",0x1000,4\r\nabcdAT+SYSFLASH=2,\"fs_storage\",4096,4\r\nAT+SYSFLASH=0,\"mfg_nvs\"\r\n",
    )?;
    seed(
        "at_command",
        "manufacturing",
        b"AT+SYSMFG=2,\"own\",\"key\",8,5\r\nhello\r\nAT+SYSMFG=1,\"own\",\"key\",1,3\r\nAT+SYSMFG=0,\"own\"\r\nAT+SYSMFG?\r\n",
    )?;
    seed(
        "at_command",
        "mqtt",
        b"AT+MQTTUSERCFG=0,1,\"client\",\"user\",\"password\",0,0,\"\"\r\nAT+MQTTLONGPASSWORD=0,8\r\n12345678AT+MQTTCONNCFG=0,0,0,\"lwtt\",\"lwtm\",0,0\r\nAT+MQTTCONN=0,\"127.0.0.1\",1883,1\r\nAT+MQTTCLEAN=0\r\n",
    )?;
    seed(
        "at_command",
        "time",
        b"AT+CIPSNTPCFG=1,-500,\"a\"\r\nAT+CIPSNTPTIME?\r\nAT+SYSTIMESTAMP=4294967295\r\nAT+CIPSNTPTIME?\r\n",
    )
}

pub(super) fn at_script() -> Outcome {
    seed("at_script", "example", cotter_twin::at::script::EXAMPLE.as_bytes())?;
    seed(
        "at_script",
        "every_step",
        b"timeout 16s\nready within 1500ms\nsend \"AT+CWJAP=\\\"ap\\\",\\\"\\\\\\\"\"\nraw \"\\x00\\xff\\r\\n\\t\"\nfile \"a b.bin\"\nexpect \"OK\\r\\n\" within 5s # and no more\nexpect /^\\+IPD,\\d+:\\/x[a-f]{2,3}\\r$/\nrefuse \"ERROR\"\nrefuse nothing\nlog \"halfway\"\nsleep 2m\npassthrough within 3s\nescape\n",
    )?;
    seed("at_script", "mistakes", b"sned \"AT\"\nexpect /(/\nexpect /x*/\nsend \"\\q\"\nraw \"\\x0\"\ntimeout 16\nsleep 99999m\nescape now\nfile \"\"\n")
}

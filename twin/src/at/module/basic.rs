//! AT, echo, versions, restart, UART, messages.

use super::super::arguments::Arguments;
use super::super::flash::Settings;
use super::super::refusal::Refusal;
use super::entry::{Entry, entries};
use super::{Module, Outcome, Reply};
use cotter_formats::nvs::Value;
use std::time::Instant;

/// What a module says on its log port when it gets power. The command port stays silent until it is ready.
pub(super) const BANNER: &str = "\
ESP-ROM:esp32c3-api1-20210207\r\n\
rst:0x1 (POWERON),boot:0xc (SPI_FAST_FLASH_BOOT)\r\n\
I (24) boot: this is a virtual module of cotter: no ROM, no second stage, no radio\r\n";

/// What it says there when it is ready.
pub(super) const AT_INIT: &str = "I (598) at-init: at param mode: 1\r\n";

pub(super) const COMMANDS: &[Entry] = &[
    Entry::new("").execute(|_, _| Ok(Reply::Done)),
    Entry::new("E0").execute(|module, _| module.set_echo(false)),
    Entry::new("E1").execute(|module, _| module.set_echo(true)),
    Entry::new("+RST").execute(|_, _| Ok(Reply::Restart)),
    Entry::new("+RESTORE").execute(restore),
    Entry::new("+GMR").execute(versions),
    Entry::new("+CMD").query(list),
    Entry::new("+SYSRAM").query(|module, _| module.tell("+SYSRAM:148408,84044")),
    Entry::new("+SYSLOG").query(query_log).set(set_log),
    Entry::new("+SYSMSG").query(query_messages).set(set_messages),
    Entry::new("+SYSSTORE").query(query_store).set(set_store),
    Entry::new("+UART_CUR").query(query_uart).set(set_uart),
    Entry::new("+UART_DEF").query(query_default_uart).set(set_default_uart),
    Entry::new("+SLEEP").query(|module, _| module.tell("+SLEEP:0")).set(set_sleep),
];

impl Module {
    fn set_echo(&mut self, echoes: bool) -> Outcome {
        self.echoes = echoes;
        Ok(Reply::Done)
    }

    /// One line and OK.
    pub(super) fn tell(&mut self, line: &str) -> Outcome {
        self.say(line);
        Ok(Reply::Done)
    }
}

fn restore(module: &mut Module, _: Instant) -> Outcome {
    module.flash.settings = Settings::default();
    Ok(Reply::Restart)
}

fn versions(module: &mut Module, _: Instant) -> Outcome {
    let name = match module.flash.value("factory_param", "module_name") {
        Some(Value::String(name)) => name.into_owned(),
        _ => "unnamed".to_owned(),
    };
    module.say(concat!(
        "AT version:4.2.0.0-virtual(cotter ",
        env!("CARGO_PKG_VERSION"),
        " - ESP32C3 - Jul 24 2026 00:00:00)"
    ));
    module.say("SDK version:none");
    module.say("compile time(virtual):Jul 24 2026 00:00:00");
    module.say(format_args!("Bin version:v4.2.0.0-virtual({name})"));
    Ok(Reply::Done)
}

fn list(module: &mut Module, _: Instant) -> Outcome {
    for (index, entry) in entries().enumerate() {
        let forms = [entry.test.is_some(), entry.query.is_some(), entry.set.is_some(), entry.execute.is_some()];
        let [test, query, set, execute] = forms.map(u8::from);
        module.say(format_args!("+CMD:{index},\"AT{}\",{test},{query},{set},{execute}", entry.name));
    }
    Ok(Reply::Done)
}

fn query_log(module: &mut Module, _: Instant) -> Outcome {
    let state = u8::from(module.tells_codes);
    module.tell(&format!("+SYSLOG:{state}"))
}

fn set_log(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.tells_codes = arguments.count(1..=1)?.required::<u8>(0, 0..=1)? == 1;
    Ok(Reply::Done)
}

fn query_messages(module: &mut Module, _: Instant) -> Outcome {
    let state = module.messages;
    module.tell(&format!("+SYSMSG:{state}"))
}

fn set_messages(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.messages = arguments.count(1..=1)?.required(0, 0..=7)?;
    Ok(Reply::Done)
}

fn query_store(module: &mut Module, _: Instant) -> Outcome {
    let state = u8::from(module.stores);
    module.tell(&format!("+SYSSTORE:{state}"))
}

fn set_store(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.stores = arguments.count(1..=1)?.required::<u8>(0, 0..=1)? == 1;
    module.flash.settings.stores = module.stores;
    Ok(Reply::Done)
}

fn query_uart(module: &mut Module, _: Instant) -> Outcome {
    let [baud, data, stop, parity, flow] = module.uart;
    module.tell(&format!("+UART_CUR:{baud},{data},{stop},{parity},{flow}"))
}

fn query_default_uart(module: &mut Module, _: Instant) -> Outcome {
    let [baud, data, stop, parity, flow] = module.flash.settings.uart;
    module.tell(&format!("+UART_DEF:{baud},{data},{stop},{parity},{flow}"))
}

/// A pseudo-terminal has no baud rate: what is set is told again, and changes nothing.
fn set_uart(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.uart = uart(arguments)?;
    Ok(Reply::Done)
}

fn set_default_uart(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    module.uart = uart(arguments)?;
    module.flash.settings.uart = module.uart;
    Ok(Reply::Done)
}

fn uart(arguments: Arguments<'_>) -> Result<[u32; 5], Refusal> {
    let arguments = arguments.count(5..=5)?;
    Ok([
        arguments.required(0, 80..=5_000_000)?,
        arguments.required(1, 5..=8)?,
        arguments.required(2, 1..=3)?,
        arguments.required(3, 0..=2)?,
        arguments.required(4, 0..=3)?,
    ])
}

fn set_sleep(_: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let _mode: u8 = arguments.count(1..=1)?.required(0, 0..=3)?;
    Ok(Reply::Done)
}

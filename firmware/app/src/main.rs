//! The application of a Cotter device on a real ESP32-C3.

#![no_std]
#![no_main]

mod descriptor;
mod entropy;
mod release;

use cotter_device::platform::Random;
use cotter_wire::registers::RegisterMap;
use esp_backtrace as _;
use esp_println::println;

#[esp_hal::main]
fn main() -> ! {
    let board = esp_hal::init(esp_hal::Config::default());
    println!("{} {} secure_version {}", release::PROJECT, release::VERSION, release::SECURE_VERSION);
    match RegisterMap::parse(&descriptor::register_map()).map(|map| map.check()) {
        Ok(Ok(())) => println!("self-test: passed"),
        Ok(Err(fault)) => println!("self-test: failed: {fault}"),
        Err(error) => println!("self-test: failed: {error}"),
    }
    let mut entropy = entropy::Entropy::new(board.RNG, board.ADC1);
    let mut x = [0; 16];
    entropy.fill(&mut x);
    println!("{x:?}");
    loop {
        core::hint::spin_loop();
    }
}

//! libFuzzer target of `cotter_fuzz::at_command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::at_command(data));

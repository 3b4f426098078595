//! libFuzzer target of `cotter_fuzz::efuse_plan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::efuse_plan(data));

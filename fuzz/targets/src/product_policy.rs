//! libFuzzer target of `cotter_fuzz::product_policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::product_policy(data));

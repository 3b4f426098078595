//! libFuzzer target of `cotter_fuzz::rollout`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::rollout(data));

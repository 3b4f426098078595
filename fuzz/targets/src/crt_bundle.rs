//! libFuzzer target of `cotter_fuzz::crt_bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::crt_bundle(data));

//! libFuzzer target of `cotter_fuzz::secure_cert_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::secure_cert_csv(data));

//! libFuzzer target of `cotter_fuzz::pkcs11_uri`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::pkcs11_uri(data));

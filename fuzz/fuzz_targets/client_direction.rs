//! Runs [`fuzz::client_direction`] on what libFuzzer invents.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::client_direction(data));

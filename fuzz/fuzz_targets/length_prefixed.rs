//! Runs [`fuzz::length_prefixed`] on what libFuzzer invents.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::length_prefixed(data));

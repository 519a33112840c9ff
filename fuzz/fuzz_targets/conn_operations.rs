//! Runs [`fuzz::conn_operations`] on what libFuzzer invents.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::conn_operations(data));

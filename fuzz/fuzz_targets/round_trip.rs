//! Runs [`fuzz::round_trip`] on what libFuzzer invents.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::round_trip(data));

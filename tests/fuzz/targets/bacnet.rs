#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wayside_tests::fuzz_devices::bacnet(bytes));

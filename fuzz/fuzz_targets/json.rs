//! Our reader takes what `serde_json` takes and nothing else.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let judged = serde_json::from_slice::<serde_json::Value>(input);
    // Its numbers must fit a double, its recursion ends at 128; ours are text, and end at the same depth.
    let own_limit = judged.as_ref().is_err_and(|error| {
        let text = error.to_string();
        text.starts_with("number out of range") || text.starts_with("recursion limit")
    });
    assert!(own_limit || judged.is_ok() == wire::json::accepts(input, 128));
});

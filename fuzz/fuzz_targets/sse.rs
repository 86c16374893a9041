//! Events are the same however the bytes are cut.
#![no_main]

use wire::frame::sse::Decoder;

fn items(bytes: &[u8], size: usize) -> Vec<Option<String>> {
    let mut decoder = Decoder::new(64);
    let mut items = Vec::new();
    for mut piece in bytes.chunks(size) {
        while let Some(item) = decoder.next(&mut piece) {
            items.push(item.ok().map(|item| format!("{item:?}")));
            if items.last() == Some(&None) {
                return items;
            }
        }
    }
    items.extend(decoder.end().map(|item| Some(format!("{item:?}"))));
    items
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (size, bytes) = wire_fuzz::cut(input);
    let whole = items(bytes, bytes.len().max(1));
    assert_eq!(whole, items(bytes, size));
    assert_eq!(whole, items(bytes, 1));
});

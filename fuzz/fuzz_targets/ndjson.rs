//! Lines are the same however the bytes are cut.
#![no_main]

use wire::frame::ndjson::Decoder;

fn records(bytes: &[u8], size: usize) -> Vec<Option<Vec<u8>>> {
    let mut decoder = Decoder::new(64);
    let mut records = Vec::new();
    for mut piece in bytes.chunks(size) {
        while let Some(record) = decoder.next(&mut piece) {
            records.push(record.ok().map(<[u8]>::to_vec));
            if records.last() == Some(&None) {
                return records;
            }
        }
    }
    records.extend(decoder.end().map(|record| Some(record.to_vec())));
    records
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (size, bytes) = wire_fuzz::cut(input);
    let whole = records(bytes, bytes.len().max(1));
    assert_eq!(whole, records(bytes, size));
    assert_eq!(whole, records(bytes, 1));
});

//! Records out of bytes that are cut in every place.

use super::Decoder;

/// All records, or the word that one was too long.
fn read(bytes: &[u8], size: usize, bytes_max: usize) -> Vec<String> {
    let mut decoder = Decoder::new(bytes_max);
    let mut records = Vec::new();
    for mut piece in bytes.chunks(size) {
        while let Some(record) = decoder.next(&mut piece) {
            match record {
                Ok(record) => records.push(String::from_utf8_lossy(record).into_owned()),
                Err(_) => {
                    records.push("too long".into());
                    return records;
                }
            }
        }
    }
    records.extend(decoder.end().map(|record| String::from_utf8_lossy(record).into_owned()));
    records
}

#[track_caller]
fn check(bytes: &str, bytes_max: usize, expected: &[&str]) {
    for size in 1..=bytes.len().max(1) {
        assert_eq!(read(bytes.as_bytes(), size, bytes_max), expected, "cut every {size} bytes");
    }
}

#[test]
fn splits_at_lf_only() {
    check("", 99, &[]);
    check("a\nb\n", 99, &["a", "b"]);
    check("a\r\n\r\n \n\nb", 99, &["a", "b"]);
    check("\u{feff}a\n\u{feff}b\n", 99, &["a", "\u{feff}b"]);
    check("a\u{2028}b\u{85}c\u{b}d\n", 99, &["a\u{2028}b\u{85}c\u{b}d"]);
    check("é🙂\n🙂", 99, &["é🙂", "🙂"]);
}

#[test]
fn a_line_beyond_the_cap_is_an_error() {
    check("1234\n12345\n1\n", 4, &["1234", "too long"]);
    check("1234", 4, &["1234"]);
    check("12345", 4, &["too long"]);
}

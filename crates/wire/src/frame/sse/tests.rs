//! Items out of bytes that are cut in every place.

use super::{Decoder, Item};

fn show(item: Item<'_>) -> String {
    match item {
        Item::Data { event, data } => format!("{}={}", event.unwrap_or(""), String::from_utf8_lossy(data)),
        Item::Comment(text) => format!("#{}", String::from_utf8_lossy(text)),
    }
}

fn read(bytes: &[u8], size: usize, bytes_max: usize) -> Vec<String> {
    let mut decoder = Decoder::new(bytes_max);
    let mut items = Vec::new();
    for mut piece in bytes.chunks(size) {
        while let Some(item) = decoder.next(&mut piece) {
            match item {
                Ok(item) => items.push(show(item)),
                Err(_) => {
                    items.push("too long".into());
                    return items;
                }
            }
        }
    }
    items.extend(decoder.end().map(show));
    items
}

#[track_caller]
fn check(bytes: &str, expected: &[&str]) {
    check_capped(bytes, 99, expected);
}

#[track_caller]
fn check_capped(bytes: &str, bytes_max: usize, expected: &[&str]) {
    for size in 1..=bytes.len().max(1) {
        assert_eq!(read(bytes.as_bytes(), size, bytes_max), expected, "cut every {size} bytes");
    }
}

#[test]
fn every_line_ending() {
    check("data: a\n\ndata: b\n\n", &["=a", "=b"]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &["=a", "=b"]);
    check("data: a\r\rdata: b\r\r", &["=a", "=b"]);
    check("data: a\r\n\ndata: b\n\r\n", &["=a", "=b"]);
    check("data: a\r\ndata: b\r\n\r\n", &["=a\nb"]);
}

#[test]
fn fields() {
    check("data:a\n\n", &["=a"]);
    check("data:  a\n\n", &["= a"]);
    check("data: a\ndata:b\ndata\n\n", &["=a\nb\n"]);
    check("event: x\nid: 1\nretry: 5\ndata: a\nother: z\n\ndata: b\n\n", &["x=a", "=b"]);
    check("event: x\n\ndata: b\n\n", &["=b"]);
    check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["=a"]);
    check("data: a: b\n\n", &["=a: b"]);
}

#[test]
fn comments_stand_anywhere() {
    check(": ping\n\n:\ndata: a\n: in\ndata: b\n\n:end\n", &["#ping", "#", "#in", "=a\nb", "#end"]);
}

#[test]
fn the_last_event_may_lack_its_end() {
    check("data: a\n\ndata: [DONE]\n", &["=a", "=[DONE]"]);
    check("data: a\n\ndata: [DONE]", &["=a", "=[DONE]"]);
    check("data: a\ndata: b", &["=a\nb"]);
    check("event: x\n", &[]);
}

#[test]
fn an_event_beyond_the_cap_is_an_error() {
    check_capped("data: 12\n\ndata: 123\n\n", 8, &["=12", "too long"]);
    check_capped("data: 12\ndata: 12\n\n", 8, &["too long"]);
}

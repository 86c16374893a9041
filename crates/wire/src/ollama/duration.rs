//! Durations as Go writes them: `5m`, `1h30m`, `-1s`, `1.5h`.
//!
//! Never here: their value; Ollama reads it.

/// Whether Go's parser takes the text. Without a unit only zero is a duration.
pub(super) fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = rest.get(..rest.len() - unit.len()).unwrap_or("");
        let next = unit.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
        let name = unit.get(..unit.len() - next.len()).unwrap_or("");
        let is_number = number.contains(|c: char| c.is_ascii_digit()) && number.matches('.').count() < 2;
        if !is_number || !matches!(name, "ns" | "us" | "µs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = next;
    }
    true
}

/// No time at all.
pub(super) fn is_zero(text: &str) -> bool {
    is_duration(text) && !text.contains(|c: char| c.is_ascii_digit() && c != '0')
}

#[cfg(test)]
mod tests {
    use super::{is_duration, is_zero};

    #[test]
    fn what_go_takes() {
        for text in ["0", "-0", "5m", "1h30m", "-1s", "+2ms", "1.5h", ".5s", "1.s", "10µs", "3ns"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "-", "5", "-1", "m", "1d", "1.2.3s", "5 m", "1h30", "s5", "--1s", ".s", "\"", "1H"] {
            assert!(!is_duration(text), "{text}");
        }
    }

    #[test]
    fn no_time_at_all() {
        for text in ["0", "-0", "0s", "0m0s", "0.00h"] {
            assert!(is_zero(text), "{text}");
        }
        for text in ["", "1s", "0.5s", "5m", "10s", "-1s", "00"] {
            assert!(!is_zero(text), "{text}");
        }
    }
}

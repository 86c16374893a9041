//! The four layers as a table: component, protection, and whether it can be walked around.
//!
//! Why here: it is the question that a person in charge asks; the findings below it are the reasons.
//!
//! Never here: the answers.

use serde::Serialize;

/// Whether a layer can be walked around on this machine now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Around {
    No,
    Yes,
    Unknown,
}

impl Around {
    fn word(self) -> &'static str {
        match self {
            Around::No => "no",
            Around::Yes => "YES",
            Around::Unknown => "unknown",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Layer {
    pub layer: &'static str,
    pub component: String,
    pub protection: String,
    pub around: Around,
    pub because: String,
}

const HEADS: [&str; 4] = ["layer", "component", "what it protects by", "can it be walked around?"];
/// Together with the gaps a wide terminal's line.
const WIDTHS: [usize; 4] = [14, 28, 32, 42];
const GAP: &str = "  ";

/// Columns of fixed width, each cell over as many lines as it needs.
pub(super) fn lines(layers: &[Layer]) -> String {
    let mut text = row(&HEADS.map(str::to_owned));
    text += &row(&WIDTHS.map(|width| "-".repeat(width)));
    for layer in layers {
        let answer = format!("{}: {}", layer.around.word(), layer.because);
        text += &row(&[layer.layer.to_owned(), layer.component.clone(), layer.protection.clone(), answer]);
    }
    text
}

fn row(cells: &[String; 4]) -> String {
    let columns: Vec<Vec<String>> =
        cells.iter().zip(WIDTHS).map(|(cell, width)| wrapped(cell, width)).collect();
    let height = columns.iter().map(Vec::len).max().unwrap_or_default();
    let mut text = String::new();
    for number in 0..height {
        let parts = columns.iter().zip(WIDTHS).map(|(column, width)| {
            let part = column.get(number).map_or("", String::as_str);
            format!("{part}{}", " ".repeat(width.saturating_sub(part.chars().count())))
        });
        text += parts.collect::<Vec<_>>().join(GAP).trim_end();
        text.push('\n');
    }
    text
}

/// Words in lines; a word that is longer than a line is cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().filter(|c| !c.is_control()).collect();
        while !rest.is_empty() {
            let used = lines.last().map_or(0, |line| line.chars().count());
            let gap = usize::from(used > 0);
            if used > 0 && used + gap + rest.len() > width {
                lines.push(String::new());
                continue;
            }
            let taken: String = rest.drain(..rest.len().min(width)).collect();
            if let Some(line) = lines.last_mut() {
                line.push_str(if gap == 1 { " " } else { "" });
                line.push_str(&taken);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_to_their_columns() {
        let layer = Layer {
            layer: "L1 network",
            component: "nftables, table `inet gatehouse`".to_owned(),
            protection: "x".repeat(70),
            around: Around::No,
            because: "everything\x1b[31m that is not meant to be open is refused".to_owned(),
        };
        insta::assert_snapshot!(lines(&[layer]));
    }

    #[test]
    fn nothing_is_lost_however_long() {
        for text in ["", "a", "one two three", &"y".repeat(500), "  spaced   out "] {
            let lines = wrapped(text, 10);
            assert!(lines.iter().all(|line| line.chars().count() <= 10), "{text}: {lines:?}");
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(letters(&lines.join(" ")), letters(text));
        }
    }
}

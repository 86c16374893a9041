//! What changes from one text to another, line by line, as a person reads it.
//!
//! Why here: who lets a program write into another program's folder wants to see first what will be different.
//!
//! Never here: files.

/// Comparing takes the product of the lines that differ; no file that we write comes near.
const LINES_MAX: usize = 2_000;
/// Equal lines shown around a change.
const AROUND: usize = 2;

/// A line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The changed lines, each with its mark (`-`, `+`) and some unchanged ones around; empty where nothing differs.
pub(crate) fn between(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    if old == new {
        return String::new();
    }
    if old.len() > LINES_MAX || new.len() > LINES_MAX {
        return format!("({} lines become {}; too many to compare)\n", old.len(), new.len());
    }
    printed(&compared(&old, &new))
}

/// By the longest common subsequence: `table[i][j]` is its length for the lines from `i` and `j` on.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let width = new.len() + 1;
    let mut table = vec![0_u16; (old.len() + 1) * width];
    let at = |table: &[u16], i: usize, j: usize| table.get(i * width + j).copied().unwrap_or_default();
    for (i, gone) in old.iter().enumerate().rev() {
        for (j, come) in new.iter().enumerate().rev() {
            let best = match gone == come {
                true => at(&table, i + 1, j + 1).saturating_add(1),
                false => at(&table, i + 1, j).max(at(&table, i, j + 1)),
            };
            if let Some(place) = table.get_mut(i * width + j) {
                *place = best;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(gone), Some(come)) if gone == come => {
                lines.push(Line::Same(gone));
                (i, j) = (i + 1, j + 1);
            }
            (Some(gone), come) if come.is_none() || at(&table, i + 1, j) >= at(&table, i, j + 1) => {
                lines.push(Line::Gone(gone));
                i += 1;
            }
            (_, Some(come)) => {
                lines.push(Line::New(come));
                j += 1;
            }
            _ => return lines,
        }
    }
}

fn printed(lines: &[Line<'_>]) -> String {
    let near = |at: usize| {
        let around = lines.iter().skip(at.saturating_sub(AROUND)).take(AROUND + 1 + at.min(AROUND));
        around.into_iter().any(|line| !matches!(line, Line::Same(_)))
    };
    let (mut text, mut left_out) = (String::new(), false);
    for (at, line) in lines.iter().enumerate() {
        let (mark, words) = match *line {
            Line::Gone(words) => ('-', words),
            Line::New(words) => ('+', words),
            Line::Same(words) if near(at) => (' ', words),
            Line::Same(_) => {
                left_out = true;
                continue;
            }
        };
        if std::mem::take(&mut left_out) {
            text.push_str("  ...\n");
        }
        text.push_str(format!("{mark} {words}").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn changes_stand_among_their_neighbours() {
        let old = "a\nb\nc\nd\ne\nf\n";
        assert_eq!(between(old, "a\nb\nc\nD\ne\nf\n"), "  ...\n  b\n  c\n- d\n+ D\n  e\n  f\n");
        assert_eq!(between(old, "a\nb\nc\nd\ne\nf\ng\n"), "  ...\n  e\n  f\n+ g\n");
        assert_eq!(between("", "x\n\ny\n"), "+ x\n+\n+ y\n");
        assert_eq!(between("x\n", ""), "- x\n");
        assert_eq!(between(old, old), "");
    }

    #[test]
    fn what_is_too_long_is_counted() {
        let long = "x\n".repeat(LINES_MAX + 1);
        assert!(between(&long, "y\n").contains("too many"));
    }

    proptest! {
        /// Whatever changes: what is gone and what stayed is the old text, what came and what stayed the new one.
        #[test]
        fn both_texts_can_be_read_out(old in "[abc\n]{0,40}", new in "[abc\n]{0,40}") {
            let (before, after): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
            let lines = compared(&before, &after);
            let side = |wanted: fn(&Line<'_>) -> bool| -> Vec<&str> {
                let words = |line: &Line<'_>| match *line { Line::Same(w) | Line::Gone(w) | Line::New(w) => w.to_owned() };
                let all: Vec<String> = lines.iter().filter(|line| wanted(line)).map(words).collect();
                all.iter().map(|w| before.iter().chain(&after).find(|x| *x == w).copied().unwrap()).collect()
            };
            prop_assert_eq!(side(|line| !matches!(line, Line::New(_))), before.clone());
            prop_assert_eq!(side(|line| !matches!(line, Line::Gone(_))), after.clone());
        }
    }
}

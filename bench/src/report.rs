//! The table: what was measured, beside nginx and beside no proxy at all.
//!
//! Why here: one form for the terminal and for `docs/performance.md`.
//!
//! Never here: measuring.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::load::figures::median;

/// Targets in the order of the columns.
pub const TARGETS: [&str; 3] = ["direct", "nginx", "gatehouse"];

/// Rounds of one figure for each target.
#[derive(Debug, Default)]
pub struct Row {
    pub figure: &'static str,
    pub unit: &'static str,
    rounds: BTreeMap<&'static str, Vec<f64>>,
    /// Show the difference to direct instead of the ratio to nginx.
    added: bool,
}

#[derive(Debug, Default)]
pub struct Table {
    pub sections: Vec<(String, Vec<Row>)>,
}

impl Table {
    pub fn section(&mut self, title: String) {
        self.sections.push((title, Vec::new()));
    }

    /// A cost, compared with nginx by ratio.
    pub fn cost(&mut self, figure: &'static str, unit: &'static str, target: &'static str, value: f64) {
        self.push(figure, unit, target, value, false);
    }

    /// A time, compared with the direct path by difference.
    pub fn time(&mut self, figure: &'static str, unit: &'static str, target: &'static str, value: f64) {
        self.push(figure, unit, target, value, true);
    }

    fn push(
        &mut self,
        figure: &'static str,
        unit: &'static str,
        target: &'static str,
        value: f64,
        added: bool,
    ) {
        let Some((_, rows)) = self.sections.last_mut() else { return };
        let row = match rows.iter_mut().position(|row| row.figure == figure) {
            Some(at) => rows.get_mut(at),
            None => {
                rows.push(Row { figure, unit, added, ..Row::default() });
                rows.last_mut()
            }
        };
        if let Some(row) = row {
            row.rounds.entry(target).or_default().push(value);
        }
    }

    pub fn markdown(&self) -> String {
        let mut out = String::from(
            "| figure | direct | nginx | gatehouse | added by nginx | added by gatehouse | ratio to nginx |\n\
             |---|---:|---:|---:|---:|---:|---:|\n",
        );
        for (title, rows) in &self.sections {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| **{title}** | | | | | | |");
            for row in rows {
                let _ = writeln!(out, "{}", row.markdown());
            }
        }
        out
    }
}

impl Row {
    fn middle(&self, target: &str) -> Option<f64> {
        self.rounds.get(target).map(|values| median(values.clone()))
    }

    /// The middle of the differences round by round: what drifts, drifts for both.
    fn above_direct(&self, target: &str) -> Option<f64> {
        let (base, values) = (self.rounds.get("direct")?, self.rounds.get(target)?);
        Some(median(values.iter().zip(base).map(|(value, base)| value - base).collect()))
    }

    fn markdown(&self) -> String {
        let cell = |value: Option<f64>| value.map_or("–".to_owned(), number);
        let [direct, nginx, gatehouse] = TARGETS.map(|target| self.middle(target));
        let added = |target| if self.added { cell(self.above_direct(target)) } else { "–".to_owned() };
        let ratio = match (nginx, gatehouse) {
            (Some(nginx), Some(gatehouse)) if nginx > 0.0 && !self.added => {
                format!("{:.2}", gatehouse / nginx)
            }
            _ => "–".to_owned(),
        };
        format!(
            "| {}, {} | {} | {} | {} | {} | {} | {ratio} |",
            self.figure,
            self.unit,
            cell(direct),
            cell(nginx),
            cell(gatehouse),
            added("nginx"),
            added("gatehouse"),
        )
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_for_costs_and_differences_for_times() {
        let mut table = Table::default();
        table.section("json".to_owned());
        for (target, cpu, time) in
            [("direct", None, 10.0), ("nginx", Some(20.0), 15.0), ("gatehouse", Some(30.0), 18.0)]
        {
            if let Some(cpu) = cpu {
                table.cost("CPU per request", "µs", target, cpu);
            }
            table.time("p50", "µs", target, time);
        }
        let text = table.markdown();
        assert!(text.contains("| CPU per request, µs | – | 20.0 | 30.0 | – | – | 1.50 |"), "{text}");
        assert!(text.contains("| p50, µs | 10.0 | 15.0 | 18.0 | 5.00 | 8.00 | – |"), "{text}");
    }
}

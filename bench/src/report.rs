//! The tables: what was measured, beside nginx and beside no proxy at all, or over TLS beside nginx alone.
//!
//! Why here: one form for the terminal and for `docs/performance.md`.
//!
//! Never here: measuring.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::edge::{NGINX, SITE, UP};
use crate::load::figures::median;

/// Which targets a table compares, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// One proxy beside nginx and beside none.
    #[default]
    Plain,
    /// Two ways to serve HTTPS beside nginx. Nobody is asked directly: the player speaks no TLS.
    Https,
}

impl Form {
    fn head(self) -> String {
        let columns = match self {
            Self::Plain => {
                "direct | nginx | gatehouse | added by nginx | added by gatehouse | ratio to nginx".to_owned()
            }
            Self::Https => format!("{NGINX} | {SITE} | {UP} | {SITE}, times nginx | {UP}, times nginx"),
        };
        let lines = "---:|".repeat(self.columns());
        format!("| figure | {columns} |\n|---|{lines}\n")
    }

    /// Behind the figure's name.
    fn columns(self) -> usize {
        match self {
            Self::Plain => 6,
            Self::Https => 5,
        }
    }
}

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
    form: Form,
    pub sections: Vec<(String, Vec<Row>)>,
}

impl Table {
    pub fn of(form: Form) -> Self {
        Self { form, ..Self::default() }
    }

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

    /// Nothing where nothing was measured.
    pub fn markdown(&self) -> String {
        if self.sections.is_empty() {
            return String::new();
        }
        let mut out = self.form.head();
        for (title, rows) in &self.sections {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| **{title}** |{}", " |".repeat(self.form.columns()));
            for row in rows {
                let _ = writeln!(out, "{}", row.markdown(self.form));
            }
        }
        out.push('\n');
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

    fn markdown(&self, form: Form) -> String {
        let cells = match form {
            Form::Plain => self.beside_none(),
            Form::Https => self.beside_nginx(),
        };
        format!("| {}, {} | {} |", self.figure, self.unit, cells.join(" | "))
    }

    fn beside_none(&self) -> Vec<String> {
        let [direct, nginx, gatehouse] = ["direct", "nginx", "gatehouse"].map(|target| self.middle(target));
        let added = |target| if self.added { cell(self.above_direct(target)) } else { cell(None) };
        let compared = if self.added { None } else { ratio(nginx, gatehouse) };
        vec![cell(direct), cell(nginx), cell(gatehouse), added("nginx"), added("gatehouse"), times(compared)]
    }

    fn beside_nginx(&self) -> Vec<String> {
        let [nginx, site, up] = [NGINX, SITE, UP].map(|target| self.middle(target));
        vec![cell(nginx), cell(site), cell(up), times(ratio(nginx, site)), times(ratio(nginx, up))]
    }
}

fn ratio(nginx: Option<f64>, other: Option<f64>) -> Option<f64> {
    let (nginx, other) = (nginx.filter(|nginx| *nginx > 0.0)?, other?);
    Some(other / nginx)
}

const NOTHING: &str = "–";

fn cell(value: Option<f64>) -> String {
    value.map_or(NOTHING.to_owned(), number)
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or(NOTHING.to_owned(), |ratio| format!("{ratio:.2}"))
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

    #[test]
    fn over_tls_both_edges_are_held_against_nginx() {
        let mut table = Table::of(Form::Https);
        assert_eq!(table.markdown(), "");
        table.section("json".to_owned());
        for (target, cpu, time) in [(NGINX, 20.0, 100.0), (SITE, 50.0, 150.0), (UP, 40.0, 120.0)] {
            table.cost("CPU per request", "µs", target, cpu);
            table.time("p50", "µs", target, time);
        }
        let text = table.markdown();
        assert!(text.contains("| CPU per request, µs | 20.0 | 50.0 | 40.0 | 2.50 | 2.00 |"), "{text}");
        assert!(text.contains("| p50, µs | 100 | 150 | 120 | 1.50 | 1.20 |"), "{text}");
        let bars: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
        assert!(bars.iter().all(|bars| *bars == 0 || *bars == 7), "{text}");
    }
}

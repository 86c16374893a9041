//! `gatehouse edge firewall`.
//!
//! Why here: see [`super`].

use crate::Outcome;
use crate::cli::EdgeFirewall;
use crate::commands::serve;
use crate::edge::firewall::{Wish, apply, guard, rules};
use crate::edge::ports::Ports;
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeFirewall, terminal: &Terminal) -> anyhow::Result<Outcome> {
    if options.guard {
        return serve(guard(terminal));
    }
    let Some((_, site)) = super::sections(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    let ports = Ports::of(&site);
    for note in ports.notes(&site) {
        terminal.note(&format!("warning: {note}"));
    }
    if !ports.conflicts.is_empty() {
        ports.conflicts.iter().for_each(|conflict| terminal.complain(conflict));
        return Ok(Outcome::Refused);
    }
    let rules = rules(&site, &ports);
    if !options.apply {
        terminal.say(rules.trim_end());
        return Ok(Outcome::Done);
    }
    let wish = Wish { within: options.confirm_within, anyway: options.anyway };
    serve(apply(&rules, &ports, wish, terminal))
}

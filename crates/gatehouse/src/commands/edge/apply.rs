//! `gatehouse edge apply`.
//!
//! Why here: see [`super`].

use crate::Outcome;
use crate::cli::EdgeApply;
use crate::edge::apply::{Ended, News, run as apply, try_out};
use crate::edge::findings::Mark;
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeApply, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let Some(site) = super::site(&options.from, terminal)? else { return Ok(Outcome::Refused) };
    let asking = super::check::asking(&options.asking)?;
    let runtime = super::check::runtime()?;
    let mut told = Told(terminal);
    let ended = match options.dry_run {
        true => runtime.block_on(try_out(&site, &mut told))?,
        false => runtime.block_on(apply(&site, &asking, &mut told))?,
    };
    super::nginx::warn(&site, terminal);
    Ok(tell(&ended, terminal))
}

struct Told<'t>(&'t Terminal);

impl News for Told<'_> {
    fn changes(&mut self, text: &str) {
        self.0.say(text);
    }

    fn step(&mut self, text: &str) {
        self.0.note(text);
    }
}

fn tell(ended: &Ended, terminal: &Terminal) -> Outcome {
    match ended {
        Ended::Applied { still_wrong, findings } => {
            for finding in still_wrong {
                let fix = finding.fix.as_deref().unwrap_or_default();
                terminal.note(&format!(
                    "not this site's doing: {}: {}\n    fix: {fix}",
                    finding.id, finding.seen
                ));
            }
            terminal.note(&format!(
                "applied: {} facts hold, {} do not, {} cannot be seen from here",
                findings.count(Mark::Ok) + findings.count(Mark::Warn),
                still_wrong.len(),
                findings.count(Mark::Skip)
            ));
            Outcome::Done
        }
        Ended::NotRunning => {
            terminal.complain(
                "the site is written and nginx takes it, but nginx does not run: start it (`systemctl start nginx`), then `gatehouse edge check`",
            );
            Outcome::Refused
        }
        Ended::Unproved(why) => {
            terminal.complain(&format!(
                "the site is in place and nginx takes it, but nothing proves that it serves: {why}\nLook with `gatehouse edge check`; the site before it lies beside it"
            ));
            Outcome::Failed
        }
        Ended::PutBack { why, fix } => {
            terminal.complain(&format!("not applied: {why}\n{fix}"));
            Outcome::Refused
        }
        Ended::Tried(Ok(())) => {
            terminal.note("nginx would take it; nothing was changed");
            Outcome::Done
        }
        Ended::Tried(Err(said)) => {
            terminal.complain(&format!("nginx would not take it; nothing was changed: {said}"));
            Outcome::Refused
        }
    }
}

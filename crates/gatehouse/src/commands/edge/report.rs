//! `gatehouse edge report`.
//!
//! Why here: see [`super`].

use crate::Outcome;
use crate::cli::EdgeReport;
use crate::commands::serve;
use crate::edge::report::{About, look_from_here, report};
use crate::terminal::Terminal;

pub(super) fn run(options: &EdgeReport, terminal: &Terminal) -> anyhow::Result<Outcome> {
    if options.outside {
        return serve(look_from_here(terminal));
    }
    let Some((settings, site)) = super::sections(&options.from, terminal)? else {
        return Ok(Outcome::Refused);
    };
    let files = super::files(&options.from);
    let gateway = settings.gateway.as_ref().map(|gateway| &gateway.config);
    serve(async {
        let report = report(About { site: &site, gateway, files: &files, probe: options.probe }).await;
        match options.telling.json {
            true => terminal.say(&report.json()?),
            false => terminal
                .say(&report.lines(std::io::IsTerminal::is_terminal(&std::io::stdout()) && terminal.colour)),
        }
        Ok(report.findings.outcome(options.telling.strict))
    })
}

//! Lines about time: whether the clock can be believed, and how much of its life the certificate has left.
//!
//! Why here: see [`super`].

use super::View;
use crate::config::edge::Tls;
use crate::edge::cert::clock::Clock;
use crate::edge::findings::Finding;
use crate::edge::life::{Life, judge, span};

pub(super) fn lines(view: &View<'_>) -> Vec<Finding> {
    vec![clock(view), left(view)]
}

fn clock(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.clock", "this machine's clock is right");
    match &view.clock {
        Clock::Right(seen) => Finding::ok(id, fact, seen),
        Clock::Unknown(why) => Finding::skip(id, fact, why),
        Clock::Wrong(seen) => Finding::fail(
            id,
            fact,
            seen,
            "set it, and keep it right: `timedatectl set-ntp true`, or install chrony; then look again before anything is done about the certificate",
        ),
    }
}

/// Of the certificate that is in use: that is the one that visitors see ending.
fn left(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.life", "enough of the certificate's life is left");
    let Some(chain) = view.in_use().or_else(|| view.on_disk()) else {
        return Finding::skip(id, fact, "no certificate was seen");
    };
    if matches!(view.clock, Clock::Wrong(_)) {
        return Finding::skip(id, fact, "the clock is wrong");
    }
    let certbot = matches!(view.site.tls, Tls::Certbot { .. });
    let renew = match certbot {
        true => {
            "the lines of `cert.renewal`, `cert.timer` and `cert.last-renewal` say why it was not renewed; `gatehouse edge cert` asks now"
        }
        false => {
            "ask your CA for a new one, put it in the place of this one, and run `gatehouse cert deploy`"
        }
    };
    let (from, until) = (chain.leaf.not_before, chain.leaf.not_after);
    match judge(from, until, view.now) {
        Life::Plenty(left) => Finding::ok(id, fact, format!("{left}, until {until}")),
        Life::Late(left) => Finding::warn(
            id,
            fact,
            format!("{left}, until {until}"),
            match certbot {
                true => {
                    "certbot renews when a third is left: look again tomorrow, and at the lines of the renewal now"
                }
                false => renew,
            },
        ),
        Life::Short(left) => Finding::fail(id, fact, format!("{left}, until {until}"), renew),
        Life::Over(since) => {
            Finding::fail(id, fact, format!("it ended {} ago, on {until}", span(since)), renew)
        }
        Life::NotYet(rest) => Finding::fail(
            id,
            fact,
            format!("it begins in {}, on {from}, and nothing says that this clock is wrong", span(rest)),
            "compare this machine's clock with another's; if it is right, the clock of the one who made the certificate was not: wait, or have it made anew",
        ),
    }
}

//! Other sites of this machine's nginx that lead past ours: to the gateway, the page or the model itself.
//!
//! Why here: nginx asks over loopback like any program of this machine, so no listener and no packet filter shows what its
//! other sites hand out; and it hands it out to everybody whom port 443 lets in.
//!
//! Never here: how a configuration is read ([`crate::edge::check::reading`]); other programs that pass requests on.

use super::facts::{Facts, Reach};
use super::line::Line;
use crate::edge::check::reading::{self, Foreign, Reading};
use crate::edge::findings::Finding;
use crate::edge::ports::{Part, Ports};
use crate::edge::site::Site;

const FIX: &str = "remove that location, then `systemctl reload nginx`: it passes by the keys, lists and passwords that guard this site";
/// What serves here without being nginx.
const OWN: &str = "gatehouse";

/// `Err`: why the configuration of nginx is not known.
pub(super) async fn look(site: &Site, ports: &Ports) -> Result<Vec<Foreign>, String> {
    match reading::read(&site.nginx).await {
        Reading::Read(read) => Ok(reading::foreign(&read, site, ports)),
        Reading::Unknown(why) => Err(why),
        Reading::Broken(said) => {
            Err(format!("nginx does not take its configuration: {}", reading::first_line(&said)))
        }
    }
}

pub(super) fn judge(facts: &Facts, site: &Site) -> Finding {
    let mut line =
        Line::new("l2.foreign-sites", "no other site of this nginx leads to gateway, page or model");
    match &facts.foreign {
        Err(why) => line.skip(why),
        Ok(all) if all.is_empty() => line.ok("every other server leads elsewhere, or there is none"),
        Ok(all) => {
            for one in all {
                match reach(facts, one) {
                    Some(Reach::Everybody | Reach::Listed) if is_known(one, site) => {
                        line.fail(&one.shown, FIX);
                    }
                    Some(_) => line.warn(&one.shown, FIX),
                    None => line.warn(format!("{}, as soon as nginx serves it", one.shown), FIX),
                }
            }
        }
    }
    line.finding()
}

/// Ways of strangers to a runtime that asks for no key.
pub(super) fn to_the_model(facts: &Facts) -> Vec<String> {
    let all = facts.foreign.as_deref().unwrap_or_default().iter().filter(|one| one.part == Part::Model);
    let open = all.filter(|one| matches!(reach(facts, one), Some(Reach::Everybody | Reach::Listed)));
    open.map(|one| format!("FROM OUTSIDE, through another site: {}", one.shown)).collect()
}

/// Without a site of ours a foreign one may be the intended door of gateway and page.
fn is_known(one: &Foreign, site: &Site) -> bool {
    !site.names.is_empty() || matches!(one.part, Part::Model | Part::Admin)
}

/// The widest reach of its ports; `None`: no nginx listens there now.
fn reach(facts: &Facts, one: &Foreign) -> Option<Reach> {
    let by_nginx = |port: &&u16| {
        let mut programs = facts.at(**port).into_iter().map(|listener| &listener.program);
        programs.any(|program| program.as_ref().is_none_or(|program| program.name != OWN))
    };
    let all: Vec<Reach> = one.ports.iter().filter(by_nginx).map(|port| facts.exposure(*port).reach).collect();
    let open = all.iter().find(|reach| matches!(reach, Reach::Everybody | Reach::Listed));
    open.or(all.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, listener, ours, site};
    use super::*;
    use crate::edge::findings::Mark;

    #[test]
    fn another_site_that_leads_to_the_model_is_a_way_around() {
        for (part, port, at, program, named, mark, ways) in [
            (Part::Model, 443, "[::]:443", "nginx", true, Mark::Fail, 1),
            (Part::Page, 443, "[::]:443", "nginx", true, Mark::Fail, 0),
            (Part::Page, 443, "[::]:443", "nginx", false, Mark::Warn, 0),
            (Part::Model, 443, "[::]:443", "nginx", false, Mark::Fail, 1),
            // The filter closes it; `up` serves there, or nobody.
            (Part::Model, 8_444, "[::]:8444", "nginx", true, Mark::Warn, 0),
            (Part::Model, 443, "[::]:443", "gatehouse", true, Mark::Warn, 0),
            (Part::Model, 443, "[::]:80", "nginx", true, Mark::Warn, 0),
        ] {
            let mut facts = facts(ours(), vec![listener(at, program)]);
            facts.foreign =
                Ok(vec![Foreign { part, shown: "other (/x:5): proxy_pass y".to_owned(), ports: vec![port] }]);
            let mut site = site();
            if !named {
                site.names.clear();
            }
            assert_eq!(
                (judge(&facts, &site).mark, to_the_model(&facts).len()),
                (mark, ways),
                "{part:?} {at} {program}"
            );
        }
        let mut facts = facts(ours(), Vec::new());
        assert_eq!(judge(&facts, &site()).mark, Mark::Ok);
        facts.foreign = Err("not for this user".to_owned());
        assert_eq!(judge(&facts, &site()).mark, Mark::Skip);
    }
}

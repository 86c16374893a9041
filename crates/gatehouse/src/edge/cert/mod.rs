//! Certificates: asked for with certbot, put to use, and judged as they are served.
//!
//! Why here: certbot asks and renews, nginx serves, and neither looks at the other: certbot ends well when its hook fails,
//! nginx goes on with what it once read. What holds them together is here: a hook that sees the new certificate served
//! before it says so, and a check that compares what is served with what lies on the disk.
//!
//! Never here: ACME (certbot speaks it; without nginx `front` does), keys of our own.

mod attempts;
mod call;
mod certbot;
mod chain;
mod challenge;
mod clock;
mod deploy;
mod disk;
mod issue;
mod judge;
mod outcome;
mod place;
mod renewal;
mod served;
mod socket;
mod timer;
mod trust;

pub(crate) use certbot::Hook;

pub(crate) use deploy::{Deployed, deploy};
pub(crate) use disk::{Disk, Trouble};
pub(crate) use issue::{Issued, NotPublic, doubt, issue, not_public, steps};
pub(crate) use judge::{judge, next};
pub(crate) use trust::{Misfit, belongs};

//! The questions, by subject; each group returns how its facts stand.
//!
//! Why here: groups know what should be and ask by `probe` or look into `reading`; they do not know each other, so that one
//! defect shows in the fact that owns it. Where a second fact would show it too, that one says so and steps back.
//!
//! Never here: the words of the facts.

mod address;
mod api;
mod bounds;
mod certificate;
mod headers;
mod log;
mod machine;
mod names;
mod page;
mod paths;
mod places;
mod reach;
mod stream;
mod tls;
mod upstream;

use std::pin::Pin;

pub(super) use log::file as log_file;
pub(super) use machine::look as machine;
pub(super) use reach::{loads, reach};

use super::facts::Said;
use super::{Context, Ledger};

/// Everything that needs a site that answers; each group's verdicts are kept as soon as it has them.
pub(super) async fn all(context: &Context<'_>, ledger: &Ledger) {
    ledger.add(headers::look(context));
    ledger.add(Box::pin(reach::behind(context)).await);
    // Without these two options its facts are read, and cost nothing.
    let asks_more = context.asking.burst || context.asking.slow;
    if !asks_more {
        ledger.add(Box::pin(bounds::look(context)).await);
    }
    tokio::join!(
        keep(ledger, Box::pin(stream::look(context))),
        keep(ledger, Box::pin(page::look(context))),
        keep(ledger, Box::pin(certificate::look(context))),
        keep(ledger, Box::pin(log::look(context))),
        keep(ledger, Box::pin(names::look(context))),
        keep(ledger, Box::pin(address::look(context))),
        keep(ledger, Box::pin(api::look(context))),
        keep(ledger, Box::pin(tls::look(context))),
        keep(ledger, Box::pin(paths::look(context))),
    );
    // Alone: it counts, and others would be counted with it.
    ledger.add(Box::pin(upstream::look(context)).await);
    if asks_more {
        // Last, and alone: it takes from everybody behind the same address.
        ledger.add(Box::pin(bounds::look(context)).await);
    }
    reach::step_back(&mut ledger.0.borrow_mut());
}

/// On the heap: all groups side by side are too much for one thread's stack.
async fn keep(ledger: &Ledger, group: Pin<Box<impl Future<Output = Said>>>) {
    ledger.add(group.await);
}

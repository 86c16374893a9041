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

pub(super) use log::file as log_file;
pub(super) use machine::look as machine;
pub(super) use reach::{loads, reach};

use super::Context;
use super::facts::Said;

/// Everything that needs a site that answers.
pub(super) async fn all(context: &Context<'_>) -> Said {
    let (tls, certificate, names, paths, api, stream, address, page, log) = tokio::join!(
        tls::look(context),
        certificate::look(context),
        names::look(context),
        paths::look(context),
        api::look(context),
        stream::look(context),
        address::look(context),
        page::look(context),
        log::look(context),
    );
    let mut said = Said::new();
    for group in [tls, certificate, names, paths, api, stream, address, page, log] {
        said.extend(group);
    }
    said.extend(headers::look(context));
    said.extend(reach::behind(context).await);
    // Alone: it counts, and others would be counted with it.
    said.extend(upstream::look(context).await);
    // Last, and alone: it takes from everybody behind the same address.
    said.extend(bounds::look(context).await);
    reach::step_back(&mut said);
    said
}

//! One generation of the checked configuration, ready to use. A request keeps the generation it began with.
//!
//! Why here: a reload swaps everything that was derived from one file at once, or nothing.
//!
//! Never here: state that must survive a reload (limits, audit, metrics).

use std::sync::Arc;

use wire::ReadLimits;

use crate::admit::Hall;
use crate::allow::AddressRules;
use crate::auth::KeyRing;
use crate::config::Config;
use crate::dial::Dial;
use crate::filter::{Filter, FilterError};
use crate::limit;
use crate::metrics::Metrics;
use crate::route::Fleet;
use crate::upstream::Upstream;

pub struct Snapshot {
    pub config: Config,
    pub keys: KeyRing,
    pub addresses: AddressRules,
    pub fleet: Fleet,
    pub read_limits: ReadLimits,
    pub limits: limit::Rules,
    /// `None`: nothing is looked at.
    pub filter: Option<Arc<Filter>>,
}

impl Snapshot {
    pub fn new(
        config: Config,
        dial: &Arc<dyn Dial>,
        metrics: &Arc<Metrics>,
        hall: &Hall<Upstream>,
        previous: Option<&Self>,
    ) -> Result<Self, FilterError> {
        let filter = config.filter.as_ref().map(Filter::new).transpose()?.map(Arc::new);
        let input = &config.input;
        let read_limits = ReadLimits {
            depth: input.json_depth_max,
            messages: input.messages_max,
            tools: input.tools_max,
            images: input.images_max,
            image_bytes: input.image_bytes_max,
        };
        Ok(Self {
            filter,
            limits: limit::Rules::new(&config),
            keys: KeyRing::new(&config.auth),
            addresses: AddressRules::new(&config.addresses),
            fleet: Fleet::start(&config, dial, metrics, hall, previous.map(|snapshot| &snapshot.fleet)),
            read_limits,
            config,
        })
    }
}

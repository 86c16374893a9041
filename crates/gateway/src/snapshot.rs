//! One generation of the checked configuration, ready to use. A request keeps the generation it began with.
//!
//! Why here: a reload swaps everything that was derived from one file at once, or nothing.
//!
//! Never here: state that must survive a reload (limits, audit, metrics).

use std::sync::Arc;

use wire::ReadLimits;

use crate::allow::AddressRules;
use crate::auth::KeyRing;
use crate::config::Config;
use crate::dial::Dial;
use crate::limit::Rules;
use crate::metrics::Metrics;
use crate::route::Fleet;

pub struct Snapshot {
    pub config: Config,
    pub keys: KeyRing,
    pub addresses: AddressRules,
    pub limits: Rules,
    pub fleet: Fleet,
    pub read_limits: ReadLimits,
}

impl Snapshot {
    pub fn new(
        config: Config,
        dial: &Arc<dyn Dial>,
        metrics: &Arc<Metrics>,
        previous: Option<&Self>,
    ) -> Self {
        let input = &config.input;
        let read_limits = ReadLimits {
            depth: input.json_depth_max,
            messages: input.messages_max,
            tools: input.tools_max,
            images: input.images_max,
            image_bytes: input.image_bytes_max,
        };
        Self {
            keys: KeyRing::new(&config.auth),
            addresses: AddressRules::new(&config.addresses),
            limits: Rules::new(&config),
            fleet: Fleet::start(&config, dial, metrics, previous.map(|snapshot| &snapshot.fleet)),
            read_limits,
            config,
        }
    }
}

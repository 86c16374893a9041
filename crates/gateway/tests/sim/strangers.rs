//! Millions of names through one table.

use std::fmt::Write as _;
use std::time::Duration;

use gateway::auth::Principal;
use gateway::config::{Counts, Dimension, LimitRule};
use gateway::limit::{Ask, Limiter, Rules};
use gateway::standing::Reason;
use tokio::time::Instant;

use crate::{setting, world};

/// Users remembered at once.
const USERS_MAX: usize = 100_000;
/// Twice as many names come within a window as there are places.
const EVERY: Duration = Duration::from_micros(5);
const WINDOW: Duration = Duration::from_secs(1);

/// The table stays bounded, nobody gets a second helping because of the crowd, and keys are served all the while.
#[test]
fn a_table_survives_millions_of_names() {
    let strangers = setting("GATEHOUSE_SIM_STRANGERS").unwrap_or(1_000_000);
    let one = |name: &str, dimension| LimitRule {
        name: name.to_owned(),
        per: vec![dimension],
        window: WINDOW,
        max: 1,
        ..world::one_rule(Counts::Requests, 1).limits.remove(0)
    };
    let mut config = world::one_rule(Counts::Requests, 1);
    config.limits = vec![one("user", Dimension::User)];
    let users = Rules::new(&config);
    config.limits = vec![one("key", Dimension::Key)];
    let keys = Rules::new(&config);

    let limiter = Limiter::new();
    let (mut now, mut passed, mut crowded, mut name) = (Instant::now(), 0_u64, 0_u64, String::new());
    let mut principal = Principal::plain("chat");
    for number in 0..strangers {
        now += EVERY;
        name.clear();
        write!(name, "stranger-{number}").unwrap();
        principal.user = Some(name.as_str().into());
        let ask =
            Ask { principal: &principal, model: Some("m"), prompt_tokens: 0, output_cap: None, choices: 1 };
        match limiter.charge(&users, &ask, now) {
            Ok(_) => {
                passed += 1;
                // However full the table is, a second request within the window is a second one.
                if number % 1_024 == 0 {
                    assert_eq!(limiter.charge(&users, &ask, now).unwrap_err().reason, Reason::UserRequests);
                }
            }
            Err(refusal) => {
                assert_eq!(refusal.reason, Reason::Users);
                crowded += 1;
            }
        }
        if number % 4_096 == 0 {
            let own = Principal::plain(name.as_str());
            let ask =
                Ask { principal: &own, model: Some("m"), prompt_tokens: 0, output_cap: None, choices: 1 };
            assert!(limiter.charge(&keys, &ask, now).is_ok());
            let size = limiter.size();
            assert!(size.users <= USERS_MAX && size.counters <= USERS_MAX + 60, "{size:?}");
            assert_eq!((size.due, size.entries), (size.counters, size.counters), "{size:?}");
        }
    }
    // As many pass as there are places in each window; the rest is refused, not forgotten.
    let windows = strangers / 200_000;
    let places = USERS_MAX as u64;
    assert!((windows * places..=(windows + 1) * places).contains(&passed), "{passed} in {windows} windows");
    assert_eq!(passed + crowded, strangers);
}

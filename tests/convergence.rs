//! Whatever happens meanwhile, in the end the destination is what the source says, and little was paid for twice.
//!
//! After each storm all is mended, the worker gets the time that it needs, and `ai.verify_vectorizer` must
//! find nothing. The seed of a storm is in its output; `CONVERGENCE_SEED=7 cargo test --test convergence`
//! runs that one alone. Longer ones at full load are in `soak.rs`.

mod support;

#[path = "support/storm/mod.rs"]
mod storm;

use std::time::Duration;

use provider::Behaviour;
use storm::{Storm, Weather, wanted};

/// Documents of the worker in flight in a storm.
const IN_FLIGHT: u64 = 4;

fn weather(seed: u64) {
    let mut storm = Storm::new(Weather::Wild, seed, 3, IN_FLIGHT);
    storm.rage(80);
    storm.calm_down();
    storm.check();
    storm.check_price();
    storm.check_price_of_quiet();
}

/// Whatever may pass by itself does: retries come when their back-offs are over, and the worker when a change
/// is committed.
fn passing_weather(seed: u64) {
    let mut storm = Storm::new(Weather::Passing, seed, 3, IN_FLIGHT);
    storm.rage(50);
    storm.scene.provider.behave(Behaviour::Well);
    storm.scene.s3.heal();
    storm.settle_by_itself();
    storm.check();
    storm.check_price();
    // One change at a time, so that no other makes up for a call that nobody heard: of a worker that is
    // there, that is about to leave, and that has left.
    for _ in 0..15 {
        std::thread::sleep(Duration::from_millis(storm.dice.roll(250)));
        storm.change();
        storm.settle_by_itself();
    }
    storm.check();
}

#[test]
fn a_storm_leaves_no_trace() {
    weather(wanted().unwrap_or(1));
}

#[test]
fn another_storm_leaves_no_trace() {
    if wanted().is_none() {
        weather(2);
    }
}

#[test]
fn what_passes_by_itself_needs_no_help() {
    passing_weather(wanted().unwrap_or(4));
}

/// A new one each time.
#[test]
fn a_storm_that_nobody_has_seen_leaves_no_trace() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    if wanted().is_none() {
        weather(now.map_or(0, |now| now.subsec_nanos().into()));
    }
}

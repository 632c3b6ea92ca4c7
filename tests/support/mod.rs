//! The harness: a cluster of its own for each test, S3 and STS by moto behind a proxy that records, and the embedding
//! provider of the project.
//!
//! ```ignore
//! let scene = Scene::start();
//! let uri = scene.s3.put("a.txt", "Some text.");
//! scene.create_documents(&[&uri]);
//! scene.cluster.wait_until_settled();
//! ```
//!
//! What fails, fails by panic; a cluster that is dropped by one prints what it knows: the state of its processes, the
//! error rows and the end of its log.

// Each file of tests/ is a program that compiles all of this and uses a part.
#![allow(dead_code, unused_imports)]

pub mod cluster;
pub mod database;
pub mod documents;
pub mod lair;
pub mod process;
pub mod proxy;
pub mod s3;
pub mod scene;

use std::fmt::Debug;
use std::time::{Duration, Instant};

pub use cluster::{Cluster, Options, Stop};
pub use database::Database;
pub use proxy::{Answer, Proxy, Request};
pub use s3::S3;
pub use scene::Scene;

/// For states that are reached in a moment on a machine that has nothing else to do. A test that passes never waits so
/// long; one that fails on a busy machine would be a nuisance.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a state is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks until `reached` says yes of what was seen, and returns it.
///
/// # Panics
/// When the deadline passes: with `what` was not reached, and what was seen last.
#[track_caller]
pub fn wait_until<T: Debug>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> T,
    reached: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    loop {
        let seen = look();
        if reached(&seen) {
            return seen;
        }
        assert!(
            started.elapsed() < deadline,
            "not reached within {deadline:?}: {what}; seen last: {seen:#?}"
        );
        std::thread::sleep(INTERVAL);
    }
}

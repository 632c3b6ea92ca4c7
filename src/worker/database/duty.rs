//! What a worker does in each round: duties, each in a file of its own with the state that no other
//! needs.

use std::time::Instant;

use super::state::Worker;

/// One of the things that a worker does in each round.
pub(super) trait Duty {
    /// When it has something to do, as far as is known; `None`: when something happens.
    fn due(&self, worker: &Worker) -> Option<Instant>;

    /// Does what there is to do, for as long as a round may be held up. Whether more is left for the
    /// next round.
    fn run(&mut self, worker: &mut Worker) -> bool;
}

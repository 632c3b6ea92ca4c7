//! What the duties of a worker share.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::lease::Leases;
use ai_pipeline::worker::notes::Notes;
use ai_pipeline::worker::rereads::Rereads;
use ai_pipeline::worker::slow::Slow;
use ai_pipeline::worker::station;
use ai_pipeline::worker::suspects::Suspects;
use pgrx::pg_sys::Oid;

use super::jobs::Jobs;
use crate::catalog::Vectorizer;
use crate::postgres::transaction::Lag;
use crate::runtime::bridge::Bridge;
use crate::runtime::services::Services;
use crate::settings::Settings;
use crate::worker::job::TaskEvent;

/// A user's lock was in the way of a write: how long until the next try.
pub(super) const BUSY: Duration = Duration::from_millis(200);
/// How long the transactions of others may keep the main thread from a round's next duty: what is
/// left comes in the next round, those first whose owners have taken least of its time.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// A vectorizer and what is known of it.
pub(super) type VectorizerStation = station::Station<Arc<Vectorizer>>;

/// What all duties of the worker of a database have to do with.
pub struct Worker {
    pub(super) database: Oid,
    pub(super) bridge: Bridge<TaskEvent>,
    pub(super) services: Services,
    pub(super) settings: Settings,
    pub(super) stations: Vec<VectorizerStation>,
    /// The station whose turn it is.
    pub(super) turn: usize,
    /// Vectorizers that are to be read (anew).
    pub(super) rereads: Rereads,
    /// Vectorizers whose queues have not been looked through yet for what an earlier worker has
    /// left: none of their documents is taken before.
    pub(super) unrescued: VecDeque<i32>,
    /// What it takes documents under.
    pub(super) leases: Leases,
    pub(super) jobs: Jobs,
    /// The last commit that may not be on the disk yet. What it wrote was in flight when documents
    /// were last claimed, which waits for the disk: a crash of the server costs no more than what
    /// may be in flight.
    pub(super) lag: Option<Lag>,
    pub(super) last_busy: Instant,
    /// Documents that a process died with.
    pub(super) suspects: Suspects<Oid>,
    /// Those whose triggers are to follow what was altered while they were locked, and not before when.
    pub(super) left: HashMap<i32, Instant>,
    /// What could not be written down yet.
    pub(super) notes: Notes<Arc<Vectorizer>>,
    /// Documents, by their leases and places, that were in our hands when code of their owner was
    /// cut short, or that could not be given back: for the transaction that takes some again.
    pub(super) abandoned: HashMap<i32, Vec<(i64, i64)>>,
    /// Vectorizers whose code was cut short.
    pub(super) slow: Slow,
    /// Since when another database waits for our place.
    pub(super) makes_room: Option<Instant>,
}

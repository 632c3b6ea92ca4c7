//! The documents that are in the worker's hands.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use litemap::LiteMap;
use pgrx::pg_sys::Oid;

use crate::catalog::Vectorizer;
use crate::shared_memory::lives;
use crate::worker::job::Job;

/// Documents of one vectorizer that wait for the same step, under the numbers of their jobs.
pub(super) type StepBatch = Vec<(u64, Job)>;

/// The documents in flight by their numbers, which is the order in which they were taken.
///
/// Each in a box of its own: there may be thousands, and what is behind one that comes or goes in
/// the list is moved.
#[derive(Default)]
pub(super) struct Jobs {
    by_number: LiteMap<u64, Box<Job>>,
    /// What every round asks is counted, and not looked for.
    counted: Counted,
    /// The number of the next one.
    next: u64,
    /// Vectorizers of which the memory that outlives this process says that their documents are in
    /// its hands.
    told: HashSet<i32>,
}

/// What there is among documents in flight.
#[derive(Default)]
struct Counted {
    of: HashMap<i32, usize>,
    of_owner: HashMap<Oid, usize>,
    suspects: usize,
    /// Bytes of primary keys.
    keys: usize,
}

impl Counted {
    fn add(&mut self, job: &Job) {
        *self.of.entry(job.vectorizer.id).or_default() += 1;
        *self.of_owner.entry(job.vectorizer.owner).or_default() += 1;
        self.suspects += usize::from(job.suspect);
        self.keys += job.item.key.len();
    }

    fn take(&mut self, job: &Job) {
        take_one(&mut self.of, job.vectorizer.id);
        take_one(&mut self.of_owner, job.vectorizer.owner);
        self.suspects = self.suspects.saturating_sub(usize::from(job.suspect));
        self.keys = self.keys.saturating_sub(job.item.key.len());
    }
}

fn take_one<K: Eq + Hash>(counted: &mut HashMap<K, usize>, of: K) {
    if let Entry::Occupied(mut of) = counted.entry(of) {
        *of.get_mut() -= 1;
        if *of.get() == 0 {
            of.remove();
        }
    }
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Job> {
        self.by_number.get(&number).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Job> {
        self.by_number.get_mut(&number).map(Box::as_mut)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Job)> {
        self.by_number.iter().map(|(number, job)| (*number, job.as_ref()))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Job> {
        self.iter().map(|(_, job)| job)
    }

    /// Those of a vectorizer.
    pub(super) fn of(&self, vectorizer: i32) -> impl Iterator<Item = &Job> {
        self.values().filter(move |job| job.vectorizer.id == vectorizer)
    }

    pub(super) fn of_mut(&mut self, vectorizer: i32) -> impl Iterator<Item = &mut Job> {
        let all = self.by_number.iter_mut().map(|(_, job)| job.as_mut());
        all.filter(move |job| job.vectorizer.id == vectorizer)
    }

    /// A vectorizer was read anew: its documents go on with the names that its tables have now, and
    /// for its owner of now.
    pub(super) fn follow(&mut self, vectorizer: &Arc<Vectorizer>) {
        if !self.has_of(vectorizer.id) {
            return;
        }
        for job in self.of_mut(vectorizer.id) {
            job.vectorizer = Arc::clone(vectorizer);
        }
        self.count();
    }

    fn count(&mut self) {
        self.counted = Counted::default();
        for job in self.by_number.values() {
            self.counted.add(job);
        }
    }

    /// How many a vectorizer has.
    pub(super) fn number_of(&self, vectorizer: i32) -> usize {
        self.counted.of.get(&vectorizer).copied().unwrap_or_default()
    }

    /// How many the vectorizers of an owner have.
    pub(super) fn number_of_owner(&self, owner: Oid) -> usize {
        self.counted.of_owner.get(&owner).copied().unwrap_or_default()
    }

    /// Whether a vectorizer has some.
    pub(super) fn has_of(&self, vectorizer: i32) -> bool {
        self.number_of(vectorizer) > 0
    }

    /// The vectorizers that have some.
    pub(super) fn vectorizers(&self) -> HashSet<i32> {
        self.counted.of.keys().copied().collect()
    }

    /// Tells the memory that outlives this process whose documents are in its hands.
    pub(super) fn tell(&mut self) {
        let held = &self.counted.of;
        if held.len() != self.told.len() || held.keys().any(|id| !self.told.contains(id)) {
            self.told = self.vectorizers();
            lives::holds(&self.told);
        }
    }

    /// Tells it that documents of a vectorizer are about to be.
    pub(super) fn tell_of(&mut self, vectorizer: i32) {
        if self.told.insert(vectorizer) {
            lives::holds(&self.told);
        }
    }

    /// The leases under which documents of a vectorizer are in flight; those that were taken
    /// together share one.
    pub(super) fn leases_of(&self, vectorizer: i32) -> Vec<i64> {
        let held: HashSet<i64> = self.of(vectorizer).map(|job| job.item.lease).collect();
        held.into_iter().collect()
    }

    /// The owners of those that a process died with.
    pub(super) fn owners_of_suspects(&self) -> HashSet<Oid> {
        let all = (self.counted.suspects > 0).then(|| self.values());
        let suspects = all.into_iter().flatten().filter(|job| job.suspect);
        suspects.map(|job| job.vectorizer.owner).collect()
    }

    /// Bytes of their keys.
    pub(super) fn keys(&self) -> usize {
        self.counted.keys
    }

    /// The number of the next document that begins.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// A document begins.
    pub(super) fn begin(&mut self, job: Job) {
        self.put(self.next, job);
        self.next += 1;
    }

    /// One that was taken to go on with it is there again.
    pub(super) fn put(&mut self, number: u64, job: Job) {
        self.counted.add(&job);
        if let Some(before) = self.by_number.insert(number, Box::new(job)) {
            self.counted.take(&before);
        }
    }

    pub(super) fn put_all(&mut self, batch: StepBatch) {
        for (number, job) in batch {
            self.put(number, job);
        }
    }

    /// Takes one to go on with it.
    pub(super) fn take(&mut self, number: u64) -> Option<Job> {
        let job = self.by_number.remove(&number)?;
        self.counted.take(&job);
        if self.by_number.is_empty() {
            // Whatever a shortage of memory has interrupted.
            self.counted = Counted::default();
        }
        Some(*job)
    }

    /// Takes these, as far as they are there.
    pub(super) fn take_all(&mut self, numbers: &[u64]) -> StepBatch {
        let take = |number: &u64| self.take(*number).map(|job| (*number, job));
        numbers.iter().filter_map(take).collect()
    }

    /// Takes all of a vectorizer.
    pub(super) fn take_of(&mut self, vectorizer: i32) -> StepBatch {
        let mine = self.iter().filter(|(_, job)| job.vectorizer.id == vectorizer);
        let numbers: Vec<u64> = mine.map(|(number, _)| number).collect();
        self.take_all(&numbers)
    }

    /// Ends those of all vectorizers but these.
    pub(super) fn retain_of(&mut self, is_there: impl Fn(i32) -> bool) {
        self.by_number.retain(|_, job| is_there(job.vectorizer.id));
        self.count();
    }
}

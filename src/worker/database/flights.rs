//! The documents that are in the worker's hands.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use litemap::LiteMap;
use pgrx::pg_sys::Oid;

use crate::catalog::Vectorizer;
use crate::shared_memory::lives;
use crate::worker::flight::Flight;

/// Documents of one vectorizer that wait for the same step, under the numbers of their flights.
pub(super) type Batch = Vec<(u64, Flight)>;

/// The documents in flight by their numbers, which is the order in which they were taken.
///
/// Each in a box of its own: there may be thousands, and what is behind one that comes or goes in
/// the list is moved.
#[derive(Default)]
pub(super) struct Flights {
    by_number: LiteMap<u64, Box<Flight>>,
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
    fn add(&mut self, flight: &Flight) {
        *self.of.entry(flight.vectorizer.id).or_default() += 1;
        *self.of_owner.entry(flight.vectorizer.owner).or_default() += 1;
        self.suspects += usize::from(flight.suspect);
        self.keys += flight.item.key.len();
    }

    fn take(&mut self, flight: &Flight) {
        take_one(&mut self.of, flight.vectorizer.id);
        take_one(&mut self.of_owner, flight.vectorizer.owner);
        self.suspects = self.suspects.saturating_sub(usize::from(flight.suspect));
        self.keys = self.keys.saturating_sub(flight.item.key.len());
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

impl Flights {
    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Flight> {
        self.by_number.get(&number).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Flight> {
        self.by_number.get_mut(&number).map(Box::as_mut)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Flight)> {
        self.by_number.iter().map(|(number, flight)| (*number, flight.as_ref()))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Flight> {
        self.iter().map(|(_, flight)| flight)
    }

    /// Those of a vectorizer.
    pub(super) fn of(&self, vectorizer: i32) -> impl Iterator<Item = &Flight> {
        self.values().filter(move |flight| flight.vectorizer.id == vectorizer)
    }

    pub(super) fn of_mut(&mut self, vectorizer: i32) -> impl Iterator<Item = &mut Flight> {
        let all = self.by_number.iter_mut().map(|(_, flight)| flight.as_mut());
        all.filter(move |flight| flight.vectorizer.id == vectorizer)
    }

    /// A vectorizer was read anew: its documents go on with the names that its tables have now, and
    /// for its owner of now.
    pub(super) fn follow(&mut self, vectorizer: &Arc<Vectorizer>) {
        if !self.has_of(vectorizer.id) {
            return;
        }
        for flight in self.of_mut(vectorizer.id) {
            flight.vectorizer = Arc::clone(vectorizer);
        }
        self.count();
    }

    fn count(&mut self) {
        self.counted = Counted::default();
        for flight in self.by_number.values() {
            self.counted.add(flight);
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
        let held: HashSet<i64> = self.of(vectorizer).map(|flight| flight.item.lease).collect();
        held.into_iter().collect()
    }

    /// The owners of those that a process died with.
    pub(super) fn owners_of_suspects(&self) -> HashSet<Oid> {
        let all = (self.counted.suspects > 0).then(|| self.values());
        let suspects = all.into_iter().flatten().filter(|flight| flight.suspect);
        suspects.map(|flight| flight.vectorizer.owner).collect()
    }

    /// Bytes of their keys.
    pub(super) fn keys(&self) -> usize {
        self.counted.keys
    }

    /// The number of the next document that begins to fly.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// A document begins to fly.
    pub(super) fn begin(&mut self, flight: Flight) {
        self.put(self.next, flight);
        self.next += 1;
    }

    /// One that was taken to go on with it is there again.
    pub(super) fn put(&mut self, number: u64, flight: Flight) {
        self.counted.add(&flight);
        if let Some(before) = self.by_number.insert(number, Box::new(flight)) {
            self.counted.take(&before);
        }
    }

    pub(super) fn put_all(&mut self, batch: Batch) {
        for (number, flight) in batch {
            self.put(number, flight);
        }
    }

    /// Takes one to go on with it.
    pub(super) fn take(&mut self, number: u64) -> Option<Flight> {
        let flight = self.by_number.remove(&number)?;
        self.counted.take(&flight);
        if self.by_number.is_empty() {
            // Whatever a shortage of memory has interrupted.
            self.counted = Counted::default();
        }
        Some(*flight)
    }

    /// Takes these, as far as they are there.
    pub(super) fn take_all(&mut self, numbers: &[u64]) -> Batch {
        let take = |number: &u64| self.take(*number).map(|flight| (*number, flight));
        numbers.iter().filter_map(take).collect()
    }

    /// Takes all of a vectorizer.
    pub(super) fn take_of(&mut self, vectorizer: i32) -> Batch {
        let mine = self.iter().filter(|(_, flight)| flight.vectorizer.id == vectorizer);
        let numbers: Vec<u64> = mine.map(|(number, _)| number).collect();
        self.take_all(&numbers)
    }

    /// Ends those of all vectorizers but these.
    pub(super) fn retain_of(&mut self, is_there: impl Fn(i32) -> bool) {
        self.by_number.retain(|_, flight| is_there(flight.vectorizer.id));
        self.count();
    }
}

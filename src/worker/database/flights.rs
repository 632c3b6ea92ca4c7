//! The documents that are in the worker's hands.

use std::collections::HashSet;

use ai_pipeline::worker::suspects::Flying;
use litemap::LiteMap;
use pgrx::pg_sys::Oid;

use super::steps::Batch;
use crate::shared_memory::lives;
use crate::worker::flight::Flight;

/// The documents in flight by their numbers, which is the order in which they were taken.
///
/// Each in a box of its own: there may be thousands, and what is behind one that comes or goes in
/// the list is moved.
#[derive(Default)]
pub(super) struct Flights {
    by_number: LiteMap<u64, Box<Flight>>,
    /// The number of the next one.
    next: u64,
    /// Vectorizers of which the memory that outlives this process says that their documents are in
    /// its hands.
    told: HashSet<i32>,
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

    /// Whether a vectorizer has some.
    pub(super) fn has_of(&self, vectorizer: i32) -> bool {
        self.of(vectorizer).next().is_some()
    }

    /// The vectorizers that have some.
    pub(super) fn vectorizers(&self) -> HashSet<i32> {
        self.values().map(|flight| flight.vectorizer.id).collect()
    }

    /// Tells the memory that outlives this process whose documents are in its hands.
    pub(super) fn tell(&mut self) {
        let held = self.vectorizers();
        if held != self.told {
            lives::holds(&held);
            self.told = held;
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

    /// As far as those are concerned that a process died with.
    pub(super) fn flying(&self) -> impl Iterator<Item = Flying<Oid>> {
        self.values().map(|flight| Flying {
            owner: flight.vectorizer.owner,
            is_suspect: flight.suspect,
        })
    }

    /// Bytes of their keys.
    pub(super) fn keys(&self) -> usize {
        self.values().map(|flight| flight.item.key.len()).sum()
    }

    /// The number of the next document that begins to fly.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// A document begins to fly.
    pub(super) fn begin(&mut self, flight: Flight) {
        self.by_number.insert(self.next, Box::new(flight));
        self.next += 1;
    }

    /// One that was taken to go on with it is there again.
    pub(super) fn put(&mut self, number: u64, flight: Flight) {
        self.by_number.insert(number, Box::new(flight));
    }

    pub(super) fn put_all(&mut self, batch: Batch) {
        for (number, flight) in batch {
            self.put(number, flight);
        }
    }

    /// Takes one to go on with it.
    pub(super) fn take(&mut self, number: u64) -> Option<Flight> {
        self.by_number.remove(&number).map(|flight| *flight)
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
    }
}

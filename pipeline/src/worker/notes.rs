//! What is to be written down about vectorizers, where that was in the way of a user's transaction.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use litemap::LiteMap;

use crate::account;
use crate::error::Failure;

/// Why a vectorizer stands still, which is not written down yet.
#[derive(Clone, Debug)]
pub struct Unwritten<V> {
    /// What it is about; `None` where it cannot even be read.
    pub vectorizer: Option<V>,
    /// What is to be said.
    pub failure: Failure,
    not_before: Instant,
    tries: u32,
}

/// Notes that are still to be written, one for each vectorizer `V` at most.
#[derive(Debug)]
pub struct Notes<V> {
    unwritten: LiteMap<i32, Unwritten<V>>,
    /// Of vectorizers that cannot be worked on: what has been written. It is not written again
    /// whenever they are read.
    written: HashMap<i32, Failure>,
}

impl<V> Default for Notes<V> {
    fn default() -> Notes<V> {
        Notes {
            unwritten: LiteMap::new(),
            written: HashMap::new(),
        }
    }
}

impl<V> Notes<V> {
    /// A lock was in the way of a note about a vectorizer: it is tried again. Another about it that
    /// waits already stays.
    pub fn add(&mut self, id: i32, vectorizer: V, failure: Failure, now: Instant) {
        self.unwritten.entry(id).or_insert(Unwritten {
            vectorizer: Some(vectorizer),
            failure,
            not_before: now + account::after_conflict(1),
            tries: 1,
        });
    }

    /// It is mended, or another fault is: what was written about it may be gone.
    pub fn forget(&mut self, id: i32) {
        self.unwritten.remove(&id);
        self.written.remove(&id);
    }

    /// The same for all.
    pub fn forget_all(&mut self) {
        *self = Notes::default();
    }

    /// These vectorizers were read, and for these failures some of them cannot be worked on.
    pub fn read(&mut self, ids: &[i32], mut failures: HashMap<i32, Failure>, now: Instant) {
        for &id in ids {
            let failure = failures.remove(&id);
            if self.written.get(&id) != failure.as_ref() {
                self.written.remove(&id);
            }
            let is_outdated = |note: &Unwritten<V>| match &failure {
                Some(failure) => *failure != note.failure,
                None => note.vectorizer.is_none(),
            };
            if self.unwritten.get(&id).is_some_and(is_outdated) {
                self.unwritten.remove(&id);
            }
            if let Some(failure) = failure.filter(|_| !self.written.contains_key(&id)) {
                self.unwritten.entry(id).or_insert(Unwritten {
                    vectorizer: None,
                    failure,
                    not_before: now,
                    tries: 0,
                });
            }
        }
    }

    /// Only these vectorizers are there.
    pub fn retain(&mut self, there: &HashSet<i32>) {
        self.unwritten.retain(|id, _| there.contains(id));
        self.written.retain(|id, _| there.contains(id));
    }

    /// Whether a pause of this vectorizer is known to nobody but its worker.
    pub fn has(&self, id: i32) -> bool {
        self.unwritten.contains_key(&id)
    }

    /// When the next one is tried.
    pub fn next_due(&self) -> Option<Instant> {
        self.unwritten.values().map(|note| note.not_before).min()
    }

    /// Those whose time has come.
    pub fn due(&self, now: Instant) -> Vec<i32> {
        let due = self.unwritten.iter().filter(|(_, note)| note.not_before <= now);
        due.map(|(id, _)| *id).collect()
    }

    /// Takes one to write it down.
    pub fn take(&mut self, id: i32) -> Option<Unwritten<V>> {
        self.unwritten.remove(&id)
    }

    /// It was, about a vectorizer that cannot be worked on.
    pub fn wrote(&mut self, id: i32, failure: Failure) {
        self.written.insert(id, failure);
    }

    /// A lock was in the way again.
    pub fn put_off(&mut self, id: i32, mut note: Unwritten<V>, now: Instant) {
        note.tries = note.tries.saturating_add(1);
        note.not_before = now + account::after_conflict(note.tries);
        self.unwritten.entry(id).or_insert(note);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{Class, Step};

    fn failure(reason: &str) -> Failure {
        Failure {
            step: Step::Loading,
            class: Class::Configuration,
            reason: reason.to_owned(),
            hint: None,
        }
    }

    fn failures(id: i32, reason: &str) -> HashMap<i32, Failure> {
        HashMap::from([(id, failure(reason))])
    }

    fn reason(notes: &mut Notes<()>, id: i32) -> Option<String> {
        notes.take(id).map(|note| note.failure.reason)
    }

    #[test]
    fn a_note_that_a_lock_is_in_the_way_of_is_tried_more_and_more_rarely() {
        let (mut notes, mut now) = (Notes::default(), Instant::now());
        notes.add(7, (), failure("no key"), now);
        let mut waits = Vec::new();
        for _ in 0..7 {
            let due = notes.next_due().unwrap();
            assert!(notes.due(due - Duration::from_millis(1)).is_empty());
            assert_eq!(notes.due(due), [7]);
            waits.push((due - now).as_millis());
            now = due;
            let note = notes.take(7).unwrap();
            notes.put_off(7, note, now);
        }
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn there_is_one_note_about_a_vectorizer_and_the_first_stays() {
        let (mut notes, now) = (Notes::default(), Instant::now());
        notes.add(7, (), failure("first"), now);
        notes.add(7, (), failure("second"), now);
        notes.add(8, (), failure("third"), now);
        assert_eq!(reason(&mut notes, 7).unwrap(), "first");
        assert!(notes.has(8) && !notes.has(7));
    }

    #[test]
    fn what_is_written_about_one_that_cannot_be_read_is_not_written_again() {
        let (mut notes, now) = (Notes::<()>::default(), Instant::now());
        notes.read(&[7, 8], failures(7, "it has no key"), now);
        assert_eq!(notes.due(now), [7]);
        let note = notes.take(7).unwrap();
        assert!(note.vectorizer.is_none());
        notes.wrote(7, note.failure);
        notes.read(&[7], failures(7, "it has no key"), now);
        assert!(!notes.has(7));
        notes.read(&[7], failures(7, "it has no source"), now);
        assert_eq!(reason(&mut notes, 7).unwrap(), "it has no source");
        // It is well, and then it is not.
        notes.wrote(7, failure("it has no source"));
        notes.read(&[7], HashMap::new(), now);
        notes.read(&[7], failures(7, "it has no source"), now);
        assert!(notes.has(7));
    }

    #[test]
    fn a_note_that_is_outdated_goes() {
        let now = Instant::now();
        // About one that could not be read; what is found when it is read; whether the note stays.
        let table = [
            (true, None, false),
            (true, Some("no key"), true),
            (true, Some("no source"), false),
            (false, None, true),
            (false, Some("no source"), false),
        ];
        for (is_unreadable, found, stays) in table {
            let mut notes = Notes::default();
            if is_unreadable {
                notes.read(&[7], failures(7, "no key"), now);
            } else {
                notes.add(7, (), failure("no key"), now);
            }
            let found_now = found.map(|reason| failures(7, reason)).unwrap_or_default();
            notes.read(&[7], found_now, now);
            let expected = if stays { Some("no key") } else { found };
            assert_eq!(reason(&mut notes, 7).as_deref(), expected, "{is_unreadable} {found:?}");
        }
    }

    #[test]
    fn what_is_mended_or_gone_is_forgotten() {
        let (mut notes, now) = (Notes::default(), Instant::now());
        let fill = |notes: &mut Notes<()>| {
            (1..=3).for_each(|id| notes.add(id, (), failure("no key"), now));
            notes.wrote(3, failure("no key"));
        };
        fill(&mut notes);
        notes.forget(1);
        assert!(!notes.has(1) && notes.has(2));
        notes.retain(&HashSet::from([3]));
        assert_eq!(notes.due(now + Duration::from_secs(1)), [3]);
        notes.forget_all();
        assert_eq!(notes.next_due(), None);
        notes.read(&[3], failures(3, "no key"), now);
        assert!(notes.has(3), "it is written anew");
    }
}

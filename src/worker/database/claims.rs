//! How documents come into the worker's hands, stay there, and come back from a dead one's.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::config::{Loading, Processing};
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::{retry, shares};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

use super::failures::LONG;
use super::stations::Station;
use super::{SLICE, Worker, overruns};
use crate::access::server;
use crate::catalog::{self, Vectorizer};
use crate::postgres::transaction::{self, Aborted, accounts};
use crate::postgres::{error, swallowed};
use crate::shared_memory::lives;
use crate::store::queue::{self, Suspicion};
use crate::store::stash;
use crate::worker::flight::Flight;

/// Documents taken by one statement: enough to make it cheap, few enough that vectorizers take turns.
const CLAIM: usize = 256;
/// The same where the last ones had to be read one by one, and their owner's turn was too short for all.
const SINGLY: usize = 16;
/// Suspects of one death that fly together. It takes three deaths to be found guilty, and from the second on
/// they fly alone: a group of innocents with a guilty one among them is none the worse for it.
const SUSPECTS: usize = 16;
/// Documents of a worker that is gone that are given back, or moved aside, by one statement; and documents
/// whose rows were locked that one looks at.
const RESCUED: usize = 1000;
/// Which part of ai.max_memory the keys of documents in flight may take, each of which is there several times.
const KEYS_OF_MEMORY: u64 = 32;
/// Changes that are put into the queue by one statement: some tens of milliseconds, which what is in the air
/// has to wait.
pub(super) const TAKE_IN: usize = 2000;
/// After so many refusals in a row, the wait until the next try does not grow any more: a minute.
pub(super) const MOST_REFUSALS: u32 = 6;
/// How long until the next try to put those into the queue that a user's transaction was in the way of.
const BLOCKED: Duration = Duration::from_secs(1);
/// However short the wait until something is due, there is a breath between two looks at the same queue.
pub(super) const BREATH: Duration = Duration::from_millis(50);

impl Worker {
    /// Gives back what an earlier worker of this database held, and moves aside what killed three of them: a
    /// portion in a round, for as long as a look may take.
    pub(super) fn rescue(&mut self) {
        let began = Instant::now();
        accounts::begin_turns();
        // Of those of an owner that was held, the ones that are not to blame for it come first.
        let unrescued: Vec<i32> = std::mem::take(&mut self.unrescued).into();
        let (paused, mut unrescued): (Vec<i32>, Vec<i32>) = unrescued
            .into_iter()
            .partition(|id| self.station(*id).is_some_and(|station| station.paused_until.is_some()));
        unrescued.extend(paused);
        self.unrescued = unrescued.into();
        for _ in 0..self.unrescued.len() {
            let Some(id) = self.unrescued.pop_front() else {
                break;
            };
            let Some(vectorizer) = self.station(id).map(|station| Arc::clone(&station.vectorizer)) else {
                continue;
            };
            if self.must_wait(id) || !accounts::has_turn(vectorizer.owner) {
                self.unrescued.push_back(id);
                continue;
            }
            let (worker, killed, held) = (self.leases.holder(), self.killed, self.leases_of(id));
            let rescued = vectorizer.transaction(|| {
                let (more, quarantined, suspects) = vectorizer.act(|| {
                    let rescued = queue::rescue(&vectorizer, worker, killed, &held, RESCUED);
                    let failure = quarantine_failure();
                    let quarantined = queue::quarantine(&vectorizer, retry::CRASH_ATTEMPTS, &failure, RESCUED);
                    let more = rescued == RESCUED || quarantined.len() == RESCUED;
                    (more, quarantined, !more && queue::has_suspects(&vectorizer))
                });
                catalog::record_quarantined(vectorizer.id, &quarantined, &quarantine_failure());
                if !more {
                    stash::sweep(&vectorizer);
                }
                (more, suspects)
            });
            match rescued {
                Ok((true, _)) => self.unrescued.push_back(id),
                Ok((false, true)) => {
                    self.suspects.insert(id);
                }
                Ok((false, false)) => (),
                Err(aborted) if error::is_lock_conflict(&aborted) => {
                    if let Some(station) = self.station_mut(id) {
                        station.met_a_lock(Instant::now());
                    }
                    self.unrescued.push_back(id);
                }
                // They must not fly again, and cannot be moved aside.
                Err(aborted) if swallowed::is(&aborted) => {
                    let failure = Failure {
                        class: Class::Configuration,
                        ..error::from_database(&aborted, Step::Loading)
                    };
                    self.pause_vectorizer(&vectorizer, &failure);
                }
                // What is left runs out with its leases.
                Err(aborted) => log!(
                    "ai: cannot give back the documents of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                ),
            }
            if began.elapsed() >= SLICE {
                break;
            }
        }
    }

    /// Whether the queue of a vectorizer is left alone for now: its tables are locked, its owner has had more
    /// than a share of our time, or code of its owner has just ended a worker.
    pub(super) fn must_wait(&self, id: i32) -> bool {
        let now = Instant::now();
        self.station(id).is_some_and(|station| {
            let is_paused = station.paused_until.is_some_and(|until| until > now);
            station.locked_until.is_some_and(|until| until > now)
                || accounts::is_held(station.vectorizer.owner)
                || is_paused && self.slow.contains_key(&id)
        })
    }

    /// Takes documents while there is room for them, one vectorizer after the other.
    ///
    /// Suspects fly without others, which a death would make suspects, too: see `suspects.rs`.
    ///
    /// True if as many of one were taken as might be: more may wait.
    pub(super) fn claim(&mut self) -> bool {
        let now = Instant::now();
        self.note_held();
        if self.makes_room.is_some() {
            return false;
        }
        let suspects = self.turn_of_suspects(now);
        if self.suspicion.is_alone(now) {
            return false;
        }
        let mut took_all_it_could = false;
        let stations = self.stations.len();
        let mut due = by_turns(&self.stations, self.turn, now, |station| self.is_due(station, now));
        due.sort_by_key(|index| Some(self.stations[*index].vectorizer.owner) != suspects.first);
        for index in due {
            if now.elapsed() > SLICE {
                // What is in the air is not to wait for all of those who have nothing to do.
                return true;
            }
            let room = self.settings.max_documents_in_flight.saturating_sub(self.flights.len());
            if room == 0 || !self.services.has_room() || self.suspicion.is_alone(now) {
                break;
            }
            let station = &self.stations[index];
            let Some(suspects_first) = suspects.of(&station.vectorizer, self) else {
                continue;
            };
            if !accounts::has_turn(station.vectorizer.owner) {
                took_all_it_could |= !accounts::is_held(station.vectorizer.owner);
                continue;
            }
            let vectorizer = Arc::clone(&station.vectorizer);
            let mine = self.flights.number_of(vectorizer.id);
            let limit = if station.paused_until.is_some() || station.is_held_up {
                // Both end when one document succeeds.
                1usize.saturating_sub(mine)
            } else if mine > 0 && station.is_in_the_way(now) {
                // What is written to is locked: more would only wait with the others.
                0
            } else {
                let of_owner = self.room_of_owner(vectorizer.owner, room);
                share(&vectorizer.config.processing)
                    .min(shares::of_vectorizer(stations, mine + room))
                    .saturating_sub(mine)
                    .min(room)
                    .min(of_owner)
                    .min(if station.reads_singly { SINGLY } else { CLAIM })
            };
            let limit = match self.slow.get(&vectorizer.id) {
                Some(most) => limit.min(most.saturating_sub(mine)),
                None => limit,
            };
            let keys = self.room_for_keys();
            if limit > 0 && keys > 0 {
                let before = self.flights.len();
                self.claim_from(index, &vectorizer, (limit, keys), suspects_first);
                // How much memory a document behind a URI takes is not known before it is on the way.
                took_all_it_could |=
                    self.flights.len() >= before + limit && matches!(vectorizer.config.loading, Loading::Column { .. });
                // Also when it has taken all the room there was: the others come first where the next one is free.
                self.turn = (index + 1) % stations;
            }
        }
        took_all_it_could
    }

    /// How many of the places that are free, `room`, an owner may take: of those that no other owner has, three
    /// quarters, and never the last one beside documents of its own. Its documents may stay in the air for as long as it
    /// likes, for whatever reason and of however many vectorizers.
    fn room_of_owner(&self, owner: Oid, room: usize) -> usize {
        if !accounts::is_shared() {
            return room;
        }
        shares::of_owner(self.flights.number_of_owner(owner), room)
    }

    /// Whether documents of a vectorizer may be taken now, if there are any.
    pub(super) fn is_due(&self, station: &Station, now: Instant) -> bool {
        station.look_at.is_some_and(|at| at <= now)
            && station.paused_until.is_none_or(|until| until <= now)
            && station.locked_until.is_none_or(|until| until <= now)
            && !accounts::is_held(station.vectorizer.owner)
            && !self.unrescued.contains(&station.vectorizer.id)
    }

    /// How many bytes the keys may have of what is taken next: they are in memory for as long as their documents are
    /// in flight.
    fn room_for_keys(&self) -> usize {
        let most = usize::try_from(self.settings.max_memory_bytes / KEYS_OF_MEMORY).unwrap_or(usize::MAX);
        most.saturating_sub(self.flights.bytes_of_keys()).min(queue::KEYS)
    }

    fn claim_from(
        &mut self,
        index: usize,
        vectorizer: &Arc<Vectorizer>,
        (limit, keys): (usize, usize),
        suspects_first: bool,
    ) {
        self.stations[index].is_dry = false;
        // Privileges and options of its foreign servers may be others than when it was read.
        let (config, owner) = (&vectorizer.config, vectorizer.owner);
        match vectorizer.note(|| server::of(&config.embedding, &config.loading, owner)) {
            Ok(servers) if servers == vectorizer.servers => (),
            Ok(_) => {
                self.stale.insert(vectorizer.id);
                return;
            }
            Err(aborted) => {
                log!(
                    "ai: cannot look at the servers of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
                self.stations[index].look_at = Some(Instant::now() + retry::backoff(1, rand::random()));
                return;
            }
        }
        if vectorizer.has_policies {
            match transaction::run(|| catalog::filtered(vectorizer.id)) {
                Ok(None) => (),
                Ok(Some(failure)) => return self.pause_vectorizer(vectorizer, &failure),
                Err(aborted) => return self.refused_claim(index, vectorizer, &aborted, false),
            }
        }
        // A provider that cannot be asked is found out before a document is fetched for it.
        let (bridge, services) = (&self.bridge, &mut self.services);
        let ready = bridge.within(|| services.embedder(vectorizer).and_then(|_| services.loader(vectorizer)));
        if let Err(failure) = ready {
            self.pause_vectorizer(vectorizer, &failure);
            return;
        }
        let (duration, alone) = (self.settings.lease_duration, self.may_fly_alone(vectorizer.owner));
        if self.held.insert(vectorizer.id) {
            lives::holds(&self.held);
        }
        let wait = self.stations[index]
            .intake_not_before
            .saturating_duration_since(Instant::now());
        let takes_in = wait.is_zero();
        let (lease, held) = (self.leases.make(), self.leases_of(vectorizer.id));
        let abandoned = self.abandoned.get(&vectorizer.id).cloned().unwrap_or_default();
        let (changes, refused) = self.stations[index].what_to_take_in();
        let is_taking_in = Cell::new(false);
        let looks_for_unlocked = self.stations[index]
            .unlocked_look_at
            .is_some_and(|at| at <= Instant::now());
        let unlocked = Cell::new(None);
        let claimed = vectorizer.transaction(|| {
            // Whatever a document does to the server, and whatever synchronous_commit says, the attempt is counted.
            transaction::must_last();
            vectorizer.act(|| {
                overruns::give_back_abandoned(vectorizer, &abandoned);
                is_taking_in.set(true);
                let taken_in = takes_in.then(|| queue::take_in(vectorizer, changes, &refused));
                is_taking_in.set(false);
                if looks_for_unlocked {
                    let began = Instant::now();
                    let some_are_locked = queue::free_unlocked(vectorizer, RESCUED, LONG);
                    unlocked.set(Some((some_are_locked, began.elapsed())));
                }
                let mut swallowed = Vec::new();
                let mut claim = |limit, suspicion| {
                    let claimed = queue::claim(vectorizer, limit, lease, duration, suspicion, (&held, keys));
                    swallowed.extend(claimed.swallowed);
                    claimed.numbers
                };
                let mut numbers = if alone && suspects_first {
                    claim_suspects(&mut claim, limit)
                } else {
                    Vec::new()
                };
                let mut suspect = !numbers.is_empty();
                if numbers.is_empty() {
                    numbers = claim(limit, Suspicion::None);
                }
                if numbers.is_empty() && alone && !suspects_first {
                    numbers = claim_suspects(&mut claim, limit);
                    suspect = !numbers.is_empty();
                }
                let mut due = if numbers.len() < limit && !taken_in.as_ref().is_some_and(|taken| taken.more) {
                    queue::next_due(vectorizer)
                } else {
                    Some(Duration::ZERO)
                };
                if taken_in.as_ref().is_none_or(|taken| taken.left_behind) {
                    let again = if takes_in { BLOCKED } else { wait };
                    due = Some(due.map_or(again, |due| due.min(again)));
                }
                swallowed.extend(taken_in.iter().flat_map(|taken| taken.swallowed.iter().cloned()));
                (numbers, suspect, due, taken_in, swallowed)
            })
        });
        match claimed {
            Ok((numbers, suspect, mut due, taken_in, swallowed)) => {
                self.abandoned.remove(&vectorizer.id);
                if let Some((some_are_locked, took)) = unlocked.take() {
                    self.stations[index].looked_for_unlocked(some_are_locked, took);
                }
                if suspects_first && !suspect {
                    self.suspects.remove(&vectorizer.id);
                }
                if suspect {
                    self.suspicion.begin(vectorizer.owner, Instant::now());
                }
                let more = numbers.len() == limit;
                let until_again = self.note_swallowed(index, vectorizer, &swallowed);
                self.stations[index].refusals_of_intake.succeeded();
                self.forget_refused(index, vectorizer);
                if !more && until_again.is_some() {
                    due = until_again;
                }
                let wait = due.map(|wait| if more { wait } else { wait.max(BREATH) });
                let look_at = wait.map(|wait| Instant::now() + wait);
                let unlocked_look_at = self.stations[index].unlocked_look_at;
                self.stations[index].look_at = look_at.into_iter().chain(unlocked_look_at).min();
                if let Some(taken_in) = &taken_in {
                    self.stations[index].took_in(taken_in);
                }
                let is_empty = numbers.is_empty() && due.is_none_or(|wait| wait > Duration::ZERO);
                let refusals = self.stations[index].refusals;
                if !numbers.is_empty()
                    && let Err((aborted, rest)) = self.take_off(vectorizer, &numbers, lease, suspect, refusals)
                {
                    self.untake(vectorizer, &rest, lease);
                    if aborted.put_off {
                        // The turn was over. In the next one they are read one by one again.
                        self.stations[index].reads_singly = true;
                        self.stations[index].look_at = Some(Instant::now() + BREATH);
                        return;
                    }
                    self.refused_claim(index, vectorizer, &aborted, false);
                    if error::is_lock_conflict(&aborted) {
                        // To take documents and give them back is more than a look.
                        let least = Instant::now() + BLOCKED;
                        let station = &mut self.stations[index];
                        station.look_at = Some(station.look_at.map_or(least, |at| at.max(least)));
                    }
                    return;
                }
                self.stations[index].met_no_lock();
                self.stations[index].reads_singly &= numbers.is_empty();
                // Not before they are read, too: what can be taken but not read would be tried every second for ever.
                if takes_in {
                    self.stations[index].refusals = 0;
                    self.stations[index].refused_until = None;
                }
                self.stations[index].is_dry = !more && !taken_in.is_some_and(|taken| taken.more || taken.left_behind);
                let mine = |flight: &Flight| flight.vectorizer.id == vectorizer.id;
                let is_over = is_empty && !self.flights.values().any(mine);
                if is_over && due.is_none() {
                    self.stations[index].is_held_up = false;
                    self.end_pause(index);
                    self.sweep(index);
                    self.look_after_index(index);
                }
                if self.stations[index].at_times {
                    self.stations[index].look_at = Some(Instant::now() + BREATH);
                    if is_over {
                        self.end_run(index, vectorizer);
                    }
                }
            }
            Err(aborted) if is_taking_in.get() && self.refused_changes(index, vectorizer, &aborted) => {
                self.stations[index].look_at = Some(Instant::now());
            }
            Err(aborted) => self.refused_claim(index, vectorizer, &aborted, takes_in),
        }
    }

    /// The database did not let us take documents, or what has changed.
    fn refused_claim(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, aborted: &Aborted, takes_in: bool) {
        if error::is_lock_conflict(aborted) {
            let now = Instant::now();
            let station = &mut self.stations[index];
            // Whatever was in the way: a document of the queue need not wait for a change of another.
            if takes_in {
                station.intake_not_before = now + BLOCKED;
            }
            station.look_at = Some(station.met_a_lock(now));
            return;
        }
        let failure = error::from_database(aborted, Step::Loading);
        match failure.class {
            Class::Configuration if self.may_be_stale(vectorizer.id, &failure) => (),
            Class::Configuration => self.pause_vectorizer(vectorizer, &failure),
            Class::Transient | Class::Throttled { .. } | Class::Permanent | Class::Unknown => {
                let station = &mut self.stations[index];
                let now = Instant::now();
                if let Some(until) = station.refused_until.filter(|until| *until > now) {
                    station.look_at = Some(until);
                    return;
                }
                if station.refusals == 0 {
                    log!(
                        "ai: cannot take documents of vectorizer {}: {}",
                        vectorizer.name,
                        failure.reason
                    );
                }
                station.refusals = (station.refusals + 1).min(MOST_REFUSALS);
                station.has_notes = true;
                let again = now + retry::backoff(station.refusals, rand::random());
                station.refused_until = Some(again);
                station.look_at = Some(again);
                if takes_in {
                    // A key that the queue refuses keeps no document of the queue waiting.
                    station.intake_not_before = again + BLOCKED;
                }
                let note = || catalog::record_error(vectorizer.id, Some(&vectorizer.config), None, &failure);
                if let Err(aborted) = vectorizer.note(note)
                    && !error::is_lock_conflict(&aborted)
                {
                    log!(
                        "ai: cannot note what keeps vectorizer {} from working: {}",
                        vectorizer.name,
                        aborted.message
                    );
                }
            }
        }
    }

    /// Gives documents back that were taken under a lease: now if the database lets us, else when some are taken again.
    fn untake(&mut self, vectorizer: &Vectorizer, numbers: &[i64], lease: i64) {
        let untake = || queue::untake(vectorizer, numbers, lease);
        let untaken = vectorizer.same_turn(|| vectorizer.act(untake));
        let Err(aborted) = untaken else {
            return;
        };
        if !error::is_lock_conflict(&aborted) {
            log!(
                "ai: cannot give back documents of vectorizer {}: {}",
                vectorizer.name,
                aborted.message
            );
        }
        let left = numbers.iter().map(|number| (lease, *number));
        self.abandoned.entry(vectorizer.id).or_default().extend(left);
    }

    /// Puts what has changed into the queues that are not looked at now: paused ones, and those that are
    /// worked on at times. The keys that the triggers append would be more than there are documents, in time.
    pub(super) fn take_in(&mut self) {
        let now = Instant::now();
        accounts::begin_turns();
        let is_due = |station: &Station| station.takes_in_at().is_some_and(|at| at <= now);
        for index in by_turns(&self.stations, self.turn, now, is_due) {
            if now.elapsed() > SLICE {
                return;
            }
            let station = &mut self.stations[index];
            if !accounts::has_turn(station.vectorizer.owner) {
                continue;
            }
            station.take_in_at = None;
            let vectorizer = Arc::clone(&station.vectorizer);
            let (changes, refused) = station.what_to_take_in();
            let take_in = || queue::take_in(&vectorizer, changes, &refused);
            let taken = vectorizer.transaction(|| vectorizer.act(take_in));
            match taken {
                Ok(taken_in) => {
                    station.took_in(&taken_in);
                    let until_again = self.note_swallowed(index, &vectorizer, &taken_in.swallowed);
                    let station = &mut self.stations[index];
                    station.refusals_of_intake.succeeded();
                    if taken_in.more || taken_in.left_behind {
                        let wait = until_again.unwrap_or(BLOCKED);
                        station.take_in_at = Some(if taken_in.more { now } else { now + wait });
                    }
                }
                Err(aborted) if error::is_lock_conflict(&aborted) => {
                    station.take_in_at = Some(station.met_a_lock(now).max(now + BLOCKED));
                }
                Err(aborted) if self.refused_changes(index, &vectorizer, &aborted) => {
                    self.stations[index].take_in_at = Some(now);
                }
                // Whoever works on the queue next says so where users see it.
                Err(aborted) => log!(
                    "ai: cannot take in what has changed for vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                ),
            }
        }
    }

    /// The queue of a vectorizer that works at times is dry.
    fn end_run(&mut self, index: usize, vectorizer: &Arc<Vectorizer>) {
        self.stations[index].look_at = None;
        let finished = match vectorizer.note(|| catalog::finish_run(vectorizer)) {
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                self.stations[index].look_at = Some(Instant::now() + BLOCKED);
                return;
            }
            finished => finished.unwrap_or_else(|aborted| Err(aborted.message)),
        };
        match finished {
            Ok(wait) => self.stations[index].look_at = wait.map(|wait| Instant::now() + wait),
            Err(reason) => {
                let unusable = catalog::Unusable::without_schedule(vectorizer.id, &reason);
                self.pause_vectorizer(vectorizer, &unusable.failure);
            }
        }
    }

    /// The leases under which documents of a vectorizer are in flight; those that were taken together share one.
    fn leases_of(&self, vectorizer: i32) -> Vec<i64> {
        let mine = self
            .flights
            .values()
            .filter(|flight| flight.vectorizer.id == vectorizer);
        let held: HashSet<i64> = mine.map(|flight| flight.item.lease).collect();
        held.into_iter().collect()
    }

    /// Tells the queues that their documents are in good hands, each of them once in a third of a lease.
    pub(super) fn renew(&mut self) {
        if self.renewed.elapsed() >= self.settings.lease_duration / 3 {
            self.renewed = Instant::now();
            self.unrenewed = self.flights.vectorizers().collect();
        }
        for id in std::mem::take(&mut self.unrenewed) {
            let held = self.leases_of(id);
            let Some(vectorizer) = self.station(id).map(|station| Arc::clone(&station.vectorizer)) else {
                continue;
            };
            if held.is_empty() {
                continue;
            }
            if !accounts::has_turn(vectorizer.owner) {
                self.unrenewed.insert(id);
                continue;
            }
            let lease = self.settings.lease_duration;
            let renewed = vectorizer.transaction(|| {
                vectorizer.act(|| {
                    queue::renew(&vectorizer, held, lease);
                });
            });
            if let Err(aborted) = renewed
                && !aborted.put_off
            {
                log!(
                    "ai: cannot renew the leases of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
            }
        }
    }
}

/// The stations that are due, from the one whose turn it is on: the first of each owner, then the second of
/// each, so that nobody waits for all that another has.
fn by_turns(stations: &[Station], turn: usize, now: Instant, is_due: impl Fn(&Station) -> bool) -> Vec<usize> {
    let number = stations.len().max(1);
    let order = (0..stations.len()).map(|step| (turn + step) % number);
    let mut of_owner: HashMap<Oid, usize> = HashMap::new();
    let mut due: Vec<(usize, usize)> = order
        .filter(|index| is_due(&stations[*index]))
        .map(|index| {
            let before = of_owner.entry(stations[index].vectorizer.owner).or_default();
            *before += 1;
            (*before, index)
        })
        .collect();
    // What is tried again, as its code was at fault, comes after what is not.
    due.sort_by_key(|(before, index)| (stations[*index].paused_until.is_some(), *before));
    let mut due: Vec<usize> = due.into_iter().map(|(_, index)| index).collect();
    // The owner that has taken little of our time has it first.
    due.sort_by_cached_key(|&index| accounts::spent(stations[index].vectorizer.owner, now));
    due
}

/// Documents of one vectorizer that may be in flight: what `ai.processing_default` says, or no bound of its own.
fn share(processing: &Processing) -> usize {
    let Processing::Default {
        batch_size,
        concurrency,
    } = processing;
    let number = |value: &Option<i32>| value.and_then(|value| usize::try_from(value).ok());
    match (number(batch_size), number(concurrency)) {
        (None, None) => usize::MAX,
        (batch, concurrency) => batch.unwrap_or(1).saturating_mul(concurrency.unwrap_or(1)).max(1),
    }
}

/// Takes documents that processes died with: a group of those of one death, or one of those of two.
fn claim_suspects(claim: &mut impl FnMut(usize, Suspicion) -> Vec<i64>, limit: usize) -> Vec<i64> {
    match claim(limit.min(SUSPECTS), Suspicion::Group) {
        numbers if numbers.is_empty() => claim(1, Suspicion::Strong),
        numbers => numbers,
    }
}

fn quarantine_failure() -> Failure {
    Failure {
        step: Step::Parsing,
        class: Class::Permanent,
        reason: format!(
            "the worker process died {} times while it worked on this document",
            retry::CRASH_ATTEMPTS
        ),
        hint: Some("The server log tells how the process ended. Change the row, or call ai.retry_vectorizer, to have it tried again.".to_owned()),
    }
}

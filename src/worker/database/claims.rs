//! How documents come into the worker's hands.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_pipeline::config::Loading;
use ai_pipeline::error::{Class, Step};
use ai_pipeline::retry;
use ai_pipeline::worker::share::{self, Demand};
use ai_pipeline::worker::station::BLOCKED;
use ai_pipeline::worker::suspects::Take;
use pgrx::prelude::*;

use super::duty::Duty;
use super::failures::LONG;
use super::overruns;
use super::state::VectorizerStation;
use super::state::{SLICE, Worker};
use super::stations::{by_turns, took_in};
use crate::access::server;
use crate::catalog::{self, Vectorizer};
use crate::postgres::aborted::Aborted;
use crate::postgres::transaction::{self, accounts};
use crate::postgres::{error, failure};
use crate::store::queue::{self, SuspectGroup, TakenIn};

/// Suspects of one death that run together. It takes three deaths to be found guilty, and from the
/// second on they run alone: a group of innocents with a guilty one among them is none the worse
/// for it.
const SUSPECTS: usize = 16;
/// Documents whose rows were locked that one statement looks at.
const UNLOCKED: usize = 1000;

/// What is asked of a queue.
struct ClaimRequest {
    /// So many documents at most, under this lease, and so many bytes of keys.
    limit: usize,
    lease: i64,
    keys: usize,
    suspects_first: bool,
    /// What waits in its intake comes first, or is left alone for so long.
    takes_in: bool,
    intake_waits: Duration,
}

/// What was taken.
struct ClaimedItems {
    /// Places in the queue.
    numbers: Vec<i64>,
    /// A process died with them.
    suspect: bool,
    /// How long until others are due.
    due: Option<Duration>,
    taken_in: Option<TakenIn>,
    /// Primary keys of what the queue has swallowed.
    swallowed: Vec<String>,
    /// Whether some rows are locked still whose documents were given back, and how long it took to
    /// look.
    unlocked: Option<(bool, Duration)>,
}

/// Takes documents while there is room for them, one vectorizer after the other.
///
/// Suspects run without others, which a death would make suspects, too: see
/// `ai_pipeline::worker::suspects`.
pub(super) struct Claimer;

impl Duty for Claimer {
    fn due(&self, worker: &Worker) -> Option<Instant> {
        worker.stations.iter().filter_map(VectorizerStation::due_at).min()
    }

    /// True if as many of one were taken as might be: more may wait.
    fn run(&mut self, worker: &mut Worker) -> bool {
        let now = Instant::now();
        worker.jobs.tell();
        if worker.makes_room.is_some() {
            return false;
        }
        let precedence = worker.turn_of_suspects(now);
        if worker.suspects.keep_others_waiting(now) {
            return false;
        }
        let mut took_all_it_could = false;
        let mut due = by_turns(&worker.stations, worker.turn, now, |station| {
            worker.is_due(station, now)
        });
        due.sort_by_key(|index| Some(worker.stations[*index].vectorizer.owner) != precedence.first());
        for index in due {
            if now.elapsed() > SLICE {
                // What is in flight is not to wait for all of those who have nothing to do.
                return true;
            }
            let room = worker
                .settings
                .max_documents_in_flight
                .saturating_sub(worker.jobs.len());
            if room == 0 || !worker.services.has_room() || worker.suspects.keep_others_waiting(now) {
                break;
            }
            let vectorizer = Arc::clone(&worker.stations[index].vectorizer);
            let suspects_first = match worker.what_to_take(&vectorizer, &precedence) {
                Take::Nothing => continue,
                Take::InnocentFirst => false,
                Take::SuspectsFirst => true,
            };
            if !accounts::has_turn(vectorizer.owner) {
                took_all_it_could |= !accounts::is_held(vectorizer.owner);
                continue;
            }
            let limit = worker.demand(index, room, now).limit();
            let keys = share::room_for_keys(worker.settings.max_memory_bytes, worker.jobs.keys(), queue::KEYS);
            if limit > 0 && keys > 0 {
                let before = worker.jobs.len();
                worker.claim_from(index, &vectorizer, (limit, keys), suspects_first);
                // How much memory a document behind a URI takes is not known before it is on the
                // way.
                took_all_it_could |=
                    worker.jobs.len() >= before + limit && matches!(vectorizer.config.loading, Loading::Column { .. });
                // Also when it has taken all the room there was: the others come first where the
                // next one is free.
                worker.turn = (index + 1) % worker.stations.len();
            }
        }
        took_all_it_could
    }
}

impl Worker {
    /// Whether the queue of a vectorizer is left alone for now: its tables are locked, its owner
    /// has had more than a share of our time, or code of its owner has just ended a worker.
    pub(super) fn must_wait(&self, id: i32) -> bool {
        let now = Instant::now();
        self.station(id).is_some_and(|station| {
            station.locks.is_locked(now)
                || accounts::is_held(station.vectorizer.owner)
                || station.is_resting(now) && self.slow.has(id)
        })
    }

    /// Whether documents of a vectorizer may be taken now, if there are any.
    pub(super) fn is_due(&self, station: &VectorizerStation, now: Instant) -> bool {
        station.is_due(now)
            && !accounts::is_held(station.vectorizer.owner)
            && !self.unrescued.contains(&station.vectorizer.id)
    }

    /// What bounds the documents that are taken of a vectorizer.
    fn demand(&self, index: usize, room: usize, now: Instant) -> Demand {
        let station = &self.stations[index];
        let id = station.vectorizer.id;
        Demand {
            vectorizers: self.stations.len(),
            mine: self.jobs.number_of(id),
            room,
            of_owner: accounts::is_shared().then(|| self.jobs.number_of_owner(station.vectorizer.owner)),
            processing: station.vectorizer.config.processing,
            is_probing: station.is_probing(),
            is_in_the_way: station.locks.is_in_the_way(now),
            reads_singly: station.reads_singly(),
            slow: self.slow.most(id),
        }
    }

    fn claim_from(
        &mut self,
        index: usize,
        vectorizer: &Arc<Vectorizer>,
        (limit, keys): (usize, usize),
        suspects_first: bool,
    ) {
        self.stations[index].begin_claim();
        if !self.is_ready(index, vectorizer) {
            return;
        }
        self.jobs.tell_of(vectorizer.id);
        let intake_waits = self.stations[index].intake_waits(Instant::now());
        let request = ClaimRequest {
            limit,
            lease: self.leases.make(),
            keys,
            suspects_first,
            takes_in: intake_waits.is_zero(),
            intake_waits,
        };
        let is_taking_in = Cell::new(false);
        match self.take(index, &request, &is_taking_in) {
            Ok(taken) => self.took(index, vectorizer, &request, taken),
            Err(aborted) if is_taking_in.get() && self.refused_changes(index, vectorizer, &aborted) => {
                self.stations[index].look_after(Duration::ZERO, Instant::now());
            }
            Err(aborted) => self.refused_claim(index, vectorizer, &aborted, request.takes_in),
        }
    }

    /// Whether documents of a vectorizer can be worked on, as far as that is found out before one
    /// is taken.
    fn is_ready(&mut self, index: usize, vectorizer: &Arc<Vectorizer>) -> bool {
        // Privileges and options of its foreign servers may be others than when it was read.
        let (config, owner) = (&vectorizer.config, vectorizer.owner);
        let changed = vectorizer.note(|| {
            if vectorizer.servers_seen.is_latest() {
                return false;
            }
            let seen = server::Seen::now();
            let servers = server::of_latest(&config.embedding, &config.loading, owner);
            let is_as_before = servers == vectorizer.servers;
            if is_as_before {
                vectorizer.servers_seen.renew(seen);
            }
            !is_as_before
        });
        match changed {
            Ok(false) => (),
            Ok(true) => {
                self.rereads.found_stale(vectorizer.id);
                return false;
            }
            Err(aborted) => {
                log!(
                    "ai: cannot look at the servers of vectorizer {}: {}",
                    vectorizer.name,
                    aborted.message
                );
                let wait = retry::backoff(1, rand::random());
                self.stations[index].look_after(wait, Instant::now());
                return false;
            }
        }
        if vectorizer.has_policies {
            match transaction::run(|| catalog::filtered(vectorizer.id)) {
                Ok(None) => (),
                Ok(Some(failure)) => {
                    self.pause_vectorizer(vectorizer, &failure);
                    return false;
                }
                Err(aborted) => {
                    self.refused_claim(index, vectorizer, &aborted, false);
                    return false;
                }
            }
        }
        // A provider that cannot be asked is found out before a document is fetched for it.
        let (bridge, services) = (&self.bridge, &mut self.services);
        let ready = bridge.within(|| services.embedder(vectorizer).and_then(|_| services.loader(vectorizer)));
        if let Err(failure) = &ready {
            self.pause_vectorizer(vectorizer, failure);
        }
        ready.is_ok()
    }

    /// The transaction that takes documents. `is_taking_in` says of one that fails whether it was
    /// with the intake.
    fn take(&self, index: usize, request: &ClaimRequest, is_taking_in: &Cell<bool>) -> Result<ClaimedItems, Aborted> {
        let station = &self.stations[index];
        let vectorizer = &station.vectorizer;
        let (duration, alone) = (self.settings.lease_duration, self.may_run_alone(vectorizer.owner));
        let held = self.jobs.leases_of(vectorizer.id);
        let abandoned = self
            .abandoned
            .get(&vectorizer.id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let looks_for_unlocked = station.locks.is_look_due(Instant::now());
        vectorizer.transaction(|| {
            // Whatever a document does to the server, and whatever synchronous_commit says, the
            // attempt is counted.
            transaction::must_last();
            vectorizer.act(|| {
                overruns::give_back_abandoned(vectorizer, abandoned);
                is_taking_in.set(true);
                let refused = &station.refused_changes;
                let take_in = || queue::take_in(vectorizer, refused.limit(), refused.places());
                let taken_in = request.takes_in.then(take_in);
                is_taking_in.set(false);
                let unlocked = looks_for_unlocked.then(|| {
                    let began = Instant::now();
                    let some_are_locked = queue::free_unlocked(vectorizer, UNLOCKED, LONG);
                    (some_are_locked, began.elapsed())
                });
                let mut swallowed = Vec::new();
                let mut claim = |limit, suspicion| {
                    let (held, keys) = (held.as_slice(), request.keys);
                    let claimed = queue::claim(vectorizer, limit, request.lease, duration, suspicion, (held, keys));
                    swallowed.extend(claimed.swallowed);
                    claimed.numbers
                };
                let (numbers, suspect) = claim_by_turns(&mut claim, request.limit, alone, request.suspects_first);
                let mut due = if numbers.len() < request.limit && !taken_in.as_ref().is_some_and(|taken| taken.more) {
                    queue::next_due(vectorizer)
                } else {
                    Some(Duration::ZERO)
                };
                if taken_in.as_ref().is_none_or(|taken| taken.left_behind) {
                    let again = if request.takes_in {
                        BLOCKED
                    } else {
                        request.intake_waits
                    };
                    due = Some(due.map_or(again, |due| due.min(again)));
                }
                swallowed.extend(taken_in.iter().flat_map(|taken| taken.swallowed.iter().cloned()));
                ClaimedItems {
                    numbers,
                    suspect,
                    due,
                    taken_in,
                    swallowed,
                    unlocked,
                }
            })
        })
    }

    /// Documents were taken, or none were there: they are read, and their jobs begin.
    fn took(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, request: &ClaimRequest, taken: ClaimedItems) {
        let ClaimedItems { numbers, suspect, .. } = taken;
        self.abandoned.remove(&vectorizer.id);
        if let Some((some_are_locked, took)) = taken.unlocked {
            let locks = &mut self.stations[index].locks;
            locks.looked(some_are_locked, took, Instant::now());
        }
        if request.suspects_first && !suspect {
            self.suspects.none_left(vectorizer.id);
        }
        if suspect {
            self.suspects.begin(vectorizer.owner, Instant::now());
        }
        let more = numbers.len() == request.limit;
        let until_again = self.note_swallowed(index, vectorizer, &taken.swallowed);
        self.stations[index].refused_changes.succeeded(Instant::now());
        self.forget_refused(index, vectorizer);
        let due = if more { taken.due } else { until_again.or(taken.due) };
        self.stations[index].claimed(due, more, Instant::now());
        if let Some(taken_in) = &taken.taken_in {
            took_in(&mut self.stations[index], taken_in);
        }
        let refusals = self.stations[index].refusals();
        if !numbers.is_empty()
            && let Err((aborted, rest)) = self.take_off(vectorizer, &numbers, request.lease, suspect, refusals)
        {
            self.untake(vectorizer, &rest, request.lease);
            return self.could_not_read(index, vectorizer, &aborted);
        }
        let is_dry = !more && !taken.taken_in.is_some_and(|taken| taken.more || taken.left_behind);
        self.stations[index].read(numbers.len(), request.takes_in, is_dry);
        let is_empty = numbers.is_empty() && due.is_none_or(|wait| wait > Duration::ZERO);
        let is_over = is_empty && !self.jobs.has_of(vectorizer.id);
        if is_over && due.is_none() {
            self.stations[index].locks.nothing_is_left();
            self.end_pause(index);
            self.sweep(index);
            self.look_after_index(index);
        }
        if self.stations[index].is_at_times() {
            self.stations[index].run_goes_on(Instant::now());
            if is_over {
                self.end_run(index, vectorizer);
            }
        }
    }

    /// What was taken was given back, as it could not be read.
    fn could_not_read(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, aborted: &Aborted) {
        if aborted.put_off {
            return self.stations[index].turn_was_short(Instant::now());
        }
        self.refused_claim(index, vectorizer, aborted, false);
        if error::is_lock_conflict(aborted) {
            self.stations[index].could_not_read(Instant::now());
        }
    }

    /// The database did not let us take documents, or what has changed.
    fn refused_claim(&mut self, index: usize, vectorizer: &Arc<Vectorizer>, aborted: &Aborted, takes_in: bool) {
        if error::is_lock_conflict(aborted) {
            return self.stations[index].was_locked(takes_in, Instant::now());
        }
        let failure = failure::from_database(aborted, Step::Loading);
        match failure.class {
            Class::Configuration if self.may_be_stale(vectorizer.id, &failure) => return,
            Class::Configuration => return self.pause_vectorizer(vectorizer, &failure),
            Class::Transient | Class::Throttled { .. } | Class::Permanent | Class::Unknown => (),
        }
        let station = &mut self.stations[index];
        let Some(is_first) = station.was_refused(takes_in, rand::random(), Instant::now()) else {
            return;
        };
        if is_first {
            log!(
                "ai: cannot take documents of vectorizer {}: {}",
                vectorizer.name,
                failure.reason
            );
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

    /// Gives documents back that were taken under a lease: now if the database lets us, else when
    /// some are taken again.
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

    /// The queue of a vectorizer that works at times is dry.
    fn end_run(&mut self, index: usize, vectorizer: &Arc<Vectorizer>) {
        self.stations[index].run_ended(None, Instant::now());
        let finished = match vectorizer.note(|| catalog::finish_run(vectorizer)) {
            Err(aborted) if error::is_lock_conflict(&aborted) => {
                self.stations[index].look_after(BLOCKED, Instant::now());
                return;
            }
            finished => finished.unwrap_or_else(|aborted| Err(aborted.message)),
        };
        match finished {
            Ok(wait) => self.stations[index].run_ended(wait, Instant::now()),
            Err(reason) => {
                let unusable = catalog::Unusable::without_schedule(vectorizer.id, &reason);
                self.pause_vectorizer(vectorizer, &unusable.failure);
            }
        }
    }
}

/// Takes documents, and says whether a process died with them: those first whose turn it is, and
/// suspects only where they may run `alone`.
fn claim_by_turns(
    claim: &mut impl FnMut(usize, SuspectGroup) -> Vec<i64>,
    limit: usize,
    alone: bool,
    suspects_first: bool,
) -> (Vec<i64>, bool) {
    if alone && suspects_first {
        let suspects = claim_suspects(claim, limit);
        if !suspects.is_empty() {
            return (suspects, true);
        }
    }
    let innocent = claim(limit, SuspectGroup::None);
    if !innocent.is_empty() || !alone || suspects_first {
        return (innocent, false);
    }
    let suspects = claim_suspects(claim, limit);
    let found = !suspects.is_empty();
    (suspects, found)
}

/// Takes documents that processes died with: a group of those of one death, or one of those of two.
fn claim_suspects(claim: &mut impl FnMut(usize, SuspectGroup) -> Vec<i64>, limit: usize) -> Vec<i64> {
    match claim(limit.min(SUSPECTS), SuspectGroup::Group) {
        numbers if numbers.is_empty() => claim(1, SuspectGroup::Strong),
        numbers => numbers,
    }
}

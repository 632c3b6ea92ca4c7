//! Places that are shared by turns. The owner that has had the least of them lately comes first, and
//! one that has more than a fair share gives one back when another comes. Where more owners want one
//! than there are places, each has one for a while.
//!
//! [`Turns`] decides, [`Places`] does.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use litemap::LiteMap;
use tokio::sync::{Notify, oneshot};

/// After this long, what was spent counts half.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// For how long a place above the fair share is not taken back: what is done in less is done sooner than done again.
const LOAN: Duration = Duration::from_secs(1);
/// For how long a place is not taken back that is no more than the fair share, where another has none and has
/// had less lately. Twice as long each time that it is, up to [`LONGEST_SLICE`]: what is not done in time
/// begins anew.
const SLICE: Duration = Duration::from_secs(2);
/// Who has none waits for no longer.
const LONGEST_SLICE: Duration = Duration::from_secs(16);
/// How often a place is taken back so. A ticket that wants it once more has had a minute of it in vain.
pub const MOST_SLICES: u32 = 5;
/// Seconds that are not worth remembering.
const NOTHING: f64 = 0.001;

/// Who has a place, who waits for one, and who is next. A ticket stands for one place that is wanted or taken.
///
/// The fair share is the number of places by the number of those who have or want one, at least one.
///
/// ```
/// use std::time::Instant;
/// use ai_pipeline::turns::Turns;
/// let (mut turns, now) = (Turns::new(1), Instant::now());
/// let (first, second) = (turns.ask("ann"), turns.ask("bob"));
/// assert_eq!(turns.next(now), Some(first));
/// assert_eq!(turns.next(now), None);
/// turns.leave(first, now);
/// assert_eq!(turns.next(now), Some(second));
/// ```
#[derive(Debug)]
pub struct Turns<K> {
    places: usize,
    running: LiteMap<u64, RunningPlace<K>>,
    /// By their age, with the slices that they have had.
    waiting: LiteMap<u64, (K, u32)>,
    accounts: HashMap<K, PlaceTime>,
    next: u64,
}

#[derive(Debug)]
struct RunningPlace<K> {
    key: K,
    since: Instant,
    recalled: bool,
    /// How often a place was taken back, at the end of a slice.
    slices: u32,
}

/// How long a place is not taken back, after it was so often.
fn slice(slices: u32) -> Duration {
    SLICE.saturating_mul(2_u32.saturating_pow(slices)).min(LONGEST_SLICE)
}

/// Seconds that an owner has had places for, as they counted at a moment.
#[derive(Clone, Copy, Debug)]
struct PlaceTime {
    spent: f64,
    at: Instant,
}

impl PlaceTime {
    fn now(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.spent * 0.5_f64.powf(age / HALF_LIFE.as_secs_f64())
    }
}

/// Whether a place is to be given back before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    /// None.
    No,
    /// One may be, then.
    At(Instant),
    /// That of this ticket is.
    Now(u64),
}

impl<K: Copy + Eq + Hash + Ord> Turns<K> {
    /// So many places, at least one.
    pub fn new(places: usize) -> Turns<K> {
        Turns {
            places: places.max(1),
            running: LiteMap::new(),
            waiting: LiteMap::new(),
            accounts: HashMap::new(),
            next: 0,
        }
    }

    /// A place is wanted.
    pub fn ask(&mut self, key: K) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.waiting.insert(ticket, (key, 0));
        ticket
    }

    /// A place that was taken back is wanted again: before all that came later. `slices` is how often
    /// one was at the end of a slice.
    pub fn ask_again(&mut self, ticket: u64, key: K, slices: u32) {
        self.waiting.insert(ticket, (key, slices));
    }

    /// A place is given back, or not wanted any more.
    pub fn leave(&mut self, ticket: u64, now: Instant) {
        self.waiting.remove(&ticket);
        let Some(run) = self.running.remove(&ticket) else {
            return;
        };
        let had = self.accounts.get(&run.key).map_or(0.0, |account| account.now(now));
        let spent = had + now.saturating_duration_since(run.since).as_secs_f64();
        self.accounts.insert(run.key, PlaceTime { spent, at: now });
        self.accounts.retain(|_, account| account.now(now) > NOTHING);
    }

    /// Gives the next one a place, if one is free: of those who have less than their share first, then of the
    /// others, the one who has spent the least; of these the oldest ticket.
    pub fn next(&mut self, now: Instant) -> Option<u64> {
        if self.running.len() >= self.places {
            return None;
        }
        let share = self.share();
        let mut best: Option<(bool, f64, u64, (K, u32))> = None;
        let mut seen = HashSet::new();
        for (&ticket, &(key, slices)) in &self.waiting {
            if !seen.insert(key) {
                continue;
            }
            let candidate = (self.has(key) >= share, self.spent(key, now), ticket, (key, slices));
            if best.is_none_or(|best| (candidate.0, candidate.1) < (best.0, best.1)) {
                best = Some(candidate);
            }
        }
        let (_, _, ticket, (key, slices)) = best?;
        self.waiting.remove(&ticket);
        self.running.insert(
            ticket,
            RunningPlace {
                key,
                since: now,
                recalled: false,
                slices,
            },
        );
        Some(ticket)
    }

    /// Whether an owner has to give a place back, because another has less than a share and waits: the
    /// youngest, of the one who has the most. Where nobody has more than a share: the one whose slice has
    /// ended first, for one who has had less.
    pub fn recall(&mut self, now: Instant) -> Recall {
        let share = self.share();
        let waiting: HashSet<K> = self.waiting.values().map(|(key, _)| *key).collect();
        let wanted = waiting.iter().filter(|key| self.has(**key) < share).count();
        let given = self.running.values().filter(|run| run.recalled).count();
        if self.running.len() < self.places || wanted <= given {
            return Recall::No;
        }
        let kept = |key: K| {
            let runs = self.running.values();
            runs.filter(|run| run.key == key && !run.recalled).count()
        };
        let young = self.running.iter().filter(|(_, run)| !run.recalled);
        let donor = young.max_by_key(|(ticket, run)| (kept(run.key), **ticket));
        match donor.map(|(&ticket, run)| (ticket, run.key, run.since)) {
            Some((ticket, key, since)) if kept(key) > share => {
                let at = since + LOAN;
                if at > now {
                    return Recall::At(at);
                }
                if let Some(run) = self.running.get_mut(&ticket) {
                    run.recalled = true;
                }
                Recall::Now(ticket)
            }
            _ => self.end_slice(&waiting, now),
        }
    }

    fn end_slice(&mut self, waiting: &HashSet<K>, now: Instant) -> Recall {
        let spent = waiting.iter().filter(|key| self.has(**key) == 0);
        let Some(least) = spent.map(|key| self.spent(*key, now)).min_by(f64::total_cmp) else {
            return Recall::No;
        };
        // Another that has had more would not come first.
        let running = self.running.iter();
        let greedy = running.filter(|(_, run)| !run.recalled && self.spent(run.key, now) > least);
        let first = greedy
            .map(|(ticket, run)| (run.since + slice(run.slices), *ticket))
            .min();
        match first {
            Some((at, _)) if at > now => Recall::At(at),
            Some((_, ticket)) => {
                if let Some(run) = self.running.get_mut(&ticket) {
                    (run.recalled, run.slices) = (true, run.slices + 1);
                }
                Recall::Now(ticket)
            }
            None => Recall::No,
        }
    }

    /// How many slices the one with this ticket has had a place for, which it has now.
    fn slices(&self, ticket: u64) -> u32 {
        self.running.get(&ticket).map_or(0, |run| run.slices)
    }

    fn share(&self) -> usize {
        let running = self.running.values().map(|run| run.key);
        let keys: HashSet<K> = running.chain(self.waiting.values().map(|(key, _)| *key)).collect();
        (self.places / keys.len().max(1)).max(1)
    }

    fn has(&self, key: K) -> usize {
        self.running.values().filter(|run| run.key == key).count()
    }

    fn spent(&self, key: K, now: Instant) -> f64 {
        let before = self.accounts.get(&key).map_or(0.0, |account| account.now(now));
        let runs = self.running.values().filter(|run| run.key == key);
        before
            + runs
                .map(|run| now.saturating_duration_since(run.since).as_secs_f64())
                .sum::<f64>()
    }
}

/// Places that tasks wait for. Clones share them.
#[derive(Debug)]
pub struct Places<K>(Arc<Mutex<PlacesState<K>>>);

impl<K> Clone for Places<K> {
    fn clone(&self) -> Places<K> {
        Places(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct PlacesState<K> {
    turns: Turns<K>,
    waiting: HashMap<u64, oneshot::Sender<()>>,
    running: HashMap<u64, Arc<Recalled>>,
}

#[derive(Debug, Default)]
struct Recalled {
    is: AtomicBool,
    notify: Notify,
}

/// A place, which is given back when this is dropped.
pub struct Place<K: Copy + Eq + Hash + Ord> {
    ticket: Ticket<K>,
    recalled: Arc<Recalled>,
}

/// By what a place is asked for again that was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    number: u64,
    slices: u32,
}

impl Again {
    /// Whether it was taken back as often as it may be, for others who have none: it is not to be had again.
    pub fn is_in_vain(self) -> bool {
        self.slices >= MOST_SLICES
    }
}

/// What is given back.
struct Ticket<K: Copy + Eq + Hash + Ord> {
    places: Places<K>,
    number: u64,
}

impl<K: Copy + Eq + Hash + Ord> Places<K> {
    /// So many, at least one.
    pub fn new(places: usize) -> Places<K> {
        Places(Arc::new(Mutex::new(PlacesState {
            turns: Turns::new(places),
            waiting: HashMap::new(),
            running: HashMap::new(),
        })))
    }

    /// Waits for a place. `again` is of one that was taken back.
    pub async fn enter(&self, key: K, again: Option<Again>) -> Place<K> {
        let (sender, mut granted) = oneshot::channel();
        let ticket = {
            let mut state = self.state();
            let number = match again {
                Some(Again { number, slices }) => {
                    state.turns.ask_again(number, key, slices);
                    number
                }
                None => state.turns.ask(key),
            };
            state.waiting.insert(number, sender);
            state.give(Instant::now());
            let places = self.clone();
            Ticket { places, number }
        };
        loop {
            let look = self.state().look(Instant::now());
            tokio::select! {
                // The sender is dropped with the ticket only, which is here.
                _ = &mut granted => break,
                () = tokio::time::sleep(look) => (),
            }
        }
        let recalled = self.state().running.get(&ticket.number).cloned().unwrap_or_default();
        Place { ticket, recalled }
    }

    fn state(&self) -> MutexGuard<'_, PlacesState<K>> {
        // Nothing in here leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash + Ord> PlacesState<K> {
    fn give(&mut self, now: Instant) {
        while let Some(ticket) = self.turns.next(now) {
            self.running.insert(ticket, Arc::default());
            if let Some(sender) = self.waiting.remove(&ticket) {
                // One that is gone gives it back at once.
                let _ = sender.send(());
            }
        }
    }

    /// Takes a place back where one is due, and says when to look again.
    fn look(&mut self, now: Instant) -> Duration {
        match self.turns.recall(now) {
            Recall::Now(ticket) => {
                if let Some(recalled) = self.running.get(&ticket) {
                    recalled.is.store(true, Ordering::Relaxed);
                    recalled.notify.notify_one();
                }
                LOAN
            }
            Recall::At(at) => at.saturating_duration_since(now),
            Recall::No => LOAN,
        }
    }
}

impl<K: Copy + Eq + Hash + Ord> Drop for Ticket<K> {
    fn drop(&mut self) {
        let (mut state, now) = (self.places.state(), Instant::now());
        state.turns.leave(self.number, now);
        state.waiting.remove(&self.number);
        state.running.remove(&self.number);
        state.give(now);
    }
}

impl<K: Copy + Eq + Hash + Ord> Place<K> {
    /// By what it is asked for again, once it is recalled.
    pub fn again(&self) -> Again {
        let number = self.ticket.number;
        let slices = self.ticket.places.state().turns.slices(number);
        Again { number, slices }
    }

    /// Whether it is wanted back, for another.
    pub fn is_recalled(&self) -> bool {
        self.recalled.is.load(Ordering::Relaxed)
    }

    /// Waits until it is.
    pub async fn recalled(&self) {
        if !self.is_recalled() {
            self.recalled.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Gives all places that are free, and says to whom.
    fn give(turns: &mut Turns<char>, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| turns.next(now)).collect()
    }

    #[test]
    fn one_alone_has_all_places() {
        let (mut turns, now) = (Turns::new(3), Instant::now());
        let tickets: Vec<u64> = (0..5).map(|_| turns.ask('a')).collect();
        assert_eq!(give(&mut turns, now), tickets[..3]);
        assert_eq!(turns.recall(now + 60 * SECOND), Recall::No);
        turns.leave(tickets[1], now);
        assert_eq!(give(&mut turns, now), [tickets[3]]);
    }

    #[test]
    fn what_is_above_the_share_is_given_back_when_another_comes() {
        let (mut turns, start) = (Turns::new(2), Instant::now());
        let eater: Vec<u64> = (0..50).map(|_| turns.ask('m')).collect();
        assert_eq!(give(&mut turns, start), eater[..2]);
        let now = start + SECOND / 2;
        let other = turns.ask('a');
        assert!(give(&mut turns, now).is_empty());
        assert_eq!(turns.recall(now), Recall::At(start + LOAN), "it may be done before");
        let now = start + 2 * SECOND;
        assert_eq!(turns.recall(now), Recall::Now(eater[1]), "the youngest loses the least");
        assert_eq!(turns.recall(now), Recall::No, "one is enough");
        turns.leave(eater[1], now);
        turns.ask_again(eater[1], 'm', 0);
        assert_eq!(give(&mut turns, now), [other]);
        turns.leave(other, now + SECOND);
        // What was taken back comes before what was never there.
        assert_eq!(give(&mut turns, now + SECOND), [eater[1]]);
    }

    #[test]
    fn who_has_spent_the_least_is_next() {
        let (mut turns, start) = (Turns::new(1), Instant::now());
        let first = turns.ask('m');
        assert_eq!(give(&mut turns, start), [first]);
        let (eater, other) = (turns.ask('m'), turns.ask('a'));
        let now = start + 60 * SECOND;
        turns.leave(first, now);
        assert_eq!(give(&mut turns, now), [other]);
        let (more, now) = (turns.ask('a'), now + 10 * SECOND);
        turns.leave(other, now);
        assert_eq!(give(&mut turns, now), [more], "10 s are less than 60");
        let more = turns.ask('a');
        turns.leave(more - 1, now + 90 * SECOND);
        assert_eq!(give(&mut turns, now + 90 * SECOND), [eater]);
        turns.leave(eater, now + 90 * SECOND);
        assert_eq!(give(&mut turns, now + 90 * SECOND), [more]);
    }

    #[test]
    fn more_owners_than_places_have_slices() {
        let (mut turns, start) = (Turns::new(2), Instant::now());
        let eaters = [turns.ask('m'), turns.ask('b')];
        assert_eq!(give(&mut turns, start), eaters);
        let (mut now, mut slices) = (start, [0; 2]);
        for round in 0..2 * MOST_SLICES {
            // Ann comes, whose texts take a tenth of a second, and waits for no longer than a slice.
            let ann = turns.ask('a');
            let recalled = loop {
                match turns.recall(now) {
                    Recall::At(at) => now = at,
                    Recall::Now(ticket) => break ticket,
                    // No owner has had more.
                    Recall::No => now += LOAN,
                }
                assert!(now < start + (LONGEST_SLICE + SECOND) * (round + 1), "round {round}");
            };
            assert_eq!(turns.recall(now), Recall::No, "one is enough");
            let place = usize::from(recalled == eaters[1]);
            slices[place] += 1;
            assert_eq!(turns.slices(recalled), slices[place]);
            turns.leave(recalled, now);
            turns.ask_again(recalled, ['m', 'b'][place], slices[place]);
            assert_eq!(give(&mut turns, now), [ann], "round {round}");
            now += SECOND / 10;
            turns.leave(ann, now);
            assert_eq!(give(&mut turns, now), [recalled]);
        }
        assert!(slices.iter().all(|&slices| slices >= MOST_SLICES - 1), "{slices:?}");
        let again = |slices| Again { number: 0, slices };
        assert!(again(MOST_SLICES).is_in_vain() && !again(MOST_SLICES - 1).is_in_vain());
    }

    #[test]
    fn who_has_had_more_waits_for_its_turn() {
        let (mut turns, start) = (Turns::new(1), Instant::now());
        let eater = turns.ask('m');
        assert_eq!(give(&mut turns, start), [eater]);
        let now = start + 30 * SECOND;
        turns.leave(eater, now);
        let (ann, _eater) = (turns.ask('a'), turns.ask('m'));
        assert_eq!(give(&mut turns, now), [ann]);
        assert_eq!(turns.recall(now + 10 * SECOND), Recall::No, "the other has had less");
        assert!(
            matches!(turns.recall(now + 60 * SECOND), Recall::Now(_)),
            "and then more"
        );
    }

    #[test]
    fn what_was_spent_is_forgotten() {
        let (mut turns, start) = (Turns::new(1), Instant::now());
        let first = turns.ask('m');
        give(&mut turns, start);
        turns.leave(first, start + 60 * SECOND);
        assert!((turns.spent('m', start + 120 * SECOND) - 30.0).abs() < 0.01);
        let last = turns.ask('a');
        give(&mut turns, start + 3600 * SECOND);
        turns.leave(last, start + 3600 * SECOND);
        assert!(turns.accounts.is_empty());
    }

    #[test]
    fn many_share_few_places_by_turns() {
        let (mut turns, start) = (Turns::new(2), Instant::now());
        for key in ['a', 'b', 'c', 'd'] {
            (0..3).for_each(|_| {
                turns.ask(key);
            });
        }
        let mut had: HashMap<char, u32> = HashMap::new();
        for round in 0..4 {
            let now = start + round * SECOND;
            for ticket in give(&mut turns, now) {
                let key = turns.running[&ticket].key;
                *had.entry(key).or_default() += 1;
                turns.leave(ticket, now + SECOND);
            }
        }
        assert!(had.values().all(|&times| times == 2) && had.len() == 4, "{had:?}");
    }

    #[tokio::test]
    async fn a_place_is_waited_for_and_given_back() {
        let places = Places::new(1);
        let first = places.enter('a', None).await;
        {
            let mut gone = pin!(places.enter('a', None));
            let waited = tokio::time::timeout(Duration::from_millis(10), gone.as_mut()).await;
            assert!(waited.is_err());
        }
        let mut second = pin!(places.enter('b', None));
        let waited = tokio::time::timeout(Duration::from_millis(10), second.as_mut()).await;
        assert!(waited.is_err());
        drop(first);
        let second = second.await;
        assert!(!second.is_recalled());
        drop(second);
        places.enter('a', None).await;
    }

    #[tokio::test]
    async fn a_place_is_called_back() {
        let places = Places::new(2);
        let first = places.enter('a', None).await;
        let second = places.enter('a', None).await;
        let mut other = pin!(places.enter('b', None));
        let again = tokio::select! {
            () = second.recalled() => second.again(),
            _ = other.as_mut() => unreachable!("no place is free"),
        };
        assert!(second.is_recalled() && !first.is_recalled());
        drop(second);
        let _other = other.await;
        drop(first);
        assert_eq!(places.enter('a', Some(again)).await.again(), again);
    }
}

//! What a role takes of the one thread that serves all: decisions without a clock of their own.

use std::time::{Duration, Instant};

/// How long a lock is waited for, at most. Locks of a moment (a short ALTER TABLE) are over by then.
pub const MOST_PATIENCE: Duration = Duration::from_millis(200);
/// How long a lock of a role is waited for that has cost that much already.
const LEAST_PATIENCE: Duration = Duration::from_millis(2);
/// Patience comes back with this share of the time, as a divisor: that is what the locks of a role cost all others.
const PATIENCE_SHARE: u32 = 50;
/// A role whose turn was long waits for so many times as long: it has a quarter of the thread at most.
const OTHERS_SHARE: u32 = 3;
/// What a role has in one go, one transaction after the other. The last of them may take longer.
const TURN: Duration = Duration::from_millis(100);
/// No role waits for longer than this.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);
/// What has had to be cut short is forgotten after this long.
const FORGOTTEN: Duration = Duration::from_secs(2 * 3600);
/// After this long, half of what a role has taken is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// The account of a role.
///
/// ```
/// use std::time::{Duration, Instant};
/// use ai_pipeline::account::{Account, MOST_PATIENCE};
/// let now = Instant::now();
/// let mut account = Account::new(now);
/// assert_eq!(account.patience(now), MOST_PATIENCE);
/// account.waited_in_vain(MOST_PATIENCE, now);
/// assert!(account.patience(now) < MOST_PATIENCE / 10);
/// assert_eq!(account.patience(now + Duration::from_secs(60)), MOST_PATIENCE);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Account {
    spent: Duration,
    spent_at: Instant,
    /// What it has taken in the turn that it has now.
    turn: Duration,
    patience: Duration,
    patience_at: Instant,
    /// Nothing of it is done before this.
    held_until: Option<Instant>,
    /// How often in a row it had to be cut short, and when last.
    strikes: u32,
    struck_at: Instant,
}

impl Account {
    /// Of a role that has taken nothing.
    pub fn new(now: Instant) -> Account {
        Account {
            spent: Duration::ZERO,
            spent_at: now,
            turn: Duration::ZERO,
            patience: MOST_PATIENCE,
            patience_at: now,
            held_until: None,
            strikes: 0,
            struck_at: now,
        }
    }

    /// Until when nothing of the role is done.
    pub fn held_until(&self, now: Instant) -> Option<Instant> {
        self.held_until.filter(|until| *until > now)
    }

    /// It has kept the thread for so long in one go: others have it for three times as long. What several
    /// turns have taken adds up, so that many short ones get no more than one long one.
    pub fn took_long(&mut self, took: Duration, now: Instant) {
        let from = self.held_until(now).unwrap_or(now);
        let until = from + took.saturating_mul(OTHERS_SHARE).min(LONGEST_HOLD);
        self.hold_until(until.min(now + LONGEST_HOLD));
    }

    /// Nothing of it is done for so long.
    pub fn hold(&mut self, wait: Duration, now: Instant) {
        self.hold_until(now + wait);
    }

    /// Nothing of it is done before; a shorter wait does not end a longer one.
    fn hold_until(&mut self, until: Instant) {
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    /// It had to be cut short after so long, for the `strikes`th time in a row at least: others have the
    /// thread for as long, and the next time for twice as long, up to an hour.
    pub fn strike(&mut self, took: Duration, strikes: u32, now: Instant) {
        if now.saturating_duration_since(self.struck_at) > FORGOTTEN {
            self.strikes = 0;
        }
        self.strikes = self.strikes.saturating_add(1).max(strikes);
        self.struck_at = now;
        let doublings = (self.strikes - 1).min(12);
        self.hold_until(now + took.saturating_mul(2_u32.pow(doublings)).min(LONGEST_HOLD));
    }

    /// What the role has taken lately: a role that has taken less comes first.
    pub fn spent(&self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.spent_at).as_secs_f64();
        self.spent.mul_f64(0.5_f64.powf(age / HALF_LIFE.as_secs_f64()))
    }

    /// It has taken so much more.
    pub fn charge(&mut self, took: Duration, now: Instant) {
        self.spent = self.spent(now).saturating_add(took);
        self.spent_at = now;
        self.turn = self.turn.saturating_add(took);
    }

    /// It has a turn again.
    pub fn begin_turn(&mut self) {
        self.turn = Duration::ZERO;
    }

    /// Whether its turn goes on. Asked after each transaction: what is left to do comes in its next turn.
    pub fn has_turn(&self, now: Instant) -> bool {
        self.held_until(now).is_none() && self.turn < TURN
    }

    /// How long the next lock of the role is waited for.
    pub fn patience(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.patience_at);
        let patience = self.patience.saturating_add(since / PATIENCE_SHARE);
        patience.clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }

    /// A lock of the role was waited for, and was still there.
    pub fn waited_in_vain(&mut self, waited: Duration, now: Instant) {
        self.patience = self.patience(now).saturating_sub(waited);
        self.patience_at = now;
    }
}

/// How long to leave a vectorizer alone whose tables were found locked so often in a row (1 for the first
/// time): a fifth of a second, doubling to five.
///
/// ```
/// use std::time::Duration;
/// use ai_pipeline::account::after_conflict;
/// assert_eq!(after_conflict(1), Duration::from_millis(200));
/// assert_eq!(after_conflict(3), Duration::from_millis(800));
/// assert_eq!(after_conflict(u32::MAX), Duration::from_secs(5));
/// ```
pub fn after_conflict(conflicts: u32) -> Duration {
    let doublings = conflicts.saturating_sub(1).min(5);
    (Duration::from_millis(200) * 2_u32.pow(doublings)).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_taken_less_comes_first_and_the_past_is_forgotten() {
        let now = Instant::now();
        let (mut busy, mut quiet) = (Account::new(now), Account::new(now));
        busy.charge(Duration::from_secs(8), now);
        quiet.charge(Duration::from_millis(10), now);
        assert!(quiet.spent(now) < busy.spent(now));
        let later = now + HALF_LIFE;
        let half = busy.spent(later).as_secs_f64();
        assert!((half - 4.0).abs() < 0.001, "{half}");
        let next_day = now + Duration::from_secs(86_400);
        assert!(busy.spent(next_day) < Duration::from_millis(1));
        // A clock that stands still, or goes back, is none to count with.
        assert_eq!(busy.spent(now), Duration::from_secs(8));
    }

    #[test]
    fn who_is_cut_short_again_and_again_waits_for_longer_and_longer() {
        let (minute, mut now) = (Duration::from_secs(60), Instant::now());
        let (began, mut account) = (now, Account::new(now));
        let mut kept = Duration::ZERO;
        // Whenever it may, for a day.
        while now < began + Duration::from_secs(86_400) {
            now += minute;
            kept += minute;
            account.strike(minute, 1, now);
            let until = account.held_until(now).unwrap();
            assert!(until <= now + LONGEST_HOLD);
            now = until;
            assert_eq!(account.held_until(now), None);
        }
        let share = kept.as_secs_f64() / (now - began).as_secs_f64();
        assert!(share < 0.03, "{share}");
        // After a quiet day the first time is a first time.
        now += Duration::from_secs(86_400);
        account.strike(minute, 1, now);
        assert_eq!(account.held_until(now), Some(now + minute));
        // A shorter wait does not end a longer one.
        account.strikes = 0;
        account.strike(Duration::from_secs(1), 1, now);
        assert_eq!(account.held_until(now), Some(now + minute));
    }

    #[test]
    fn long_turns_add_up_and_leave_others_three_quarters() {
        let (mut now, mut account) = (Instant::now(), Account::new(Instant::now()));
        let (began, turn) = (now, Duration::from_millis(1_800));
        let mut kept = Duration::ZERO;
        while now < began + Duration::from_secs(600) {
            now += turn;
            kept += turn;
            account.took_long(turn, now);
            // A note about it ends late, too.
            account.took_long(Duration::from_millis(600), now);
            now = account.held_until(now).unwrap();
        }
        let share = kept.as_secs_f64() / (now - began).as_secs_f64();
        assert!(share < 0.25, "{share}");
        account.took_long(Duration::MAX, now);
        assert_eq!(account.held_until(now), Some(now + LONGEST_HOLD));
    }

    #[test]
    fn a_turn_ends_when_it_has_had_its_time_however_many_transactions_that_took() {
        let now = Instant::now();
        for took in [1, 10, 99, 100, 450] {
            let took = Duration::from_millis(took);
            let mut account = Account::new(now);
            for turn in 0..3 {
                account.begin_turn();
                let mut sum = Duration::ZERO;
                while account.has_turn(now) {
                    account.charge(took, now);
                    sum += took;
                }
                assert!((TURN..TURN + took).contains(&sum), "turn {turn}: {sum:?} by {took:?}");
            }
        }
        // One that is held has none, whatever has begun.
        let mut account = Account::new(now);
        account.took_long(Duration::from_secs(1), now);
        account.begin_turn();
        assert!(!account.has_turn(now));
        assert!(account.has_turn(now + Duration::from_secs(4)));
    }

    #[test]
    fn many_locks_of_one_role_cost_little_together() {
        let mut now = Instant::now();
        let began = now;
        let mut account = Account::new(now);
        let mut waited = Duration::ZERO;
        // Two hundred tables, all locked, each looked at every five seconds, for ten minutes.
        for _ in 0..120 {
            for _ in 0..200 {
                let patience = account.patience(now);
                now += patience;
                waited += patience;
                account.waited_in_vain(patience, now);
            }
            now += Duration::from_secs(5);
        }
        let share = waited.as_secs_f64() / (now - began).as_secs_f64();
        assert!(share < 0.12, "{share}");
    }
}

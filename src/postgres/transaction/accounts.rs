//! The accounts of those whom a worker acts for: what they have taken of its main thread, and how long their
//! locks are waited for.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;
use std::time::{Duration, Instant};

use ai_pipeline::account::{Account, MOST_PATIENCE};
use pgrx::pg_sys::{self, Oid};

use crate::postgres::parameters;

/// A transaction that takes longer than this keeps others waiting so that they notice. Writing a batch of
/// documents takes less.
const LONG_TURN: Duration = Duration::from_millis(500);

thread_local! {
    /// One for each owner of a vectorizer that was served.
    static ACCOUNTS: RefCell<HashMap<Oid, Account>> = RefCell::default();
    /// More than one owner is served: who is alone keeps nobody waiting.
    static IS_SHARED: Cell<bool> = const { Cell::new(false) };
    /// Locks are waited for as long as an account says.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

/// From now on this process waits for no lock for longer than the account of its owner says; it waits for
/// locks of others for as long as it would then at most.
pub fn keep() {
    COUNTS.set(true);
    parameters::pin(c"lock_timeout", &milliseconds(MOST_PATIENCE));
}

/// Whether this is a process that acts for one owner after the other.
pub(super) fn are_kept() -> bool {
    COUNTS.get()
}

fn milliseconds(duration: Duration) -> CString {
    let text = duration.as_millis().max(1).to_string();
    CString::new(text).expect("a number holds no NUL")
}

/// What an owner has taken lately, as of `now`: those who are compared, are at the same time.
pub fn spent(owner: Oid, now: Instant) -> Duration {
    ACCOUNTS.with_borrow(|accounts| {
        accounts
            .get(&owner)
            .map_or(Duration::ZERO, |account| account.spent(now))
    })
}

/// Whether the process serves more than one owner.
pub fn share(is_shared: bool) {
    IS_SHARED.set(is_shared);
}

pub fn is_shared() -> bool {
    IS_SHARED.get()
}

/// Until when nothing of an owner is done.
pub fn held_until(owner: Oid) -> Option<Instant> {
    let now = Instant::now();
    ACCOUNTS.with_borrow(|accounts| accounts.get(&owner).and_then(|account| account.held_until(now)))
}

pub fn is_held(owner: Oid) -> bool {
    held_until(owner).is_some()
}

/// A duty of the worker begins, in which each owner has a turn.
pub fn begin_turns() {
    ACCOUNTS.with_borrow_mut(|accounts| accounts.values_mut().for_each(Account::begin_turn));
}

/// Whether more is done for an owner now, or what is left waits for the next turn. To be asked after each
/// transaction: many short ones keep others waiting as a long one does.
pub fn has_turn(owner: Oid) -> bool {
    let now = Instant::now();
    !is_shared() || ACCOUNTS.with_borrow(|accounts| accounts.get(&owner).is_none_or(|account| account.has_turn(now)))
}

/// The account of an owner has changed.
pub fn change(owner: Oid, change: impl FnOnce(&mut Account, Instant)) {
    let now = Instant::now();
    ACCOUNTS.with_borrow_mut(|accounts| {
        change(accounts.entry(owner).or_insert_with(|| Account::new(now)), now);
    });
}

/// The transaction that has just begun is about something of this owner.
pub(super) fn begin(owner: Oid) {
    if !COUNTS.get() {
        return;
    }
    let now = Instant::now();
    let known = ACCOUNTS.with_borrow(|accounts| accounts.get(&owner).map(|account| account.patience(now)));
    if let Some(patience) = known.filter(|patience| *patience < MOST_PATIENCE) {
        let local = pg_sys::GucAction::GUC_ACTION_LOCAL;
        crate::postgres::transaction::set(c"lock_timeout", &milliseconds(patience), local);
    }
}

/// It has ended.
pub(super) fn end(owner: Oid, took: Duration, in_vain: bool) {
    if !COUNTS.get() {
        return;
    }
    change(owner, |account, now| {
        account.charge(took, now);
        if in_vain {
            account.waited_in_vain(took, now);
        }
        // At once: the next vectorizer of this owner may be next in the same round.
        if took >= LONG_TURN && IS_SHARED.get() {
            account.took_long(took, now);
        }
    });
}

//! The trigger by row of a source: it writes down which documents have changed.
//!
//! It runs for every row that anybody writes, so it does next to nothing: it puts the key aside, and the keys
//! are appended to the intake many at a time, past the executor, the last of them when the transaction
//! commits. What is rare (another key, an intake of another shape) is left to the PL/pgSQL function of the
//! vectorizer.
//!
//! A key that was put aside in a subtransaction is appended by it, before it commits at the latest, and goes
//! with it when it is rolled back: never by a child, which could be rolled back alone.

mod put_aside;
mod route;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::{CStr, c_void};
use std::rc::Rc;

use litemap::LiteMap;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;

pub use self::put_aside::append_so_far;
use self::put_aside::{PUT_ASIDE, PutAside, append_all};
pub use self::route::BY_FUNCTION;
use self::route::{Route, WATCHED, WatchedColumn, take_apart};
use crate::catalog;
use crate::postgres::error::raise;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;
use crate::store::destination;

/// Words of keys that one transaction keeps to itself, for one vectorizer: half a megabyte.
const WORDS: usize = 64 * 1024;
/// The number of a transaction among its subtransactions: Postgres' `TopSubTransactionId`.
const TOP: pg_sys::SubTransactionId = 1;
/// The languages internal and C, by the numbers that they have in every server.
const IN_C: [u32; 2] = [12, 13];

thread_local! {
    /// The routes of this session, by the trigger. Asked for each row, so not by a hash, which takes ten
    /// times as long as to compare a few numbers.
    static ROUTES: RefCell<LiteMap<u32, Rc<Route>>> = RefCell::default();
    /// One of them has changed.
    static IS_STALE: Cell<bool> = const { Cell::new(false) };
    /// Room for the key of a row.
    static KEY: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
    /// Triggers of this transaction that lead nowhere.
    static ASTRAY: RefCell<HashSet<Oid>> = RefCell::default();
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// Sees to it that keys are appended and routes forgotten in time. Once in a session, whether the library was
/// preloaded or not.
fn register() {
    if IS_REGISTERED.replace(true) {
        return;
    }
    // SAFETY: the callbacks live as long as the library, which is never unloaded.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
        pg_sys::CacheRegisterRelcacheCallback(Some(table_changed), Datum::from(0usize));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => append_all(TOP),
        XACT_EVENT_COMMIT | XACT_EVENT_PREPARE | XACT_EVENT_ABORT => {
            PUT_ASIDE.take();
            ASTRAY.take();
        }
        _ => (),
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    mine: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    use pg_sys::SubXactEvent::*;
    match event {
        SUBXACT_EVENT_PRE_COMMIT_SUB => append_all(mine),
        // Nothing is allocated: an ERROR while Postgres rolls back is the end of the session, and where it
        // goes on of the server.
        SUBXACT_EVENT_ABORT_SUB => {
            PUT_ASIDE.with_borrow_mut(|all| all.retain(|put_aside| put_aside.subtransaction != mine))
        }
        _ => (),
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn table_changed(_argument: Datum, table: Oid) {
    // While the set is written to, it may be this table that is put in.
    let concerned = |watched: &HashSet<Oid>| table == pg_sys::InvalidOid || watched.contains(&table);
    if WATCHED.with(|watched| watched.try_borrow().map_or(true, |watched| concerned(&watched))) {
        IS_STALE.set(true);
    }
}

/// A row of the catalogue was written, of a vectorizer with this source: all sessions that write to the source forget
/// their routes when that commits, and this one now. The others have nothing to ask for.
pub fn vectorizer_changed(source: Oid) {
    // SAFETY: on the main thread, in a transaction, of a table that exists. The row of one that is gone led nowhere.
    unsafe {
        if pg_sys::SearchSysCacheExists(
            pg_sys::SysCacheIdentifier::RELOID as i32,
            source.into(),
            0.into(),
            0.into(),
            0.into(),
        ) {
            pg_sys::CacheInvalidateRelcacheByRelid(source);
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq)]
enum Noted {
    /// Its key was put aside.
    Aside,
    /// It has no key that could be: the executor will say why.
    Not,
    /// The route leads elsewhere by now.
    Astray,
}

/// Puts the key of a row aside.
///
/// # Safety
/// The slot holds a row of the source.
unsafe fn put_aside(route: &Rc<Route>, slot: *mut pg_sys::TupleTableSlot) -> Noted {
    // What may raise comes first: a subtransaction that fails must not take along what is its parent's.
    let mut key = KEY.take();
    key.clear();
    // SAFETY: by the caller.
    if !unsafe { route.put_aside(slot, &mut key) } {
        return Noted::Not;
    }
    // SAFETY: a look at the state of this process.
    let subtransaction = unsafe { pg_sys::GetCurrentSubTransactionId() };
    let mine = |put_aside: &PutAside| put_aside.subtransaction == subtransaction && Rc::ptr_eq(&put_aside.route, route);
    let known = PUT_ASIDE.with_borrow(|all| all.iter().rposition(mine));
    if known.is_none() {
        // A session that wants to alter the intake waits for our commit.
        // SAFETY: in a transaction. The table may be gone, which is found out when it is opened.
        unsafe { pg_sys::LockRelationOid(route.intake, pg_sys::RowExclusiveLock as i32) };
        // A session that had it locked before us may have altered it.
        if IS_STALE.get() {
            return Noted::Astray;
        }
    }
    let full = PUT_ASIDE.with_borrow_mut(|all| {
        let index = known.unwrap_or_else(|| {
            all.push(PutAside {
                subtransaction,
                route: Rc::clone(route),
                words: Vec::new(),
                rows: 0,
            });
            all.len() - 1
        });
        all[index].words.extend_from_slice(&key);
        all[index].rows += 1;
        (all[index].words.len() >= WORDS).then(|| all.remove(index))
    });
    KEY.set(key);
    if let Some(full) = full {
        full.append();
    }
    Noted::Aside
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_append_change() -> &'static pg_sys::Pg_finfo_record {
    const VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}

/// The trigger `ai._append_change(vectorizer)`: after INSERT OR UPDATE, for each row. Not by way of
/// `#[pg_trigger]`, which copies what it is told of the row.
///
/// # Safety
/// Called by Postgres.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn append_change(call: pg_sys::FunctionCallInfo) -> Datum {
    let nothing = Datum::from(0usize);
    // SAFETY: how Postgres calls a trigger function; anything else is refused before it is looked at.
    unsafe {
        let context = (*call).context;
        let fired = context.cast::<pg_sys::TriggerData>();
        let by_row = pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_AFTER;
        let is_ours = !context.is_null()
            && (*context).type_ == pg_sys::NodeTag::T_TriggerData
            && (*fired).tg_event & (pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_TIMINGMASK) == by_row;
        let event = is_ours.then(|| (*fired).tg_event & pg_sys::TRIGGER_EVENT_OPMASK);
        let (old, new) = match event {
            Some(pg_sys::TRIGGER_EVENT_INSERT) => (None, (*fired).tg_trigslot),
            Some(pg_sys::TRIGGER_EVENT_UPDATE) => (Some((*fired).tg_trigslot), (*fired).tg_newslot),
            _ => raise(
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "ai._append_change is the function of a trigger AFTER INSERT OR UPDATE FOR EACH ROW".to_owned(),
                None,
            ),
        };
        while let Some(route) = route(fired) {
            let mut same_key = true;
            if let Some(old) = old {
                let all = (*(*new).tts_tupleDescriptor).natts as i16;
                take_apart(old, all);
                take_apart(new, all);
                let same = |column: &WatchedColumn| column.is_same(column.value(old), column.value(new));
                if route.compared.iter().all(same) {
                    break;
                }
                destination::hear_of_change();
                same_key = route.key.iter().all(|(column, _)| same(column));
            }
            let taken = if route.is_plain && same_key {
                put_aside(&route, new)
            } else {
                Noted::Not
            };
            if taken == Noted::Not && !call_function(&route, fired) && route.is_strange {
                catalog::tell_of_stranger(route.vectorizer);
            }
            if taken != Noted::Astray {
                break;
            }
        }
    }
    nothing
}

/// # Safety
/// `fired` is that of a trigger that has fired.
unsafe fn route(fired: *mut pg_sys::TriggerData) -> Option<Rc<Route>> {
    if IS_STALE.take() {
        ROUTES.take();
        WATCHED.take();
    }
    // SAFETY: by the caller.
    let (trigger, source) = unsafe { (&*(*fired).tg_trigger, (*fired).tg_relation) };
    let known = ROUTES.with_borrow(|routes| routes.get(&trigger.tgoid.to_u32()).cloned());
    if known.is_some() || ASTRAY.with_borrow(|astray| astray.contains(&trigger.tgoid)) {
        return known;
    }
    register();
    // SAFETY: the arguments are as many texts as the catalogue says.
    let vectorizer = (trigger.tgnargs == 1)
        .then(|| unsafe { CStr::from_ptr(*trigger.tgargs) })
        .and_then(|argument| argument.to_str().ok()?.parse().ok());
    // SAFETY: open, as long as the trigger is at work.
    let found = vectorizer.and_then(|vectorizer: i32| unsafe { Route::find(vectorizer, source) });
    let Some(found) = found.map(Rc::new) else {
        ASTRAY.with_borrow_mut(|astray| astray.insert(trigger.tgoid));
        // SAFETY: a text of the trigger, and an open relation.
        let (trigger, source) = unsafe { (CStr::from_ptr(trigger.tgname).to_string_lossy(), (*source).rd_id) };
        let name = "SELECT $1::pg_catalog.regclass::pg_catalog.text";
        let source = acting_as_extension(|| statement::row(name, &[source.into()], |row| row.must::<String>(1)));
        let source = source.unwrap_or_default();
        let message = format!("the vectorizer of table {source} is not in the catalogue: nothing is embedded");
        let hint =
            format!("Restore the dump as superuser, or drop the trigger {trigger} and make the vectorizer anew.");
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai")
            .set_hint(hint)
            .report(PgLogLevel::WARNING);
        return None;
    };
    ROUTES.with_borrow_mut(|routes| routes.insert(trigger.tgoid.to_u32(), Rc::clone(&found)));
    Some(found)
}

/// Has the vectorizer's own function do it, which its other triggers call: as if it had been called by this one. False
/// where there is none.
///
/// # Safety
/// `fired` is that of a trigger that has fired.
unsafe fn call_function(route: &Route, fired: *mut pg_sys::TriggerData) -> bool {
    // SAFETY: the triggers of an open relation; Postgres would call the function the same way.
    unsafe {
        let all = &*(*(*fired).tg_relation).trigdesc;
        let all = std::slice::from_raw_parts(all.triggers, all.numtriggers as usize);
        let named = |trigger: &&pg_sys::Trigger| CStr::from_ptr(trigger.tgname).to_str() == Ok(&route.by_row);
        let owner = (*(*(*fired).tg_relation).rd_rel).relowner;
        // Without it the vectorizer stands still, as `ai.worker_status` says.
        let Some(trigger) = all
            .iter()
            .find(named)
            .filter(|trigger| is_of_a_vectorizer(trigger.tgfoid, owner))
        else {
            return false;
        };
        // It may write to the source, and so come by here again.
        pg_sys::check_stack_depth();
        let mut function = pg_sys::FmgrInfo::default();
        pg_sys::fmgr_info(trigger.tgfoid, &mut function);
        let mut call = pg_sys::FunctionCallInfoBaseData {
            flinfo: &mut function,
            context: fired.cast(),
            ..Default::default()
        };
        let address = function.fn_addr.expect("a function that was looked up has an address");
        pg_sys::ffi::pg_guard_ffi_boundary(|| address(&mut call));
    }
    true
}

/// Whether a function may be that of a vectorizer: a trigger is found by its name, and its owner may have put
/// any function into its place. One in C, and this one above all, takes what fired for its own trigger.
///
/// # Safety
/// On the main thread, in a transaction.
unsafe fn is_of_a_vectorizer(function: Oid, owner: Oid) -> bool {
    // SAFETY: by the caller. The row is looked at before it is given back.
    unsafe {
        let row = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, Datum::from(function));
        if row.is_null() {
            return false;
        }
        let known = &*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_proc>();
        let is_it = !IN_C.contains(&known.prolang.to_u32())
            && known.proowner == owner
            && known.prorettype == pg_sys::TRIGGEROID;
        pg_sys::ReleaseSysCache(row);
        is_it
    }
}

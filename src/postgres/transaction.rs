//! Transactions of the worker, and acting as another role. The only place that catches a Postgres ERROR.

pub mod accounts;
mod connections;
mod lasting;
pub mod limit;
mod seals;

use std::cell::Cell;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

use crate::postgres::aborted::Aborted;

/// Once for each process.
pub fn init() {
    lasting::init();
}

thread_local! {
    /// The transaction was begun here, and not by a user.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// Whose code it runs at present, if anybody's.
    static ACTING: Cell<Option<pg_sys::Oid>> = const { Cell::new(None) };
    /// The session is a role's, as far as `session_user` says: see [`SessionUser`].
    static IS_OF_ROLE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` in a transaction of its own: committed when it returns, rolled back when it raises.
///
/// Only for background workers: a backend's transaction is its user's.
pub fn run<T>(work: impl FnOnce() -> T) -> Result<T, Aborted> {
    let committed = PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: called on the main thread of a background worker with no transaction open.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        OURS.set(true);
        ACTING.set(None);
        let value = work();
        OURS.set(false);
        // SAFETY: pairs with the two calls above.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(value)
    }))
    .catch_rust_panic(|cause| Err(aborted(&cause)))
    .catch_others(|cause| Err(aborted(&cause)))
    .execute();
    OURS.set(false);
    ACTING.set(None);
    if committed.is_err() {
        // SAFETY: the transaction failed and is still ours to end; this also gives back locks, snapshots and the role.
        unsafe { pg_sys::AbortCurrentTransaction() };
        SessionUser::go_back();
    }
    // SAFETY: no transaction is open. Advisory locks of a session and prepared statements, which only an
    // owner's code makes here, outlive it, also where it fails: nobody could give them back.
    unsafe {
        pg_sys::LockReleaseSession(pg_sys::USER_LOCKMETHOD as pg_sys::LOCKMETHODID);
        pg_sys::DropAllPreparedStatements();
    }
    // SAFETY: no transaction is open. Without these two, autovacuum never hears of our writes.
    unsafe {
        pg_sys::pgstat_report_stat(false);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    committed
}

/// Runs a part of a worker's life outside of transactions: what panics there (for want of memory, above all)
/// comes back as what ends a transaction does.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Aborted> {
    PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
        .catch_rust_panic(|cause| Err(aborted(&cause)))
        .catch_others(|cause| Err(aborted(&cause)))
        .execute()
}

/// Like [`run`], for a transaction about something of `owner`: its locks are not waited for longer than
/// others can bear, and the time is charged to its account.
pub fn run_for<T>(owner: pg_sys::Oid, work: impl FnOnce() -> T) -> Result<T, Aborted> {
    let began = Instant::now();
    let done = run(|| {
        accounts::begin(owner);
        work()
    });
    // Also where it failed: they outlive that.
    if accounts::are_kept() {
        connections::end();
    }
    let in_vain = done
        .as_ref()
        .err()
        .is_some_and(crate::postgres::error::is_lock_conflict);
    accounts::end(owner, began.elapsed(), in_vain);
    done
}

/// Has the running transaction on the disk before its commit returns, whatever `synchronous_commit` says.
pub fn must_last() {
    // SAFETY: a flag of the running transaction.
    unsafe { pg_sys::ForceSyncCommit() };
}

/// Has the commit of the running transaction not wait for the disk, nor for standbys: others see it at once,
/// Postgres' WAL writer brings it to the disk meanwhile, and [`Lag::end`] waits for that.
pub fn may_lag() {
    set(c"synchronous_commit", c"off", pg_sys::GucAction::GUC_ACTION_LOCAL);
}

/// A commit that may not be on the disk yet: the place in the write-ahead log where it ends.
#[derive(Clone, Copy, Debug)]
pub struct Lag(pg_sys::XLogRecPtr);

impl Lag {
    /// Of the last transaction; `None` where `synchronous_commit` says that nobody waits for that.
    pub fn of_last_commit() -> Option<Lag> {
        // SAFETY: variables of this process.
        let (end, level) = unsafe { (pg_sys::XactLastCommitEnd, pg_sys::synchronous_commit) };
        (level > pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF as i32).then_some(Lag(end))
    }

    /// Waits until it is on the disk; writes it there, if nobody else has.
    pub fn end(self) {
        // SAFETY: on the main thread, between two transactions.
        unsafe { pg_sys::XLogFlush(self.0) };
    }
}

/// Runs a part of a transaction whose memory of Postgres (arguments of statements, and what they answer) is
/// given back when it returns, and not only at the end of the transaction: for one that goes through a large
/// document bit by bit.
///
/// What `work` returns must be Rust's own.
pub fn in_its_own_memory<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: on the main thread, in a transaction. An ERROR leaves the context to the end of the
    // transaction, which also goes back to another one.
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        let memory = pg_sys::AllocSetContextCreateExtended(
            before,
            c"ai portion".as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        pg_sys::MemoryContextSwitchTo(memory);
        let value = work();
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::MemoryContextDelete(memory);
        value
    }
}

/// Runs a statement that manages transactions by itself (CREATE INDEX CONCURRENTLY), as a client's would be run: at top
/// level, through a portal, which is what keeps its plan and its snapshots in order across the commits inside.
///
/// It runs as the session's user: `acting_as` does not survive those commits.
pub fn run_at_top_level(sql: &str) -> Result<(), Aborted> {
    let sql = std::ffi::CString::new(sql).expect("statements of ours hold no NUL");
    let done = PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: called on the main thread of a background worker with no transaction open. The parse tree
        // is read again after commits inside, so it lives in memory that no transaction owns.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, sql.as_ptr());
            pg_sys::StartTransactionCommand();
            let memory = pg_sys::AllocSetContextCreateExtended(
                pg_sys::TopMemoryContext,
                c"ai statement".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let before = pg_sys::MemoryContextSwitchTo(memory);
            execute(&sql);
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::CommitTransactionCommand();
            pg_sys::MemoryContextDelete(memory);
        }
        Ok(())
    }))
    .catch_rust_panic(|cause| Err(aborted(&cause)))
    .catch_others(|cause| Err(aborted(&cause)))
    .execute();
    // SAFETY: as in `run`; the statement has left one transaction open, or none.
    unsafe {
        if done.is_err() {
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::pgstat_report_stat(false);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    done
}

/// # Safety
/// In a transaction that has done nothing yet, and in memory that outlives it.
unsafe fn execute(sql: &std::ffi::CStr) {
    // SAFETY: the steps of Postgres' exec_simple_query for one statement, which is a utility statement of ours.
    unsafe {
        let statements = pg_sys::pg_parse_query(sql.as_ptr());
        let statement = (*(*statements).elements).ptr_value.cast::<pg_sys::RawStmt>();
        let tag = pg_sys::CreateCommandTag((*statement).stmt);
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let query = pg_sys::pg_analyze_and_rewrite_fixedparams(
            statement,
            sql.as_ptr(),
            std::ptr::null(),
            0,
            std::ptr::null_mut(),
        );
        let plan = pg_sys::pg_plan_queries(query, sql.as_ptr(), 0, std::ptr::null_mut());
        pg_sys::PopActiveSnapshot();
        let portal = pg_sys::CreatePortal(c"".as_ptr(), true, true);
        (*portal).visible = false;
        pg_sys::PortalDefineQuery(portal, std::ptr::null(), sql.as_ptr(), tag, plan, std::ptr::null_mut());
        pg_sys::PortalStart(portal, std::ptr::null_mut(), 0, std::ptr::null_mut());
        let receiver = pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone);
        let nobody = std::ptr::null_mut();
        #[cfg(not(feature = "pg18"))]
        pg_sys::PortalRun(portal, std::ffi::c_long::MAX, true, true, receiver, receiver, nobody);
        #[cfg(feature = "pg18")]
        pg_sys::PortalRun(portal, std::ffi::c_long::MAX, true, receiver, receiver, nobody);
        pg_sys::PortalDrop(portal, false);
    }
}

/// Runs a part of a transaction that may fail by itself, in the session of a user: what it has done is undone then, and
/// the transaction goes on. It waits for no lock for longer than `wait`.
///
/// # Errors
/// What has ended it. What is meant for the whole (a cancellation, the end of the server, a lack of memory)
/// ends the whole.
pub fn attempt<T>(wait: Duration, work: impl FnOnce() -> T) -> Result<T, Aborted> {
    // SAFETY: on the main thread, in a transaction: the steps of a block with EXCEPTION in PL/pgSQL.
    let (memory, resources) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: as above.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
    }
    let done = PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: a look at the role of the session.
        let limited = PriorUser::switch(unsafe { pg_sys::GetUserId() });
        let wait = std::ffi::CString::new(wait.as_millis().max(1).to_string()).expect("digits hold no NUL");
        set(c"lock_timeout", &wait, pg_sys::GucAction::GUC_ACTION_SAVE);
        let value = work();
        drop(limited);
        // SAFETY: as above; it is open, and the innermost one.
        unsafe { pg_sys::ReleaseCurrentSubTransaction() };
        Ok(value)
    }))
    .catch_rust_panic(|cause| Err(Box::new(cause)))
    .catch_others(|cause| Err(Box::new(cause)))
    .execute();
    // SAFETY: as above. A subtransaction that has failed is still there to be ended.
    unsafe {
        if done.is_err() {
            pg_sys::MemoryContextSwitchTo(memory);
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = resources;
    }
    done.map_err(|cause| {
        let failed = aborted(&cause);
        let is_of_the_whole = matches!(*cause, CaughtError::RustPanic { .. })
            || matches!(
                failed.code,
                PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                    | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY
            );
        if is_of_the_whole {
            cause.rethrow();
        }
        failed
    })
}

/// Makes `role` the user of the session, for what cannot be done by [`acting_as`]. For processes that end soon.
///
/// Not by connecting as the role, which would need LOGIN and a free connection of the role. No code of the role may run
/// afterwards but what Postgres itself fences in: it could RESET the authorization.
pub fn become_role(role: pg_sys::Oid) -> Result<(), Aborted> {
    run(|| {
        // SAFETY: in a transaction; the process was authenticated as the bootstrap superuser.
        unsafe { pg_sys::SetSessionAuthorization(role, pg_sys::superuser_arg(role)) };
    })
}

fn aborted(cause: &CaughtError) -> Aborted {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic { ereport: report, .. }) = cause;
    Aborted {
        code: report.sql_error_code(),
        message: report.message().to_owned(),
        hint: report.hint().map(str::to_owned),
        raised: report.function_name() == Some("exec_stmt_raise"),
        put_off: false,
    }
}

/// Runs `work` with the privileges of `role`.
///
/// Not `SET ROLE`: a trigger of the role could `RESET` that and be the worker's own role. What it left behind
/// to be run later is run, or goes, before the way back: at commit it would run as the worker. In a session,
/// whose user has cursors and temporary tables of its own, it may leave nothing; nor where a trigger that the
/// worker has fired alters a table, and the extension acts on that account.
pub fn acting_as<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    if !OURS.get() || ACTING.get().is_some() {
        // SAFETY: a look at the role of the session.
        if unsafe { pg_sys::GetUserId() } == role {
            return work();
        }
        put_nothing_off();
        return restricted_to(role, work);
    }
    let session = SessionUser::become_role(role);
    let switched = PriorUser::switch(role);
    ACTING.set(Some(role));
    let value = work();
    leave_nothing_behind();
    ACTING.set(None);
    drop(switched);
    drop(session);
    value
}

/// While it lives, `session_user` is a role that the worker acts as, for code of the role that asks who has
/// logged in, and trusts a superuser. The role cannot change it, as it cannot SET ROLE: see [`PriorUser`],
/// which comes after.
struct SessionUser;

impl SessionUser {
    fn become_role(role: pg_sys::Oid) -> SessionUser {
        IS_OF_ROLE.set(true);
        // SAFETY: in a transaction of a process that was authenticated as the bootstrap superuser, and acts
        // as no other role yet.
        unsafe { pg_sys::SetSessionAuthorization(role, pg_sys::superuser_arg(role)) };
        SessionUser
    }

    /// Also where an ERROR has kept the way back from being taken: the end of the transaction does not do it.
    fn go_back() {
        if IS_OF_ROLE.replace(false) {
            // SAFETY: as above.
            unsafe { pg_sys::SetSessionAuthorization(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), true) };
        }
    }
}

impl Drop for SessionUser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            SessionUser::go_back();
        }
    }
}

/// From now on all triggers of this transaction fire at once: those that are deferred cannot be, while
/// another role acts that may leave nothing behind.
///
/// What its user has put off until now runs as a commit would run it. Neither as the role that acts next, nor as
/// the function that we may have been called from, which is the extension's in event triggers: the code is
/// the user's.
fn put_nothing_off() {
    // SAFETY: a look at the role of the session.
    let user = ACTING.get().unwrap_or_else(|| unsafe { pg_sys::GetOuterUserId() });
    let user = PriorUser::switch(user);
    crate::postgres::statement::run("SET CONSTRAINTS ALL IMMEDIATE", &[]);
    drop(user);
}

fn leave_nothing_behind() {
    // SAFETY: on the main thread, in a transaction of ours, between two statements and with no cursor of ours open.
    unsafe {
        // Not SET CONSTRAINTS ALL IMMEDIATE: what that fires can say SET CONSTRAINTS ALL DEFERRED and write
        // again. This is what a commit does, until nothing is left.
        pg_sys::AfterTriggerFireDeferred();
        // The query of a cursor WITH HOLD is run to its end by the commit.
        pg_sys::PortalHashTableDeleteAll();
        // The next owner's functions would take temporary tables of this one for what they name without a schema.
        pg_sys::ResetTempTableNamespace();
        // Nor are its prepared statements theirs to execute.
        pg_sys::DropAllPreparedStatements();
    }
}

/// Runs `work` with the privileges of `role` in a session that goes on as another role.
///
/// What `role` wrote (operators, row security, triggers) may run, but can leave nothing behind that would run
/// after the way back: no deferred trigger, no cursor, no temporary table, nor what [`lasting`] lists. Where it only
/// reads: a write that fires a deferred trigger fails, but for [`acting_as`], which sees to it that there is none. The
/// cursors of the session are out of its reach: see [`seals`].
pub fn restricted_to<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let sealed = seals::Seal::put();
    let refused = lasting::RefusalGuard::begin();
    let switched = PriorUser::switch(role);
    // SAFETY: as in Identity::switch, which has the state to go back to.
    unsafe {
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        pg_sys::SetUserIdAndSecContext(role, switched.context | restricted as i32);
    }
    let value = without_false_cancellations(work);
    sealed.close_others();
    drop(switched);
    drop(refused);
    drop(sealed);
    value
}

/// Has an ERROR of an owner's code that calls itself a cancellation be one like others: who has called it may catch
/// what fails, and lets a cancellation of its own pass.
fn without_false_cancellations<T>(work: impl FnOnce() -> T) -> T {
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_when(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, |cause| {
            if let CaughtError::PostgresError(report) = &cause
                && report.function_name() != Some("ProcessInterrupts")
            {
                let code = PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
                crate::postgres::error::raise(code, report.message(), report.hint());
            }
            cause.rethrow()
        })
        .execute()
}

/// Runs `work` so that no policy of a table filters what its owner reads, however the owner has forced them
/// on itself: as Postgres checks foreign keys. For statements of ours that must see every row, or what they
/// do not see would be lost.
pub fn seeing_all<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: a look at the role of the session.
    let switched = PriorUser::switch(unsafe { pg_sys::GetUserId() });
    // SAFETY: as in Identity::switch, which has the state to go back to.
    unsafe {
        let seeing = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS;
        pg_sys::SetUserIdAndSecContext(switched.role, switched.context | seeing as i32);
    }
    let value = work();
    drop(switched);
    value
}

/// Runs `work` with the privileges of the extension's owner of last resort, for what only the extension may touch: its
/// own tables. `work` must not run anything that a user wrote.
pub fn acting_as_extension<T>(work: impl FnOnce() -> T) -> T {
    let switched = PriorUser::switch(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID));
    pin_search_path();
    pin_tablespace();
    compile_nothing();
    let value = work();
    drop(switched);
    value
}

/// While this identity lasts, names without a schema are Postgres' own: also within [`acting_as`], whose role
/// may have SET another search_path, with operators of its own on it.
fn pin_search_path() {
    // For the nesting level that Identity::switch has just begun: what the SET clause of a function does.
    set(
        c"search_path",
        c"pg_catalog, pg_temp",
        pg_sys::GucAction::GUC_ACTION_SAVE,
    );
}

/// While this identity lasts, tables are made in the tablespace of the database: the session may have named
/// one that its user may not use, and the extension may use all.
fn pin_tablespace() {
    set(c"default_tablespace", c"", pg_sys::GucAction::GUC_ACTION_SAVE);
}

/// While this identity lasts, no plan is compiled: in a session that avoids scans (`enable_seqscan = off`),
/// to have its vectors found by an index, each scan looks so dear that Postgres would compile it for a
/// second, to run it for a millisecond.
fn compile_nothing() {
    // SAFETY: a look at a setting of this process. Workers have it off, and need not set it once more.
    if unsafe { pg_sys::jit_enabled } {
        set(c"jit", c"off", pg_sys::GucAction::GUC_ACTION_SAVE);
    }
}

/// Sets a setting for as long as `action` says: to the end of the transaction, or of a nesting level.
fn set(name: &CStr, value: &CStr, action: pg_sys::GucAction::Type) {
    // SAFETY: on the main thread, in a transaction, with a name and a value that Postgres knows.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// Who the process was before it acted as another role. Goes back when dropped, also by unwinding.
struct PriorUser {
    role: pg_sys::Oid,
    context: i32,
    /// Settings that are changed from here on are what they were before on the way back: a `search_path` that
    /// a trigger has SET would hold for our own statements.
    settings: i32,
}

impl PriorUser {
    fn switch(role: pg_sys::Oid) -> PriorUser {
        let mut before = PriorUser {
            role: pg_sys::InvalidOid,
            context: 0,
            settings: 0,
        };
        // SAFETY: plain reads and writes of the process' identity; Drop restores it, and so does the end of a
        // (sub)transaction that fails.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut before.role, &mut before.context);
            pg_sys::SetUserIdAndSecContext(role, before.context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32);
            before.settings = pg_sys::NewGUCNestLevel();
        }
        before
    }
}

impl Drop for PriorUser {
    fn drop(&mut self) {
        // SAFETY: as above. After an ERROR, the end of the (sub)transaction gives the settings back.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::AtEOXact_GUC(false, self.settings);
            }
            pg_sys::SetUserIdAndSecContext(self.role, self.context);
        }
    }
}

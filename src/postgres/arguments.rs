//! The arguments of a call from SQL, one after the other: for functions that have more of them than
//! a function of Rust should have.

use pgrx::pg_sys;
use pgrx::prelude::*;

/// The arguments of a call that are still to be taken.
pub struct CallArguments {
    call: pg_sys::FunctionCallInfo,
    next: usize,
}

impl CallArguments {
    /// # Safety
    /// `call` is the call that is running, of a function that SQL declares with arguments of the
    /// types as which they are taken, in the order in which they are taken.
    pub unsafe fn of(call: pg_sys::FunctionCallInfo) -> CallArguments {
        CallArguments { call, next: 0 }
    }

    /// Whether there is one more: functions that got more arguments are called by what declares
    /// them with fewer.
    pub fn is_left(&self) -> bool {
        // SAFETY: the call is running, by the caller of `of`.
        let number = unsafe { (*self.call).nargs };
        usize::try_from(number).is_ok_and(|number| self.next < number)
    }

    /// The next argument; `None` for NULL.
    pub fn take<T: FromDatum>(&mut self) -> Option<T> {
        assert!(
            self.is_left(),
            "a call has the arguments that its function is declared with"
        );
        // SAFETY: there is such an argument, and it is of this type, by the caller of `of`.
        let argument = unsafe { pgrx::fcinfo::pg_getarg(self.call, self.next) };
        self.next += 1;
        argument
    }
}

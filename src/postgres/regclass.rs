//! A value of the type regclass, which pgrx would take for none of its own.

use pgrx::datum::{Datum, UnboxDatum};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// The number of a relation.
pub struct RegClass(pub Oid);

impl FromDatum for RegClass {
    unsafe fn from_polymorphic_datum(value: pg_sys::Datum, is_null: bool, type_: Oid) -> Option<RegClass> {
        // SAFETY: by the caller. The two types are stored alike.
        unsafe { Oid::from_polymorphic_datum(value, is_null, type_) }.map(RegClass)
    }
}

impl IntoDatum for RegClass {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        self.0.into_datum()
    }

    fn type_oid() -> Oid {
        pg_sys::REGCLASSOID
    }
}

// SAFETY: stored as a number of an object is.
unsafe impl UnboxDatum for RegClass {
    type As<'src> = RegClass;

    unsafe fn unbox<'src>(value: Datum<'src>) -> RegClass
    where
        Self: 'src,
    {
        // SAFETY: by the caller.
        RegClass(unsafe { Oid::unbox(value) })
    }
}

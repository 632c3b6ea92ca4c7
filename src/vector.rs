//! pgvector's type `vector`, as a function returns it.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::{Datum, DatumWithOid};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::prelude::*;

use crate::error::raise;

/// Most dimensions of a `vector`: `VECTOR_MAX_DIM` of pgvector's src/vector.h.
pub const GREATEST_DIMENSIONS: usize = 16_000;
/// Bytes before the first number: length, dimensions, and a number that is 0.
const HEADER: usize = 8;

/// An embedding on its way to SQL.
#[derive(Clone)]
pub struct Vector(pub Vec<f32>);

impl IntoDatum for Vector {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(datum(&self.0))
    }

    /// Only asked for arrays and composite values, of which there are none: the oid differs between databases.
    fn type_oid() -> pg_sys::Oid {
        pg_sys::InvalidOid
    }
}

/// A value of the type `vector` in the current memory of Postgres.
fn datum(numbers: &[f32]) -> pg_sys::Datum {
    let dimensions = numbers.len();
    if dimensions > GREATEST_DIMENSIONS {
        let message = format!("vector cannot have more than {GREATEST_DIMENSIONS} dimensions, got {dimensions}");
        raise(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message, None);
    }
    let bytes = HEADER + size_of_val(numbers);
    // SAFETY: `struct Vector` of pgvector's src/vector.h, which is what its tables hold on disk and so stays: a varlena
    // header, int16 dimensions, an int16 that is 0, and the numbers. palloc aligns for any of them.
    unsafe {
        let place = pg_sys::palloc(bytes);
        pgrx::set_varsize_4b(place.cast(), bytes as i32);
        place.byte_add(4).cast::<i16>().write(dimensions as i16);
        place.byte_add(6).cast::<i16>().write(0);
        let copy = place.byte_add(HEADER).cast::<f32>();
        copy.copy_from_nonoverlapping(numbers.as_ptr(), dimensions);
        pg_sys::Datum::from(place)
    }
}

/// Vectors as one argument of a statement: an array of the type `vector`, whose oid is `kind` in this database.
pub fn array<'a>(kind: pg_sys::Oid, vectors: impl Iterator<Item = Option<&'a [f32]>>) -> DatumWithOid<'static> {
    let (mut values, mut nulls): (Vec<pg_sys::Datum>, Vec<bool>) = vectors
        .map(|numbers| (numbers.map_or(pg_sys::Datum::from(0), datum), numbers.is_none()))
        .unzip();
    let mut length = values.len() as i32;
    let mut first = 1;
    // SAFETY: as many values as flags; a vector is of variable length, by reference, and aligned as an integer. Postgres
    // copies them, and frees the copies with the transaction.
    unsafe {
        let array = pg_sys::construct_md_array(
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
            1,
            &mut length,
            &mut first,
            kind,
            -1,
            false,
            b'i' as std::ffi::c_char,
        );
        for (value, _) in std::iter::zip(values, nulls).filter(|(_, null)| !null) {
            pg_sys::pfree(value.cast_mut_ptr());
        }
        DatumWithOid::new(pg_sys::Datum::from(array), pg_sys::get_array_type(kind))
    }
}

// SAFETY: returns the datum that it made.
unsafe impl BoxRet for Vector {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: a datum of the type that the function is declared with.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

// SAFETY: the SQL of functions is written by hand, in sql/embed.sql; this is only what their signatures would say.
unsafe impl SqlTranslatable for Vector {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Vector);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("vector"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("vector")));
}

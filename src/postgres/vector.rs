//! pgvector's type `vector`, as a function returns it.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::{Datum, DatumWithOid};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::prelude::*;

use crate::postgres::error::raise;

/// Most dimensions of a `vector`: `VECTOR_MAX_DIM` of pgvector's src/vector.h.
pub const GREATEST_DIMENSIONS: usize = 16_000;
/// Bytes before the first number: length, dimensions, and a number that is 0.
const HEADER: usize = 8;

/// An embedding on its way to SQL.
#[derive(Clone)]
pub struct SqlVector(pub Vec<f32>);

impl IntoDatum for SqlVector {
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
    let bytes = size(numbers);
    // SAFETY: as much memory as a value takes. palloc aligns for any of its parts.
    unsafe {
        let place = pg_sys::palloc(bytes);
        write(numbers, bytes, place.cast());
        pg_sys::Datum::from(place)
    }
}

/// Bytes of a value of the type `vector`.
fn size(numbers: &[f32]) -> usize {
    let dimensions = numbers.len();
    if dimensions > GREATEST_DIMENSIONS {
        let message = format!("vector cannot have more than {GREATEST_DIMENSIONS} dimensions, got {dimensions}");
        raise(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message, None);
    }
    HEADER + size_of_val(numbers)
}

/// Writes a value: `struct Vector` of pgvector's src/vector.h, which is what its tables hold on disk and so
/// stays. A varlena header, int16 dimensions, an int16 that is 0, and the numbers.
///
/// # Safety
/// `place` is aligned as an integer, and has room for `bytes`, the [`size`] of the vector.
unsafe fn write(numbers: &[f32], bytes: usize, place: *mut u8) {
    // SAFETY: by the caller.
    unsafe {
        pgrx::set_varsize_4b(place.cast(), bytes as i32);
        place.byte_add(4).cast::<i16>().write(numbers.len() as i16);
        place.byte_add(6).cast::<i16>().write(0);
        let copy = place.byte_add(HEADER).cast::<f32>();
        copy.copy_from_nonoverlapping(numbers.as_ptr(), numbers.len());
    }
}

/// Vectors as one argument of a statement: an array of the type `vector`, whose oid is `kind` in this database.
///
/// Written in place: Postgres' own way (`construct_md_array`) is to copy values that were made before, and
/// the worker spends most of its time on moving these.
pub fn array(kind: pg_sys::Oid, vectors: &[Option<&[f32]>]) -> DatumWithOid<'static> {
    let sizes: Vec<usize> = vectors.iter().map(|numbers| numbers.map_or(0, size)).collect();
    let nulls = vectors.iter().any(Option::is_none);
    // `ArrayType` of Postgres' utils/array.h, one length and one lower bound; where there are NULLs a bit for
    // each value, set for those that are not, up to where the first may begin.
    let head = size_of::<pg_sys::ArrayType>() + 2 * size_of::<i32>();
    let bitmap = if nulls { vectors.len().div_ceil(8) } else { 0 };
    let data = (head + bitmap).next_multiple_of(pg_sys::MAXIMUM_ALIGNOF as usize);
    let bytes = data + sizes.iter().sum::<usize>();
    // SAFETY: memory of the size that is written to: a header as Postgres reads it, then the values. A vector
    // is aligned as an integer and as long as several of them, so each begins where the one before ends.
    unsafe {
        let place = pg_sys::palloc(bytes).cast::<u8>();
        place.write_bytes(0, data);
        pgrx::set_varsize_4b(place.cast(), bytes as i32);
        let array = &mut *place.cast::<pg_sys::ArrayType>();
        array.ndim = 1;
        array.dataoffset = if nulls { data as i32 } else { 0 };
        array.elemtype = kind;
        let length_and_first = place.add(size_of::<pg_sys::ArrayType>()).cast::<i32>();
        length_and_first.write(vectors.len() as i32);
        length_and_first.add(1).write(1);
        let mut next = place.add(data);
        for (index, (numbers, bytes)) in std::iter::zip(vectors, sizes).enumerate() {
            let Some(numbers) = numbers else { continue };
            if nulls {
                *place.add(head + index / 8) |= 1 << (index % 8);
            }
            write(numbers, bytes, next);
            next = next.add(bytes);
        }
        DatumWithOid::new(pg_sys::Datum::from(place), pg_sys::get_array_type(kind))
    }
}

// SAFETY: returns the datum that it made.
unsafe impl BoxRet for SqlVector {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: a datum of the type that the function is declared with.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

// SAFETY: the SQL of functions is written by hand, in sql/embed.sql; this is only what their signatures would say.
unsafe impl SqlTranslatable for SqlVector {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(SqlVector);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("vector"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("vector")));
}

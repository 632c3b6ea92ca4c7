//! pgvector's type `vector`, as a function returns it.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
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
        let dimensions = self.0.len();
        if dimensions > GREATEST_DIMENSIONS {
            let message = format!("vector cannot have more than {GREATEST_DIMENSIONS} dimensions, got {dimensions}");
            raise(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message, None);
        }
        let bytes = HEADER + dimensions * size_of::<f32>();
        // SAFETY: `struct Vector` of pgvector's src/vector.h, which is what its tables hold on disk and so stays: a varlena
        // header, int16 dimensions, an int16 that is 0, and the numbers. palloc aligns for any of them.
        unsafe {
            let place = pg_sys::palloc0(bytes);
            pgrx::set_varsize_4b(place.cast(), bytes as i32);
            place.byte_add(4).cast::<i16>().write(dimensions as i16);
            let numbers = place.byte_add(HEADER).cast::<f32>();
            numbers.copy_from_nonoverlapping(self.0.as_ptr(), dimensions);
            Some(pg_sys::Datum::from(place))
        }
    }

    /// Only asked for arrays and composite values, of which there are none: the oid differs between databases.
    fn type_oid() -> pg_sys::Oid {
        pg_sys::InvalidOid
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

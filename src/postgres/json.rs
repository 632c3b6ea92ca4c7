//! jsonb, as far as Rust can hold it, and as Postgres writes it.

use std::ffi::CStr;

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::prelude::*;
use pgrx::{direct_function_call, pg_sys};
use serde_json::Value;

use crate::postgres::error::raise_detailed;

/// A jsonb as a value of Rust. Postgres takes numbers and a depth that Rust's JSON does not, which is an
/// error here with a SQLSTATE of its own; pgrx's type of this name panics.
#[derive(Debug)]
pub struct JsonB(pub Value);

/// A jsonb as Postgres writes it, each digit of it, whatever it holds.
#[derive(Debug)]
pub struct RawJson(pub String);

impl FromDatum for RawJson {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<RawJson> {
        if is_null {
            return None;
        }
        // SAFETY: a jsonb, by the caller. What is made on the way is freed with the context of the call.
        let written = unsafe { direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(datum)]) };
        let written = written.expect("jsonb_out returns no NULL");
        Some(RawJson(written.to_string_lossy().into_owned()))
    }
}

impl FromDatum for JsonB {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, kind: pg_sys::Oid) -> Option<JsonB> {
        // SAFETY: by the caller.
        let RawJson(written) = unsafe { RawJson::from_polymorphic_datum(datum, is_null, kind) }?;
        let value = serde_json::from_str(&written).unwrap_or_else(|error| {
            raise_detailed(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "jsonb cannot be read",
                format!("{error}."),
                Some("Numbers are read up to 1e308, and arrays and objects within each other up to 127 levels."),
            )
        });
        Some(JsonB(value))
    }
}

impl IntoDatum for JsonB {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        pgrx::JsonB(self.0).into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

/// Has a type be an argument of functions in SQL, as a jsonb.
macro_rules! argument {
    ($type:ty) => {
        // SAFETY: read as a jsonb, which the functions are declared with.
        unsafe impl<'fcx> ArgAbi<'fcx> for $type {
            unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                // SAFETY: as above.
                unsafe { arg.unbox_arg_using_from_datum() }.expect("arguments that may be NULL are declared so")
            }

            unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
                // SAFETY: as above.
                unsafe { arg.unbox_arg_using_from_datum() }.into()
            }
        }

        // SAFETY: the SQL of functions is written by hand; this is only what their signatures would say.
        unsafe impl SqlTranslatable for $type {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($type);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
        }
    };
}

argument!(JsonB);
argument!(RawJson);

//! What Postgres' caches say of the types of columns.

use std::ffi::CString;

use pgrx::pg_sys::{self, Oid};

use crate::postgres::relation::{copied, namespace_name};
use crate::postgres::statement::{self, identifier, qualified};

/// A domain over more than this many domains is a type of its own.
const DOMAINS: usize = 8;
/// No more types than this are looked at below one that is a domain.
const LONGEST: usize = 32;

/// A type, as `pg_type` has it.
struct TypeEntry {
    owner: Oid,
    schema: Oid,
    kind: u8,
    /// The type below a domain.
    base: Oid,
    name: String,
}

impl TypeEntry {
    fn of(kind: Oid) -> Option<TypeEntry> {
        // SAFETY: on the main thread, in a transaction; the entry is given back after it was looked at.
        unsafe {
            let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::TYPEOID as i32, kind.into());
            if tuple.is_null() {
                return None;
            }
            let found = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_type>();
            let found = TypeEntry {
                owner: found.typowner,
                schema: found.typnamespace,
                kind: found.typtype as u8,
                base: found.typbasetype,
                name: copied(found.typname.data.as_ptr()).unwrap_or_default(),
            };
            pg_sys::ReleaseSysCache(tuple);
            Some(found)
        }
    }
}

/// A column of a table, as `pg_attribute` has it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub number: i16,
    pub kind: Oid,
    /// What is behind the name of the type.
    modifier: i32,
    /// The bytes of a value, where all have as many; below 0 otherwise.
    pub length: i16,
}

impl Column {
    /// `None` where there is none of this name.
    pub fn of(table: Oid, name: &str) -> Option<Column> {
        let name = CString::new(name).ok()?;
        // SAFETY: on the main thread, in a transaction; the entry is given back after it was looked at. The
        // cache tells of none that was dropped.
        unsafe {
            let tuple = pg_sys::SearchSysCacheAttName(table, name.as_ptr());
            if tuple.is_null() {
                return None;
            }
            let attribute = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_attribute>();
            let found = Column {
                number: attribute.attnum,
                kind: attribute.atttypid,
                modifier: attribute.atttypmod,
                length: attribute.attlen,
            };
            pg_sys::ReleaseSysCache(tuple);
            // Those of Postgres are below.
            Some(found).filter(|found| found.number > 0)
        }
    }

    /// The name of the column of a number; `None` where it is gone.
    pub fn name_of(table: Oid, number: i16) -> Option<String> {
        // SAFETY: as above; the name is a copy of its own, or null. One that was dropped is found by no name.
        let name = unsafe { copied(pg_sys::get_attname(table, number, true)) }?;
        Column::of(table, &name)
            .is_some_and(|found| found.number == number)
            .then_some(name)
    }

    /// Its type and, where that is a domain, those below.
    fn types(self) -> Vec<Oid> {
        let mut types = vec![self.kind];
        while types.len() < LONGEST
            && let Some(last) = types.last()
            && let Some(domain) = TypeEntry::of(*last).filter(|found| found.kind == pg_sys::TYPTYPE_DOMAIN)
        {
            types.push(domain.base);
        }
        types
    }

    /// The name of its type. Of a domain the type below it: that is what clients are told, and what Python makes
    /// something of.
    pub fn base_type(self) -> String {
        let types = self.types();
        let base = types.last().filter(|_| types.len() <= 1 + DOMAINS);
        named(*base.unwrap_or(&self.kind), -1, pg_sys::FORMAT_TYPE_ALLOW_INVALID)
    }

    /// The name of its type, with what is behind that.
    pub fn full_type(self) -> String {
        let flags = pg_sys::FORMAT_TYPE_ALLOW_INVALID | pg_sys::FORMAT_TYPE_TYPEMOD_GIVEN;
        named(self.kind, self.modifier, flags)
    }

    /// Whether it holds bytes, also by way of domains.
    pub fn holds_bytes(self) -> bool {
        self.types().contains(&pg_sys::BYTEAOID)
    }

    /// Whether it holds JSON, also by way of domains.
    pub fn holds_json(self) -> bool {
        self.types().contains(&pg_sys::JSONBOID)
    }
}

/// The name of a type as SQL writes it.
fn named(kind: Oid, modifier: i32, flags: u32) -> String {
    // SAFETY: on the main thread, in a transaction; the name is a copy of its own.
    unsafe { copied(pg_sys::format_type_extended(kind, modifier, flags as u16)) }.unwrap_or_default()
}

/// An operator of equality, as `pg_operator` has it.
#[derive(Debug)]
pub struct Equality {
    /// As SQL writes it between its operands.
    pub operator: String,
    /// What both sides are cast to, where a name would lead to another operator.
    pub cast: Option<String>,
}

impl Equality {
    /// The operator that an index goes by for a column, wherever its types come from. A name leads to the operator
    /// that fits its operands best: for a domain over a type, another role may have made one in a schema that is not
    /// Postgres' own.
    pub fn of(column: Column, operator_class: Oid) -> Option<Equality> {
        // SAFETY: on the main thread, in a transaction; the entry is given back after it was looked at, and
        // the name is a copy of its own.
        let (name, schema, operand) = unsafe {
            let family = pg_sys::get_opclass_family(operator_class);
            let input = pg_sys::get_opclass_input_type(operator_class);
            let equal = pg_sys::BTEqualStrategyNumber as i16;
            let operator = pg_sys::get_opfamily_member(family, input, input, equal);
            let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::OPEROID as i32, operator.into());
            if tuple.is_null() {
                return None;
            }
            let found = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_operator>();
            let found = (copied(found.oprname.data.as_ptr())?, found.oprnamespace, found.oprleft);
            pg_sys::ReleaseSysCache(tuple);
            found
        };
        let schema = namespace_name(schema)?;
        let fits = schema == "pg_catalog" || column.kind == operand;
        let cast = TypeEntry::of(operand).filter(|found| !fits && found.kind != pg_sys::TYPTYPE_PSEUDO);
        Some(Equality {
            operator: format!("OPERATOR({}.{name})", identifier(&schema)),
            cast: cast.and_then(|found| Some(qualified(&namespace_name(found.schema)?, &found.name))),
        })
    }
}

/// pgvector's own type of vectors, with its schema, quoted; `None` where the extension is not installed.
///
/// Whatever a column is of: vectors are handed over in its form, and one of the owner's own types would read them, and
/// what is behind them in memory, as something else.
pub fn pgvector_type() -> Option<(String, Oid)> {
    // SAFETY: on the main thread, in a transaction. The owner of the extension may add types to it: only a superuser's
    // is pgvector's.
    let (kind, is_own) = unsafe {
        let extension = pg_sys::get_extension_oid(c"vector".as_ptr(), true);
        if extension == Oid::INVALID {
            return None;
        }
        let kind = pg_sys::getExtensionType(extension, c"vector".as_ptr());
        let found = TypeEntry::of(kind)
            .filter(|found| found.kind == pg_sys::TYPTYPE_BASE && pg_sys::superuser_arg(found.owner));
        (kind, found)
    };
    if let Some(schema) = is_own.and_then(|found| namespace_name(found.schema)) {
        return Some((identifier(&schema), kind));
    }
    let sql = include_str!("../../sql/query/vectorizer/pgvector_type.sql");
    statement::row(sql, &[], |row| {
        (identifier(&row.must::<String>("schema")), row.must("oid"))
    })
}

//! The way from a trigger of a source to an intake, and the columns of the keys that go there.

use std::cell::RefCell;
use std::collections::HashSet;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgTupleDesc, varlena};

use crate::catalog;
use crate::postgres::json::JsonB;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;

/// Suffix of the name of the trigger by statement that calls the function of the vectorizer, also on behalf of
/// `ai._append_change`.
pub const BY_FUNCTION: &str = "_delete";

thread_local! {
    /// The tables that they depend on.
    pub(super) static WATCHED: RefCell<HashSet<Oid>> = RefCell::default();
}

/// A column of a key, or one that is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchedColumn {
    /// From 1.
    pub(super) number: i16,
    pub(super) by_value: bool,
    /// In bytes; -1 for a varlena.
    pub(super) length: i16,
    pub(super) type_: Oid,
    pub(super) modifier: i32,
}

impl WatchedColumn {
    pub(super) fn of(attribute: &pg_sys::FormData_pg_attribute) -> WatchedColumn {
        WatchedColumn {
            number: attribute.attnum,
            by_value: attribute.attbyval,
            length: attribute.attlen,
            type_: attribute.atttypid,
            modifier: attribute.atttypmod,
        }
    }

    /// The value of a row; `None` for NULL.
    ///
    /// # Safety
    /// The slot holds a row of the source, and its attributes have been taken apart as far as this one.
    pub(super) unsafe fn value(&self, slot: *mut pg_sys::TupleTableSlot) -> Option<Datum> {
        let index = self.number as usize - 1;
        // SAFETY: by the caller.
        unsafe { (!*(*slot).tts_isnull.add(index)).then(|| *(*slot).tts_values.add(index)) }
    }

    /// Whether two values are the same byte for byte. That takes no operator, which not every type has.
    ///
    /// # Safety
    /// Both are values of this column.
    pub(super) unsafe fn is_same(&self, left: Option<Datum>, right: Option<Datum>) -> bool {
        let (Some(left), Some(right)) = (left, right) else {
            return left.is_none() && right.is_none();
        };
        if self.by_value {
            return left == right;
        }
        // SAFETY: values that are not passed by value are addresses, of as many bytes as their type has.
        unsafe {
            if let Ok(length) = usize::try_from(self.length) {
                return bytes(left.cast_mut_ptr(), length) == bytes(right.cast_mut_ptr(), length);
            }
            let [left, right] = [left, right].map(|value| value.cast_mut_ptr::<pg_sys::varlena>());
            let [whole_left, whole_right] = [left, right].map(|value| bytes(value.cast(), varlena::varsize_any(value)));
            if whole_left == whole_right && !varlena::varatt_is_1b_e(left) {
                return true;
            }
            // A value that stays where it is stored is the same in both rows, and need not be fetched.
            if whole_left == whole_right && varlena::vartag_1b_e(left) == pg_sys::vartag_external::VARTAG_ONDISK as u8 {
                return true;
            }
            let [left, right] = [left, right].map(|value| pg_sys::pg_detoast_datum_packed(value));
            varlena::varlena_to_byte_slice(left) == varlena::varlena_to_byte_slice(right)
        }
    }

    /// Puts a value behind the words of a key.
    ///
    /// # Safety
    /// It is a value of this column.
    pub(super) unsafe fn put_aside(&self, value: Datum, words: &mut Vec<u64>) {
        if self.by_value {
            words.push(value.value() as u64);
            return;
        }
        // SAFETY: as in `is_same`. What is stored elsewhere is fetched: the intake must not refer to it.
        let value = unsafe {
            let mut address: *mut u8 = value.cast_mut_ptr();
            if self.length < 0 && varlena::varatt_is_1b_e(address.cast()) {
                address = pg_sys::pg_detoast_datum(address.cast()).cast();
            }
            let length = usize::try_from(self.length).unwrap_or_else(|_| varlena::varsize_any(address.cast()));
            bytes(address, length)
        };
        words.push(value.len() as u64);
        words.extend(value.chunks(size_of::<u64>()).map(|part| {
            let mut word = [0; size_of::<u64>()];
            word[..part.len()].copy_from_slice(part);
            u64::from_ne_bytes(word)
        }));
    }

    /// The value that the first of these words are, and the words behind them. It is valid as long as they are.
    pub(super) fn take<'a>(&self, words: &'a [u64]) -> (Datum, &'a [u64]) {
        let (first, rest) = words.split_first().expect("a key has all its columns");
        if self.by_value {
            return (Datum::from(*first as usize), rest);
        }
        let value = Datum::from(rest.as_ptr());
        (value, &rest[(*first as usize).div_ceil(size_of::<u64>())..])
    }
}

/// # Safety
/// There are as many bytes at that address, and they live as long as they are looked at.
pub(super) unsafe fn bytes<'a>(address: *mut u8, length: usize) -> &'a [u8] {
    // SAFETY: by the caller.
    unsafe { std::slice::from_raw_parts(address, length) }
}

/// The way from a trigger of a source to an intake. Kept until one of its tables changes, or the row of a vectorizer of
/// that source, which counts as a change of the source.
pub(super) struct Route {
    pub(super) vectorizer: i32,
    pub(super) intake: Oid,
    /// The columns of the key in the source, each with the number that it has in the intake.
    pub(super) key: Vec<(WatchedColumn, i16)>,
    /// The columns of the source whose changes are news.
    pub(super) compared: Vec<WatchedColumn>,
    /// Attributes of a row of the source that have to be taken apart for the key.
    pub(super) taken_apart: i16,
    /// Of the trigger that calls the vectorizer's own function.
    pub(super) by_row: String,
    /// Rows can be appended past the executor.
    pub(super) is_plain: bool,
    /// The source got another owner unseen: nothing may run as that one. Appending runs nothing, and the
    /// function of the vectorizer asks.
    pub(super) is_strange: bool,
}

impl Route {
    /// Asks the catalogue; `None` when it does not know this vectorizer, or another source for it.
    ///
    /// # Safety
    /// `source` is open.
    pub(super) unsafe fn find(vectorizer: i32, source: pg_sys::Relation) -> Option<Route> {
        // SAFETY: by the caller.
        let (id, owner) = unsafe { ((*source).rd_id, (*(*source).rd_rel).relowner) };
        let find = || {
            // Whatever changes from here on is heard of.
            WATCHED.with_borrow_mut(|watched| watched.insert(id));
            let sql = include_str!("../../sql/query/intake/route.sql");
            let known = statement::row(sql, &[vectorizer.into(), id.into()], |row| {
                (
                    row.must::<Oid>("intake"),
                    row.must::<JsonB>("source_pk").0,
                    row.must::<String>("trigger_name"),
                    row.must::<bool>("is_strange"),
                )
            });
            let (intake, source_pk, stem, is_strange) = known?;
            let key = PrimaryKey::current(id, &source_pk);
            Some((intake, key, stem, is_strange, catalog::embedding_columns(id)))
        };
        // Triggers fire as the caches of Postgres have them, for those, too, whose transaction began before
        // they were made.
        let found = acting_as_extension(|| statement::on_latest(find));
        let (intake, key, stem, is_strange, vectors) = found?;
        WATCHED.with_borrow_mut(|watched| watched.insert(intake));
        // SAFETY: the descriptor is looked at while the relation is open.
        let columns = unsafe { PgTupleDesc::from_pg_unchecked((*source).rd_att) };
        let live = || columns.iter().filter(|attribute| !attribute.attisdropped);
        // SAFETY: the lock is kept to the end of the transaction.
        let relation = unsafe { pg_sys::try_table_open(intake, pg_sys::RowExclusiveLock as i32) };
        if relation.is_null() {
            return None;
        }
        // SAFETY: just opened.
        let appended = unsafe { PgTupleDesc::from_pg_unchecked((*relation).rd_att) };
        let pair = |(here, there): (String, String)| {
            let here = live().find(|attribute| attribute.name() == here)?;
            let there = appended.iter().find(|attribute| attribute.name() == there)?;
            Some((WatchedColumn::of(here), there.attnum))
        };
        // Rows can still be written after a column of the key was dropped.
        let names = key.map(|key| key.names(In::Source).into_iter().zip(key.names(In::Queue)));
        let key = names.and_then(|names| names.map(pair).collect::<Option<Vec<_>>>());
        let mut route = Route {
            vectorizer,
            intake,
            compared: live()
                .filter(|attribute| !vectors.iter().any(|vector| vector == attribute.name()))
                .map(WatchedColumn::of)
                .collect(),
            taken_apart: key.iter().flatten().map(|(column, _)| column.number).max().unwrap_or(0),
            is_plain: key.is_some(),
            is_strange,
            key: key.unwrap_or_default(),
            by_row: format!("{stem}{}", BY_FUNCTION),
        };
        // SAFETY: open, and closed here; the lock stays.
        unsafe {
            route.is_plain &= route.fits(relation) && (*(*relation).rd_rel).relowner == owner;
            pg_sys::table_close(relation, pg_sys::NoLock as i32);
        }
        Some(route)
    }

    /// Whether the intake is what it was made: a table with the columns of the key and nothing else about it.
    /// Its owner may have put anything on it, which only the executor heeds.
    ///
    /// # Safety
    /// `intake` is open.
    pub(super) unsafe fn fits(&self, intake: pg_sys::Relation) -> bool {
        // SAFETY: by the caller. The descriptor is looked at while the relation is open.
        let (about, constraints, columns) = unsafe {
            let columns = (*intake).rd_att;
            (
                &*(*intake).rd_rel,
                (*columns).constr,
                PgTupleDesc::from_pg_unchecked(columns),
            )
        };
        let is_bare = about.relkind as u8 == pg_sys::RELKIND_RELATION
            && about.relam == pg_sys::HEAP_TABLE_AM_OID
            && !(about.relhasindex || about.relhasrules || about.relhastriggers || about.relrowsecurity)
            // SAFETY: of an open relation.
            && (constraints.is_null() || unsafe { (*constraints).num_check == 0 && (*constraints).num_defval == 0 });
        is_bare
            && columns.iter().all(|attribute| {
                let of_the_key = self.key.iter().find(|(_, number)| *number == attribute.attnum);
                match of_the_key {
                    Some((column, _)) => {
                        !attribute.attisdropped
                            && (column.type_, column.modifier) == (attribute.atttypid, attribute.atttypmod)
                            && column.length >= -1
                    }
                    None => attribute.attisdropped,
                }
            })
    }

    /// The key of a row, put behind the words of other keys; false when a part of it is NULL.
    ///
    /// # Safety
    /// The slot holds a row of the source.
    pub(super) unsafe fn put_aside(&self, slot: *mut pg_sys::TupleTableSlot, words: &mut Vec<u64>) -> bool {
        let before = words.len();
        // SAFETY: by the caller.
        unsafe { take_apart(slot, self.taken_apart) };
        for (column, _) in &self.key {
            // SAFETY: taken apart as far as the last column of the key.
            match unsafe { column.value(slot) } {
                // SAFETY: a value of this column.
                Some(value) => unsafe { column.put_aside(value, words) },
                None => {
                    words.truncate(before);
                    return false;
                }
            }
        }
        true
    }
}

/// # Safety
/// The slot holds a row.
pub(super) unsafe fn take_apart(slot: *mut pg_sys::TupleTableSlot, attributes: i16) {
    // SAFETY: by the caller.
    unsafe {
        if (*slot).tts_nvalid < attributes {
            pg_sys::slot_getsomeattrs_int(slot, attributes.into());
        }
    }
}

//! The names that the catalogue keeps: of the columns that a configuration speaks of, of the primary key, and of the
//! destination. They follow the tables by number and OID; in a row that came out of a dump the numbers are those of
//! another cluster, and the names hold.

use ai_pipeline::format::Template;
use litemap::LiteMap;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::definition::{Definition, definition, definitions};
use super::extension::table_goes_with_extension;
use super::stranger::{cluster, place_of, stranger};
use super::triggers::{Triggers, triggers_called};
use crate::postgres::error::raise;
use crate::postgres::json::JsonB;
use crate::postgres::relation::{Relation, hear_of_changes, name_of, owner_of, role_name};
use crate::postgres::statement;
use crate::postgres::types::Column;

/// What the catalogue says of the names of a vectorizer.
#[derive(Clone, PartialEq)]
struct NameRow {
    config: Value,
    source_pk: Value,
    /// The columns of the source that the configuration names, by number.
    columns: LiteMap<String, i64>,
    /// Where the numbers hold.
    place: String,
}

/// Writes down how columns and destinations of these vectorizers (`None`: of all) are called now. To be
/// called as the extension, wherever one of them may have got another name or another number.
///
/// One whose template names a column that has got a name that no template can contain keeps the names that it
/// has: it is paused until the column has a name that fits. Others, and the worker, are not to suffer from
/// that.
///
/// Returns those whose documents are made of another column of the same name than before: all their rows have
/// other documents.
///
/// # Errors
/// Raised where that is the vectorizer that was altered.
pub fn follow_names(ids: Option<&[i32]>, altered: Option<i32>) -> Vec<i32> {
    let vectorizers = definitions(ids);
    follow_names_of(&vectorizers, &triggers_called(&vectorizers), altered).replaced
}

/// What came of following the names of vectorizers.
#[derive(Default)]
pub(super) struct Followed {
    /// Those whose documents are made of another column of the same name than before.
    pub(super) replaced: Vec<i32>,
    /// Their rows are others now than those that were read.
    pub(super) has_written: bool,
}

/// The same, of rows that were read, and of the triggers on their sources.
pub(super) fn follow_names_of(vectorizers: &[Definition], triggers: &Triggers, altered: Option<i32>) -> Followed {
    hear_of_changes();
    let mut done = Followed::default();
    // What another transaction is about to change is followed when that is done; nothing waits for it.
    let may_write = |id: i32| {
        let sql = include_str!("../../sql/query/vectorizer/lock_vectorizer.sql");
        altered == Some(id) || statement::row(sql, &[id.into()], |_| ()).is_some()
    };
    for vectorizer in vectorizers {
        let moved = triggers.moved_function(vectorizer);
        let Some(function) = moved.filter(|_| may_write(vectorizer.id)) else {
            continue;
        };
        let sql = "UPDATE ai._vectorizer SET trigger_function = $2 WHERE id = $1";
        statement::run(sql, &[vectorizer.id.into(), function.as_str().into()]);
        done.has_written = true;
    }
    let unfollowed = vectorizers.iter().filter(|vectorizer| has_other_owner(vectorizer));
    for vectorizer in unfollowed.filter(|vectorizer| may_write(vectorizer.id)) {
        // Asked once more: the source may just have changed hands.
        let sql = include_str!("../../sql/query/vectorizer/own.sql");
        statement::run(sql, &[vectorizer.id.into()]);
        done.has_written = true;
    }
    for vectorizer in vectorizers {
        let Some(NameChange { is_replaced, kept, now }) = change_of(vectorizer, altered) else {
            continue;
        };
        if is_replaced {
            done.replaced.push(vectorizer.id);
        }
        if now == kept || !may_write(vectorizer.id) {
            continue;
        }
        // The caches may know of a change that came after the row was read, with another row: as it is under the lock.
        let latest = definition(vectorizer.id);
        let Some(NameChange { kept, now, .. }) = latest.and_then(|latest| change_of(&latest, altered)) else {
            continue;
        };
        let moved = now.place != kept.place;
        let written = statement::run(
            include_str!("../../sql/query/vectorizer/follow_names.sql"),
            &[
                vectorizer.id.into(),
                JsonB(now.config).into(),
                JsonB(now.source_pk).into(),
                JsonB(json!(now.columns)).into(),
                now.place.into(),
                kept.place.into(),
            ],
        );
        done.has_written = true;
        if moved && written > 0 {
            own_queues(vectorizer).into_iter().for_each(table_goes_with_extension);
        }
    }
    done
}

/// The names that a row keeps, and those that hold now.
struct NameChange {
    kept: NameRow,
    now: NameRow,
    /// A column that its documents are made of is another than before, of the same name.
    is_replaced: bool,
}

/// `None` where nothing can be followed.
fn change_of(vectorizer: &Definition, altered: Option<i32>) -> Option<NameChange> {
    let kept = NameRow::of(vectorizer)?;
    let mut now = kept.clone();
    let is_replaced = match now.follow(vectorizer.source) {
        Ok(is_replaced) => is_replaced,
        Err(_) if altered != Some(vectorizer.id) => return None,
        Err(column) => raise(
            PgSqlErrorCode::ERRCODE_INVALID_NAME,
            format!(
                "the template of vectorizer {} cannot name a column {column:?}",
                vectorizer.name
            ),
            Some("Choose a name of ASCII letters, digits and _, other than chunk."),
        ),
    };
    // Of a row that was changed by hand anything may be read.
    let has_destination = now.config["destination"].is_object();
    let parts = [
        (vectorizer.target, "target_schema", "target_table"),
        (vectorizer.view, "view_schema", "view_name"),
    ];
    for (part, schema, name) in parts.into_iter().filter(|_| has_destination) {
        if let Some(called) = part.and_then(name_of) {
            now.config["destination"][schema] = called.0.into();
            now.config["destination"][name] = called.1.into();
        }
    }
    Some(NameChange { kept, now, is_replaced })
}

/// Whether the owner of a vectorizer has got another name, or another number as in a database that was restored, or is
/// not known yet.
fn has_other_owner(vectorizer: &Definition) -> bool {
    let (owner, place) = (vectorizer.owner.as_deref(), vectorizer.owner_place.as_str());
    let Some((now, name)) = owner_of(vectorizer.source).and_then(|now| Some((now, role_name(now)?))) else {
        return false;
    };
    (owner != Some(&name) || place != place_of(now)) && stranger(Some(vectorizer.source), owner, Some(place)).is_none()
}

/// What belongs to the extension where a vectorizer was restored; a row that was changed by hand may name any table.
fn own_queues(vectorizer: &Definition) -> Vec<Oid> {
    let owner = owner_of(vectorizer.source);
    let tables = [Some(vectorizer.queue), Some(vectorizer.failed), vectorizer.intake];
    let is_own = |table: &Oid| {
        table.to_u32() >= pg_sys::FirstNormalObjectId
            && Relation::of(*table)
                .is_some_and(|table| Some(table.owner) == owner && table.kind == pg_sys::RELKIND_RELATION)
    };
    let mut own: Vec<Oid> = tables.into_iter().flatten().filter(is_own).collect();
    own.sort_unstable_by_key(|table| table.to_u32());
    own.dedup();
    own
}

impl NameRow {
    /// `None` where there is nothing to follow them by, or where they cannot be read: the worker says so.
    fn of(vectorizer: &Definition) -> Option<NameRow> {
        let tables = [vectorizer.source, vectorizer.queue, vectorizer.failed];
        if tables.iter().any(|table| Relation::of(*table).is_none()) {
            return None;
        }
        Some(NameRow {
            config: vectorizer.config()?,
            source_pk: vectorizer.source_pk.clone(),
            columns: serde_json::from_value(vectorizer.columns.clone()).unwrap_or_default(),
            place: vectorizer.place.clone(),
        })
    }

    /// Takes the names over that the columns of `source` have, or, where the numbers do not hold, their
    /// numbers. Whether a column of the configuration is another than before, of the same name; `Err` is a
    /// column that the template cannot name.
    fn follow(&mut self, source: Oid) -> Result<bool, String> {
        let here = place_in(source);
        let holds = self.place == here;
        self.place = here;
        let number_of = |name: &str| Column::of(source, name).map(|column| i64::from(column.number));
        let called = |number: Option<i64>| {
            let number = number.filter(|_| holds).and_then(|number| i16::try_from(number).ok());
            Column::name_of(source, number?)
        };
        for column in self.source_pk.as_array_mut().into_iter().flatten() {
            let Some(name) = column["attname"].as_str().map(str::to_owned) else {
                continue;
            };
            if !holds {
                column["attnum"] = number_of(&name).unwrap_or_default().into();
            } else if let Some(now) = called(column["attnum"].as_i64()).filter(|now| *now != name) {
                // Queue and destination keep the name that the key had when they were made.
                for table in ["queued", "stored"] {
                    if column[table].is_null() {
                        column[table] = name.as_str().into();
                    }
                }
                column["attname"] = now.into();
            }
        }

        let template = self.config["formatting"]["template"].as_str().map(Template::parse);
        let template = template.and_then(Result::ok);
        let single = [("loading", "column_name"), ("destination", "embedding_column")];
        let single_names = single.map(|(section, key)| self.config[section][key].as_str().map(str::to_owned));
        let mut spoken_of: Vec<String> = single_names.iter().flatten().cloned().collect();
        spoken_of.extend(template.iter().flat_map(Template::columns).map(str::to_owned));

        let mut renamed = LiteMap::new();
        let mut columns = LiteMap::new();
        let mut is_replaced = false;
        for name in spoken_of {
            let now = called(self.columns.get(&name).copied()).unwrap_or_else(|| name.clone());
            if let Some(number) = number_of(&now) {
                is_replaced |= holds && self.columns.get(&name) != Some(&number);
                columns.insert(now.clone(), number);
            }
            if now != name {
                renamed.insert(name, now);
            }
        }
        self.columns = columns;
        for ((section, key), name) in single.into_iter().zip(single_names) {
            if let Some(now) = name.and_then(|name| renamed.get(&name)) {
                self.config[section][key] = now.as_str().into();
            }
        }
        if let Some(template) = template.filter(|template| template.columns().any(|name| renamed.contains_key(name))) {
            let written = template.renamed(&renamed);
            let unfit = || template.columns().find_map(|name| renamed.get(name)).cloned();
            self.config["formatting"]["template"] = written.ok_or_else(|| unfit().unwrap_or_default())?.into();
        }
        Ok(is_replaced)
    }
}

/// Where numbers of columns hold: cluster, database and source.
fn place_in(source: Oid) -> String {
    // SAFETY: set once, when the process was connected to its database.
    let database = unsafe { pg_sys::MyDatabaseId };
    format!("{}/{}/{}", cluster(), database.to_u32(), source.to_u32())
}

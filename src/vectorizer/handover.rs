//! What belongs to a vectorizer follows its source: to another owner, and to another persistence.
//!
//! What is on a table runs as its owner, and for a vectorizer the worker is that owner: the extension gives
//! away what it has made, and nothing that the owner of before has put on it, or may still put on it. So each
//! part is locked first, by its OID; then it is looked at; then it is given away, by the name that it has
//! under the lock; and at last that name is seen to have led to it.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::privileges::revoke;
use super::relation::{lock, was_replaced};
use super::{altered, dropped, objects, refresh, triggers};
use crate::catalog;
use crate::postgres::error::{raise, raise_detailed};
use crate::postgres::key::PrimaryKey;
use crate::postgres::statement;
use crate::postgres::transaction::acting_as_extension;

/// For the event trigger: objects of these classes, with these OIDs, were made or altered.
///
/// A transaction that began with an older view of the data does not see a vectorizer that was made meanwhile.
#[pg_extern(sql = false)]
fn objects_altered(classes: Vec<Oid>, altered: Vec<Oid>) {
    let rewritten = altered::take_rewritten();
    statement::on_latest(|| {
        let sql = include_str!("../../sql/query/vectorizer/altered_vectorizers.sql");
        let arguments = [classes.into(), altered.clone().into()];
        let concerned = acting_as_extension(|| {
            statement::row(sql, &arguments, |row| {
                (row.must::<Vec<i32>>(1), row.must::<bool>(2), row.get::<String>(3))
            })
        });
        let (concerned, everywhere, planted) = concerned.expect("a statement without FROM answers");
        if let Some(name) = planted {
            raise(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("an index in the schema ai cannot be called {name}"),
                Some(
                    "In the schema of the extension, names of indexes begin with that of their table and an underscore.",
                ),
            );
        }
        let names = include_str!("../../sql/query/vectorizer/altered_names.sql");
        acting_as_extension(|| dropped::tell_of_code_of_others(statement::rows(names, &arguments, |row| row.must(1))));
        // Most of what a database is told concerns no vectorizer, and should not wait for what follows.
        if concerned.is_empty() && !everywhere {
            return;
        }
        // First: what is made anew is made for the owner of the source.
        acting_as_extension(|| hand_over(&altered));
        for id in concerned {
            refresh::follow_alteration(id, &rewritten);
            acting_as_extension(|| altered::tell_of_enabled_triggers(id));
        }
        if everywhere {
            refresh::refresh_triggers();
        }
        acting_as_extension(|| follow_persistence(&altered));
    });
}

/// The new owner of a source gets what belongs to it.
fn hand_over(sources: &[Oid]) {
    for seen in Handover::read(sources) {
        for relation in seen.tables.iter().chain(&seen.view) {
            lock(*relation);
        }
        // Who held one of the locks may have changed something meanwhile.
        match Handover::read(sources).into_iter().find(|now| now.id == seen.id) {
            Some(now) if now == seen => seen.give(),
            Some(_) => was_replaced(&format!("a part of vectorizer {}", seen.id)),
            None => (),
        }
    }
}

/// A vectorizer whose source has another owner than something else of it.
#[derive(PartialEq)]
struct Handover {
    id: i32,
    source: Oid,
    /// The owner of the source, also as SQL has it.
    heir: Oid,
    heir_name: String,
    /// Queue, failed queue, intake and destination.
    tables: Vec<Oid>,
    intake: Option<Oid>,
    target: Option<Oid>,
    view: Option<Oid>,
    /// Stem of the names of the triggers.
    trigger: String,
    partitioned: bool,
    source_pk: String,
}

/// A part of a vectorizer: its name, its owner, and what keeps it from changing hands.
struct OwnedPart {
    oid: Oid,
    name: String,
    owner: Oid,
    burden: Option<String>,
}

impl OwnedPart {
    fn read(sql: &str, oid: Oid, arguments: &[pgrx::datum::DatumWithOid]) -> Option<OwnedPart> {
        statement::row(sql, arguments, |row| OwnedPart {
            oid,
            name: row.must(1),
            owner: row.must(2),
            burden: row.get(3),
        })
    }
}

impl Handover {
    fn read(sources: &[Oid]) -> Vec<Handover> {
        let sql = include_str!("../../sql/query/owner/handed_over.sql");
        statement::rows(sql, &[sources.to_vec().into()], |row| Handover {
            id: row.must("id"),
            source: row.must("source"),
            heir: row.must("heir"),
            heir_name: row.must("heir_name"),
            tables: row.must("tables"),
            intake: row.get("intake"),
            target: row.get("target"),
            view: row.get("view"),
            trigger: row.must("trigger_name"),
            partitioned: row.must("partitioned"),
            source_pk: row.must("source_pk"),
        })
    }

    /// Everything is locked.
    fn give(&self) {
        let tables: Vec<OwnedPart> = self.tables.iter().filter_map(|table| self.table(*table)).collect();
        // What is the new owner's already was for that to look at.
        let strange = |part: &&OwnedPart| part.owner != self.heir;
        let function = self.function().filter(|function| function.owner != self.heir);
        let strangers: Vec<&OwnedPart> = tables.iter().filter(strange).chain(&function).collect();
        let Some(giver) = strangers.first().map(|part| part.owner) else {
            self.give_view(None);
            return;
        };
        for part in &strangers {
            if part.owner != giver {
                self.refuse(&part.name, "it belongs to another role than the rest");
            }
            if let Some(burden) = &part.burden {
                self.refuse(&part.name, burden);
            }
        }
        self.give_view(Some(giver));
        // The function before the tables: each change of those has it looked for.
        if let Some(function) = &function {
            let name = &function.name;
            statement::run(&format!("ALTER FUNCTION {name}() OWNER TO {}", self.heir_name), &[]);
            let sql = "SELECT p.proowner = $3 FROM pg_proc p WHERE p.oid = $1 AND p.oid = to_regprocedure($2 || '()')";
            let arguments = [function.oid.into(), name.as_str().into(), self.heir.into()];
            if statement::row(sql, &arguments, |row| row.must::<bool>(1)) != Some(true) {
                was_replaced(name);
            }
        }
        for table in tables.iter().filter(strange) {
            self.give_relation("TABLE", table.oid, &table.name);
            let sql = include_str!("../../sql/query/owner/identity_sequences.sql");
            let sequences = statement::rows(sql, &[table.oid.into()], |row| (row.must(1), row.must::<String>(2)));
            for (sequence, name) in sequences {
                revoke("ALL ON SEQUENCE", sequence, &name);
                self.must_be_given(sequence, &name);
            }
        }
        // Each of them was looked at. One that changed hands in another way is for the new owner to look at, and so
        // is what the one before has put on the source.
        if !tables.iter().all(|part| strange(&part)) {
            return;
        }
        match catalog::burden_of_source(self.id) {
            None => _ = statement::run("SELECT ai._hand_over($1)", &[self.id.into()]),
            Some(there) => self.stand_still(giver, &there),
        }
    }

    /// What is on the source runs with each statement on it, and the worker's would run it as the new owner, who has
    /// asked for none of them.
    fn stand_still(&self, giver: Oid, there: &str) {
        // Where it is not known yet for whom it works, that would be the owner of now; and one that has been that owner
        // before has not looked at what has come meanwhile.
        let sql = include_str!("../../sql/query/owner/works_for.sql");
        statement::run(sql, &[self.id.into(), giver.into()]);
        let message = format!(
            "vectorizer {} stands still until {} has looked at its source: on it is {there}",
            self.id, self.heir_name
        );
        let (_, hint) = catalog::of_stranger(None, &self.heir_name, None);
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai")
            .set_hint(hint)
            .report(PgLogLevel::WARNING);
    }

    fn table(&self, table: Oid) -> Option<OwnedPart> {
        let sql = include_str!("../../sql/query/owner/burden_of_table.sql");
        let (is_target, is_intake) = (self.target == Some(table), self.intake == Some(table));
        let arguments = [table.into(), self.source.into(), is_target.into(), is_intake.into()];
        OwnedPart::read(sql, table, &arguments)
    }

    /// The function of the triggers, by what they call: its name in the catalogue may be another function's by now.
    fn function(&self) -> Option<OwnedPart> {
        let sql = include_str!("../../sql/query/trigger/triggers_of_source.sql");
        let called = statement::rows(sql, &[self.source.into()], |row| {
            (row.must::<String>(1), row.get::<Oid>(2))
        });
        let mut functions: Vec<Option<Oid>> = Vec::new();
        for (suffix, appends) in triggers::suffixes(self.partitioned) {
            let name = format!("{}{suffix}", self.trigger);
            match called.iter().find(|(called, _)| *called == name) {
                // Version 0.1.0 had its function called for all.
                Some((_, None)) if appends => (),
                Some((_, Some(function))) => functions.push(Some(*function)),
                _ => self.refuse(
                    "its source",
                    &format!("the trigger {name} is missing, or is not as it was made"),
                ),
            }
        }
        functions.dedup();
        let [Some(function)] = functions[..] else {
            self.refuse("its source", "its triggers call different functions");
        };
        let sql = include_str!("../../sql/query/owner/burden_of_function.sql");
        OwnedPart::read(sql, function, &[function.into(), self.source.into()])
    }

    /// Gives a relation that has been looked at, and takes from all others what they could put code on it with.
    fn give_relation(&self, kind: &str, relation: Oid, name: &str) {
        statement::run(&format!("ALTER {kind} {name} OWNER TO {}", self.heir_name), &[]);
        let privileges = if cfg!(any(feature = "pg17", feature = "pg18")) {
            "TRIGGER, REFERENCES, TRUNCATE, MAINTAIN ON"
        } else {
            "TRIGGER, REFERENCES, TRUNCATE ON"
        };
        revoke(privileges, relation, name);
        self.must_be_given(relation, name);
    }

    fn must_be_given(&self, relation: Oid, name: &str) {
        let sql = include_str!("../../sql/query/owner/is_handed_over.sql");
        if statement::row(sql, &[relation.into(), self.heir.into()], |row| row.must::<bool>(1)) != Some(true) {
            was_replaced(name);
        }
    }

    /// A view reads tables and runs functions as its owner: it is given away where it is the query that the
    /// vectorizer would make, and stays with its owner otherwise.
    fn give_view(&self, giver: Option<Oid>) {
        let Some(view) = self.view else { return };
        let sql = include_str!("../../sql/query/destination/view_of_chunks.sql");
        let found = statement::row(sql, &[view.into()], |row| {
            (row.must::<String>(1), row.must::<Oid>(2), row.get::<Vec<String>>(3))
        });
        let Some((name, owner, columns)) = found else { return };
        if owner == self.heir {
            return;
        }
        let is_as_made = columns.is_some_and(|columns| giver == Some(owner) && self.would_make(view, &columns));
        if is_as_made {
            self.give_relation("VIEW", view, &name);
            return;
        }
        let message = format!("the view {name} is not as its vectorizer made it: it stays with its owner");
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai")
            .set_hint(
                "It would read tables, or run functions, as the new owner. Look at it, and give it to the new owner by itself.",
            )
            .report(PgLogLevel::WARNING);
        statement::run("UPDATE ai._vectorizer SET view = NULL WHERE id = $1", &[self.id.into()]);
    }

    /// Whether a view with these columns is what would be made of source and destination now.
    fn would_make(&self, view: Oid, columns: &[String]) -> bool {
        let Some(target) = self.target else { return false };
        let source_pk = serde_json::from_str(&self.source_pk).unwrap_or_default();
        let Some(key) = PrimaryKey::current(self.source, &source_pk) else {
            return false;
        };
        // Where only the extension may create.
        let twin = format!("ai._vectorizer_view_{}", self.id);
        if !objects::make_twin(&twin, columns, self.source, target, &key) {
            return false;
        }
        let sql = include_str!("../../sql/query/destination/views_are_equal.sql");
        let made = statement::row("SELECT $1::regclass::oid", &[twin.as_str().into()], |row| {
            row.must::<Oid>(1)
        });
        let made = made.expect("a value is cast to one value");
        let is_equal = statement::row(sql, &[view.into(), made.into()], |row| row.must::<bool>(1));
        statement::run(&format!("DROP VIEW {twin}"), &[]);
        is_equal == Some(true)
    }

    fn refuse(&self, name: &str, burden: &str) -> ! {
        let message = format!(
            "the table cannot change hands: {name} belongs to its vectorizer {} and is not as that made it",
            self.id
        );
        let hint = format!(
            "What is on it would run as {}. Take that away, or drop the vectorizer with ai.drop_vectorizer first.",
            self.heir_name
        );
        let detail = format!("Of {name}: {burden}.");
        raise_detailed(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            message,
            detail,
            Some(&hint),
        )
    }
}

/// After a crash source, queue and destination are empty, or none of them.
fn follow_persistence(sources: &[Oid]) {
    let sql = include_str!("../../sql/query/owner/other_persistence.sql");
    let read = || {
        statement::rows(sql, &[sources.to_vec().into()], |row| {
            (row.must::<Oid>(1), row.must::<bool>(2))
        })
    };
    let others = read();
    for (table, _) in &others {
        lock(*table);
    }
    for (table, unlogged) in read().into_iter().filter(|other| others.contains(other)) {
        let name = statement::row("SELECT $1::regclass::text", &[table.into()], |row| {
            row.must::<String>(1)
        });
        let name = name.expect("a value is cast to one value");
        let persistence = if unlogged { "UNLOGGED" } else { "LOGGED" };
        statement::run(&format!("ALTER TABLE {name} SET {persistence}"), &[]);
        if read().iter().any(|(other, _)| *other == table) {
            was_replaced(&name);
        }
    }
}

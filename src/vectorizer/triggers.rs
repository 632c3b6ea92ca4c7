//! The triggers on a source table, and the function that they call.
//!
//! The function names tables and columns, so it is made anew whenever one of them is renamed or the columns of the
//! source change: the catalogue knows them by number.

use pgrx::pg_sys::Oid;

use super::relation::{altering, was_replaced};
use crate::catalog::extension::trigger_goes_with_extension;
use crate::intake;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::statement::{self, fill, identifier};

/// What goes into a trigger function. Quoted names with schemas.
pub struct TriggerFunction<'a> {
    pub id: i32,
    pub function: &'a str,
    pub source: Oid,
    pub source_name: &'a str,
    pub queue: &'a str,
    pub failed: &'a str,
    pub intake: &'a str,
    /// `None`: the vectors go into a column of the source.
    pub target: Option<&'a str>,
    pub key: &'a PrimaryKey,
    pub partitioned: bool,
    /// Whether its constraint may be checked late.
    pub deferrable: bool,
    /// Columns of the source that hold vectors of ours: their changes are no news.
    pub embedding_columns: &'a [String],
}

impl TriggerFunction<'_> {
    pub fn body(&self) -> String {
        let row = self.fill(include_str!("../../sql/query/trigger/row_trigger_body.sql"), true, "");
        if self.partitioned {
            // A column of the source may be called found, or old.
            return format!("#variable_conflict use_column\n{row}");
        }
        self.fill(
            include_str!("../../sql/query/trigger/trigger_body.sql"),
            false,
            row.trim_end(),
        )
    }

    fn fill(&self, template: &str, is_by_row: bool, by_row: &str) -> String {
        let key = self.key;
        let (old, new) = if is_by_row { ("old", "new") } else { ("o", "n") };
        let (old, new, queued) = ((old, In::Source), (new, In::Source), ("q", In::Queue));
        let target_is_old = key.same(("t", In::Target), old);
        // Two rows may share a key of a deferrable constraint until it is checked: one of them may have left,
        // and the other may be the news.
        let is_filtered = |table: &str| format!("row_security_active({}::regclass)", statement::literal(table));
        let gone = if self.deferrable {
            let stays = key.same(("s", In::Source), old);
            format!(
                " AND NOT {} AND NOT EXISTS (SELECT FROM {} s WHERE {stays})",
                is_filtered(self.source_name),
                self.source_name
            )
        } else {
            String::new()
        };
        let remove_deleted = match (self.target, is_by_row) {
            (None, _) => String::new(),
            (Some(target), true) => format!("DELETE FROM {target} t WHERE {target_is_old}{gone};"),
            (Some(target), false) => format!("DELETE FROM {target} t USING old_rows o WHERE {target_is_old}{gone};"),
        };
        // Where a policy applies to the owner, it may hide what is to be removed: the worker clears that away
        // once it may.
        let filtered = [Some(self.source_name), self.target, Some(self.queue), Some(self.failed)];
        let filtered: Vec<String> = filtered.into_iter().flatten().map(is_filtered).collect();
        let emptied = [self.target, Some(self.queue), Some(self.failed), Some(self.intake)];
        let emptied: Vec<&str> = emptied.into_iter().flatten().collect();
        fill(
            template,
            &[
                ("by_row", by_row),
                ("id", &self.id.to_string()),
                ("emptied", &emptied.join(", ")),
                ("queue", self.queue),
                ("intake", self.intake),
                ("intake_literal", &statement::literal(self.intake)),
                ("queue_literal", &statement::literal(self.queue)),
                ("failed_literal", &statement::literal(self.failed)),
                (
                    "target_literal",
                    &self.target.map_or("NULL".to_owned(), statement::literal),
                ),
                ("source_literal", &statement::literal(self.source_name)),
                ("failed", self.failed),
                ("pk", &key.list("", In::Queue)),
                ("new_pk", &key.list(&format!("{}.", new.0), In::Source)),
                ("old_pk", &key.list(&format!("{}.", old.0), In::Source)),
                ("queue_is_old", &key.same(queued, old)),
                ("new_is_old", &key.same(new, old)),
                ("gone", &gone),
                ("filtered", &filtered.join(" OR ")),
                ("old_key", &format!("jsonb_build_object({})", key.labelled(old))),
                ("new_key", &format!("jsonb_build_object({})", key.labelled(new))),
                ("remove_deleted", &remove_deleted),
                // In a column the vector goes with its row: nothing was removed that could tell.
                (
                    "deleted_was_embedded",
                    if self.target.is_some() { "FOUND" } else { "true" },
                ),
                ("old_row", &self.row(old.0)),
                ("new_row", &self.row(new.0)),
            ],
        )
    }

    /// Makes the function. Never over one that is there already: it may be another role's.
    pub fn create(&self) {
        define("CREATE", self.function, &self.body());
    }

    /// The row that is compared: whole, or without the columns that hold our vectors.
    fn row(&self, alias: &str) -> String {
        if self.embedding_columns.is_empty() {
            return format!("{alias}.*");
        }
        let sql = include_str!("../../sql/query/source/source_columns.sql");
        let columns: Vec<String> = statement::rows(sql, &[self.source.into()], |row| row.must(1));
        let compared = columns.iter().filter(|name| !self.embedding_columns.contains(name));
        let compared: Vec<String> = compared.map(|name| format!("{alias}.{}", identifier(name))).collect();
        format!("ROW({})", compared.join(", "))
    }
}

/// The function itself, its body as a literal.
pub fn define(create: &str, function: &str, body: &str) {
    let body = statement::literal(body);
    let names = [("create", create), ("function", function), ("body", &body)];
    let sql = fill(
        include_str!("../../sql/query/trigger/create_trigger_function.sql"),
        &names,
    );
    statement::run(&sql, &[]);
}

/// A trigger of a source.
struct Trigger {
    /// What is behind the stem in its name.
    suffix: &'static str,
    event: &'static str,
    each: &'static str,
    /// It calls `ai._append_change`, and not the function of the vectorizer.
    appends: bool,
}

const PLAIN: [Trigger; 3] = [
    Trigger {
        suffix: "",
        event: "INSERT OR UPDATE",
        each: "FOR EACH ROW",
        appends: true,
    },
    Trigger {
        suffix: intake::BY_FUNCTION,
        event: "DELETE",
        each: "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
        appends: false,
    },
    ON_TRUNCATE,
];
/// A trigger by statement of the parent does not see statements on its partitions.
const PARTITIONED: [Trigger; 2] = [
    Trigger {
        suffix: "",
        event: "INSERT OR UPDATE OR DELETE",
        each: "FOR EACH ROW",
        appends: false,
    },
    ON_TRUNCATE,
];
const ON_TRUNCATE: Trigger = Trigger {
    suffix: "_truncate",
    event: "TRUNCATE",
    each: "FOR EACH STATEMENT",
    appends: false,
};

fn kinds(partitioned: bool) -> &'static [Trigger] {
    if partitioned { &PARTITIONED } else { &PLAIN }
}

/// What is behind the stem in the names of the triggers of a source, and whether they call `ai._append_change`.
pub fn suffixes(partitioned: bool) -> impl Iterator<Item = (&'static str, bool)> {
    kinds(partitioned)
        .iter()
        .map(|trigger| (trigger.suffix, trigger.appends))
}

/// Puts the triggers on the source.
pub fn create(id: i32, source: &str, stem: &str, function: &str, partitioned: bool) {
    for trigger in kinds(partitioned) {
        create_one(trigger, id, source, stem, function);
    }
}

fn create_one(trigger: &Trigger, id: i32, source: &str, stem: &str, function: &str) {
    let name = identifier(&format!("{stem}{}", trigger.suffix));
    let (event, each) = (trigger.event, trigger.each);
    let call = if trigger.appends {
        format!("ai._append_change({id})")
    } else {
        format!("{function}()")
    };
    let sql = format!("CREATE TRIGGER {name} AFTER {event} ON {source} {each} EXECUTE FUNCTION {call}");
    statement::run(&sql, &[]);
}

/// The triggers go with the extension.
pub fn depend_on_extension(source: &str, stem: &str, partitioned: bool) {
    for trigger in kinds(partitioned) {
        trigger_goes_with_extension(source, &format!("{stem}{}", trigger.suffix));
    }
}

/// Suffix of the name of the trigger that only replicas fire.
pub const FOR_REPLICAS: &str = "_replica";

/// A source and what watches it. Quoted names with schemas.
pub struct Watched {
    pub source: Oid,
    pub function: String,
    /// Stem of the names of the triggers.
    pub stem: String,
    pub partitioned: bool,
    pub follows_replication: bool,
}

/// Puts the trigger on a source that fires for what logical replication applies, and for nothing else.
pub fn create_for_replicas(watched: &Watched) {
    let function = &watched.function;
    let plain = format!("{}{FOR_REPLICAS}", watched.stem);
    let name = identifier(&plain);
    let kind = "AFTER INSERT OR UPDATE OR DELETE";
    altering(watched.source, |source| {
        for sql in [
            format!("CREATE TRIGGER {name} {kind} ON {source} FOR EACH ROW EXECUTE FUNCTION {function}()"),
            format!("ALTER TABLE {source} ENABLE REPLICA TRIGGER {name}"),
        ] {
            statement::run(&sql, &[]);
        }
        trigger_goes_with_extension(source, &plain);
    });
    // Also where the names were given back meanwhile.
    let sql = "SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid \
               WHERE t.tgrelid = $1 AND t.tgname = $2::name AND t.tgenabled = 'R' AND p.proowner = c.relowner";
    let arguments = [watched.source.into(), format!("{}{FOR_REPLICAS}", watched.stem).into()];
    if statement::row(sql, &arguments, |_| ()).is_none() {
        was_replaced("the function of the triggers, or their table,");
    }
}

/// Puts the trigger by row where version 0.1.0 had two by statement, which are called so, and off
/// where one was off.
pub fn replace_old(id: i32, source: Oid, stem: &str, function: &str, old: &[(String, bool)]) {
    // That they are lost need not be told.
    statement::run("SET LOCAL client_min_messages = warning", &[]);
    altering(source, |source| {
        for (trigger, _) in old {
            statement::run(&format!("DROP TRIGGER {trigger} ON {source}"), &[]);
        }
        let trigger = &PLAIN[0];
        create_one(trigger, id, source, stem, function);
        let name = format!("{stem}{}", trigger.suffix);
        trigger_goes_with_extension(source, &name);
        let name = identifier(&name);
        if old.iter().any(|(_, is_disabled)| *is_disabled) {
            statement::run(&format!("ALTER TABLE {source} DISABLE TRIGGER {name}"), &[]);
        }
    });
}

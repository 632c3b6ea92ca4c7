//! The triggers on the sources of vectorizers, by which a worker knows what has changed.

use std::collections::HashMap;

use pgrx::pg_sys::{self, Oid};

use super::definition::Definition;
use crate::postgres::relation::{Function, Relation, owner_of, trigger_function};
use crate::postgres::statement::{self, qualified};

/// A trigger, by the function that it calls.
#[derive(Clone, Copy, Debug)]
struct NamedTrigger {
    function: Oid,
    is_enabled: bool,
}

/// The triggers on the sources of some vectorizers.
pub struct Triggers {
    /// By source and name.
    called: HashMap<(Oid, String), NamedTrigger>,
    /// The function of ours that writes to intakes.
    append_change: Option<Oid>,
}

/// The triggers on the sources of these vectorizers.
pub fn triggers_called(vectorizers: &[Definition]) -> Triggers {
    let mut sources: Vec<Oid> = vectorizers.iter().map(|vectorizer| vectorizer.source).collect();
    sources.dedup();
    let sql = include_str!("../../sql/query/vectorizer/triggers_called.sql");
    let called = statement::rows(sql, &[sources.into()], |row| {
        let trigger = NamedTrigger {
            function: row.must("function"),
            is_enabled: row.must("is_enabled"),
        };
        ((row.must("source"), row.must("name")), trigger)
    });
    Triggers {
        called: called.into_iter().collect(),
        append_change: trigger_function("ai._append_change"),
    }
}

impl Triggers {
    /// The function of the triggers of a vectorizer, where it was renamed or moved: by what the triggers call now, as
    /// what has its name by now may be another. Only a function of the owner of the source: it is made anew, and it
    /// may not matter who wrote it.
    pub fn moved_function(&self, vectorizer: &Definition) -> Option<String> {
        let owner = owner_of(vectorizer.source)?;
        // The last of them by name.
        let (oid, function) = ["_truncate", "_delete", ""].iter().find_map(|suffix| {
            let name = format!("{}{suffix}", vectorizer.trigger_name);
            let oid = self.called.get(&(vectorizer.source, name))?.function;
            let function = Function::of(oid).filter(|function| function.owner == owner)?;
            (Some(oid) != self.append_change).then_some((oid, function))
        })?;
        let is_moved = trigger_function(&vectorizer.trigger_function) != Some(oid);
        is_moved.then(|| qualified(&function.schema, &function.name))
    }

    /// Whether all triggers of a vectorizer are on its source and enabled, as `ai._watched_vectorizer` has it: a table
    /// that is being restored has none yet.
    pub fn watch(&self, vectorizer: &Definition) -> bool {
        let Some(source) = Relation::of(vectorizer.source) else {
            return false;
        };
        let function = trigger_function(&vectorizer.trigger_function);
        let replica = format!("{}_replica", vectorizer.trigger_name);
        let is_its = |name: &str, called: Oid| {
            Some(called) == function && name != replica
                || Some(called) == self.append_change && name == vectorizer.trigger_name
        };
        let there = self.called.iter().filter(|((source, name), trigger)| {
            *source == vectorizer.source && trigger.is_enabled && is_its(name, trigger.function)
        });
        let all = if source.kind == pg_sys::RELKIND_PARTITIONED_TABLE {
            2
        } else {
            3
        };
        there.count() == all
    }
}

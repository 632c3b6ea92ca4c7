//! The names that the catalogue keeps: of the columns that a configuration speaks of, of the primary key, and of the
//! destination. They follow the tables by number and OID; in a row that came out of a dump the numbers are those of
//! another cluster, and the names hold.

use ai_pipeline::format::Template;
use litemap::LiteMap;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::extension::table_goes_with_extension;
use crate::postgres::error::raise;
use crate::postgres::json::JsonB;
use crate::postgres::statement;

/// What the catalogue says of the names of a vectorizer.
#[derive(Clone, PartialEq)]
struct Names {
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
    struct Known {
        id: i32,
        name: String,
        queues: Vec<Oid>,
        kept: Names,
        here: String,
        attributes: LiteMap<String, i64>,
        destination: [Option<JsonB>; 2],
    }
    let object = |json: Option<JsonB>| -> LiteMap<String, i64> {
        json.and_then(|json| serde_json::from_value(json.0).ok())
            .unwrap_or_default()
    };
    let ids = ids.map(<[i32]>::to_vec);
    let functions = include_str!("../../sql/query/vectorizer/follow_functions.sql");
    let moved: Vec<(i32, String)> = statement::rows(functions, &[ids.clone().into()], |row| (row.must(1), row.must(2)));
    // What another transaction is about to change is followed when that is done; nothing waits for it.
    let may_write = |id: i32| {
        let sql = include_str!("../../sql/query/vectorizer/lock_vectorizer.sql");
        altered == Some(id) || statement::row(sql, &[id.into()], |_| ()).is_some()
    };
    for (id, function) in moved {
        if !may_write(id) {
            continue;
        }
        let sql = "UPDATE ai._vectorizer SET trigger_function = $2 WHERE id = $1";
        statement::run(sql, &[id.into(), function.as_str().into()]);
    }
    let sql = include_str!("../../sql/query/vectorizer/follow_owner.sql");
    let unfollowed: Vec<i32> = statement::rows(sql, &[ids.clone().into()], |row| row.must(1));
    for id in unfollowed.into_iter().filter(|id| may_write(*id)) {
        // Asked once more: the source may just have changed hands.
        let sql = include_str!("../../sql/query/vectorizer/own.sql");
        statement::run(sql, &[id.into()]);
    }
    let read = |row: &statement::Row| {
        Some(Known {
            id: row.must("id"),
            name: row.must("name"),
            queues: row.must("queues"),
            kept: Names {
                // What cannot be read is its own: the worker says so.
                config: serde_json::from_str(&row.get::<String>("config")?).ok()?,
                source_pk: row.must::<JsonB>("source_pk").0,
                columns: object(row.get("columns")),
                place: row.must("place"),
            },
            here: row.must("here"),
            attributes: object(row.get("attributes")),
            destination: [row.get("target"), row.get("view")],
        })
    };
    let known = statement::rows(
        include_str!("../../sql/query/vectorizer/vectorizer_names.sql"),
        &[ids.into()],
        read,
    );
    let mut replaced = Vec::new();
    for vectorizer in known.into_iter().flatten() {
        let mut names = vectorizer.kept.clone();
        let followed = names.follow(&vectorizer.attributes, &vectorizer.here);
        if followed == Ok(true) {
            replaced.push(vectorizer.id);
        }
        if let Err(column) = followed {
            if altered != Some(vectorizer.id) {
                continue;
            }
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_NAME,
                format!(
                    "the template of vectorizer {} cannot name a column {column:?}",
                    vectorizer.name
                ),
                Some("Choose a name of ASCII letters, digits and _, other than chunk."),
            );
        }
        // Of a row that was changed by hand anything may be read.
        let has_destination = names.config["destination"].is_object();
        for JsonB(parts) in vectorizer.destination.into_iter().flatten().filter(|_| has_destination) {
            for (key, name) in parts.as_object().into_iter().flatten() {
                names.config["destination"][key] = name.clone();
            }
        }
        if names == vectorizer.kept {
            continue;
        }
        if !may_write(vectorizer.id) {
            continue;
        }
        let moved = names.place != vectorizer.kept.place;
        let written = statement::run(
            include_str!("../../sql/query/vectorizer/follow_names.sql"),
            &[
                vectorizer.id.into(),
                JsonB(names.config).into(),
                JsonB(names.source_pk).into(),
                JsonB(json!(names.columns)).into(),
                names.place.into(),
                vectorizer.kept.place.into(),
            ],
        );
        if moved && written > 0 {
            vectorizer.queues.into_iter().for_each(table_goes_with_extension);
        }
    }
    replaced
}

impl Names {
    /// Takes the names of `attributes` over, or, where the numbers do not hold, their numbers. Whether a column of the
    /// configuration is another than before, of the same name; `Err` is a column that the template cannot name.
    fn follow(&mut self, attributes: &LiteMap<String, i64>, here: &str) -> Result<bool, String> {
        let holds = self.place == here;
        self.place = here.to_owned();
        let called = |number: Option<i64>| {
            let found = attributes.iter().find(|(_, known)| Some(**known) == number);
            found.filter(|_| holds).map(|(name, _)| name.clone())
        };
        for column in self.source_pk.as_array_mut().into_iter().flatten() {
            let Some(name) = column["attname"].as_str().map(str::to_owned) else {
                continue;
            };
            if !holds {
                column["attnum"] = attributes.get(&name).copied().unwrap_or_default().into();
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
            if let Some(number) = attributes.get(&now) {
                is_replaced |= holds && self.columns.get(&name) != Some(number);
                columns.insert(now.clone(), *number);
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

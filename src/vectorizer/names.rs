//! The names of what a vectorizer is made of.

use ai_pipeline::config::Destination;
use ai_pipeline::config::document::DestinationChoice;

/// Names of Postgres end after this many bytes.
const NAME_BYTES: usize = 63;

/// Columns of the queue that are not the primary key's: a key column of such a name is stored as `pk_…`.
/// (`class` is what version 0.1.0 called `failure_class`; the queues that it made have `pk_class` for such a
/// key.)
pub const QUEUE_COLUMNS: [&str; 16] = [
    "queued_at",
    "loading_retries",
    "loading_retry_after",
    "item",
    "version",
    "backfill",
    "attempts",
    "crashes",
    "lease",
    "lease_taken_at",
    "lease_expires_at",
    "created_at",
    "failure_step",
    "class",
    "failure_class",
    "reason",
];

/// Columns of the destination that are not the primary key's.
pub const TARGET_COLUMNS: [&str; 4] = ["embedding_uuid", "chunk_seq", "chunk", "embedding"];

/// Table and view, from what `ai.destination_table` was given, by pgai's rules, but `view_schema` counts; or
/// the column.
pub fn destination(choice: DestinationChoice, source_schema: &str, source_table: &str) -> Destination {
    let (base, target_schema, target_table, view_schema, view_name) = match choice {
        DestinationChoice::Column { embedding_column } => return Destination::Column { embedding_column },
        DestinationChoice::Table {
            destination,
            target_schema,
            target_table,
            view_schema,
            view_name,
        } => (destination, target_schema, target_table, view_schema, view_name),
    };
    // Of a name that fills a name of Postgres nothing is left that would tell what is derived from it apart.
    let view = view_name.or(base.clone());
    let view = view.unwrap_or_else(|| match cut(format!("{source_table}_embedding")) {
        same if same == source_table => with_suffix(source_table, "_embedding"),
        view => view,
    });
    let stem = base.unwrap_or_else(|| format!("{source_table}_embedding"));
    let target_table = target_table.unwrap_or_else(|| match cut(format!("{stem}_store")) {
        same if same == view || same == source_table => with_suffix(&stem, "_store"),
        table => table,
    });
    Destination::Table {
        target_schema: target_schema.unwrap_or_else(|| source_schema.to_owned()),
        target_table,
        view_schema: view_schema.unwrap_or_else(|| source_schema.to_owned()),
        view_name: view,
    }
}

/// As much of a name as leaves room for what is behind it.
fn with_suffix(stem: &str, suffix: &str) -> String {
    let mut end = stem.len().min(NAME_BYTES - suffix.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &stem[..end])
}

/// The name of a vectorizer that was given none. Names of vectorizers are narrower than those of tables: what does not
/// fit becomes an underscore.
pub fn derived(destination: &Destination, source_schema: &str, source_table: &str) -> String {
    let full = match destination {
        Destination::Table {
            target_schema,
            target_table,
            ..
        } => format!("{target_schema}_{target_table}"),
        Destination::Column { embedding_column } => format!("{source_schema}_{source_table}_{embedding_column}"),
    };
    let mut name: String = full
        .chars()
        .map(|character| match character.to_ascii_lowercase() {
            fits @ ('a'..='z' | '0'..='9' | '_') => fits,
            _ => '_',
        })
        .collect();
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.insert_str(0, "v_");
    }
    cut(name)
}

/// A derived name that is taken, with a number behind it that nobody has guessed.
pub fn numbered(name: &str, number: u32) -> String {
    // Of one length, so that the name can be told from its number. It holds ASCII only.
    let mut name = name.to_owned();
    name.truncate(NAME_BYTES - 11);
    format!("{name}_{number:010}")
}

/// Whether a vectorizer may be called so: what the constraint of `ai._vectorizer` says.
pub fn fits(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|character| matches!(character, 'a'..='z' | '0'..='9' | '_'))
}

/// The name as far as Postgres would read it.
pub fn cut(mut name: String) -> String {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

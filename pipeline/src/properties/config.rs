//! Configurations: any JSON is refused, or is the same after it was written and read again.

use litemap::LiteMap;
use serde_json::{Value, json};

use super::{Dice, hold};
use crate::config::Config;
use crate::memory::Basis;

/// A configuration that works.
fn sane(dice: &mut Dice) -> Value {
    let embedding = match dice.below(3) {
        0 => json!({"implementation": "openai", "model": "m", "dimensions": 3, "api_key_name": "KEY"}),
        1 => json!({"implementation": "ollama", "model": "m", "dimensions": 3}),
        _ => {
            json!({"implementation": "voyageai", "model": "m", "dimensions": 3, "api_key_name": "KEY", "input_type": "document"})
        }
    };
    let chunking = match dice.below(3) {
        0 => json!({"implementation": "none"}),
        1 => json!({"implementation": "character_text_splitter", "chunk_size": 10, "chunk_overlap": 2,
                    "separator": "\n", "is_separator_regex": false}),
        _ => json!({"implementation": "recursive_character_text_splitter", "chunk_size": 10, "chunk_overlap": 2,
                    "separators": ["\n", ""], "is_separator_regex": true}),
    };
    json!({
        "version": "0.2.0",
        "loading": {"implementation": dice.one(&["uri", "column"]), "column_name": "uri", "retries": 6},
        "parsing": {"implementation": dice.one(&["auto", "none", "docling"])},
        "embedding": embedding,
        "chunking": chunking,
        "indexing": {"implementation": dice.one(&["none", "default"])},
        "formatting": {"implementation": "python_template", "template": "$title: $chunk"},
        "scheduling": {"implementation": "default"},
        "processing": {"implementation": "default"},
        "destination": {"implementation": "table", "target_schema": "a", "target_table": "b", "view_schema": "c", "view_name": "d"},
    })
}

fn absurd(dice: &mut Dice) -> Value {
    match dice.below(8) {
        0 => Value::Null,
        1 => json!(dice.one(&["", "openai", "none", "litellm", "\u{0}", "é"])),
        2 => json!(-(dice.below(10) as i64)),
        3 => json!(dice.next()),
        4 => json!(1e300),
        5 => json!([]),
        6 => json!({"implementation": dice.one(&["openai", "none", "azure"])}),
        _ => json!(dice.once_in(2)),
    }
}

/// Puts something else in the place of a member, or of one of its members.
fn changed(dice: &mut Dice, value: &mut Value) {
    let Some(members) = value.as_object_mut().filter(|members| !members.is_empty()) else {
        *value = absurd(dice);
        return;
    };
    let names: Vec<String> = members.keys().cloned().collect();
    let name = &names[dice.below(names.len())];
    match dice.below(6) {
        0 => drop(members.remove(name)),
        1 => drop(members.insert(
            dice.one(&["config_type", "user", "base_url", "server", "x"]).to_owned(),
            absurd(dice),
        )),
        2 => members[name] = absurd(dice),
        _ => changed(dice, &mut members[name]),
    }
}

#[test]
fn a_configuration_is_the_same_after_it_was_written() {
    hold(|dice| {
        let mut json = sane(dice);
        for _ in 0..dice.below(3) {
            changed(dice, &mut json);
        }
        let Ok(config) = serde_json::from_value::<Config>(json.clone()) else {
            return;
        };
        let written = serde_json::to_value(&config).unwrap();
        let again: Config = serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(config, again, "{json}");
        assert_eq!(serde_json::to_value(&again).unwrap(), written);
        let recipe = |config: &Config| Basis::new(config).recipe(None, &LiteMap::new());
        assert_eq!(recipe(&config), recipe(&again), "{json}");
        // What cannot work says so.
        let _ = config.embedding.resolve();
        let _ = crate::chunk::check_overlap(&config.chunking);
    });
}

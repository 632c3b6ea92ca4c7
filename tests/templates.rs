//! Columns in templates: what pgai's own worker makes of a value of each type, asked of a real one by
//! `tests/data/pgai/values.py`. A row whose text were another would be embedded again after a move.

mod support;

use serde_json::Value;
use support::Scene;

/// Columns of a vectorizer: their texts have to fit into what its model takes.
const AT_A_TIME: usize = 40;

#[test]
fn every_type_is_shown_as_pgai_shows_it() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    let values: Vec<Value> =
        serde_json::from_str(include_str!("../pipeline/tests/data/python_values.json")).expect("JSON");
    let part = |number: usize, name: &str| values[number][name].as_str();
    cluster.execute(include_str!("data/pgai/values.sql"));
    let columns = (0..values.len()).map(|number| format!("c{number} {}", part(number, "type").expect("a type")));
    let columns: Vec<String> = columns.collect();
    let literals = (0..values.len()).map(|number| part(number, "sql").expect("a value").to_owned());
    let literals: Vec<String> = literals.collect();
    cluster.execute(&format!(
        "CREATE TABLE everything (id int PRIMARY KEY, body text, {});
         INSERT INTO everything VALUES (1, 'chunk', {})",
        columns.join(", "),
        literals.join(", ")
    ));
    let numbers: Vec<usize> = (0..values.len()).collect();
    for (name, numbers) in numbers.chunks(AT_A_TIME).enumerate() {
        let template: String = numbers
            .iter()
            .map(|number| format!("<{number}>${{c{number}}}</{number}>"))
            .collect();
        cluster.execute(&format!(
            "SELECT ai.create_vectorizer('everything', destination => ai.destination_table('seen_{name}'),
                 loading => ai.loading_column('body'), chunking => ai.chunking_none(),
                 embedding => ai.embedding_openai('text-embedding-3-small', 8),
                 formatting => ai.formatting_python_template('$chunk {template}'))"
        ));
    }
    cluster.wait_until_settled();
    assert_eq!(scene.errors(), []);
    let mut differences = Vec::new();
    for (name, numbers) in numbers.chunks(AT_A_TIME).enumerate() {
        let chunk = cluster.value(&format!("SELECT chunk FROM seen_{name}_store"));
        for number in numbers {
            let shown = chunk
                .split_once(&format!("<{number}>"))
                .and_then(|(_, rest)| rest.split_once(&format!("</{number}>")));
            let shown = shown.map_or("nothing", |(shown, _)| shown);
            // Where pgai fails, a document should not: it gets Postgres' text.
            let wanted = part(*number, "python").or(part(*number, "text")).unwrap_or("None");
            if shown != wanted {
                differences.push(format!("{}\n  pgai: {wanted}\n  here: {shown}", columns[*number]));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        values.len(),
        differences.join("\n")
    );
    // What is read again is the same.
    for name in 0..values.len().div_ceil(AT_A_TIME) {
        let wrong = format!("SELECT problem FROM ai.verify_vectorizer('public_seen_{name}_store')");
        assert_eq!(cluster.column(&wrong), [""; 0]);
    }
}

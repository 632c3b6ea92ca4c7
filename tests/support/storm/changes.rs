//! What users do: the events of a storm that have to be followed, and what they are worth.

use std::time::Duration;

use super::{BREATH_MS, PARAGRAPHS, Storm, TABLES};

impl Storm {
    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A paragraph that nobody has seen; two of them are too long for one chunk.
    fn paragraph(&mut self) -> String {
        format!("Paragraph number {:09} of storm {:<10}.", self.next(), self.seed)
    }

    fn paragraphs(&mut self) -> Vec<String> {
        let number = 1 + self.dice.roll(PARAGRAPHS);
        (0..number).map(|_| self.paragraph()).collect()
    }

    /// Inputs that a document is worth: the text of a tag is not cut.
    fn worth(table: &str, paragraphs: &[String]) -> u64 {
        if table == "tag" { 1 } else { paragraphs.len() as u64 }
    }

    /// Paragraphs of a row that is embedded anew.
    fn worth_of_row(&self, table: &str, id: &str) -> u64 {
        let text = if table == "object" { "uri" } else { "body" };
        let texts = self.column(&format!("SELECT {text} FROM {table} WHERE id = {id} AND {text} <> ''"));
        let Some(text) = texts.first() else { return 0 };
        match table {
            "object" => {
                let key = text.rsplit('/').next().and_then(|key| self.objects.get(key));
                key.map_or(PARAGRAPHS, |paragraphs| paragraphs.len() as u64)
            }
            "note" => text.split("\n\n").count() as u64,
            _ => 1,
        }
    }

    fn some_id(&mut self, table: &str) -> Option<String> {
        let ids = self.column(&format!("SELECT id FROM {table} ORDER BY id"));
        // Often one that may be in flight at the moment.
        let recent = if self.dice.roll(2) == 0 {
            0
        } else {
            ids.len().saturating_sub(3)
        };
        self.dice.pick(&ids[recent..])
    }

    pub(super) fn some_object(&mut self) -> Option<String> {
        let keys: Vec<String> = self.objects.keys().cloned().collect();
        self.dice.pick(&keys)
    }

    pub(super) fn insert(&mut self, table: &str) {
        for _ in 0..=self.dice.roll(self.rows) {
            let id = self.next();
            let paragraphs = self.paragraphs();
            self.due += Storm::worth(table, &paragraphs);
            let value = match table {
                "object" => {
                    let key = format!("{id}.txt");
                    self.objects.insert(key.clone(), paragraphs);
                    self.put(&key)
                }
                _ => paragraphs.join("\n\n"),
            };
            let column = if table == "object" { "uri" } else { "body" };
            self.sql(&format!("INSERT INTO {table} (id, {column}) VALUES ({id}, '{value}')"));
        }
    }

    fn update(&mut self, table: &str) {
        let Some(id) = self.some_id(table) else { return };
        match (table, self.dice.roll(3)) {
            ("object", 0) => {
                // The address of another object, or the same.
                let Some(key) = self.some_object() else { return };
                self.due += self.objects[&key].len() as u64;
                let uri = self.scene.s3.uri(&key);
                self.sql(&format!("UPDATE object SET uri = '{uri}' WHERE id = {id}"));
            }
            ("object" | "note", 1) => self.sql(&format!("UPDATE {table} SET touched = touched + 1 WHERE id = {id}")),
            ("object", _) => self.change_object(),
            ("note", 0) => {
                // One paragraph more, at the beginning.
                self.due += 1;
                let paragraph = self.paragraph();
                let first = "nullif(split_part(body, E'\\n\\n', 1), '')";
                self.sql(&format!(
                    "UPDATE note SET body = concat_ws(E'\\n\\n', '{paragraph}', {first}) WHERE id = {id}"
                ));
            }
            _ => {
                let body = match self.dice.roll(6) {
                    0 => "NULL".to_owned(),
                    1 => "''".to_owned(),
                    _ => {
                        let paragraphs = self.paragraphs();
                        self.due += Storm::worth(table, &paragraphs);
                        format!("'{}'", paragraphs.join("\n\n"))
                    }
                };
                self.sql(&format!("UPDATE {table} SET body = {body} WHERE id = {id}"));
            }
        }
    }

    /// Another object under the same address; its rows are touched, which is how a user says so.
    fn change_object(&mut self) {
        let Some(key) = self.some_object() else { return };
        let uri = self.scene.s3.uri(&key);
        let rows = self.column(&format!("SELECT count(*) FROM object WHERE uri = '{uri}'"));
        let rows: u64 = rows[0].parse().expect("a count is a number");
        if self.dice.roll(2) == 0 {
            let paragraph = self.paragraph();
            let paragraphs = self.objects.get_mut(&key).expect("it was picked from them");
            paragraphs[0] = paragraph;
            self.due += rows;
        } else {
            let paragraphs = self.paragraphs();
            self.due += rows * paragraphs.len() as u64;
            self.objects.insert(key.clone(), paragraphs);
        }
        self.put(&key);
        self.sql(&format!("UPDATE object SET touched = touched + 1 WHERE uri = '{uri}'"));
    }

    /// An event of the quiet kind: what users do.
    pub fn change(&mut self) {
        let table = self.dice.pick(&TABLES).unwrap_or("note");
        match self.dice.roll(20) {
            0..=4 => self.insert(table),
            5..=8 => self.insert_and_change(),
            9..=13 => self.update(table),
            14..=15 => {
                let Some(id) = self.some_id(table) else { return };
                let new = self.next();
                self.due += self.worth_of_row(table, &id);
                self.sql(&format!("UPDATE {table} SET id = {new} WHERE id = {id}"));
            }
            16..=17 => {
                let Some(id) = self.some_id(table) else { return };
                self.sql(&format!("DELETE FROM {table} WHERE id = {id}"));
            }
            18 if self.dice.roll(2) == 0 => {
                // What never happened, and what happened all at once.
                let (id, other, paragraph) = (self.next(), self.next(), self.paragraph());
                self.sql(&format!(
                    "BEGIN; UPDATE note SET body = 'no' WHERE id % 2 = 0; INSERT INTO note VALUES ({id}, 'no'); ROLLBACK"
                ));
                self.due += 1;
                self.sql(&format!(
                    "BEGIN; INSERT INTO note VALUES ({other}, 'no'); UPDATE note SET body = '{paragraph}' WHERE id = {other}; COMMIT"
                ));
            }
            19 if self.dice.roll(4) == 0 => self.truncate(table),
            _ => self.insert_and_change(),
        }
    }

    /// Rows that nobody has looked at yet cost nothing when they go.
    fn truncate(&mut self, table: &str) {
        let (vectorizer, unseen) = match table {
            "note" => (2, "id NOT IN (SELECT id FROM note_embedding_store)"),
            "tag" => (3, "vector IS NULL"),
            _ => return self.sql(&format!("TRUNCATE {table}")),
        };
        let waits = format!(
            "(SELECT id FROM ai._vectorizer_intake_{vectorizer}
              UNION ALL SELECT id FROM ai._vectorizer_q_{vectorizer} WHERE lease IS NULL)"
        );
        // Nothing is taken that the lock keeps from being read.
        let rows = self.column(&format!(
            "BEGIN; LOCK TABLE {table};
             SELECT body FROM {table} WHERE body <> '' AND {unseen} AND id IN {waits} AND id NOT IN
                 (SELECT id FROM ai._vectorizer_q_{vectorizer} WHERE lease IS NOT NULL);
             TRUNCATE {table}; COMMIT"
        ));
        for body in rows {
            let paragraphs: Vec<String> = body.split("\n\n").map(str::to_owned).collect();
            self.due -= Storm::worth(table, &paragraphs);
        }
    }

    /// Changes of a row that come while the worker is at the one before.
    fn insert_and_change(&mut self) {
        let (id, table) = (self.next(), self.dice.pick(&["note", "tag"]).unwrap_or("note"));
        let first = self.paragraph();
        self.sql(&format!("INSERT INTO {table} (id, body) VALUES ({id}, '{first}')"));
        self.due += 1;
        for _ in 0..=self.dice.roll(2) {
            std::thread::sleep(Duration::from_millis(self.dice.roll(2 * BREATH_MS)));
            let paragraphs = self.paragraphs();
            self.due += Storm::worth(table, &paragraphs);
            let body = paragraphs.join("\n\n");
            self.sql(&format!("UPDATE {table} SET body = '{body}' WHERE id = {id}"));
        }
    }

    /// Many rows at once, each with one chunk.
    pub fn fill(&mut self, table: &str, rows: u64) {
        let from = self.counter + 1;
        self.counter += rows;
        self.due += rows;
        let (to, seed) = (self.counter, self.seed);
        self.sql(&format!(
            "INSERT INTO {table} (id, body) SELECT i, format('Row %s of storm %s', i, {seed}) FROM generate_series({from}, {to}) i"
        ));
    }
}

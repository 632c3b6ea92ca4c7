//! Random configurations, sane and absurd: none harms the server, no statement takes long, and the vectorizer of somebody else in the
//! same database goes on as if nothing were.
//!
//! A few hundred in `make test`; `make fuzz` makes ten thousand (CONFIGURATIONS, and SEED for other ones).

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use notes::EMBEDDING;
use support::{Cluster, Database, Scene};

/// Configurations of a run that only shows that it works.
const FEW: usize = 120;
/// What a statement may take, on a machine that does much else as well.
const LONGEST_STATEMENT: Duration = Duration::from_secs(5);
/// The same for a row of somebody else, from its commit to its vector. On a machine that has nothing else to do it is a second.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Vectorizers that are there at a time.
const AT_A_TIME: usize = 6;

/// Numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut random = self.0;
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((random ^ (random >> 31)) % end as u64).expect("less than a usize")
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn maybe(&mut self) -> bool {
        self.below(2) == 0
    }

    fn number(&mut self) -> String {
        let known = [
            "0",
            "1",
            "-1",
            "2",
            "7",
            "100",
            "800",
            "2147483647",
            "-2147483648",
            "NULL",
            "20000",
            "2000",
            "16000",
            "16001",
        ];
        if self.below(4) == 0 {
            self.one(&known).to_owned()
        } else {
            self.below(2000).to_string()
        }
    }

    /// A literal of text, or an expression that is one.
    fn text(&mut self) -> String {
        let known = [
            "''",
            "' '",
            "NULL",
            r"E'\n\n'",
            "'.'",
            "'(a+)+$'",
            "'(?:a|aa){18}(?=c)|a'",
            r"'(?<=a)b'",
            r"'\s'",
            r"'(\w)\1'",
            "'['",
            "'(?i)'",
            "'a{1000000}'",
            "repeat('(', 500)",
            "repeat('a|', 20000)",
            "repeat('\u{fc}', 70)",
            "'$chunk'",
            "'$$chunk'",
            "'${chunk}'",
            "'$chunk $body $id'",
            "'${body'",
            "'$nothing'",
            "repeat('$chunk', 10000)",
            "repeat('$body', 3000) || '$chunk'",
            "'%s %(chunk)s {chunk}'",
            "U&'\\FFFD'",
            "'a\"b''c;--'",
            "'pg_catalog'",
            "repeat('x', 63)",
            "'.*?.*?.*?='",
        ];
        self.one(&known).to_owned()
    }

    fn interval(&mut self) -> &'static str {
        self.one(&[
            "'5 minutes'",
            "'0'",
            "'-1 day'",
            "'1 microsecond'",
            "'178000000 years'",
            "'1 mon -29 days -23:59:59.999999'",
            "'1 month'",
            "NULL",
            "'1 day -1 day'",
            "'100 years'",
        ])
    }

    fn moment(&mut self) -> &'static str {
        self.one(&[
            "NULL",
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 BC'",
            "'294276-12-31'",
            "'2000-01-01'",
            "now()",
            "'epoch'",
        ])
    }

    /// JSON of no particular meaning, or with names that have one.
    fn json(&mut self, depth: usize) -> String {
        let key = |dice: &mut Dice| {
            dice.one(&[
                "implementation",
                "config_type",
                "chunk_size",
                "separator",
                "separators",
                "template",
                "dimensions",
                "model",
                "server",
                "schedule_interval",
                "timezone",
                "batch_size",
                "x",
                "",
            ])
        };
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => self
                .one(&["0", "-1", "1e308", "1e-400", "0.1", "99999999999999999999", "-0"])
                .to_owned(),
            3 => format!(
                "{:?}",
                self.one(&[
                    "",
                    "none",
                    "openai",
                    "chunking",
                    "character_text_splitter",
                    "uri",
                    "table",
                    "timescaledb"
                ])
            ),
            4 => "[]".to_owned(),
            5 => "[".repeat(100) + &"]".repeat(100),
            6 => format!("[{}, {}]", self.json(depth - 1), self.json(depth - 1)),
            _ => {
                let (one, two) = (key(self), key(self));
                format!(
                    "{{{one:?}: {}, {two:?}: {}}}",
                    self.json(depth - 1),
                    self.json(depth - 1)
                )
            }
        }
    }

    /// One that a builder makes, that with a value overwritten, or JSON alone.
    fn built(&mut self, builder: String) -> String {
        match self.below(8) {
            0 => format!("'{}'::jsonb", self.json(3).replace('\'', "''")),
            1 => format!(
                "{builder} || '{{{:?}: {}}}'::jsonb",
                self.one(&["implementation", "chunk_size", "dimensions", "x"]),
                self.json(2)
            ),
            _ => builder,
        }
    }

    fn chunking(&mut self) -> String {
        let (size, overlap, regex) = (self.number(), self.number(), self.maybe());
        let builder = match self.below(4) {
            0 => format!(
                "ai.chunking_character_text_splitter({size}, {overlap}, {}, {regex})",
                self.text()
            ),
            1 => {
                let separators = format!("ARRAY[{}, {}]", self.text(), self.text());
                format!("ai.chunking_recursive_character_text_splitter({size}, {overlap}, {separators}, {regex})")
            }
            2 => format!(
                "ai.chunking_text_splitter({size}, {overlap}, {}, {})",
                self.text(),
                self.text()
            ),
            _ => "ai.chunking_none()".to_owned(),
        };
        self.built(builder)
    }

    /// Now and then what `fuzzed` makes: where all parts were random, nearly all would be refused for one of them.
    fn part(&mut self, sane: &str, fuzzed: impl FnOnce(&mut Dice) -> String) -> String {
        if self.below(5) == 0 {
            fuzzed(self)
        } else {
            sane.to_owned()
        }
    }

    fn create(&mut self, name: &str) -> String {
        let loading = self.part("ai.loading_column('body')", |dice| {
            let column = dice.one(&["body", "uri", "uri", "id", "other", "nothing"]);
            let how = dice.one(&["uri", "column"]);
            let builder = format!("ai.loading_{how}('{column}', {})", dice.number());
            dice.built(builder)
        });
        let embedding = self.part(EMBEDDING, |dice| {
            let builder = match dice.below(3) {
                0 => format!("ai.embedding_openai({}, {})", dice.text(), dice.number()),
                1 => format!("ai.embedding_openai('text-embedding-3-small', {})", dice.number()),
                _ => format!(
                    "ai.embedding_ollama({}, {}, NULL, '{}'::jsonb)",
                    dice.text(),
                    dice.number(),
                    dice.json(2)
                ),
            };
            dice.built(builder)
        });
        let indexing = self.part("ai.indexing_none()", |dice| {
            let (rows, m, ef) = (dice.number(), dice.number(), dice.number());
            let class = dice.one(&["'vector_cosine_ops'", "'vector_l2_ops'", "'x'"]);
            dice.built(format!("ai.indexing_hnsw({rows}, {class}, {m}, {ef})"))
        });
        let scheduling = self.part("ai.scheduling_default()", |dice| {
            let (interval, start) = (dice.interval(), dice.moment());
            let zone = dice.one(&["NULL", "'UTC'", "'Europe/Berlin'", "'x'", "'-99:00'"]);
            dice.built(format!(
                "ai.scheduling_timescaledb({interval}::interval, initial_start => {start}, timezone => {zone})"
            ))
        });
        let processing = self.part("ai.processing_default()", |dice| {
            let builder = format!("ai.processing_default({}, {})", dice.number(), dice.number());
            dice.built(builder)
        });
        let formatting = self.part("ai.formatting_python_template()", |dice| {
            let builder = format!("ai.formatting_python_template({})", dice.text());
            dice.built(builder)
        });
        let chunking = if self.maybe() {
            self.chunking()
        } else {
            "ai.chunking_none()".to_owned()
        };
        format!(
            "SELECT ai.create_vectorizer('fuzzed'::regclass, name => '{name}', destination => ai.destination_table('{name}'),
                 loading => {loading}, embedding => {embedding}, chunking => {chunking}, indexing => {indexing},
                 formatting => {formatting}, scheduling => {scheduling}, processing => {processing})"
        )
    }

    fn statement(&mut self, name: &str) -> String {
        let (size, overlap, regex) = (self.number(), self.number(), self.maybe());
        match self.below(5) {
            0 => format!(
                "SELECT count(*) FROM ai.chunk_text('aaa bbb aac', {size}, {overlap}, {}, {regex})",
                self.text()
            ),
            1 => {
                let separators = format!("ARRAY[{}, {}]", self.text(), self.text());
                format!(
                    "SELECT count(*) FROM ai.chunk_text_recursively('aaa bbb aac', {size}, {overlap}, {separators}, {regex})"
                )
            }
            2 => format!("SELECT count(*) FROM ai.verify_vectorizer('{name}')"),
            3 => "SELECT (SELECT count(*) FROM ai.vectorizer_status) + (SELECT count(*) FROM ai.worker_status)"
                .to_owned(),
            _ => format!("UPDATE fuzzed SET body = body || '{size}' WHERE id = 1"),
        }
    }
}

#[test]
fn no_configuration_is_in_the_way_of_another_vectorizer() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|value| value.parse().expect("it is a number"))
    };
    let (count, seed) = (number("CONFIGURATIONS").unwrap_or(FEW), number("SEED").unwrap_or(1));
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE TABLE fuzzed (id int PRIMARY KEY, body text, uri text, other bytea);
         INSERT INTO fuzzed VALUES (1, 'aaa bbb aac, and more.', 'file:///etc/hostname', 'x'), (2, '', '', NULL), (3, NULL, 's3://', '')",
    );
    notes::create_notes(&scene.cluster, 6);
    let is_over = AtomicBool::new(false);
    let (waits, longest) = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let other = scene.cluster.database("postgres");
            live_beside(&other, &is_over)
        });
        // Dropped by a panic, too, or the neighbour would go on for ever.
        let end = End(&is_over);
        let longest = fuzz(&scene.cluster, count, Dice(seed as u64));
        drop(end);
        (neighbour.join().expect("the neighbour lives well"), longest)
    });
    println!("seed {seed}: {count} configurations; the longest statement took {longest:?}");
    let most = waits.iter().max().expect("there were rows");
    let slow = waits.iter().filter(|wait| **wait > Duration::from_secs(1)).count();
    println!(
        "{} rows of the neighbour, embedded after {most:?} at most, {slow} of them after more than a second",
        waits.len()
    );
    assert!(*most <= LONGEST_WAIT, "a row of the neighbour waited for {most:?}");
    assert_unharmed(&scene.cluster);
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Adds a row after the other to a vectorizer that is as it should be. How long each took to be embedded.
fn live_beside(database: &Database, is_over: &AtomicBool) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let id = waits.len() + 1;
        database.execute(&format!("INSERT INTO note VALUES ({id}, 'note {id}')"));
        let committed = Instant::now();
        let there = format!("SELECT count(*) FROM note_embedding_store WHERE id = {id}");
        database.wait_for("the neighbour's row is embedded", &there, "1");
        waits.push(committed.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    waits
}

/// Makes vectorizers and drops them again. How long the longest statement took.
fn fuzz(cluster: &Cluster, count: usize, mut dice: Dice) -> Duration {
    let (mut longest, mut made, mut refused) = (Duration::ZERO, Vec::new(), 0);
    let mut run = |sql: &str| {
        let started = Instant::now();
        let outcome = cluster.try_rows(sql);
        longest = longest.max(started.elapsed());
        assert!(started.elapsed() <= LONGEST_STATEMENT, "{:?}: {sql}", started.elapsed());
        let Err(error) = outcome else { return true };
        let said = error.as_db_error().unwrap_or_else(|| panic!("{sql}\n{error}"));
        assert!(
            said.code().code() != "XX000" && said.severity() == "ERROR",
            "{sql}\n{said:?}"
        );
        false
    };
    for number in 0..count {
        let name = format!("fuzz_{number}");
        if run(&dice.create(&name)) {
            made.push(name.clone());
        } else {
            refused += 1;
        }
        run(&dice.statement(&name));
        if made.len() > AT_A_TIME {
            let oldest = made.remove(0);
            assert!(
                run(&format!("SELECT ai.drop_vectorizer('{oldest}', drop_all => true)")),
                "{oldest} cannot be dropped"
            );
        }
    }
    println!("{refused} of {count} were refused");
    assert!(refused < count, "some can be made");
    longest
}

/// No process was killed or aborted, and none made the server start again.
#[track_caller]
fn assert_unharmed(cluster: &Cluster) {
    let log = cluster.log();
    for sign in [
        "was terminated by signal",
        "terminating any other active",
        "PANIC:",
        "panicked",
    ] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(sign)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

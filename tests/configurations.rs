//! Random configurations: most of their parts are sane, and one or two are absurd now and then. None harms the
//! server, no statement takes long, and the vectorizer of a neighbour in the same database goes on as if nothing
//! were.
//!
//! A hundred in `make test`; `make fuzz` makes ten thousand after the properties of the pipeline
//! (CONFIGURATIONS, and SEED for other ones).

mod support;

#[path = "support/notes.rs"]
mod notes;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Cluster, Database, Scene};

/// Configurations of a run that only shows that it works.
const FEW: usize = 120;
/// What a statement may take, on a machine that does much else as well.
const LONGEST_STATEMENT: Duration = Duration::from_secs(5);
/// The same for a row of the neighbour, from its commit to its vector. On a machine that has nothing else to do it is
/// a second.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Vectorizers that are made, wait for their embeddings together, and are dropped again.
const AT_A_TIME: usize = 25;
/// How long the next embedding is waited for. What has none by then (a schedule for the year 4000, a model that there
/// is not) is none the worse.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a long run says how far it is.
const REPORT: usize = 500;

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

    /// A number between two, the first one included.
    fn between(&mut self, least: usize, end: usize) -> usize {
        least + self.below(end - least)
    }

    /// Texts that separators may be, sane ones.
    fn separator(&mut self) -> &'static str {
        self.one(&["' '", "E'\\n\\n'", "'. '", "','", "''", "'and'"])
    }

    fn sane_chunking(&mut self) -> String {
        let size = self.between(5, 2000);
        let overlap = self.below(size);
        match self.below(4) {
            0 => {
                let (separator, regex) = match self.below(3) {
                    0 => (self.one(&[r"'\s+'", r"'[.,]\s*'", r"'(?:a|b)+'", r"'(?<=\.)\s'"]), true),
                    _ => (self.separator(), false),
                };
                format!("ai.chunking_character_text_splitter({size}, {overlap}, {separator}, {regex})")
            }
            1 => {
                let (one, two) = (self.separator(), self.separator());
                format!("ai.chunking_recursive_character_text_splitter({size}, {overlap}, ARRAY[{one}, {two}, ''])")
            }
            2 => {
                let format = self.one(&["'text'", "'markdown'"]);
                format!("ai.chunking_text_splitter({size}, {overlap}, 'chars', {format})")
            }
            _ => "ai.chunking_none()".to_owned(),
        }
    }

    fn sane_formatting(&mut self) -> String {
        let template = self.one(&[
            "$chunk",
            "$body: $chunk",
            "$id $chunk",
            "${chunk} $$",
            "$chunk $chunk",
            "a ü $chunk",
        ]);
        format!("ai.formatting_python_template('{template}')")
    }

    fn sane_indexing(&mut self) -> String {
        let (rows, m) = (self.below(5), self.between(2, 100));
        let class = self.one(&["vector_cosine_ops", "vector_l2_ops", "vector_ip_ops"]);
        let ef = self.between(2 * m, 1000);
        match self.below(3) {
            0 => format!("ai.indexing_hnsw({rows}, '{class}', {m}, {ef})"),
            _ => "ai.indexing_none()".to_owned(),
        }
    }

    fn sane_scheduling(&mut self) -> String {
        let minutes = self.between(1, 100_000);
        let zone = self.one(&["NULL", "'UTC'", "'Europe/Berlin'"]);
        match self.below(6) {
            0 => format!(
                "ai.scheduling_timescaledb('{minutes} minutes'::interval, initial_start => now(), timezone => {zone})"
            ),
            _ => "ai.scheduling_default()".to_owned(),
        }
    }

    fn sane_processing(&mut self) -> String {
        format!(
            "ai.processing_default({}, {})",
            self.between(1, 2048),
            self.between(1, 50)
        )
    }

    fn absurd_loading(&mut self) -> String {
        let column = self.one(&["body", "uri", "uri", "id", "other", "nothing"]);
        let how = self.one(&["uri", "column"]);
        let builder = format!("ai.loading_{how}('{column}', {})", self.number());
        self.built(builder)
    }

    fn absurd_embedding(&mut self) -> String {
        let builder = match self.below(3) {
            0 => format!("ai.embedding_openai({}, {})", self.text(), self.number()),
            1 => format!("ai.embedding_openai('text-embedding-3-small', {})", self.number()),
            _ => format!(
                "ai.embedding_ollama({}, {}, NULL, '{}'::jsonb)",
                self.text(),
                self.number(),
                self.json(2)
            ),
        };
        self.built(builder)
    }

    fn absurd_indexing(&mut self) -> String {
        let (rows, m, ef) = (self.number(), self.number(), self.number());
        let class = self.one(&["'vector_cosine_ops'", "'vector_l2_ops'", "'x'"]);
        self.built(format!("ai.indexing_hnsw({rows}, {class}, {m}, {ef})"))
    }

    fn absurd_scheduling(&mut self) -> String {
        let (interval, start) = (self.interval(), self.moment());
        let zone = self.one(&["NULL", "'UTC'", "'Europe/Berlin'", "'x'", "'-99:00'"]);
        self.built(format!(
            "ai.scheduling_timescaledb({interval}::interval, initial_start => {start}, timezone => {zone})"
        ))
    }

    fn absurd_processing(&mut self) -> String {
        let builder = format!("ai.processing_default({}, {})", self.number(), self.number());
        self.built(builder)
    }

    fn absurd_formatting(&mut self) -> String {
        let builder = format!("ai.formatting_python_template({})", self.text());
        self.built(builder)
    }

    /// Which of the seven parts are absurd: mostly none, or one, and two now and then. Where all were random, nearly
    /// all configurations would be refused for one of them.
    fn absurd(&mut self) -> [bool; 7] {
        let mut absurd = [false; 7];
        let number = match self.below(20) {
            0 => 2,
            1..6 => 1,
            _ => 0,
        };
        (0..number).for_each(|_| absurd[self.below(7)] = true);
        absurd
    }

    fn create(&mut self, name: &str) -> String {
        let absurd = self.absurd();
        let mut part = |place: usize, sane: fn(&mut Dice) -> String, wild: fn(&mut Dice) -> String| {
            if absurd[place] { wild(self) } else { sane(self) }
        };
        let loading = part(0, |_| "ai.loading_column('body')".to_owned(), Dice::absurd_loading);
        let embedding = part(
            1,
            |dice| format!("ai.embedding_openai('text-embedding-3-small', {})", dice.between(1, 64)),
            Dice::absurd_embedding,
        );
        let chunking = part(2, Dice::sane_chunking, Dice::chunking);
        let indexing = part(3, Dice::sane_indexing, Dice::absurd_indexing);
        let formatting = part(4, Dice::sane_formatting, Dice::absurd_formatting);
        let scheduling = part(5, Dice::sane_scheduling, Dice::absurd_scheduling);
        let processing = part(6, Dice::sane_processing, Dice::absurd_processing);
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
    // To look again at what a long run found: those before are thrown, and not tried.
    let first = number("FIRST").unwrap_or(0);
    let scene = Scene::start();
    scene.cluster.execute(
        "CREATE TABLE fuzzed (id int PRIMARY KEY, body text, uri text, other bytea);
         INSERT INTO fuzzed VALUES (1, 'aaa bbb aac, and more.', 'file:///etc/hostname', 'x'), (2, '', '', NULL), (3, NULL, 's3://', '')",
    );
    notes::create_notes(&scene.cluster, 6);
    let (is_over, waits) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let run = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let other = scene.cluster.database("postgres");
            live_beside(&other, &is_over, &waits);
        });
        // Dropped by a panic, too, or the neighbour would go on for ever.
        let end = End(&is_over);
        let mut run = Run::default();
        println!("seed {seed}: {count} configurations");
        fuzz(&scene.cluster, first..count, Dice(seed as u64), &mut run, &waits);
        drop(end);
        neighbour.join().expect("the neighbour lives well");
        run
    });
    run.report(count, &waits);
    let most = slowest(&waits);
    assert!(most <= LONGEST_WAIT, "a row of the neighbour waited for {most:?}");
    assert!(
        3 * run.embedded >= 2 * (count - first),
        "{} of {count} were made and embed",
        run.embedded
    );
    assert_unharmed(&scene.cluster);
}

/// What has become of a run so far.
#[derive(Default)]
struct Run {
    refused: usize,
    /// Vectorizers that have embedded something.
    embedded: usize,
    longest: Duration,
    /// Which statement that was.
    slowest: String,
}

impl Run {
    fn report(&self, number: usize, waits: &Mutex<Vec<Duration>>) {
        let Run {
            refused,
            embedded,
            longest,
            slowest: statement,
        } = self;
        let waits_of_seconds = {
            let waits = waits.lock().expect("the neighbour does not panic with it");
            let long = waits.iter().filter(|wait| **wait > Duration::from_secs(1)).count();
            format!("{long} of {} after more than a second", waits.len())
        };
        println!(
            "{number}: {refused} refused, {embedded} embed; the longest statement took {longest:?} ({statement}); the rows of the \
             neighbour are embedded after {:?} at most, {waits_of_seconds}",
            slowest(waits)
        );
    }

    /// Runs a statement; whether it was not refused.
    fn statement(&mut self, cluster: &Cluster, sql: &str) -> bool {
        let started = Instant::now();
        let outcome = cluster.try_rows(sql);
        let took = started.elapsed();
        if took > self.longest {
            self.longest = took;
            self.slowest = sql
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .chars()
                .take(300)
                .collect();
        }
        assert!(took <= LONGEST_STATEMENT, "{took:?}: {sql}");
        let Err(error) = outcome else { return true };
        let said = error.as_db_error().unwrap_or_else(|| panic!("{sql}\n{error}"));
        assert!(
            said.code().code() != "XX000" && said.severity() == "ERROR",
            "{sql}\n{said:?}"
        );
        false
    }
}

fn slowest(waits: &Mutex<Vec<Duration>>) -> Duration {
    let waits = waits.lock().expect("the neighbour does not panic with it");
    waits.iter().max().copied().unwrap_or_default()
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Adds a row after the other to a vectorizer that is as it should be, and notes how long each took to be embedded.
fn live_beside(database: &Database, is_over: &AtomicBool, waits: &Mutex<Vec<Duration>>) {
    for id in 1.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        database.execute(&format!("INSERT INTO note VALUES ({id}, 'note {id}')"));
        let committed = Instant::now();
        let there = format!("SELECT count(*) FROM note_embedding_store WHERE id = {id}");
        database.wait_for("the neighbour's row is embedded", &there, "1");
        waits.lock().expect("nobody panics with it").push(committed.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Makes vectorizers, waits for their embeddings, and drops them again, in batches.
fn fuzz(cluster: &Cluster, numbers: Range<usize>, mut dice: Dice, run: &mut Run, waits: &Mutex<Vec<Duration>>) {
    let mut made = Vec::new();
    for number in 0..numbers.end {
        let name = format!("fuzz_{number}");
        let (create, other) = (dice.create(&name), dice.statement(&name));
        if number < numbers.start {
            continue;
        }
        if run.statement(cluster, &create) {
            made.push(name.clone());
        } else {
            run.refused += 1;
        }
        run.statement(cluster, &other);
        if made.len() == AT_A_TIME || number + 1 == numbers.end {
            run.embedded += wait_for_embeddings(cluster, &made);
            for name in made.drain(..) {
                let dropped = run.statement(
                    cluster,
                    &format!("SELECT ai.drop_vectorizer('{name}', drop_all => true)"),
                );
                assert!(dropped, "{name} cannot be dropped");
            }
        }
        if (number + 1) % REPORT == 0 {
            run.report(number + 1, waits);
        }
    }
}

/// How many of these vectorizers have embedded something.
fn wait_for_embeddings(cluster: &Cluster, names: &[String]) -> usize {
    if names.is_empty() {
        return 0;
    }
    let each: Vec<String> = names
        .iter()
        .map(|name| format!("EXISTS (SELECT FROM {name}_store)::int"))
        .collect();
    let sql = format!("SELECT {}", each.join(" + "));
    let (mut since, mut before) = (Instant::now(), 0);
    loop {
        let embedded: usize = cluster.value(&sql).parse().expect("it is a number");
        if embedded > before {
            (since, before) = (Instant::now(), embedded);
        }
        if embedded == names.len() || since.elapsed() > PATIENCE {
            return embedded;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
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

//! The partitions of a source. Postgres copies the row triggers of the whole to its parts, not those on
//! TRUNCATE; and it fires none when a part joins or leaves.

use pgrx::pg_sys::Oid;

use super::relation::{altering, lock_out_writers};
use crate::catalog::extension::trigger_goes_with_extension;
use crate::postgres::key::{In, PrimaryKey};
use crate::postgres::statement::{self, fill, identifier};
use crate::postgres::swallowed::must_be_written;
use crate::postgres::transaction::{acting_as, acting_as_extension, seeing_all};
use crate::store::memory;
use crate::{catalog, shared_memory};

/// A partitioned source and its vectorizer. Quoted names with schemas.
pub struct Partitions<'a> {
    pub id: i32,
    pub source: Oid,
    pub source_name: &'a str,
    pub owner: Oid,
    pub queue: &'a str,
    pub failed: &'a str,
    pub intake: &'a str,
    pub target: Option<&'a str>,
    pub function: &'a str,
    /// Stem of the names of the triggers.
    pub trigger: &'a str,
    pub key: &'a PrimaryKey,
}

impl Partitions<'_> {
    /// Parts that are new get their trigger, and with `enqueue` their rows are work. Parts that have left lose theirs,
    /// whereupon the event trigger has what was in them pruned.
    pub fn follow(&self, enqueue: bool) {
        let plain = format!("{}_truncate", self.trigger);
        let trigger = identifier(&plain);
        let arguments = [self.source.into(), self.id.into(), self.owner.into()];
        let new = statement::rows(
            include_str!("../../sql/query/partition/new_partitions.sql"),
            &arguments,
            |row| (row.must::<Oid>(1), row.get::<String>(2)),
        );
        let some = !new.is_empty();
        let sql = include_str!("../../sql/query/partition/follows_replication.sql");
        let arguments = [self.source.into(), self.trigger.into()];
        let follows_replication = some && statement::row(sql, &arguments, |row| row.must(1)) == Some(true);
        if some && enqueue {
            // Other sessions learn of a new part a moment after they see its rows, whether we queue them or a
            // trigger. A worker that was faster would take them for rows that are gone; this lock is released
            // when all have been told.
            let queue = "SELECT queue::oid FROM ai._seen_vectorizer WHERE id = $1";
            let queue = statement::row(queue, &[self.id.into()], |row| row.must::<Oid>(1));
            queue.into_iter().for_each(lock_out_writers);
        }
        let mut joined = Vec::new();
        for (partition, rows) in new {
            self.join(partition, &plain);
            if let Some(rows) = rows.filter(|_| enqueue) {
                self.act(|| seeing_all(|| self.enqueue(&rows)));
            }
            joined.push(partition);
        }
        // While they are still known for parts of ours: the event trigger has to see that.
        self.leave();
        // Also of those that have left: they are new when they come back.
        if enqueue {
            let know = include_str!("../../sql/query/partition/know_partitions.sql");
            acting_as_extension(|| statement::run(know, &[self.id.into()]));
        }
        // Last: the event trigger comes by here again, and has to know them.
        for partition in joined.iter().filter(|_| follows_replication) {
            acting_as_extension(|| {
                altering(*partition, |partition| {
                    statement::run(&format!("ALTER TABLE {partition} ENABLE ALWAYS TRIGGER {trigger}"), &[]);
                });
            });
        }
    }

    /// A new part gets its trigger.
    fn join(&self, partition: Oid, trigger: &str) {
        let (name, function) = (identifier(trigger), self.function);
        acting_as_extension(|| {
            altering(partition, |partition| {
                statement::run(
                    &format!(
                        "CREATE TRIGGER {name} AFTER TRUNCATE ON {partition} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
                    ),
                    &[],
                );
                trigger_goes_with_extension(partition, trigger);
            });
        });
    }

    /// Parts that have left lose theirs.
    fn leave(&self) {
        let arguments = [self.source.into(), self.function.into(), self.id.into()];
        let left = statement::rows(
            include_str!("../../sql/query/partition/left_partitions.sql"),
            &arguments,
            |row| (row.must::<Oid>(1), row.must::<String>(2)),
        );
        for (table, trigger) in left {
            let trigger = identifier(&trigger);
            acting_as_extension(|| {
                altering(table, |table| {
                    statement::run(&format!("DROP TRIGGER {trigger} ON {table}"), &[]);
                });
            });
        }
    }

    /// Queues all rows of the source: its documents may have other texts than they had, and those that have
    /// not cost a look. Where a policy hides rows from the owner, or a table is not as it was made, the
    /// vectorizer stands still, and says so.
    pub fn enqueue_all(&self) {
        let stands_still = || catalog::filtered(self.id).is_some() || catalog::check_shape(self.id).is_err();
        if acting_as_extension(stands_still) {
            return;
        }
        let rows = format!("{} s", self.source_name);
        self.act(|| seeing_all(|| self.enqueue(&rows)));
        shared_memory::wake_at_commit();
    }

    /// Runs statements as the owner, of which none begins where code of others would run: it was looked for
    /// before, and may have come while a lock was waited for.
    fn act<T>(&self, work: impl FnOnce() -> T) -> T {
        catalog::acting_for(self.id, || acting_as(self.owner, work))
    }

    /// Queues the rows of `rows`, an item of a FROM clause.
    fn enqueue(&self, rows: &str) {
        let values = [
            ("rows", rows),
            ("intake", self.intake),
            ("pk", &self.key.list("", In::Queue)),
            ("source_pk", &self.key.list("s.", In::Source)),
        ];
        let sql = fill(include_str!("../../sql/query/queue/enqueue_partition.sql"), &values);
        let number = |row: &statement::Row, column| usize::try_from(row.must::<i64>(column)).unwrap_or_default();
        let sent = statement::row(&sql, &[], |row| (number(row, 2), number(row, 1)));
        must_be_written(self.intake, sent.expect("a SELECT without FROM answers with one row"));
    }

    /// Removes from destination and queues what is not in the source any more.
    pub fn prune(&self) {
        let prune = |sql: &str, table: &str, kind: In| {
            let values = [
                ("table", table),
                ("source", self.source_name),
                ("source_is_it", &self.key.same(("s", In::Source), ("t", kind))),
                (
                    "primary_key",
                    &format!("jsonb_build_object({})", self.key.labelled(("t", kind))),
                ),
            ];
            fill(sql, &values)
        };
        let quietly = include_str!("../../sql/query/partition/prune.sql");
        let remembers = acting_as_extension(|| memory::remembers_documents(self.id));
        let prune_all = || {
            let mut gone: Vec<String> = Vec::new();
            match self.target {
                Some(target) if remembers => {
                    let aloud = include_str!("../../sql/query/partition/prune_and_name.sql");
                    gone = statement::rows(&prune(aloud, target, In::Target), &[], |row| row.must(1));
                }
                Some(target) => {
                    statement::run(&prune(quietly, target, In::Target), &[]);
                }
                None => (),
            }
            for queue in [self.queue, self.failed, self.intake] {
                statement::run(&prune(quietly, queue, In::Queue), &[]);
            }
            gone
        };
        let gone = self.act(|| seeing_all(prune_all));
        acting_as_extension(|| memory::forget_documents(self.id, &gone));
    }
}

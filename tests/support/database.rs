//! SQL in one database of a cluster, as psql would do it: everything comes back as text.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use super::{DEADLINE, wait_until};

/// One database, and one connection to it that is made when it is first needed. Dropping it disconnects.
pub struct Database {
    sockets: PathBuf,
    name: String,
    client: Mutex<Option<Client>>,
}

impl Database {
    /// The database of that name in the cluster whose sockets are in that folder.
    pub fn new(sockets: &Path, name: &str) -> Database {
        Database {
            sockets: sockets.to_owned(),
            name: name.to_owned(),
            client: Mutex::new(None),
        }
    }

    /// A connection of its own, for transactions that stay open and for parameters.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn connect(&self) -> Result<Client, Error> {
        Config::new()
            .host_path(&self.sockets)
            .user("postgres")
            .dbname(&self.name)
            .application_name("test")
            .connect_timeout(Duration::from_secs(10))
            .connect(NoTls)
    }

    /// Ends the connection; the next statement makes a new one.
    pub fn disconnect(&self) {
        self.client
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take();
    }

    /// The rows of a statement (of several: of all of them), each a list of texts; `None` is NULL.
    ///
    /// # Errors
    /// What the server says. The connection is a new one afterwards, so that nothing of a failed transaction stays.
    pub fn try_rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut client = self.client.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut connected = match client.take() {
            Some(connected) if !connected.is_closed() => connected,
            _ => self.connect()?,
        };
        let messages = connected.simple_query(sql)?;
        *client = Some(connected);
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The rows of a statement, NULL as the word `NULL`.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let rows = self
            .try_rows(sql)
            .unwrap_or_else(|error| panic!("{sql}\n{}", describe(&error)));
        let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
        rows.into_iter()
            .map(|row| row.into_iter().map(text).collect())
            .collect()
    }

    /// The first column of all rows.
    #[track_caller]
    pub fn column(&self, sql: &str) -> Vec<String> {
        self.rows(sql).into_iter().map(|mut row| row.swap_remove(0)).collect()
    }

    /// The one value that a statement returns.
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        let mut column = self.column(sql);
        assert_eq!(column.len(), 1, "{sql} returns one row");
        column.swap_remove(0)
    }

    /// Runs statements; several run as one transaction.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.rows(sql);
    }

    /// Runs a statement that fails, and returns SQLSTATE and message.
    #[track_caller]
    pub fn refusal(&self, sql: &str) -> (String, String) {
        match self.try_rows(sql) {
            Ok(_) => panic!("{sql} succeeds"),
            Err(error) => match error.as_db_error() {
                Some(said) => (said.code().code().to_owned(), said.message().to_owned()),
                None => panic!("{sql}\n{error}"),
            },
        }
    }

    /// Waits until the one value of a statement is `expected`.
    #[track_caller]
    pub fn wait_for(&self, what: &str, sql: &str, expected: &str) {
        wait_until(what, DEADLINE, || self.value(sql), |seen| seen == expected);
    }

    /// Waits until no queue of this database holds a document.
    #[track_caller]
    pub fn wait_until_settled(&self) {
        let pending = "SELECT name, pending_items FROM ai.vectorizer_status WHERE pending_items > 0";
        wait_until("all queues are empty", DEADLINE, || self.rows(pending), Vec::is_empty);
    }

    /// The process that serves this database now.
    pub fn worker(&self) -> Option<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'ai worker' AND datname = current_database()";
        self.column(sql).first().and_then(|pid| pid.parse().ok())
    }

    /// Waits until a process serves this database.
    #[track_caller]
    pub fn wait_for_worker(&self) -> i32 {
        wait_until("a worker runs", DEADLINE, || self.worker(), Option::is_some).unwrap_or_default()
    }
}

/// An error with the server's message, detail and hint, which `Display` leaves out.
pub fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!(
            "{} {} {} {}",
            said.code().code(),
            said.message(),
            said.detail().unwrap_or_default(),
            said.hint().unwrap_or_default()
        ),
        None => error.to_string(),
    }
}

//! A private Postgres server with the extension, started for one test and gone with it.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{self, spawn};
use super::{DEADLINE, Database, wait_until};

/// Clusters at a time: more of them only take the processors from each other.
const AT_A_TIME: usize = 4;
/// Lines of the server's log that a failed test prints.
const LOG_LINES: usize = 120;

/// How a cluster is started.
#[derive(Clone, Default)]
pub struct Options {
    environment: Vec<(String, OsString)>,
    settings: Vec<(String, String)>,
    binary_upgrade: bool,
}

impl Options {
    /// A variable in the environment of the server; an empty value takes it away. The last word counts.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Options {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// As pg_upgrade starts a server, or as usual.
    pub fn binary_upgrade(mut self, binary_upgrade: bool) -> Options {
        self.binary_upgrade = binary_upgrade;
        self
    }

    /// A setting of the server, as in postgresql.conf. The last word counts.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Options {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.into()));
        self
    }
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Open transactions are rolled back: `pg_ctl stop -m fast`.
    Fast,
    /// Like a power cut: `pg_ctl stop -m immediate`.
    Immediate,
}

/// A cluster. What [`Database`] can do, it does in the database `postgres`.
///
/// A test starts one at a time, or two tests might wait for each other's.
pub struct Cluster {
    main: Database,
    options: Options,
    server: Option<Child>,
    folder: TempDir,
    /// A standby shares that of its primary.
    _place: Option<Place>,
}

impl Deref for Cluster {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.main
    }
}

impl Cluster {
    /// A new cluster with `shared_preload_libraries = 'ai'`, running.
    pub fn start(options: Options) -> Cluster {
        let place = Place::take();
        let folder = temporary_folder(&FOLDER);
        copy(&TEMPLATE, &folder.path().join("data"));
        let mut cluster = Cluster {
            main: Database::new(folder.path(), "postgres"),
            options,
            server: None,
            folder,
            _place: Some(place),
        };
        cluster.start_again();
        cluster
    }

    /// A streaming standby of this cluster, running, with what `change` makes of its options.
    pub fn standby(&self, change: impl FnOnce(Options) -> Options) -> Cluster {
        let folder = temporary_folder(&FOLDER);
        let mut backup = self.client_program("pg_basebackup");
        backup.args([
            "-U",
            "postgres",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
            "-D",
        ]);
        let made = backup.arg(folder.path().join("data")).output();
        let made = made.expect("pg_basebackup can be run");
        assert!(
            made.status.success(),
            "pg_basebackup failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut standby = Cluster {
            main: Database::new(folder.path(), "postgres"),
            options: change(self.options.clone()),
            server: None,
            folder,
            _place: None,
        };
        standby.start_again();
        standby
    }

    /// Starts a server that was stopped.
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let data = self.data();
        let mut command = server_program("postgres");
        command.arg("-D").arg(&data).stdin(Stdio::null());
        let log = File::options().append(true).create(true).open(self.log_file()).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let sockets = self.folder.path().to_str().expect("temporary folders have plain names");
        let fixed = [
            // Sockets in a folder of its own: no port can be taken.
            ("listen_addresses", ""),
            ("unix_socket_directories", sockets),
            ("shared_preload_libraries", "ai"),
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("max_connections", "40"),
            ("shared_buffers", "32MB"),
            ("log_line_prefix", "%m %b[%p] %d "),
            ("log_checkpoints", "off"),
        ];
        let given = self
            .options
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in fixed.into_iter().chain(given) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if self.options.binary_upgrade {
            command.arg("-b");
        }
        command.env("HOME", &data);
        // No role of the machine that runs the tests.
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        for (name, value) in self.options.environment.iter().filter(|(_, value)| !value.is_empty()) {
            command.env(name, value);
        }
        self.server = Some(spawn(command, Signal::QUIT).expect("postgres starts"));
        let started = Instant::now();
        loop {
            let Err(error) = self.try_rows("SELECT 1") else { break };
            let ended = self.server.as_mut().and_then(|server| server.try_wait().ok().flatten());
            assert!(ended.is_none(), "Postgres ended as it started: {ended:?}");
            assert!(
                started.elapsed() < DEADLINE,
                "Postgres does not take connections: {error}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the server, and says how long that took.
    pub fn stop(&mut self, how: Stop) -> Duration {
        let mut server = self.server.take().expect("the server runs");
        let started = Instant::now();
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        process::signal(server.id().cast_signed(), signal);
        while server.try_wait().expect("the server is our child").is_none() {
            if started.elapsed() > DEADLINE {
                let _ = server.kill();
                let _ = server.wait();
                panic!("the server did not stop ({how:?}) within {DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.disconnect();
        started.elapsed()
    }

    /// Stops the server in order and starts it again with what `change` makes of its options.
    pub fn restart_with(&mut self, change: impl FnOnce(Options) -> Options) {
        self.stop(Stop::Fast);
        self.options = change(std::mem::take(&mut self.options));
        self.start_again();
    }

    /// Stops the server in order and starts it again.
    pub fn restart(&mut self) {
        self.restart_with(|options| options);
    }

    /// Writes a file that only the server may read, into the folder `secrets` of its data. Returns where it is.
    pub fn write_secret(&self, name: &str, content: &str) -> PathBuf {
        let folder = self.data().join("secrets");
        fs::create_dir_all(&folder).expect("the data folder can be written");
        let file = folder.join(name);
        fs::write(&file, content).expect("the folder can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its own file");
        let server = fs::metadata(self.data()).expect("the data folder is there").uid();
        chown(&file, Some(server), None).expect("to the user of the server");
        file
    }

    /// Has the processes read the configuration again, after `sql` (ALTER SYSTEM, ALTER DATABASE) has changed it.
    pub fn reload(&self) {
        self.execute("SELECT pg_reload_conf()");
    }

    /// Kills the worker of the database `postgres` as the OOM killer would, and waits until the server has recovered
    /// from that. The log has both.
    pub fn kill_worker(&self) {
        let pid = self.wait_for_worker();
        let recovered = "database system is ready to accept connections";
        let starts = || self.log().matches(recovered).count();
        let before = starts();
        process::signal(pid, Signal::KILL);
        wait_until("the server has recovered", DEADLINE, starts, |now| *now > before);
        self.disconnect();
        let answers = || self.try_rows("SELECT 1").is_ok();
        wait_until("the server takes connections", DEADLINE, answers, |answers| *answers);
    }

    /// Another database of this cluster. It is made with `CREATE DATABASE` by whoever needs it.
    pub fn database(&self, name: &str) -> Database {
        Database::new(self.folder.path(), name)
    }

    /// What psql prints when it runs a script in a database of this cluster, and what it complains about.
    pub fn psql(&self, database: &str, script: &Path) -> (String, String) {
        let mut command = server_program("psql");
        let sockets = self.folder.path();
        command
            .args(["-X", "-A", "-t", "-U", "postgres", "-d", database, "-h"])
            .arg(sockets);
        // The user of the servers need not be able to read the script.
        command.stdin(File::open(script).unwrap_or_else(|error| panic!("{}: {error}", script.display())));
        let output = command.output().expect("psql starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("psql speaks UTF-8");
        (text(output.stdout), text(output.stderr))
    }

    /// A client program of this Postgres (`pg_dump`) that finds the server, as the user of the servers.
    pub fn client_program(&self, name: &str) -> Command {
        let mut command = server_program(name);
        command.env("PGHOST", self.folder.path());
        command
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The process of the postmaster.
    pub fn postmaster(&self) -> i32 {
        self.server.as_ref().expect("the server runs").id().cast_signed()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }

    /// What a failed test needs to know.
    fn print_state(&self) {
        for (view, sql) in [
            ("ai.worker_status", "SELECT w::text FROM ai.worker_status w"),
            ("ai.vectorizer_status", "SELECT s::text FROM ai.vectorizer_status s"),
            ("ai.vectorizer_errors", "SELECT e::text FROM ai.vectorizer_errors e"),
        ] {
            println!("--- {view}");
            match self.main.connect().and_then(|mut client| client.query(sql, &[])) {
                Ok(rows) => rows.iter().for_each(|row| println!("{}", row.get::<_, String>(0))),
                Err(error) => println!("cannot be read: {error}"),
            }
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        println!("--- the end of the server's log");
        for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
            println!("{line}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_state();
        }
        if let Some(mut server) = self.server.take() {
            process::signal(server.id().cast_signed(), Signal::QUIT);
            let _ = server.wait();
        }
    }
}

/// The permission to have a cluster.
struct Place;

static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Place {
    fn take() -> Place {
        let taken = PLACES.0.lock().expect("no code panics while it holds this lock");
        let mut taken = PLACES
            .1
            .wait_while(taken, |taken| *taken >= AT_A_TIME)
            .expect("no code panics while it holds this lock");
        *taken += 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.0.lock().expect("no code panics while it holds this lock") -= 1;
        PLACES.1.notify_one();
    }
}

/// A data directory fresh from initdb: copying it takes a tenth of the time of initdb.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    let template = FOLDER.join("template");
    let mut initdb = server_program("initdb");
    initdb.arg("-D").arg(&template).args([
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--wal-segsize=1",
    ]);
    let made = initdb.output().expect("initdb can be run");
    assert!(
        made.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    template
});

/// Where all clusters of the program are. Statics are not dropped, and programs are killed: a shell waits
/// until the pipe to it closes, and removes the folder then, as soon as the servers do not write to it any
/// more.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = temporary_folder(&std::env::temp_dir()).keep();
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "cat; for try in 1 2 3 4 5; do rm -rf \"$1\" && exit; sleep 1; done",
        "sh",
    ]);
    shell
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Ctrl-C is for the program alone.
    let shell = shell.process_group(0).spawn().expect("sh can be run");
    std::mem::forget(shell);
    folder
});

/// A new folder that belongs to the user of the servers.
fn temporary_folder(within: &Path) -> TempDir {
    let mut folder = tempfile::Builder::new();
    let folder = folder
        .prefix("ai-test-")
        .tempdir_in(within)
        .expect("there is room for a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    if let Some((user, group)) = *SERVER_USER {
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    folder
}

/// Copies a folder with modes and owners.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .expect("cp can be run");
    assert!(copied.success(), "{} cannot be copied", from.display());
}

/// A program of the Postgres under test, with an empty environment, as the user of the servers.
fn server_program(name: &str) -> Command {
    let Some(folder) = std::env::var_os("AI_TEST_PG_BINDIR") else {
        panic!(
            "AI_TEST_PG_BINDIR is not set: these tests need a Postgres with the extension installed. \
             Run them with: make check ONLY=integration"
        );
    };
    let mut command = Command::new(Path::new(&folder).join(name));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/");
    if let Some((user, group)) = *SERVER_USER {
        command.uid(user).gid(group);
    }
    command
}

/// Postgres refuses to run as root: then the user `postgres` runs it.
static SERVER_USER: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let number = |option: &str| {
        let said = Command::new("id")
            .args([option, "postgres"])
            .output()
            .expect("id can be run");
        let text = String::from_utf8_lossy(&said.stdout);
        text.trim()
            .parse()
            .expect("Postgres does not run as root, and there is no user postgres to run it as")
    };
    Some((number("-u"), number("-g")))
});

//! Child processes that end with the program of the tests, however that ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex, mpsc};

use rustix::process::{Signal, set_parent_process_death_signal};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel sends the signal of [`spawn`] when the *thread* ends that started the process, and a test is a thread:
/// whatever several tests share has to be started by a thread that stays.
static KEEPER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (orders, received) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in received {
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(orders)
});

/// Starts a process that gets `at_death` when the program of the tests is gone.
pub fn spawn(mut command: Command, at_death: Signal) -> io::Result<Child> {
    // SAFETY: one system call between fork and exec. It comes after the change of the user, which would undo it.
    unsafe { command.pre_exec(move || Ok(set_parent_process_death_signal(Some(at_death))?)) };
    let (answer, child) = mpsc::channel();
    let sent = KEEPER
        .lock()
        .expect("no code panics while it holds this lock")
        .send((command, answer));
    sent.expect("the keeper lives as long as the program");
    child.recv().expect("the keeper answers")
}

/// Sends a signal to a process.
pub fn signal(pid: i32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process has a number");
    rustix::process::kill_process(pid, signal).expect("the process is there and may be sent signals");
}

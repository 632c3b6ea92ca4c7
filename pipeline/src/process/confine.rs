//! What a child process takes from itself before it reads the first byte of its order.
//!
//! In order: blocked signals (the parent blocks all in its threads, and a child inherits that),
//! open files (a Postgres 15 opens its data files without close-on-exec), a fair place before the
//! server in the queue of the kernel's out-of-memory killer, then by resource limits memory, CPU
//! time, core dumps, writing of files, new descriptors of any kind and new processes, then new
//! privileges, and at last all system calls but those that compute and write an answer.
//!
//! The limits are certain. Where the kernel does not let us be its first victim, or has no seccomp,
//! that is left out, and said: see [`super::Supervisor::unconfined`]. What stays possible without
//! seccomp is to signal and to trace processes of the same user.

use nix::libc;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::close;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// Limits of the child's process. `None` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Address space, program and stack included.
    pub memory_bytes: Option<u64>,
    /// CPU time, after which SIGXCPU comes, and SIGKILL a second later. A bound for a child whose
    /// parent is gone.
    pub cpu_seconds: Option<u64>,
}

/// Descriptors that are looked for where nothing lists them: it takes some milliseconds.
const GREATEST_FILES: u64 = 1 << 16;

/// System calls that stay: memory, standard streams, the end. All others fail with EPERM. `tgkill`,
/// of which `abort` is made, is allowed for the process itself.
const SYSTEM_CALLS: [libc::c_long; 26] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Confines the calling process, for good. What comes back are the confinements that the system has
/// refused, for people.
///
/// # Errors
///
/// A signal mask or a limit that could not be set: then nothing must be parsed.
pub fn confine(limits: &ProcessLimits) -> Result<Vec<String>, String> {
    let mut missing = Vec::new();
    SigSet::empty().thread_set_mask().map_err(|error| error.to_string())?;
    close_inherited_files();
    // More than the server's own, whichever that is; a kernel that refuses leaves the document's
    // limits in place.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        missing.push(format!(
            "it is not the first to go when memory runs out (oom_score_adj: {error})"
        ));
    }
    if let Some(bytes) = limits.memory_bytes {
        limit(Resource::RLIMIT_AS, bytes, bytes)?;
    }
    if let Some(seconds) = limits.cpu_seconds {
        limit(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    }
    for resource in [
        Resource::RLIMIT_CORE,
        Resource::RLIMIT_FSIZE,
        Resource::RLIMIT_NOFILE,
        Resource::RLIMIT_NPROC,
    ] {
        limit(resource, 0, 0)?;
    }
    set_no_new_privs().map_err(|error| error.to_string())?;
    // Neither every architecture nor every kernel has it.
    let refused = match filter() {
        Some(filter) => apply_filter(&filter).err().map(|error| error.to_string()),
        None => Some(format!("there is no filter for {}", std::env::consts::ARCH)),
    };
    if let Some(reason) = refused {
        missing.push(format!("it keeps its system calls (seccomp: {reason})"));
    }
    Ok(missing)
}

/// A limit may be lowered only, so one that is lower already stays.
fn limit(resource: Resource, soft: u64, hard: u64) -> Result<(), String> {
    let (_, greatest) = getrlimit(resource).map_err(|error| error.to_string())?;
    setrlimit(resource, soft.min(greatest), hard.min(greatest)).map_err(|error| format!("{resource:?}: {error}"))
}

fn close_inherited_files() {
    let numbers: Vec<i32> = match std::fs::read_dir("/proc/self/fd") {
        Ok(files) => files
            .filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
        // No process file system: whichever there may be.
        Err(_) => {
            let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(GREATEST_FILES, |(soft, _)| soft);
            let most = i32::try_from(most.min(GREATEST_FILES)).unwrap_or(i32::MAX);
            (0..most).collect()
        }
    };
    for number in numbers {
        // The directory itself is in the list, and closed by now: EBADF.
        if number > 2 {
            let _ = close(number);
        }
    }
}

fn filter() -> Option<BpfProgram> {
    let this_process = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, std::process::id().into());
    let rules = SYSTEM_CALLS.iter().map(|call| (*call, vec![]));
    let rules = rules.chain([(libc::SYS_tgkill, vec![SeccompRule::new(vec![this_process.ok()?]).ok()?])]);
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(
        rules.collect(),
        refuse,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into().ok()?,
    )
    .ok()?
    .try_into()
    .ok()
}

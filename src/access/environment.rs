//! The environment of the server, where credentials and addresses are that no table should hold.

use ai_pipeline::authorities::{self, FILE, FOLDERS};
use ai_pipeline::credential::{self, Reference};
use ai_pipeline::embed::{self, Proxy};
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::secret::Secret;

use crate::settings::Settings;

/// A secret of the server's environment; nothing where it is missing or empty.
///
/// # Errors
/// That of [`text`].
pub fn secret(name: &str, step: Step) -> Result<Option<Secret>, Failure> {
    Ok(text(name, step)?.map(Secret::new))
}

/// A variable of the server's environment, without white space around it, which files with a line break at
/// their end leave there; nothing where it is missing or empty.
///
/// # Errors
/// A fault of the configuration: what it holds is no line of text, and can be no credential, no address and no name.
pub fn text(name: &str, step: Step) -> Result<Option<String>, Failure> {
    // A name with = or NUL in it makes std panic.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Ok(None);
    }
    let unfit = |what: &str| unfit(name, step, what);
    match std::env::var(name) {
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(unfit("is not text in UTF-8")),
        Ok(value) => match value.trim() {
            "" => Ok(None),
            value if value.contains(char::is_control) => {
                Err(unfit("has a line break or another control character in it"))
            }
            value => Ok(Some(value.to_owned())),
        },
    }
}

fn unfit(name: &str, step: Step, what: &str) -> Failure {
    Failure {
        step,
        class: Class::Configuration,
        reason: format!("{name} in the environment of the server {what}"),
        hint: Some(format!(
            "Correct {name} in the environment that starts Postgres, and restart it."
        )),
    }
}

/// Checks the variables that say which way a request to an `https` address goes, and whom it trusts.
/// Libraries read them by themselves, and go past a proxy or an authority that they cannot read.
///
/// # Errors
/// That of [`text`], or a fault of the configuration: there is no such proxy, or no such authority.
pub fn check_way(step: Step) -> Result<(), Failure> {
    let is_there = |names: [&str; 2]| names.iter().any(|name| std::env::var_os(name).is_some());
    let has_own = is_there(["HTTPS_PROXY", "https_proxy"]);
    let is_wanted = has_own || is_there(["ALL_PROXY", "all_proxy"]);
    // Whether such requests go through the proxy of the variable.
    for (name, is_used) in [
        ("HTTPS_PROXY", true),
        ("https_proxy", std::env::var_os("HTTPS_PROXY").is_none()),
        ("ALL_PROXY", !has_own),
        ("all_proxy", !has_own && std::env::var_os("ALL_PROXY").is_none()),
        ("HTTP_PROXY", false),
        ("http_proxy", false),
    ] {
        let Some(value) = text(name, step)? else { continue };
        match embed::proxy(&value) {
            Proxy::Unreadable => return Err(unfit(name, step, "is not the address of a proxy")),
            Proxy::Foreign if is_used => {
                return Err(unfit(
                    name,
                    step,
                    "is the address of a SOCKS proxy, which is not spoken: name one of HTTP",
                ));
            }
            Proxy::Usable | Proxy::Foreign => (),
        }
    }
    for name in ["NO_PROXY", "no_proxy"] {
        text(name, step)?;
    }
    // Of CGI: to the library that reads them, anybody may have set the others then.
    if is_wanted && std::env::var_os("REQUEST_METHOD").is_some() {
        return Err(unfit(
            "REQUEST_METHOD",
            step,
            "has the variables of proxies passed over",
        ));
    }
    match authorities::fault(|name| std::env::var_os(name)) {
        Some((name, fault)) => Err(unfit(name, step, &fault)),
        None => Ok(()),
    }
}

/// The credential that a foreign server or a user mapping refers to. A file is read each time, so that a new
/// one is used as soon as it is there.
///
/// # Errors
/// A fault of the configuration: there is none, or it is not safe where it is.
pub fn credential(reference: &Reference, step: Step, settings: &Settings) -> Result<Secret, Failure> {
    let failure = |reason: String, hint: Option<String>| Failure {
        step,
        class: Class::Configuration,
        reason,
        hint,
    };
    match reference {
        Reference::Env(name) => secret(name, step)?.ok_or_else(|| {
            let hint = format!(
                "Set {name} in the environment that starts Postgres (for systemd: Environment= or EnvironmentFile= of \
                 the service) and restart it."
            );
            failure(format!("the environment of the server has no {name}"), Some(hint))
        }),
        Reference::File(path) => {
            let user = rustix::process::geteuid().as_raw();
            credential::read_file(path, settings.secret_directory.as_deref(), user)
                .map_err(|error| failure(error.to_string(), error.hint.clone()))
        }
    }
}

/// Takes white space from the values of variables that libraries read by themselves (those of AWS, proxies,
/// and authorities), and variables of nothing else out of the environment of this process: to the SDK of AWS,
/// an empty AWS_REGION is the name of a region, and an empty AWS_ENDPOINT_URL an address. RUST_MIN_STACK
/// goes, too: a thread whose stack is too small ends the process.
///
/// Only before this process has threads.
pub fn tidy() {
    // SAFETY: as below.
    unsafe { std::env::remove_var("RUST_MIN_STACK") };
    for (name, value) in std::env::vars_os() {
        let (Some(known), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        let upper = known.to_ascii_uppercase();
        let trimmed = value.trim();
        let is_read = upper.starts_with("AWS_") || upper.ends_with("_PROXY") || [FILE, FOLDERS].contains(&known);
        if !is_read || trimmed == value && !value.is_empty() {
            continue;
        }
        // SAFETY: a process of Postgres has one thread until the caller makes others, so nobody reads the
        // environment meanwhile.
        unsafe {
            match trimmed {
                "" => std::env::remove_var(&name),
                trimmed => std::env::set_var(&name, trimmed),
            }
        }
    }
}

//! The environment of the server, where credentials and addresses are that no table should hold.

use ai_pipeline::credential::{self, Reference};
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::secret::Secret;

use crate::settings::Settings;

/// A secret of the server's environment; nothing where it is missing or empty.
pub fn secret(name: &str) -> Option<Secret> {
    text(name).map(Secret::new)
}

/// A variable of the server's environment; nothing where it is missing or empty.
pub fn text(name: &str) -> Option<String> {
    // A name with = or NUL in it makes std panic.
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The credential that a foreign server or a user mapping refers to. A file is read each time, so that a new one is used as
/// soon as it is there.
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
        Reference::Env(name) => secret(name).ok_or_else(|| {
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

//! The environment of the server, where credentials and addresses are that no table should hold.

use ai_pipeline::secret::Secret;

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

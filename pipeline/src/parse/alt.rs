//! Alternative texts of pictures: those that say something.

/// The text between spaces; the empty text where it is none, or the name of a file.
pub(super) fn spaced(text: Option<&str>) -> String {
    let text = text.unwrap_or_default().trim();
    let is_file = !text.contains(char::is_whitespace)
        && text
            .rsplit_once('.')
            .is_some_and(|(_, extension)| (2..=4).contains(&extension.len()));
    if text.is_empty() || is_file || text.starts_with("data:") {
        String::new()
    } else {
        format!(" {text} ")
    }
}

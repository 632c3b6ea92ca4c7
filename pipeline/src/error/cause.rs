//! Errors of other libraries, as causes of our own.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// An error of another library. It stays the source of the error that it is the cause of, and has a
/// text of one line.
///
/// Two are equal that say the same. What [`fmt::Debug`] shows is no more than that: requests and
/// answers may hold secrets.
#[derive(Clone)]
pub struct Cause {
    error: Arc<dyn Error + Send + Sync>,
    text: String,
}

impl Cause {
    /// Says what the error and its own causes say.
    ///
    /// ```
    /// use std::error::Error;
    /// use ai_pipeline::error::Cause;
    /// let cause = Cause::new(std::io::Error::other("the disk is full"));
    /// assert_eq!(cause.to_string(), "the disk is full");
    /// assert!(cause.source().is_some_and(|source| source.is::<std::io::Error>()));
    /// ```
    pub fn new(error: impl Error + Send + Sync + 'static) -> Cause {
        let text = causes(&error);
        Cause::saying(error, text)
    }

    /// What was said, where that is no error of a library.
    pub fn said(text: &str) -> Cause {
        let text = text.to_owned();
        let error = Arc::from(Box::<dyn Error + Send + Sync>::from(text.clone()));
        Cause { error, text }
    }

    /// Says this in its place.
    pub fn saying(error: impl Error + Send + Sync + 'static, text: String) -> Cause {
        let error = Arc::new(error);
        Cause { error, text }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cause({:?})", self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        self.text == other.text
    }
}

impl Eq for Cause {}

/// An error and what lies under it, in one line, each text once.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    join(error.to_string(), error.source())
}

/// What lies under an error, without its own text, where there is something.
pub fn causes_below(error: &(dyn Error + 'static)) -> Option<String> {
    let first = error.source()?;
    Some(join(first.to_string(), first.source()))
}

fn join(mut text: String, mut next: Option<&(dyn Error + 'static)>) -> String {
    while let Some(cause) = next {
        let shown = cause.to_string();
        if !text.contains(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says a text, and has another under it.
    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as &(dyn Error + 'static))
        }
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (first, rest) = texts.split_first().expect("there is one");
        Layer(first, (!rest.is_empty()).then(|| Box::new(layers(rest))))
    }

    #[test]
    fn each_text_is_said_once() {
        for (texts, all, below) in [
            (&["lost"][..], "lost", None),
            (&["lost", "reset", "reset"], "lost: reset", Some("reset")),
            (
                &["lost: reset", "reset", "by a peer"],
                "lost: reset: by a peer",
                Some("reset: by a peer"),
            ),
        ] {
            assert_eq!(causes(&layers(texts)), all);
            assert_eq!(causes_below(&layers(texts)).as_deref(), below, "{texts:?}");
            let cause = Cause::new(layers(texts));
            assert_eq!(cause.to_string(), all);
            let same = Cause::saying(std::io::Error::other("another"), all.to_owned());
            assert_eq!((&cause, format!("{cause:?}")), (&same, format!("Cause({all:?})")));
            assert!(cause.source().is_some_and(|source| source.is::<Layer>()));
        }
    }
}

//! S3 and whatever speaks its protocol: who asks, where, and what an answer means. What is asked
//! for is up to the holder of a [`S3Session`]: documents are loaded ([`crate::load`]).

mod authorities;
mod error;
mod headers;
mod identity;
mod refused;
mod session;
mod variables;

pub use self::error::{Caller, Error};
pub(crate) use self::refused::{S3Object, of_object};
pub(crate) use self::session::S3Session;

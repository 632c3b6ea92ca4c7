//! The memory that a document in flight has reserved.

use ai_pipeline::budget::Reservation;

/// What a document has reserved, until it has ended. A document that waits for one of these may have those before
/// it, and none of those behind it: nobody waits for ever.
#[derive(Default)]
pub struct Reservations {
    /// For what the template adds to its texts; with the URI, where it is one.
    pub columns: Option<Reservation>,
    pub document: Option<Reservation>,
    /// For texts on their way to the provider, and their vectors.
    pub vectors: Option<Reservation>,
}

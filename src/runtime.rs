//! Where asynchronous work runs: the threads beside the main thread, and what their tasks work with.

pub mod bridge;
pub mod cutter;
pub mod places;
pub mod reservation;
pub mod services;

//! When the launcher starts a worker: decisions without a clock of their own.

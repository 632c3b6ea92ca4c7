//! What the worker of a database decides: code without a clock, without Postgres and without chance of its own.
//!
//! | file | what it decides |
//! |---|---|
//! | `station` | when to look at the queue of a vectorizer, and what of what was learnt holds after it is read anew |
//! | `locks` | how long a vectorizer is left alone whose tables or rows a user has locked |
//! | `intake` | how much of an intake is put into its queue by one statement, and when |
//! | `swallows` | when to note again what a queue swallows |
//! | `share` | how many documents of a vectorizer are taken |
//! | `order` | whose turn it is |
//! | `suspects` | when documents run that a process died with, and what waits for them |
//! | `singly` | who is to blame where documents are read one by one |
//! | `batches` | which documents share a transaction |
//! | `slow` | how many documents may be in flight whose code was cut short |
//! | `rereads` | which vectorizers are read anew, and when |
//! | `notes` | what is still to be written down about vectorizers |
//! | `index` | when an index is looked after, and which build makes way |
//! | `renewals` | when leases are renewed |
//! | `round` | how long the worker pauses, and when it leaves |
//! | `activity` | what it says about itself |

pub mod activity;
pub mod batches;
pub mod index;
pub mod intake;
pub mod locks;
pub mod notes;
pub mod order;
pub mod renewals;
pub mod rereads;
pub mod round;
pub mod share;
pub mod singly;
pub mod slow;
pub mod station;
pub mod suspects;
pub mod swallows;

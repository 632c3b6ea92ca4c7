//! What a session calls: to cut and to embed texts, to see and to try again what failed, to verify, and to wait.

mod chunk;
mod embed;
mod failed;
mod verify;
mod waiting;
mod wakeups;

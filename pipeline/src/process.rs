//! Child processes: one order in, one answer out, and then the process is gone.
//!
//! What may take any time or memory, or bring its process down, is done in a process of its own: a
//! document of anybody is parsed there, and a text cut at expressions of a user. The parent's side
//! ([`Supervisor`]) knows programs, places, limits and pipes, and nothing of what is asked. The
//! child's side ([`child`]) is the frame of a program: it confines itself, reads its order, and
//! writes its answer. What an order and an answer say is defined with each kind of child: the
//! first is [`crate::parse`].

mod answer;
pub(crate) mod child;
mod confine;
mod mishap;
mod supervisor;

pub(crate) use answer::{ChildAnswer, Output};
pub(crate) use mishap::Mishap;
pub(crate) use supervisor::{ChildRequest, Supervisor};

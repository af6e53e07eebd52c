//! What must not pass: bad input of every kind on both creating routes, credentials, other apps' ids, and a
//! service without room or without its store. Nothing of it may be stored.

mod access;
mod bodies;
mod input;
mod native_cases;
mod room;

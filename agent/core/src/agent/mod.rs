//! The only place where the pieces meet.

pub mod io;

//! Every service in one process on the embedded engine, and the command line.
//!
//! [`compose`] hands each service its neighbours' clients; [`cli`] has a module for each command. Tests start the same
//! [`compose::Suite`] that `freshet dev` starts.

mod assets;
pub mod catalogue;
pub mod cli;
pub mod compose;
pub mod data;
pub mod settings;

//! From a webhook to a fresh site, over both ways in which the services reach each other.

mod builds;
mod burst;
mod catalogue;
mod commands;
mod feed;
mod flow;
mod once;
mod outage;
mod privacy;
#[cfg(target_os = "linux")]
mod processors;
mod restart;
mod script;
mod spool;

//! Decides when a site is built, has it built, and keeps the record of every decision.
//!
//! A `consumer` takes change events from the queue and adds them to the pending batch of each site that uses the
//! source. A `scheduler` watches the deadlines and starts builds; an `executor` runs one build: snapshot, runner,
//! publish. The server answers `BuildService`. All of them go through one door, `engine`: load the site's state, ask
//! the pure [`machine`], commit state and records together, then act.
//!
//! **Invariants**
//! - **Invariant:** a queue message is deleted only after its changes are durable in a batch (P4).
//! - **Invariant:** one change, named by delivery and index, joins a site once, however often its event comes (P2).
//! - **Invariant:** at most one build per site runs, and the limits per client and over all hold: the store checks them
//!   in the transaction that starts the build.
//! - **Invariant:** a batch closes when its build starts and its snapshot is taken later, so every change of a batch is
//!   in its snapshot.
//! - **Invariant:** a build that fails at any point leaves the live site as it was; on one machine, a site is published by
//!   one rename; on AWS, by a copy that the next one finishes.
//! - **Invariant:** a build inherits nothing from this process's environment but `PATH`, and in CodeBuild not even that.
//! - **Invariant:** every rpc handler begins with `authorize` (P7); ids of another client are answered as missing.
//! - **Invariant:** the machine and the renderer know no clock, no store and no network.

mod consumer;
mod deps;
mod engine;
#[cfg(feature = "aws")]
pub mod events;
mod executor;
pub mod hosting;
mod hub;
pub mod lease;
pub mod machine;
mod measure;
pub mod render;
pub mod runner;
mod scheduler;
mod server;
pub mod snapshot;
pub mod store;
mod survey;
#[cfg(feature = "aws")]
mod upload;
mod workspace;

use freshet_kit::{Readiness, Shutdown};
use freshet_proto::build::v1::build_service_server::BuildServiceServer;

pub use deps::BuildDeps;
#[cfg(feature = "aws")]
pub use hosting::S3Hosting;
pub use hosting::{Hosting, LocalHosting};
pub use hub::Hub;
pub use runner::Runners;
pub use server::BuildServer;
pub use store::BuildStore;
pub use store::sqlite::{MIGRATIONS, SqliteBuildStore};

/// The gRPC service, ready to be wrapped in the rpc stack.
pub fn server(deps: &BuildDeps) -> BuildServiceServer<BuildServer> {
    BuildServiceServer::new(BuildServer::new(deps)).max_decoding_message_size(freshet_kit::rpc::MESSAGE_BYTES_MAX)
}

/// Starts the queue consumer and the scheduler. They end by themselves after the soft stop.
pub fn spawn_background(deps: BuildDeps, shutdown: &Shutdown, readiness: &Readiness) {
    let hub = deps.hub.clone();
    let stop = shutdown.clone();
    shutdown.spawn("build streams", async move {
        stop.stopping().await;
        hub.close();
    });
    consumer::spawn(&deps, shutdown, readiness);
    scheduler::spawn(deps, shutdown, readiness);
}

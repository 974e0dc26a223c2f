//! One stack around every gRPC service, in process and over TCP.
//!
//! In one process a caller uses the generated client directly over the generated server. That skips tonic's transport,
//! and with it tonic's deadlines; so the layers that matter (deadline, caller's identity, panic guard) are in
//! [`Stack`], which wraps both paths.

mod auth;
mod channel;
mod local;
mod observe;
mod server;
mod stack;
mod tls;

pub use auth::{Caller, authorize, authorize_all_clients, authorize_internal, only_client};
pub use channel::{Channel, ChannelError, connect, connect_with, in_process};
pub use local::call_local;
pub use server::{GrpcServer, ServeError};
pub use stack::Stack;
pub use tls::Tls;

/// Largest message that a service takes: a 25 MiB body and what goes with it.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

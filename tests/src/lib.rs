//! What the tests of the whole share: a suite on free ports in a temporary folder, a poster, gRPC clients, samples of
//! every provider, and waiting for a state instead of for a time.
//!
//! **Invariants**
//! - Nothing listens beyond loopback, and no port is chosen by hand.
//! - Nothing waits without a bound, and whoever waited in vain says what it saw last.
//! - Only processes that were started here are ended, by their id.

pub mod catalogues;
#[cfg(feature = "aws")]
pub mod cluster;
#[cfg(feature = "aws")]
pub mod collector;
#[cfg(feature = "aws")]
pub mod engine;
pub mod files;
pub mod gate;
pub mod grpc;
pub mod http;
pub mod process;
pub mod raw;
pub mod samples;
pub mod suite;
pub mod wait;

pub use grpc::Clients;
pub use http::{Answer, Poster};
pub use samples::Sample;
pub use suite::{Options, TestSuite};
pub use wait::wait_for;

/// Makes three tests of an `async fn name(path: RpcPath)`: those of [`both_paths`], and one on the AWS engine.
#[macro_export]
macro_rules! every_engine {
    ($($name:ident),+ $(,)?) => {
        $crate::both_paths!($($name),+);
        #[cfg(feature = "aws")]
        mod aws {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let test = super::$name(freshet_suite::compose::RpcPath::InProcess);
                    freshet_tests::engine::on_aws(test).await;
                }
            )+
        }
    };
}

/// Makes two tests of an `async fn name(path: RpcPath)`: one in process, one over loopback TCP.
#[macro_export]
macro_rules! both_paths {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn in_process() {
                    super::$name(freshet_suite::compose::RpcPath::InProcess).await;
                }
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn tcp() {
                    super::$name(freshet_suite::compose::RpcPath::Tcp).await;
                }
            }
        )+
    };
}

//! What the service is made of.

use std::path::PathBuf;
use std::sync::Arc;

use freshet_kit::rpc::Channel;
use freshet_kit::{CatalogueHandle, Clock};
use freshet_proto::content::v1::content_service_client::ContentServiceClient;

use crate::hosting::Hosting;
use crate::hub::Hub;
use crate::lease::Lease;
use crate::runner::Runners;
use crate::store::BuildStore;

/// Everything the service talks to. The engine decides what is behind each port.
#[derive(Clone)]
pub struct BuildDeps {
    /// Where states, batches and builds are kept.
    pub store: Arc<dyn BuildStore>,
    /// Where content says what changed.
    pub queue: Arc<dyn freshet_bus::Queue>,
    /// Decides which task schedules; `None` where there is only one.
    pub lease: Option<Arc<dyn Lease>>,
    /// What builds sites.
    pub runners: Runners,
    /// Where snapshots come from.
    pub content: ContentServiceClient<Channel>,
    /// The catalogue in force.
    pub catalogue: CatalogueHandle,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where finished sites go.
    pub hosting: Arc<dyn Hosting>,
    /// Folder for snapshots, outputs and logs of builds.
    pub work_dir: PathBuf,
    /// Ties the server and the background tasks of one process together. [`Hub::new`] for each process.
    pub hub: Hub,
}

//! gRPC clients with a key.

use freshet_kit::rpc::{Channel, MESSAGE_BYTES_MAX, connect};
use freshet_proto::build::v1 as build;
use freshet_proto::build::v1::build_service_client::BuildServiceClient;
use freshet_proto::common::v1 as common;
use freshet_proto::content::v1 as content;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::control::v1 as control;
use freshet_proto::control::v1::control_service_client::ControlServiceClient;
use freshet_proto::validation::v1::validation_service_client::ValidationServiceClient;
use tonic::{Code, Status};

use crate::wait::wait_for;

/// A client of each service, over TCP, with one key.
#[derive(Clone)]
pub struct Clients {
    channel: Channel,
}

impl Clients {
    /// Connects at the first call.
    pub fn new(address: &str, key: &str) -> Self {
        let channel = connect(address, key).unwrap_or_else(|error| panic!("no channel: {error:?}"));
        Self { channel }
    }

    /// The validation service.
    pub fn validation(&self) -> ValidationServiceClient<Channel> {
        ValidationServiceClient::new(self.channel.clone())
    }

    /// The content service.
    pub fn content(&self) -> ContentServiceClient<Channel> {
        ContentServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The build service.
    pub fn build(&self) -> BuildServiceClient<Channel> {
        BuildServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The control service.
    pub fn control(&self) -> ControlServiceClient<Channel> {
        ControlServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The receipt of a delivery.
    pub async fn receipt(&self, client: &str, delivery: &str) -> Result<control::Receipt, Status> {
        let request = control::GetReceiptRequest { client_id: client.into(), delivery_id: delivery.into() };
        Ok(self.control().get_receipt(request).await?.into_inner().receipt.unwrap_or_default())
    }

    /// Waits until the receipt says this.
    pub async fn wait_progress(&self, client: &str, delivery: &str, wanted: control::Progress) -> control::Receipt {
        wait_for(&format!("{delivery} to be {}", wanted.as_str_name()), || async {
            match self.receipt(client, delivery).await {
                Ok(receipt) if receipt.progress() == wanted => Ok(receipt),
                Ok(receipt) => Err(format!("{} {}", receipt.progress().as_str_name(), receipt.reason)),
                Err(status) => Err(status.to_string()),
            }
        })
        .await
    }

    /// Waits until the change is live.
    pub async fn wait_live(&self, client: &str, delivery: &str) -> control::Receipt {
        self.wait_progress(client, delivery, control::Progress::Live).await
    }

    /// A stored delivery.
    pub async fn delivery(&self, client: &str, delivery: &str) -> Result<content::Delivery, Status> {
        let request =
            content::GetDeliveryRequest { client_id: client.into(), delivery_id: delivery.into(), include_body: false };
        Ok(self.content().get_delivery(request).await?.into_inner().delivery.unwrap_or_default())
    }

    /// One entry.
    pub async fn entry(&self, client: &str, key: &common::EntryKey) -> Result<content::Entry, Status> {
        let request = content::GetEntryRequest {
            client_id: client.into(),
            key: Some(key.clone()),
            include_deleted: false,
            include_expired: false,
        };
        Ok(self.content().get_entry(request).await?.into_inner().entry.unwrap_or_default())
    }

    /// Every published entry of a source, over all pages.
    pub async fn entries(&self, client: &str, source: &str) -> Vec<content::Entry> {
        let mut request = content::ListEntriesRequest {
            client_id: client.into(),
            source_id: source.into(),
            page_size: 1000,
            ..Default::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self.content().list_entries(request.clone()).await;
            let page = page.unwrap_or_else(|status| panic!("entries are not listed: {status}")).into_inner();
            all.extend(page.entries);
            if page.next_page_token.is_empty() {
                return all;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Every delivery of a client, newest first, over all pages.
    pub async fn deliveries(&self, client: &str) -> Vec<content::Delivery> {
        let mut request =
            content::ListDeliveriesRequest { client_id: client.into(), page_size: 1000, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = self.content().list_deliveries(request.clone()).await;
            let page = page.unwrap_or_else(|status| panic!("deliveries are not listed: {status}")).into_inner();
            all.extend(page.deliveries);
            if page.next_page_token.is_empty() {
                return all;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Every build of a site, newest first, over all pages.
    pub async fn builds(&self, client: &str, site: &str) -> Vec<build::Build> {
        let mut request = build::ListBuildsRequest {
            client_id: client.into(),
            site_id: site.into(),
            page_size: 1000,
            ..Default::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self.build().list_builds(request.clone()).await;
            let page = page.unwrap_or_else(|status| panic!("builds are not listed: {status}")).into_inner();
            all.extend(page.builds);
            if page.next_page_token.is_empty() {
                return all;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// A site.
    pub async fn site(&self, client: &str, site: &str) -> build::Site {
        let request = build::ListSitesRequest { client_id: client.into(), page_size: 1000, page_token: String::new() };
        let page = self.build().list_sites(request).await;
        let page = page.unwrap_or_else(|status| panic!("sites are not listed: {status}")).into_inner();
        let mut sites = page.sites.into_iter();
        sites.find(|found| found.site_id == site).unwrap_or_else(|| panic!("there is no site {site}"))
    }

    /// What waits for the next build, if anything does.
    pub async fn pending(&self, client: &str, site: &str) -> Option<build::Batch> {
        let request = build::GetPendingBatchRequest { client_id: client.into(), site_id: site.into() };
        match self.build().get_pending_batch(request).await {
            Ok(response) => response.into_inner().batch,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("the pending batch is not told: {status}"),
        }
    }

    /// Waits until this many changes wait.
    pub async fn wait_pending(&self, client: &str, site: &str, changes: u64) -> build::Batch {
        wait_for(&format!("{changes} changes to wait for {site}"), || async {
            match self.pending(client, site).await {
                Some(batch) if batch.changes == changes => Ok(batch),
                Some(batch) => Err(format!("{} changes wait", batch.changes)),
                None => Err("nothing waits".to_owned()),
            }
        })
        .await
    }

    /// Waits until nothing waits or runs at the site.
    pub async fn wait_idle(&self, client: &str, site: &str) -> build::Site {
        wait_for(&format!("{site} to be idle"), || async {
            let found = self.site(client, site).await;
            match (&found.pending_batch, &found.running_build) {
                (None, None) => Ok(found),
                (pending, running) => Err(format!(
                    "pending {:?}, running {:?}",
                    pending.as_ref().map(|batch| (batch.changes, batch.decisions.last().cloned())),
                    running.as_ref().map(|build| (&build.build_id, build.state()))
                )),
            }
        })
        .await
    }
}

/// A request id that nobody has used.
pub fn request_id() -> String {
    freshet_domain::DeliveryId::generate().to_string()
}

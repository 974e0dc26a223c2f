//! The state of the whole system.

use freshet_domain::Timestamp;
use freshet_kit::Error;
use freshet_proto::build::v1 as build;
use freshet_proto::content::v1::ListDeliveriesRequest;
use freshet_proto::control::v1::{ComponentStatus, GetSystemStatusResponse, Progress, SiteStatus};
use freshet_proto::convert::timestamp_from_proto;
use freshet_proto::validation::v1::ListProvidersRequest;

use crate::ControlDeps;

/// The state as far as it can be found out. Empty `client_id`: of every client.
pub(crate) async fn gather(deps: &ControlDeps, client_id: &str) -> GetSystemStatusResponse {
    let catalogue = deps.catalogue.get();
    let clients: Vec<String> = catalogue
        .clients
        .keys()
        .map(ToString::to_string)
        .filter(|id| client_id.is_empty() || id == client_id)
        .collect();

    let mut components = vec![validation(deps).await];
    let mut sites = Vec::new();
    let (mut content, mut builds) = (Ok(()), Ok(()));
    for client in &clients {
        let one = ListDeliveriesRequest { client_id: client.clone(), page_size: 1, ..Default::default() };
        content = content.and(deps.content.clone().list_deliveries(one).await.map(drop));
        match all_sites(deps, client).await {
            Ok(found) => sites.extend(found.iter().map(site_status)),
            Err(status) => builds = Err(status),
        }
    }
    components.push(component("content", content, "stores deliveries and entries"));
    components.push(component("build", builds, "collects batches and runs builds"));
    for probe in &deps.probes {
        components.push(probe.status().await);
    }
    GetSystemStatusResponse {
        healthy: components.iter().all(|component| component.healthy),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: deps.engine.to_owned(),
        components,
        sites,
    }
}

/// Every site of a client.
pub(crate) async fn all_sites(deps: &ControlDeps, client: &str) -> Result<Vec<build::Site>, tonic::Status> {
    let mut request =
        build::ListSitesRequest { client_id: client.to_owned(), page_size: 1000, page_token: String::new() };
    let mut sites = Vec::new();
    loop {
        let page = deps.build.clone().list_sites(request.clone()).await?.into_inner();
        sites.extend(page.sites);
        if page.next_page_token.is_empty() {
            return Ok(sites);
        }
        request.page_token = page.next_page_token;
    }
}

async fn validation(deps: &ControlDeps) -> ComponentStatus {
    let result =
        deps.validation.clone().list_providers(ListProvidersRequest { page_size: 1, ..Default::default() }).await;
    component("validation", result.map(drop), "judges deliveries")
}

fn component(name: &str, result: Result<(), tonic::Status>, well: &str) -> ComponentStatus {
    let (healthy, detail) = match result {
        Ok(()) => (true, well.to_owned()),
        Err(status) => (false, Error::from_status(&status).to_string()),
    };
    ComponentStatus { name: name.to_owned(), healthy, detail }
}

fn site_status(site: &build::Site) -> SiteStatus {
    let pending = site.pending_batch.as_ref();
    let running = site.running_build.as_ref();
    let left_over = site.left_over_batch.as_ref();
    let waiting = [pending, left_over].into_iter().flatten().map(|batch| batch.changes).sum::<u64>()
        + running.map_or(0, |build| build.changes);
    let (progress, detail) = match (site.paused, pending, running) {
        (true, _, _) => (Progress::Held, format!("paused: {}", site.pause_reason)),
        (_, _, Some(build)) => (Progress::Building, format!("{} runs", build.build_id)),
        (_, Some(batch), None) => {
            let last = batch.decisions.last().map(|decision| decision.reason.clone()).unwrap_or_default();
            (Progress::Waiting, if last.is_empty() { "waits".to_owned() } else { last })
        }
        (_, None, None) => match (left_over, &site.live_build) {
            (Some(batch), _) if batch.state() == build::BatchState::Failed => {
                (Progress::Failed, format!("{} failed; its builds tell why", batch.batch_id))
            }
            (Some(batch), _) => (Progress::Held, format!("{}: {}", batch.batch_id, crate::receipt::CANCELLED)),
            (None, Some(live)) => {
                let end = live.end_time.as_ref().map_or(Timestamp::EPOCH, timestamp_from_proto);
                (Progress::Live, format!("live since {end} ({})", live.build_id))
            }
            (None, None) => (Progress::NothingToDo, "has not been built yet".to_owned()),
        },
    };
    SiteStatus {
        client_id: site.client_id.clone(),
        site_id: site.site_id.clone(),
        progress: i32::from(progress),
        changes_waiting: waiting,
        oldest_waiting_at: pending.and_then(|batch| batch.first_change_at),
        detail,
    }
}

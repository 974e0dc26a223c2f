//! Sites that are new, and sites that use other sources than before. Their content is stored, and no change tells of it.

use std::time::Duration;

use freshet_domain::EntryStatus;
use freshet_domain::catalogue::Site;
use freshet_kit::error::chain;
use freshet_kit::lifecycle::Latch;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Error, Shutdown};
use freshet_proto::content::v1::ListEntriesRequest;

use crate::engine::Engine;
use crate::machine::{Input, SiteKey};

const PAUSES: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(30) };

/// Compares every edition of the catalogue with what the sites were built from, until the soft stop. The latch falls
/// after the first comparison, even if it failed: builds need not wait for the content service to be there.
pub(crate) async fn run(engine: Engine, shutdown: Shutdown, mut latch: Option<Latch>) {
    let mut editions = engine.deps.catalogue.subscribe();
    let mut failures = 0;
    while !shutdown.is_stopping() {
        editions.mark_unchanged();
        let surveyed = survey(&engine).await;
        drop(latch.take());
        let pause = match surveyed {
            Ok(()) => {
                failures = 0;
                Duration::MAX
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(error = %chain(&error), "sites could not be compared with the catalogue, trying again");
                PAUSES.jittered(failures, chance())
            }
        };
        tokio::select! {
            _ = editions.changed() => {}
            () = shutdown.stopping() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Looks at every site of the catalogue. One that fails does not stop the others.
async fn survey(engine: &Engine) -> Result<(), Error> {
    let catalogue = engine.deps.catalogue.get();
    let mut failure = None;
    for site in catalogue.sites() {
        failure = look_at(engine, site).await.err().or(failure);
    }
    failure.map_or(Ok(()), Err)
}

async fn look_at(engine: &Engine, site: &Site) -> Result<(), Error> {
    let key = SiteKey::new(site.client.clone(), site.id.clone());
    let mut sources: Vec<String> = site.sources.iter().map(ToString::to_string).collect();
    sources.sort_unstable();
    let known = engine.deps.store.load(&key).await?.state.sources;
    if known.as_ref() == Some(&sources) {
        return Ok(());
    }
    // Whoever used to have sources is built again whatever the new ones have: what the old ones had must go.
    let has_content = known.is_some() || has_content(engine, site).await?;
    engine.apply(&key, Input::SourcesSeen { sources, has_content }).await?;
    Ok(())
}

/// True if a source of the site has anything that it would show.
async fn has_content(engine: &Engine, site: &Site) -> Result<bool, Error> {
    for source in &site.sources {
        let mut token = String::new();
        loop {
            let request = ListEntriesRequest {
                client_id: site.client.to_string(),
                source_id: source.to_string(),
                status: i32::from(EntryStatus::Published.code()),
                include_expired: true,
                keys_only: true,
                page_size: 1,
                page_token: token,
                ..ListEntriesRequest::default()
            };
            let page = engine
                .deps
                .content
                .clone()
                .list_entries(request)
                .await
                .map_err(|status| Error::from_status(&status))?
                .into_inner();
            if !page.entries.is_empty() {
                return Ok(true);
            }
            if page.next_page_token.is_empty() {
                break;
            }
            token = page.next_page_token;
        }
    }
    Ok(false)
}

//! `freshet send`: a realistic delivery, signed and posted as the provider would.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use freshet_domain::catalogue::Source;
use freshet_domain::{Catalogue, Timestamp};
use freshet_kit::rpc::Channel;
use freshet_proto::control::v1 as control;
use freshet_proto::control::v1::control_service_client::ControlServiceClient;
use freshet_providers::{Registry, SampleDelivery, SampleRequest};
use futures::StreamExt as _;
use secrecy::ExposeSecret as _;

use super::Target;
use super::connect::explain;
use super::dev::{environment, webhook_path};
use super::output::{line, note, to_json};
use super::post::{Answer, Poster, text_headers};
use super::show::print_receipt;
use crate::catalogue::CatalogueReader;
use crate::data;

/// Post a realistic, signed delivery as a provider would.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The provider; `freshet providers` lists them
    provider: String,
    /// The provider's event; left out: its most usual one. `list` lists them
    event: Option<String>,
    /// The source; left out: the first one of this provider
    #[arg(long)]
    source: Option<String>,
    /// Which entry: each number is another one
    #[arg(long, default_value_t = 0)]
    number: u64,
    /// Which state of the entry: each revision has other content; left out: a new one each time
    #[arg(long)]
    revision: Option<u64>,
    /// Change one byte of the body after signing
    #[arg(long)]
    tamper: bool,
    /// Sign with a clock that is a day behind
    #[arg(long)]
    stale: bool,
    /// Send the same delivery twice
    #[arg(long)]
    duplicate: bool,
    /// Send this many deliveries of as many entries
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000), conflicts_with = "wait")]
    burst: u64,
    /// Wait until the change is live, two minutes at most, and show its receipt; fails if it is not live then
    #[arg(long)]
    wait: bool,
}

/// `--wait` waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Requests at once in a burst.
const CONCURRENCY: usize = 32;

/// Makes and posts samples for the sources of one catalogue.
pub(crate) struct Sender {
    pub(crate) registry: Arc<Registry>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) http: String,
    pub(crate) root_key: String,
    pub(crate) poster: Poster,
}

/// Which sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which<'a> {
    pub(crate) event: Option<&'a str>,
    pub(crate) number: u64,
    pub(crate) revision: u64,
    pub(crate) at: Timestamp,
}

impl Sender {
    /// The delivery that a source's provider would send.
    pub(crate) fn sample(&self, source: &Source, which: Which<'_>) -> anyhow::Result<SampleDelivery> {
        let adapter = self.registry.get(&source.provider).context("there is no such provider")?;
        let events = adapter.sample_events();
        let event = which.event.or(events.first().copied()).context("this provider has no samples")?;
        let request = SampleRequest {
            event,
            secret: source.secrets.first().map(|secret| secret.expose_secret()),
            settings: &source.settings,
            now: which.at,
            number: which.number,
            revision: which.revision,
            asset_base: &format!("{}/demo-assets", self.http),
        };
        adapter
            .sample(&request)
            .with_context(|| format!("there is no sample of `{event}`; there are: {}", events.join(", ")))
    }

    /// Posts a delivery to the source's address.
    pub(crate) async fn post(&self, source: &Source, sample: &SampleDelivery, tamper: bool) -> anyhow::Result<Answer> {
        let url = format!("{}{}", self.http, webhook_path(&self.catalogue, source));
        let mut headers = text_headers(&sample.headers);
        if source.require_key || source.secrets.is_empty() {
            headers.push(("x-api-key".to_owned(), self.root_key.clone().into_bytes()));
        }
        let mut body = sample.body.clone();
        if tamper {
            // A letter inside, so that the body stays what its content type says.
            match body.iter().rposition(u8::is_ascii_lowercase) {
                Some(at) => body[at] = if body[at] == b'z' { b'a' } else { body[at] + 1 },
                None => body.push(b' '),
            }
        }
        self.poster.send(sample.method, &url, &headers, Bytes::from(body)).await
    }
}

pub(crate) async fn run(target: &Target, args: SendArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        target.server().is_none(),
        "`send` signs with the secrets of the suite on this machine and posts to it; leave out --server and \
         FRESHET_SERVER, or name its data folder with --data"
    );
    let running = target.running()?;
    let data = target.data();
    let root_key = data::root_key(&data)?;
    let registry = Arc::new(Registry::new());
    let reader = CatalogueReader::new(&running.catalogue, &data, environment(), registry.clone(), &root_key);
    let text = std::fs::read_to_string(&running.catalogue)
        .with_context(|| format!("cannot read the catalogue {}", running.catalogue.display()))?;
    let catalogue = reader.read(&text).map_err(|problems| {
        anyhow::anyhow!(
            "the catalogue has mistakes; the suite goes on with the edition before them\n{}",
            problems.trim_end()
        )
    })?;
    let adapter = registry.get(&args.provider).with_context(|| {
        let known: Vec<&str> = registry.iter().map(|adapter| adapter.descriptor().name).collect();
        format!("`{}` is not a provider; there are: {}", args.provider, known.join(", "))
    })?;
    if args.event.as_deref() == Some("list") {
        adapter.sample_events().iter().for_each(line);
        return Ok(ExitCode::SUCCESS);
    }
    let source = find_source(&catalogue, target, &args)?;
    let sender = Sender {
        registry: registry.clone(),
        catalogue: Arc::new(catalogue),
        http: running.http,
        root_key,
        poster: Poster::new(),
    };

    let now = Timestamp::now();
    let which = Which {
        event: args.event.as_deref(),
        number: args.number,
        // Seconds since the start of 2026: another content at each call, and later ones are newer.
        revision: args.revision.unwrap_or(u64::try_from(now.as_secs() - 1_767_225_600).unwrap_or(0)),
        at: if args.stale { now.minus(Duration::from_secs(86_400)) } else { now },
    };
    // A refusal that was asked for is a success.
    let is_refusal_meant = args.tamper || args.stale && adapter.descriptor().capabilities.signs_time;
    let is_as_meant = |status: u16| (200..300).contains(&status) != is_refusal_meant;
    if args.burst > 1 {
        return burst(target, &sender, &source, which, &args, is_as_meant).await;
    }
    let sample = sender.sample(&source, which)?;
    let mut answers = Vec::new();
    for _ in 0..if args.duplicate { 2 } else { 1 } {
        let answer = sender.post(&source, &sample, args.tamper).await.context("cannot post")?;
        if !target.json() {
            line(format!("{}  {}", answer.status, answer.body));
            if let Some(after) = &answer.retry_after {
                line(format!("retry after {after} s"));
            }
        }
        answers.push(answer);
    }
    let mut is_good = answers.iter().all(|answer| is_as_meant(answer.status));
    let kept = answers.last().filter(|answer| (200..300).contains(&answer.status)).and_then(Answer::delivery_id);
    let mut receipt = None;
    if let (true, Some(delivery_id)) = (args.wait, kept) {
        let services = target.connect().await?;
        let waited = wait_for(services.control(), source.client.as_str(), &delivery_id, WAIT_MAX).await?;
        if !target.json() {
            print_receipt(&waited);
        }
        if !has_come_to_its_end(&waited) {
            note(format!("it is not live after {} s", WAIT_MAX.as_secs()));
        }
        is_good &= matches!(waited.progress(), control::Progress::Live | control::Progress::NothingToDo);
        receipt = Some(waited);
    }
    if target.json() {
        let receipt = receipt.map(|receipt| to_json("control.v1.Receipt", &receipt)).transpose()?;
        let answers: Vec<_> = answers.iter().map(Answer::to_json).collect();
        line(serde_json::to_string_pretty(&serde_json::json!({ "answers": answers, "receipt": receipt }))?);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn find_source(catalogue: &Catalogue, target: &Target, args: &SendArgs) -> anyhow::Result<Arc<Source>> {
    let mut sources = catalogue
        .clients
        .values()
        .filter(|client| target.client().is_none_or(|name| client.id.as_str() == name))
        .flat_map(|client| client.sources.values())
        .filter(|source| source.provider == args.provider)
        .filter(|source| args.source.as_ref().is_none_or(|name| source.id.as_str() == name));
    sources.next().cloned().with_context(|| {
        let all: Vec<String> = catalogue
            .clients
            .values()
            .flat_map(|client| client.sources.values())
            .map(|source| format!("{}/{} ({})", source.client, source.id, source.provider))
            .collect();
        format!("the catalogue has no such source of {}; it has {}", args.provider, all.join(", "))
    })
}

async fn burst(
    target: &Target,
    sender: &Sender,
    source: &Source,
    which: Which<'_>,
    args: &SendArgs,
    is_as_meant: impl Fn(u16) -> bool,
) -> anyhow::Result<ExitCode> {
    let begun = std::time::Instant::now();
    let mut answers = futures::stream::iter(0..args.burst)
        .map(|offset| async move {
            let sample = sender.sample(source, Which { number: which.number + offset, ..which })?;
            let answer = sender.post(source, &sample, args.tamper).await?;
            if args.duplicate {
                sender.post(source, &sample, args.tamper).await?;
            }
            anyhow::Ok(answer.status)
        })
        .buffer_unordered(CONCURRENCY);
    let mut by_status = std::collections::BTreeMap::<u16, u64>::new();
    let mut done = 0;
    while let Some(status) = answers.next().await {
        *by_status.entry(status?).or_default() += 1;
        done += 1;
        if done % 1_000 == 0 {
            note(format!("{done} of {} sent", args.burst));
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    if target.json() {
        let answer = serde_json::json!({ "by_status": by_status, "seconds": seconds });
        line(serde_json::to_string_pretty(&answer)?);
    } else {
        for (status, count) in &by_status {
            line(format!("{status}  {count} deliveries"));
        }
        line(format!("{} in {seconds:.1} s, {:.0} a second", args.burst, args.burst as f64 / seconds));
    }
    Ok(if by_status.keys().copied().all(is_as_meant) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Nothing more happens to the change by itself.
fn has_come_to_its_end(receipt: &control::Receipt) -> bool {
    use control::Progress;
    matches!(
        receipt.progress(),
        Progress::Live | Progress::NothingToDo | Progress::Failed | Progress::Held | Progress::Quarantined
    )
}

/// Asks for a receipt until the change is live or will not become so.
pub(crate) async fn wait_for(
    mut control: ControlServiceClient<Channel>,
    client: &str,
    delivery: &str,
    at_most: Duration,
) -> anyhow::Result<control::Receipt> {
    let until = std::time::Instant::now() + at_most;
    let mut said = String::new();
    loop {
        let request = control::GetReceiptRequest { client_id: client.to_owned(), delivery_id: delivery.to_owned() };
        let receipt = match control.get_receipt(request).await {
            Ok(response) => response.into_inner().receipt.unwrap_or_default(),
            // From the spool it reaches the store a little later.
            Err(status) if status.code() == tonic::Code::NotFound => control::Receipt::default(),
            Err(status) => return Err(explain(status)),
        };
        if has_come_to_its_end(&receipt) || std::time::Instant::now() >= until {
            return Ok(receipt);
        }
        if receipt.reason != said {
            said.clone_from(&receipt.reason);
            note(format!("  {said}"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

//! `freshet-ingress`: the HTTP edge as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use freshet_aws::Objects;
use freshet_ingress::spool::{S3Spool, Spool};
use freshet_ingress::upstream::Remote;
use freshet_ingress::{Counters, IngressConfig, IngressDeps};
use freshet_kit::config::Layers;
use freshet_launch::{Asked, Base, Program, prove};

const PROGRAM: Program = Program {
    name: "freshet-ingress",
    defaults: &[freshet_ingress::DEFAULTS, include_str!("program.default.toml")],
    health: Asked::Http("ingress.http_address"),
};

struct Settings {
    config: IngressConfig,
    address: SocketAddr,
    key: String,
    validation: String,
    content: String,
    spool_bucket: String,
    spool_prefix: String,
}

fn read(layers: &Layers) -> Settings {
    Settings {
        config: IngressConfig::read(layers),
        address: layers.address("ingress.http_address"),
        key: layers.required("rpc.key"),
        validation: layers.required("rpc.validation"),
        content: layers.required("rpc.content"),
        spool_bucket: layers.required("spool.bucket"),
        spool_prefix: layers.text("spool.prefix"),
    }
}

async fn start(base: Base, settings: Settings) -> anyhow::Result<()> {
    let links = base.links(&settings.key).await?;
    let objects = Objects::new(&base.aws, settings.spool_bucket.as_str());
    let spool: Arc<dyn Spool> = Arc::new(S3Spool::new(objects, &settings.spool_prefix, base.clock.clone()));
    let checked = spool.clone();
    // The services behind need not be there: that is what the spool is for.
    prove("spool", &base.readiness, &base.shutdown, move || {
        let spool = checked.clone();
        async move { spool.count().await.map(drop) }
    });
    let deps = IngressDeps {
        config: settings.config,
        validation: Remote::validation(links.to(&settings.validation)?),
        content: Remote::content(links.to(&settings.content)?),
        spool,
        catalogue: base.catalogue.clone(),
        clock: base.clock.clone(),
        sites: None,
        counters: Arc::new(Counters::default()),
        readiness: base.readiness.clone(),
    };
    freshet_ingress::spawn_background(&deps, &base.shutdown);
    let listener = base.bind(settings.address, "http").await?;
    let front = freshet_ingress::front(&deps).until_ready(base.readiness.clone());
    base.shutdown.spawn("http", freshet_ingress::serve(listener, front, settings.config, base.shutdown.clone()));
    Ok(())
}

fn main() -> ExitCode {
    freshet_launch::main(PROGRAM, read, start)
}

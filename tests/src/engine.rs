//! The AWS engine behind the ports of a suite in this process, so that end-to-end tests run over both engines.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use freshet_aws::{Objects, testing};
use freshet_build::store::dynamodb::{self as builds, DynamoBuildStore};
use freshet_bus::aws::provision::{NewQueue, create};
use freshet_content::store::dynamodb::{self as content, DynamoStore, Tables};
use freshet_ingress::spool::S3Spool;
use freshet_kit::{CatalogueHandle, Clock};
use freshet_suite::compose::Ports;

tokio::task_local! {
    static PREFIX: String;
}

/// Runs a test whose suites have the AWS engine. Nothing runs where there is no emulator.
pub async fn on_aws(test: impl Future<Output = ()>) {
    if testing::endpoint().is_some() {
        PREFIX.scope(testing::name("suite"), test).await;
    }
}

/// What the names of the test's resources begin with, if it runs on AWS.
pub(crate) fn prefix() -> Option<String> {
    PREFIX.try_with(Clone::clone).ok()
}

/// Makes what is not there yet, for the clients of the catalogue, and the ports over it.
pub(crate) async fn ports(prefix: &str, catalogue: &CatalogueHandle, clock: &Arc<dyn Clock>) -> Ports {
    let config = testing::config().unwrap_or_else(|| panic!("no emulator"));
    let dynamo = aws_sdk_dynamodb::Client::new(&config);
    for client in catalogue.get().clients.keys() {
        made(content::provision::client_table(&dynamo, &format!("{prefix}-{client}-content-cache")).await);
    }
    let tables = Tables { prefix: format!("{prefix}-"), deliveries: format!("{prefix}-deliveries") };
    made(content::provision::deliveries_table(&dynamo, &tables.deliveries).await);
    let of_builds = format!("{prefix}-builds");
    made(builds::provision::table(&dynamo, &of_builds).await);
    let queue = NewQueue {
        name: format!("{prefix}-build"),
        filter: BTreeMap::new(),
        visibility: Duration::from_secs(30),
        max_receives: 5,
    };
    let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let (publisher, mut queues) = made(create(&sns, &sqs, &format!("{prefix}-content-updates"), &[queue]).await);
    let objects = Objects::new(&config, prefix);
    // A restart finds it there.
    let _ = aws_sdk_s3::Client::new(&config).create_bucket().bucket(prefix).send().await;
    let known = catalogue.clone();
    let clients = move || known.get().clients.keys().cloned().collect();
    Ports {
        content: Arc::new(DynamoStore::new(dynamo.clone(), objects.clone(), tables, clients)),
        publisher: Arc::new(publisher),
        queue: Arc::new(queues.remove(0)),
        builds: Arc::new(DynamoBuildStore::new(dynamo, &of_builds)),
        spool: Arc::new(S3Spool::new(objects, "spool/", clock.clone())),
    }
}

fn made<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("could not be made: {error:?}"))
}

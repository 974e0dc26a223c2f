//! The contract of the store, on the AWS engine against an emulator.

#![cfg(feature = "aws")]

use std::sync::Arc;

use freshet_aws::{Objects, testing};
use freshet_content::store::contract::Made;
use freshet_content::store::dynamodb::{DynamoStore, Tables, provision};
use freshet_domain::ClientId;

/// The clients of the contract's cases.
const CLIENTS: [&str; 3] = ["acme", "other", "third"];

fn emulator() -> bool {
    testing::endpoint().is_some()
}

fn clients() -> Vec<ClientId> {
    CLIENTS.iter().map(|name| ClientId::new(name).expect("a client")).collect()
}

/// Tables and a bucket of their own, and as many stores over them as asked for.
async fn stores(count: usize) -> Vec<Arc<DynamoStore>> {
    let config = testing::config().expect("an emulator");
    let client = aws_sdk_dynamodb::Client::new(&config);
    let name = testing::name("content");
    let tables = Tables { prefix: format!("{name}-"), deliveries: format!("{name}-deliveries") };
    for id in CLIENTS {
        provision::client_table(&client, &format!("{name}-{id}-content-cache")).await.expect("made");
    }
    provision::deliveries_table(&client, &tables.deliveries).await.expect("made");
    aws_sdk_s3::Client::new(&config).create_bucket().bucket(&name).send().await.expect("made");
    let make = |_| {
        let objects = Objects::new(&config, name.as_str());
        Arc::new(DynamoStore::new(client.clone(), objects, tables.clone(), clients))
    };
    (0..count).map(make).collect()
}

async fn make() -> Made {
    let store = stores(1).await.remove(0);
    store.check().await.expect("everything is there");
    Made { store, guard: Box::new(()) }
}

freshet_content::store_contract!(make, if emulator());

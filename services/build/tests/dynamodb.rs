//! The contract of the build store, on the AWS engine against an emulator.

#![cfg(feature = "aws")]

use freshet_aws::testing;
use freshet_build::store::dynamodb::{DynamoBuildStore, provision};

fn emulator() -> bool {
    testing::endpoint().is_some()
}

async fn open() -> (DynamoBuildStore, ()) {
    let client = aws_sdk_dynamodb::Client::new(&testing::config().expect("an emulator"));
    let name = testing::name("builds");
    provision::table(&client, &name).await.expect("made");
    let store = DynamoBuildStore::new(client, name);
    store.check().await.expect("there");
    (store, ())
}

freshet_build::build_store_contract!(open, if emulator());

//! The tables, as Terraform makes them in production; for tests and trials only.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ProjectionType;
use freshet_aws::dynamo::provision::create;
use freshet_kit::Error;

use super::keys;

/// Makes a client's table. One that is there already is left as it is.
pub async fn client_table(client: &Client, name: &str) -> Result<(), Error> {
    let indexes = [(keys::NEWEST, keys::NEWEST_PK, keys::NEWEST_SK), (keys::SLUG, keys::SLUG_PK, keys::SLUG_SK)];
    create(client, name, ProjectionType::KeysOnly, &indexes).await
}

/// Makes the table of all clients' deliveries. One that is there already is left as it is.
pub async fn deliveries_table(client: &Client, name: &str) -> Result<(), Error> {
    create(client, name, ProjectionType::KeysOnly, &[(keys::RECEIVED, keys::RECEIVED_PK, keys::RECEIVED_SK)]).await
}

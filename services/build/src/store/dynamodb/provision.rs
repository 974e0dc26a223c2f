//! The table, as Terraform makes it in production; for tests and trials only.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ProjectionType;
use freshet_kit::Error;

use super::keys;

/// Makes the table. One that is there already is left as it is.
pub async fn table(client: &Client, name: &str) -> Result<(), Error> {
    let indexes: Vec<_> = keys::ALL.iter().map(|index| (index.name, index.names.0, index.names.1)).collect();
    freshet_aws::dynamo::provision::create(client, name, ProjectionType::All, &indexes).await
}

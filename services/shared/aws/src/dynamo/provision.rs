//! Tables, for tests and trials only.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
use freshet_kit::{Error, ErrorKind};

use super::{PK, SK};

/// Makes a table with the keys of every table, on demand, and with indexes by name, partition key and sort key. One that
/// is there already is left as it is.
pub async fn create(
    client: &Client,
    name: &str,
    projection: ProjectionType,
    indexes: &[(&str, &str, &str)],
) -> Result<(), Error> {
    let mut call = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(schema(PK, SK)?))
        .attribute_definitions(text(PK)?)
        .attribute_definitions(text(SK)?);
    for (index, pk, sk) in indexes {
        let projection = Projection::builder().projection_type(projection.clone()).build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(*index)
            .set_key_schema(Some(schema(pk, sk)?))
            .projection(projection)
            .build();
        call = call
            .global_secondary_indexes(index.map_err(unbuilt)?)
            .attribute_definitions(text(pk)?)
            .attribute_definitions(text(sk)?);
    }
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) if crate::kind(&error) == ErrorKind::WrongState => Ok(()),
        Err(error) => Err(crate::error("CreateTable", error)),
    }
}

fn schema(pk: &str, sk: &str) -> Result<Vec<KeySchemaElement>, Error> {
    [(pk, KeyType::Hash), (sk, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unbuilt))
        .collect()
}

fn text(name: &str) -> Result<AttributeDefinition, Error> {
    let kind = ScalarAttributeType::S;
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().map_err(unbuilt)
}

fn unbuilt(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::internal("a table could not be described").with_source(error)
}

//! The lease in the table of builds.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use freshet_aws::dynamo::{Db, Row, n, s};
use freshet_kit::Error;

use super::keys;
use crate::lease::{Lease, Seen};

/// The lease of the build service.
pub struct DynamoLease {
    db: Db,
    table: String,
    me: String,
}

impl DynamoLease {
    /// `me` differs between tasks, also between one and its successor.
    pub fn new(client: Client, table: impl Into<String>, me: impl Into<String>) -> Self {
        Self { db: Db { client }, table: table.into(), me: me.into() }
    }

    async fn write(&self, seen: &Seen, holder: &str) -> Result<bool, Error> {
        let call = self
            .db
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::lease().item()))
            .update_expression("SET holder = :holder, beat = :next")
            .condition_expression("attribute_not_exists(beat) OR (beat = :beat AND holder = :seen)")
            .expression_attribute_values(":holder", s(holder))
            .expression_attribute_values(":next", n(seen.beat + 1))
            .expression_attribute_values(":beat", n(seen.beat))
            .expression_attribute_values(":seen", s(&seen.holder));
        match call.send().await {
            Ok(_) => Ok(true),
            Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => Ok(false),
            Err(error) => Err(freshet_aws::dynamo::failed("UpdateItem", error)),
        }
    }
}

#[async_trait]
impl Lease for DynamoLease {
    fn me(&self) -> &str {
        &self.me
    }

    async fn look(&self) -> Result<Seen, Error> {
        let Some(item) = self.db.get(&self.table, &keys::lease()).await? else {
            return Ok(Seen { holder: String::new(), beat: 0 });
        };
        let row = Row(&item);
        Ok(Seen { holder: row.maybe_text("holder").unwrap_or_default().to_owned(), beat: row.count("beat")? })
    }

    async fn beat(&self, seen: &Seen) -> Result<bool, Error> {
        self.write(seen, &self.me).await
    }

    async fn give_back(&self) -> Result<(), Error> {
        let seen = self.look().await?;
        if seen.holder == self.me {
            self.write(&seen, "").await?;
        }
        Ok(())
    }
}

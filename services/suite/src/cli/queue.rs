//! Commands about the build queue's dead letters.

use std::process::ExitCode;

use clap::Subcommand;
use freshet_proto::build::v1 as pb;

use super::Target;
use super::connect::explain;
use super::output::{json, line, note};

/// Dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List events that could not be handled, with the reason
    Dead {
        /// How many, up to 100
        #[arg(long, default_value_t = 20)]
        limit: i32,
    },
    /// Send them back to the queue
    Redrive,
}

pub(crate) async fn run(target: &Target, command: QueueCommand) -> anyhow::Result<ExitCode> {
    let mut build = target.connect().await?.build();
    match command {
        QueueCommand::Dead { limit } => {
            let request = pb::ListDeadLettersRequest { page_size: limit };
            let answer = build.list_dead_letters(request).await.map_err(explain)?.into_inner();
            if target.json() {
                json("build.v1.ListDeadLettersResponse", &answer)?;
                return Ok(ExitCode::SUCCESS);
            }
            for dead in &answer.dead_letters {
                let reason = if dead.reason.is_empty() { "received too often" } else { &dead.reason };
                line(format!("received {} times: {reason}", dead.receive_count));
                line(format!("  {}", String::from_utf8_lossy(&dead.body)));
            }
            note(format!("{} of {} dead letters", answer.dead_letters.len(), answer.total));
        }
        QueueCommand::Redrive => {
            let request = pb::RedriveDeadLettersRequest {};
            let answer = build.redrive_dead_letters(request).await.map_err(explain)?.into_inner();
            if target.json() {
                json("build.v1.RedriveDeadLettersResponse", &answer)?;
                return Ok(ExitCode::SUCCESS);
            }
            line(format!("{} sent back", answer.redriven));
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! What must outlive this process: which build of CodeBuild belongs to which of ours.
//!
//! `builds/.runs/{build}.json` in the bucket of builds is there from just before the start to the end. Whoever runs the
//! build again goes on with it, and whoever abandons it finds what to stop.

use freshet_aws::Headers;
use freshet_domain::BuildId;
use freshet_kit::Error;
use serde::{Deserialize, Serialize};

use super::CodeBuildRunner;

/// The note of one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The project.
    pub(super) project: String,
    /// CodeBuild's id; absent while nobody knows whether the build was started.
    pub(super) id: Option<String>,
}

pub(super) fn key(build: BuildId) -> String {
    // No client has a name like this, and the rule that removes old snapshots is for all of `builds/`.
    format!("builds/.runs/{build}.json")
}

impl CodeBuildRunner {
    pub(super) async fn write_note(&self, build: BuildId, note: &Note) -> Result<(), Error> {
        let text = serde_json::to_vec(note).map_err(|error| Error::internal("a note").with_source(error))?;
        self.objects.put(&key(build), text.into(), &Headers::of_type("application/json")).await.map(drop)
    }

    /// CodeBuild's id of a build that was started before, also if whoever started it never heard of it.
    pub(super) async fn started_before(&self, build: BuildId) -> Result<Option<String>, Error> {
        let Some(object) = self.objects.get(&key(build)).await? else { return Ok(None) };
        let note: Note = serde_json::from_slice(&object.body)
            .map_err(|error| Error::internal(format!("the note {} is not readable", key(build))).with_source(error))?;
        match note.id {
            Some(id) => Ok(Some(id)),
            None => self.find(build, &note.project).await,
        }
    }
}

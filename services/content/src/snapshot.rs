//! A snapshot as a stream of responses.

use freshet_kit::Error;
use freshet_proto::content::v1::ExportSnapshotResponse;
use futures::Stream;
use tokio::sync::mpsc;

use crate::store::{Export, ExportPart};
use crate::wire;

/// Every part carries the token. A snapshot without entries still has one part, so that its token arrives. A snapshot
/// that was cut off ends with an error, never like a complete one.
pub(crate) fn responses(
    export: Export,
    resume_token: String,
) -> impl Stream<Item = Result<ExportSnapshotResponse, Error>> + Send + 'static + use<> {
    let state = State { parts: export.parts, resume_token, sent: false, ended: false };
    futures::stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        let entries = match state.parts.recv().await {
            Some(Ok(ExportPart::Entries(entries))) => entries.into_iter().map(wire::entry_to_proto).collect(),
            Some(Ok(ExportPart::End)) if state.sent => return None,
            Some(Ok(ExportPart::End)) => {
                state.ended = true;
                Vec::new()
            }
            failed => {
                state.ended = true;
                let cut_off = || Error::unavailable("the snapshot was cut off; export again");
                let error = failed.and_then(Result::err).unwrap_or_else(cut_off);
                return Some((Err(error), state));
            }
        };
        state.sent = true;
        let resume_token = state.resume_token.clone();
        Some((Ok(ExportSnapshotResponse { entries, resume_token }), state))
    })
}

struct State {
    parts: mpsc::Receiver<Result<ExportPart, Error>>,
    resume_token: String,
    sent: bool,
    ended: bool,
}

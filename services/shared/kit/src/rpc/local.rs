//! Calls of a service in this process that skip the protocol's bytes.

use std::future::Future;

use tonic::{Request, Response, Status};

use super::Caller;
use super::observe::observed;
use super::stack::{DEADLINE_DEFAULT, guarded};

/// Calls a method of a generated service trait with the message itself: nothing is encoded, copied or decoded. The
/// deadline, the caller's identity and the panic guard are those of [`Stack`](super::Stack).
///
/// For the hot path only, where encoding and decoding cost more than the work in between (see
/// `docs/decisions/0010-messages-by-value-in-one-process.md`).
pub fn call_local<Q, A, F>(
    method: &'static str,
    message: Q,
    call: impl FnOnce(Request<Q>) -> F,
) -> impl Future<Output = Result<A, Status>>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::Internal);
    // Made here: the future of the call has the message, and the futures around it need no room for another one.
    let called = call(request);
    let call = async move {
        match guarded(method, DEADLINE_DEFAULT, called).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(error) => Err(error.into_status()),
        }
    };
    observed(method, None, call, |answer| answer.as_ref().map_or_else(Status::code, |_| tonic::Code::Ok))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::authorize_internal;

    #[tokio::test]
    async fn the_caller_is_this_process_and_panics_and_errors_come_back_as_statuses() {
        let known = call_local("x", 7, |request: Request<i32>| async move {
            authorize_internal(&request)?;
            Ok(Response::new(request.into_inner() + 1))
        });
        assert_eq!(known.await.expect("answered"), 8);
        let refused = call_local::<_, (), _>("x", (), |_| async { Err(Status::not_found("none")) });
        assert_eq!(refused.await.expect_err("refused").code(), tonic::Code::NotFound);
        let broken = call_local::<_, (), _>("x", (), |_| async { panic!("broken") });
        let status = broken.await.expect_err("broken");
        assert_eq!(status.code(), tonic::Code::Internal);
        assert!(!status.message().contains("broken"), "{status:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_a_deadline() {
        let endless = call_local::<_, (), _>("x", (), |_| std::future::pending());
        assert_eq!(endless.await.expect_err("late").code(), tonic::Code::DeadlineExceeded);
    }
}

//! Who calls, and what they may do.

use std::sync::Arc;

use freshet_domain::catalogue::{ApiKey, KeyClients, Scope};

use crate::{Error, ErrorKind};

/// Who makes a call. Put into the request by the stack; a request that came over the network can only be
/// `Key` or `Unknown`.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Another service of this process.
    Internal,
    /// The holder of an API key.
    Key(Arc<ApiKey>),
    /// Nobody we know: no key, or a wrong one.
    Unknown,
}

fn caller<T>(request: &tonic::Request<T>) -> &Caller {
    request.extensions().get::<Caller>().unwrap_or(&Caller::Unknown)
}

fn unknown() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "UNAUTHENTICATED",
        "no valid API key; send `authorization: Bearer <key>` (make one with `freshet keys new`)",
    )
}

/// Lets the call pass if the caller has the scope for this client (promise P7). Every handler begins with one of these.
pub fn authorize<T>(request: &tonic::Request<T>, scope: Scope, client_id: &str) -> Result<(), Error> {
    if freshet_domain::ClientId::new(client_id).is_err() {
        // Checked after the identity, so that an unknown caller learns nothing from it.
        return match caller(request) {
            Caller::Unknown => Err(unknown()),
            Caller::Internal | Caller::Key(_) => {
                Err(Error::invalid("client_id", "must be 1 to 40 characters of a-z, 0-9 and -"))
            }
        };
    }
    match caller(request) {
        Caller::Internal => Ok(()),
        Caller::Key(key) if key.allows(scope, client_id) => Ok(()),
        Caller::Key(key) => Err(forbidden(key, scope, &format!("client `{client_id}`"))),
        Caller::Unknown => Err(unknown()),
    }
}

/// The client that a call without one can only mean: that of a key which may act for a single one.
pub fn only_client<T>(request: &tonic::Request<T>) -> Option<&str> {
    match caller(request) {
        Caller::Key(key) => match &key.clients {
            KeyClients::Only(clients) => match clients.as_slice() {
                [only] => Some(only.as_str()),
                _ => None,
            },
            KeyClients::All => None,
        },
        Caller::Internal | Caller::Unknown => None,
    }
}

/// Lets the call pass if the caller has the scope for every client.
pub fn authorize_all_clients<T>(request: &tonic::Request<T>, scope: Scope) -> Result<(), Error> {
    match caller(request) {
        Caller::Internal => Ok(()),
        Caller::Key(key) if key.scopes.contains(&scope) && key.clients == KeyClients::All => Ok(()),
        Caller::Key(key) => Err(forbidden(key, scope, "all clients")),
        Caller::Unknown => Err(unknown()),
    }
}

/// Lets the call pass if it comes from another Freshet service, or from a key with the scope for every client, which
/// is what services present over the network.
pub fn authorize_internal<T>(request: &tonic::Request<T>) -> Result<(), Error> {
    authorize_all_clients(request, Scope::ContentWrite)
}

fn forbidden(key: &ApiKey, scope: Scope, of: &str) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "FORBIDDEN",
        format!("the API key `{}` does not have the scope `{scope}` for {of}", key.name),
    )
}

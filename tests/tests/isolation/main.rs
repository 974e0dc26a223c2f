//! One client's key, webhook or call never reads, writes or triggers another client's anything (promise P7).

mod codec;
mod rpcs;
mod webhooks;

use freshet_tests::catalogues::{SOON, client, key};

/// Every scope that a key can have.
const SCOPES: [&str; 7] =
    ["webhook", "content:read", "content:write", "build:read", "build:write", "control:read", "control:write"];

/// Keys as their holders know them.
const ALPHA: &str = "fk_alpha_0123456789abcdefghijklmnopqrstuvwxyz";
const BETA: &str = "fk_beta_0123456789abcdefghijklmnopqrstuvwxyz";
const BETA_READER: &str = "fk_beta_reader_0123456789abcdefghijklmnopq";

/// Two clients with sources of the same names, and a key each.
fn catalogue() -> String {
    let sources = ["journal", "shop"];
    [
        client("alpha", &sources, SOON),
        client("beta", &sources, SOON),
        key("alpha", ALPHA, &["alpha"], &SCOPES),
        key("beta", BETA, &["beta"], &SCOPES),
        key("beta-reader", BETA_READER, &["beta"], &["content:read", "build:read", "control:read"]),
    ]
    .join("\n")
}

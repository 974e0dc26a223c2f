//! Names by chance.

/// Sixteen hexadecimal digits.
pub(crate) fn hex() -> String {
    // Without chance every name would be the same: better to end than to write over somebody else's object.
    let bits = getrandom::u64().unwrap_or_else(|error| panic!("the system gives no random numbers: {error}"));
    format!("{bits:016x}")
}

#[macro_export]
macro_rules! build_store_contract {
    ($open:path) => {};
}

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_code_stands_in_one_row() {
    let mut seen = BTreeSet::new();
    for code in TABLE.iter().flat_map(|(_, codes)| codes.iter()) {
        assert!(seen.insert(code), "{code} is there twice");
    }
}

//! Nothing that others wrote, whoever and wherever, makes Thump panic or think for long.
//!
//! A short form of tests/fuzz, which gives each decoder a million inputs; everything it ever found is tried
//! again here.

use std::fmt::Write as _;

const INPUTS: u64 = 2000;

#[test]
fn wrong_input_is_refused_quickly_and_without_a_panic() {
    let mut found = String::new();
    for decoder in fuzz::all() {
        let row = fuzz::run(&decoder, INPUTS, 1);
        assert!(row.inputs > INPUTS && row.accepted > 0, "{row:?}: nothing was tried");
        for find in row.finds {
            let input = String::from_utf8_lossy(&find.input);
            writeln!(found, "{}: {}\n    {input:?}", row.name, find.what).expect("a string");
        }
    }
    assert!(found.is_empty(), "{found}");
}

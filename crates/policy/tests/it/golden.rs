//! The printed matrix is the one that is checked in.

use std::path::Path;

#[test]
fn the_matrix_is_the_one_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/permission-matrix.md");
    let checked_in = std::fs::read_to_string(&path).unwrap();
    assert!(
        checked_in == procura_policy::permission_matrix(),
        "schema/permission-matrix.md is not what the rules yield: type `./x generate` and read the diff"
    );
}

//! The printed matrix is the one that is checked in.

use std::path::Path;

#[test]
fn the_matrix_is_the_one_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/permission-matrix.md");
    let yields = procura_policy::permission_matrix();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no configuration to be passed"
    )]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        std::fs::write(&path, &yields).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == yields,
        "schema/permission-matrix.md is not what the rules yield; type\n\
         UPDATE_GOLDEN=1 cargo test -p procura-policy\nand read the diff"
    );
}

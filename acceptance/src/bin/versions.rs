//! Prints the versions of the servers that the `GREAM_TEST_…` variables name: `dev/test` shows what it tested against.

use acceptance::{Servers, versions::Versions};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{}", Versions::of(&Servers::from_environment()).await);
}

//! A new migration is a reason to build again: it is embedded, and no source file changes with it.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}

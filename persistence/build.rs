//! Migrations are embedded at build time: a changed one must rebuild the crate.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}

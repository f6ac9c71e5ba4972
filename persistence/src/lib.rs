//! Where it is kept: journal, snapshots, database stores.

pub mod journal;

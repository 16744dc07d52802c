//! Turns the text of a .thump.toml into jobs

//! Sees commits and announces each until it is recorded

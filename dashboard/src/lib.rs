//! Shows: pages, live updates, API

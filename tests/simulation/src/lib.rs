//! The roles in simulated time under simulated weather: see `tests/simulation.rs`. This half is empty.

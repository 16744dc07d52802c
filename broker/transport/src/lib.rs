//! Moves envelopes between the roles and knows no meaning

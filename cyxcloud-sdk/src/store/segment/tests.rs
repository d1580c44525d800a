//! What needs a look inside.

//! The relay's tests.

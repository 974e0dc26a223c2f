//! The program `freshet-content` from outside.

#![cfg(feature = "program")]

freshet_launch::program_tests!("freshet-content", env!("CARGO_BIN_EXE_freshet-content"));

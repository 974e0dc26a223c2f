//! The program `freshet-build` from outside.

#![cfg(feature = "program")]

freshet_launch::program_tests!("freshet-build", env!("CARGO_BIN_EXE_freshet-build"));

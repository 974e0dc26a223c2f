//! The program `freshet-control` from outside.

#![cfg(feature = "program")]

freshet_launch::program_tests!("freshet-control", env!("CARGO_BIN_EXE_freshet-control"));

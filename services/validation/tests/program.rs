//! The program `freshet-validation` from outside.

#![cfg(feature = "program")]

freshet_launch::program_tests!("freshet-validation", env!("CARGO_BIN_EXE_freshet-validation"));

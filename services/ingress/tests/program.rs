//! The program `freshet-ingress` from outside.

#![cfg(feature = "program")]

freshet_launch::program_tests!("freshet-ingress", env!("CARGO_BIN_EXE_freshet-ingress"));

//! The money that goes back.

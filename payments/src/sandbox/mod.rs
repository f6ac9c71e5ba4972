//! The Kakao Pay sandbox.

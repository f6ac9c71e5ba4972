//! The Kakao Pay client.

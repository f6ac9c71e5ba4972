//! Time as the engine knows it: a number that comes in as an argument.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// A time after every other: "never".
    pub const NEVER: Self = Self(i64::MAX);

    /// This time and `millis` more; saturates, so a huge hold ends at [`Time::NEVER`].
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

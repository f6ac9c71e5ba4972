//! Reading a server's `/metrics`: counters by name, in Prometheus's text form.

use crate::client::{Client, ClientError};
use std::collections::HashMap;
use std::net::SocketAddr;

/// The counters as they stood at one moment, each summed over its labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// Asks the server.
    pub fn of(address: SocketAddr) -> Result<Self, ClientError> {
        Ok(Self::parse(&Client::new(address).get("/metrics", None)?.text()))
    }

    /// Reads the text form; lines that are no samples are passed over.
    pub fn parse(text: &str) -> Self {
        let mut sums = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // A label's value may hold spaces and brackets, so the value is looked for after the last `}`.
            let (name, rest) = match (line.find('{'), line.rfind('}')) {
                (Some(open), Some(close)) if open < close => (&line[..open], &line[close + 1..]),
                _ => line.split_at(line.find(' ').unwrap_or(line.len())),
            };
            let Some(value) = rest.split_ascii_whitespace().next().and_then(|value| value.parse::<f64>().ok()) else {
                continue;
            };
            *sums.entry(name.to_owned()).or_insert(0.0) += value;
        }
        Self(sums)
    }

    /// The sum of a metric over its labels; None when the server has none of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// How much a counter grew after `earlier`; one that was not there yet counts from 0.
    pub fn grown(&self, earlier: &Self, name: &str) -> Option<f64> {
        self.get(name).map(|now| now - earlier.get(name).unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_their_labels() {
        let text =
            "# TYPE a counter\na{partition=\"0\"} 3\na{partition=\"1 } \"} 4.5 1700000000000\nb 1e3\nc\n\nd NaNs\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.get("a"), Some(7.5));
        assert_eq!(metrics.get("b"), Some(1_000.0));
        assert_eq!((metrics.get("c"), metrics.get("d")), (None, None));
        assert_eq!(metrics.grown(&Metrics::parse("a 5"), "a"), Some(2.5));
        assert_eq!(metrics.grown(&Metrics::default(), "b"), Some(1_000.0));
    }
}

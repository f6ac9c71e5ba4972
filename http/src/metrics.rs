//! The process's figures, for Prometheus.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of a journal sync, in seconds.
const SYNC_SECONDS: [f64; 13] = [0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0, 10.0, 30.0];
/// Upper bounds of a journal batch, in events.
const BATCH_EVENTS: [f64; 9] = [1.0, 4.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];

/// The process's figures. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Records the process's figures from now on; once in a process.
    pub fn install() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_sync_seconds".to_owned()), &SYNC_SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_batch_events".to_owned()), &BATCH_EVENTS)?
            .install_recorder()?;
        Ok(Self(handle))
    }

    /// The figures, in Prometheus' text form.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was recorded into the figures; without it histograms grow for ever.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

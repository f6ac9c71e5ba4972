//! Several rounds of one figure: the median, with the least and the greatest beside it.

use std::fmt;

/// The figure's values, in no order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// A figure without a round yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a round's value; what is no number is left out.
    pub fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.0.push(value);
        }
    }

    /// The median: of an even number of rounds, the mean of the middle two. None without a round.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            len if len % 2 == 1 => Some(sorted[middle]),
            _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        }
    }

    /// The least value.
    pub fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }

    /// Median, minimum and maximum as `show` writes each; a dash without a round.
    pub fn show(&self, show: impl Fn(f64) -> String) -> String {
        match (self.median(), self.min(), self.max()) {
            (Some(median), Some(min), Some(max)) if min < max => {
                format!("{} ({}–{})", show(median), show(min), show(max))
            }
            (Some(median), ..) => show(median),
            _ => "–".to_owned(),
        }
    }
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut spread = Self::new();
        values.into_iter().for_each(|value| spread.add(value));
        spread
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show(|value| format!("{value:.2}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_the_extremes() {
        let check = |values: &[f64], expect: &str| {
            assert_eq!(values.iter().copied().collect::<Spread>().to_string(), expect, "{values:?}");
        };
        check(&[], "–");
        check(&[0.5], "0.50");
        check(&[0.5, 0.5], "0.50");
        check(&[3.0, 1.0, 2.0], "2.00 (1.00–3.00)");
        check(&[4.0, 1.0, 2.0, 3.0], "2.50 (1.00–4.00)");
        check(&[f64::NAN, 1.0, f64::INFINITY], "1.00");
    }
}

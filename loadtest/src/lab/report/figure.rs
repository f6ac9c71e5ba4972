//! One figure on the page: its text is made from the page's own data, at the place that the
//! element names, so that both cannot differ.

use super::Report;
use crate::page::short;
use serde_json::Value;

/// What stands where nothing was measured.
const ABSENT: &str = "–";

/// The page's data, as its reader gets it.
pub(super) struct Figures(Value);

impl Figures {
    pub(super) fn of(report: &Report) -> Result<Self, serde_json::Error> {
        // As text and back: the reader's numbers are those that were read from text.
        serde_json::to_string(report).and_then(|text| serde_json::from_str(&text)).map(Self)
    }

    /// The figure at a JSON pointer.
    pub(super) fn show(&self, pointer: &str) -> String {
        format!("<span data-figure=\"{pointer}\">{}</span>", self.text(pointer, None))
    }

    /// The figure at a JSON pointer, multiplied by `scale`.
    pub(super) fn scaled(&self, pointer: &str, scale: f64) -> String {
        let text = self.text(pointer, Some(scale));
        format!("<span data-figure=\"{pointer}\" data-scale=\"{scale}\">{text}</span>")
    }

    /// The median of a spread, and the smallest and largest if they differ from it.
    pub(super) fn spread(&self, pointer: &str) -> String {
        let at = |part: &str| format!("{pointer}/{part}");
        let figure = |part: &str| self.0.pointer(&at(part)).and_then(Value::as_f64);
        let median = self.show(&at("median"));
        if figure("min") == figure("max") {
            return median;
        }
        format!("{median} <small>({}–{})</small>", self.show(&at("min")), self.show(&at("max")))
    }

    fn text(&self, pointer: &str, scale: Option<f64>) -> String {
        match self.0.pointer(pointer) {
            Some(Value::Number(number)) => match (scale, number.as_f64()) {
                (None, _) if !number.is_f64() => number.to_string(),
                (_, Some(exact)) => short(exact * scale.unwrap_or(1.0)),
                (_, None) => ABSENT.to_owned(),
            },
            _ => ABSENT.to_owned(),
        }
    }
}

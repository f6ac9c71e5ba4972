//! What every page of this crate's reports is made of: one HTML file that needs nothing else.
//!
//! - [`date`]: when it was made.
//! - [`graph`]: curves as SVG.
//! - [`machine`]: what it was measured on.
//!
//! Must never fetch anything: a page is opened from disk, years later, without a network.

pub mod date;
pub mod graph;
pub mod machine;

use serde::Serialize;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;color:#111;background:#fff}\
    table{border-collapse:collapse;width:100%}th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ccc;white-space:nowrap}\
    th:first-child,td:first-child,th:last-child,td:last-child{text-align:left}small{color:#333}\
    .wide{overflow-x:auto}tr.wrong td{background:#fde8e8}figure{margin:1.5rem 0}svg{max-width:100%;height:auto}\
    .broken,.missing{background:#fff4d6;padding:.5rem 1rem}dt{font-weight:600}dd{overflow-wrap:anywhere}\
    pre{white-space:pre-wrap}\
    @media print{body{font-size:9px;margin:0;max-width:none}.wide{overflow:visible}th,td{padding:1px 3px}\
    thead{display:table-header-group}tr,figure{break-inside:avoid}}";

/// A page of this title with this body, and `data` inside as JSON under the id `data`.
pub fn page(title: &str, body: &str, data: &impl Serialize) -> Result<String, serde_json::Error> {
    // No text of a script may end it, or begin a comment or another script in it. `<` stands only in strings.
    let data = serde_json::to_string(data)?.replace('<', "\\u003c");
    Ok(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title><style>{STYLE}</style>\
         <main><h1>{0}</h1>{body}<script type=\"application/json\" id=\"data\">{data}</script></main></html>",
        escape(title)
    ))
}

/// Three digits that count.
pub fn short(figure: f64) -> String {
    let digits = if figure.abs() >= 100.0 {
        0
    } else if figure.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.digits$}")
}

/// Text as it may stand in HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn data_can_neither_end_its_script_nor_begin_another() {
        let texts = ["</script><b>", "<!--<script>"];
        let page = page("a<b", "<p>", &texts).unwrap();
        let (_, data) = page.split_once(r#"id="data">"#).unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        assert_eq!(serde_json::from_str::<Vec<String>>(data).unwrap(), texts);
        // After `<!--<script`, the script's end would not be one.
        assert!(!data.contains('<'), "{data}");
        assert!(page.contains("<h1>a&lt;b</h1>"));
    }

    #[test]
    fn three_digits() {
        assert_eq!([1234.5, 12.345, 0.5].map(short), ["1234", "12.3", "0.50"]);
    }
}

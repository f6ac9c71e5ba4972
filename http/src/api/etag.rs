//! Entity tags: `"<sale>.<content>"` for a product, `"<content>"` for an order. Strong:
//! made of what is shown, so equal tags mean equal bytes.
//!
//! A product's tag has two parts because stock changes with every order: an edit of the
//! sale compares the first part only, so selling never spoils it.

use super::problem::Problem;
use super::status::Code;
use compact_str::CompactString;
use http::HeaderValue;
use std::fmt;

/// A digest in hexadecimal; 64 bits, since a tag is compared with one other tag.
type Part = CompactString;

/// An entity tag. Shown as it is sent, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ETag {
    sale: Option<Part>,
    content: Part,
}

impl ETag {
    /// The tag of what is shown as `content`.
    pub(super) fn of(content: &[u8]) -> Self {
        Self { sale: None, content: digest(content) }
    }

    /// The tag of a product that is shown as `content`, its sale as `sale`.
    pub(super) fn of_product(sale: &[u8], content: &[u8]) -> Self {
        Self { sale: Some(digest(sale)), content: digest(content) }
    }

    /// The tag as a header's value.
    pub(super) fn header(&self) -> HeaderValue {
        // Hexadecimal digits and punctuation are always a valid value; the fallback is never taken.
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whether the reader has what this tag stands for (`If-None-Match`, weak comparison).
    pub(super) fn is_known_by(&self, tags: Option<&Tags>) -> bool {
        let own = self.to_string();
        match tags {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Listed(tags)) => tags.iter().any(|tag| tag.text == own),
        }
    }

    /// Whether `tags` name this product's sale as it is, by the sale's part; `*`: there is a
    /// sale.
    pub(super) fn names_sale(&self, tags: &Tags, compared: Compared, on_sale: bool) -> bool {
        let Some(sale) = &self.sale else { return false };
        match tags {
            Tags::Any => on_sale,
            Tags::Listed(tags) => tags
                .iter()
                .filter(|tag| compared == Compared::Weakly || !tag.weak)
                .any(|tag| tag.text.trim_matches('"').split('.').next() == Some(sale)),
        }
    }
}

/// How tags are compared (RFC 9110, 8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// A weak tag equals none: `If-Match`.
    Strongly,
    /// Weak or not: `If-None-Match`.
    Weakly,
}

/// The tags that a request names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`: any.
    Any,
    /// These.
    Listed(Vec<Tag>),
}

/// One tag of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag {
    weak: bool,
    /// With its quotes.
    text: String,
}

impl Tags {
    /// Reads `If-Match` or `If-None-Match`, which may stand in several lines.
    pub(super) fn read(name: &'static str, lines: &[HeaderValue]) -> Result<Option<Self>, Problem> {
        let bad = || {
            Problem::named(Code::InvalidHeader, "header", name, format!("{name} must be '*' or a list of entity tags"))
        };
        if lines.is_empty() {
            return Ok(None);
        }
        let mut tags = Vec::new();
        for line in lines {
            let mut rest = line.to_str().map_err(|_| bad())?.trim();
            if rest == "*" && lines.len() == 1 {
                return Ok(Some(Self::Any));
            }
            while !rest.is_empty() {
                let (weak, tag) = rest.strip_prefix("W/").map_or((false, rest), |tag| (true, tag));
                let close = tag.strip_prefix('"').and_then(|inner| inner.find('"')).ok_or_else(bad)? + 2;
                // RFC 9110, 8.8.3: a tag holds visible characters only.
                if !tag[..close].bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(bad());
                }
                tags.push(Tag { weak, text: tag[..close].to_owned() });
                rest = tag[close..].trim_start();
                if !rest.is_empty() {
                    rest = rest.strip_prefix(',').ok_or_else(bad)?.trim_start();
                }
            }
        }
        if tags.is_empty() { Err(bad()) } else { Ok(Some(Self::Listed(tags))) }
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sale {
            Some(sale) => write!(f, "\"{sale}.{}\"", self.content),
            None => write!(f, "\"{}\"", self.content),
        }
    }
}

fn digest(content: &[u8]) -> Part {
    CompactString::new(&blake3::hash(content).to_hex()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(lines: &[&'static str]) -> Result<Option<Tags>, Problem> {
        let lines: Vec<_> = lines.iter().map(|line| HeaderValue::from_static(line)).collect();
        Tags::read("if-match", &lines)
    }

    fn sent(tag: &ETag) -> &'static str {
        Box::leak(tag.header().to_str().unwrap().to_owned().into_boxed_str())
    }

    #[test]
    fn a_reader_that_has_it_is_told_so() {
        let tag = ETag::of(b"order");
        let own = sent(&tag);
        let weak: &'static str = Box::leak(format!("\"a,b\" , W/{own}").into_boxed_str());
        for lines in [&[own][..], &[weak], &["\"x\"", own], &["*"]] {
            assert!(tag.is_known_by(tags(lines).unwrap().as_ref()), "{lines:?}");
        }
        assert!(!ETag::of(b"other").is_known_by(tags(&[own]).unwrap().as_ref()));
        assert!(!tag.is_known_by(None));
    }

    #[test]
    fn an_edit_compares_the_sale_only() {
        let read = ETag::of_product(b"sale", b"100 left");
        let (own, weak) = (sent(&read), Box::leak(format!("W/{}", sent(&read)).into_boxed_str()));
        let sold_one = ETag::of_product(b"sale", b"99 left");
        let edited = ETag::of_product(b"another sale", b"99 left");
        let check = |tag: &ETag, line, compared, expected| {
            let listed = tags(&[line]).unwrap().unwrap();
            assert_eq!(tag.names_sale(&listed, compared, true), expected, "{line} {compared:?}");
        };
        for compared in [Compared::Strongly, Compared::Weakly] {
            check(&sold_one, own, compared, true);
            check(&edited, own, compared, false);
            check(&edited, weak, compared, false);
            assert!(read.names_sale(&Tags::Any, compared, true) && !read.names_sale(&Tags::Any, compared, false));
        }
        // A weak tag never allows an edit; it may well forbid one.
        check(&sold_one, weak, Compared::Strongly, false);
        check(&sold_one, weak, Compared::Weakly, true);
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for lines in [&["abc"][..], &[""], &["\"a"], &["\"a\" \"b\""], &["*", "\"a\""], &["\"a b\""], &["\"a\", *"]] {
            assert!(tags(lines).is_err(), "{lines:?}");
        }
        assert_eq!(tags(&[]).unwrap(), None);
    }
}

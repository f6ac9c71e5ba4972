//! Reading answers: the little of HTTP/1.1 that a load client needs. An answer is either not
//! all here yet, all here, or broken; what is broken is named and never taken for an answer.

use std::ops::Range;

/// No server under test has a reason to answer more than this in one piece.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Header lines an answer may have.
const HEADERS_MAX: usize = 64;

/// Why bytes are not an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The head breaks HTTP/1.1's grammar.
    #[error("the answer's head cannot be read: {0}")]
    Head(httparse::Error),
    /// A length that is no number, or two lengths that differ.
    #[error("the answer's content-length cannot be read")]
    Length,
    /// A chunk's size line or its end is broken.
    #[error("the answer's chunks cannot be read")]
    Chunk,
    /// Neither a length nor chunks: the body would end with the connection, which is not supported.
    #[error("the answer has a body without a length")]
    NoLength,
    /// An interim answer (1xx), which nothing that is sent here asks for.
    #[error("an interim answer, status {0}")]
    Interim(u16),
    /// Longer than [`ANSWER_BYTES_MAX`].
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

/// Where an answer's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    /// In the bytes that were read.
    At(Range<usize>),
    /// Put together from its chunks.
    Joined(Vec<u8>),
}

/// One whole answer within the bytes that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The status code.
    pub status: u16,
    /// `Retry-After` in seconds, where it was sent as a number.
    pub retry_after: Option<u32>,
    /// The server will close the connection.
    pub close: bool,
    /// Bytes of the whole answer, head included.
    pub len: usize,
    body: Body,
}

/// One whole answer, as the workload sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// `Retry-After` in seconds, where it was sent as a number.
    pub retry_after: Option<u32>,
    /// The body, without its framing.
    pub body: &'a [u8],
}

impl Parsed {
    /// The answer with its body, given the bytes that it was parsed from.
    pub fn answer<'a>(&'a self, bytes: &'a [u8]) -> Answer<'a> {
        let body = match &self.body {
            Body::At(range) => &bytes[range.clone()],
            Body::Joined(joined) => joined,
        };
        Answer { status: self.status, retry_after: self.retry_after, body }
    }
}

/// Reads the answer at the start of `bytes`; `None` when more bytes must come first.
pub fn parse(bytes: &[u8]) -> Result<Option<Parsed>, AnswerError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let head_len = match head.parse(bytes).map_err(AnswerError::Head)? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial if bytes.len() > ANSWER_BYTES_MAX => return Err(AnswerError::TooLong),
        httparse::Status::Partial => return Ok(None),
    };
    let status = head.code.unwrap_or(0);
    if status < 200 {
        return Err(AnswerError::Interim(status));
    }
    let fields = Fields::read(head.headers)?;
    let found = if status == 204 || status == 304 {
        Some((Body::At(head_len..head_len), head_len))
    } else if fields.chunked {
        join_chunks(bytes, head_len)?
    } else {
        let length = fields.length.ok_or(AnswerError::NoLength)?;
        if length > ANSWER_BYTES_MAX {
            return Err(AnswerError::TooLong);
        }
        let end = head_len + length;
        (bytes.len() >= end).then_some((Body::At(head_len..end), end))
    };
    Ok(found.map(|(body, len)| Parsed { status, retry_after: fields.retry_after, close: fields.close, len, body }))
}

/// The header lines at the start of `bytes`, names in lower case; none when there is no whole head.
pub fn headers(bytes: &[u8]) -> Vec<(String, String)> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut lines);
    if !matches!(head.parse(bytes), Ok(httparse::Status::Complete(_))) {
        return Vec::new();
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    head.headers.iter().map(|line| (line.name.to_ascii_lowercase(), text(line.value))).collect()
}

/// The header fields that matter here.
#[derive(Default)]
struct Fields {
    length: Option<usize>,
    chunked: bool,
    close: bool,
    retry_after: Option<u32>,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, AnswerError> {
        let mut fields = Self::default();
        for header in headers {
            // The length of the name tells most fields apart without comparing it.
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = number(header.value).ok_or(AnswerError::Length)?;
                    if fields.length.is_some_and(|earlier| earlier != length) {
                        return Err(AnswerError::Length);
                    }
                    fields.length = Some(length);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    fields.chunked = header.value.eq_ignore_ascii_case(b"chunked");
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    fields.close = header.value.eq_ignore_ascii_case(b"close");
                }
                11 if header.name.eq_ignore_ascii_case("retry-after") => {
                    fields.retry_after = number(header.value).and_then(|seconds| u32::try_from(seconds).ok());
                }
                _ => {}
            }
        }
        Ok(fields)
    }
}

fn number(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?.trim();
    // `parse` would also take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Puts a chunked body together; `None` when its end is not here yet.
fn join_chunks(bytes: &[u8], head_len: usize) -> Result<Option<(Body, usize)>, AnswerError> {
    let mut joined = Vec::new();
    let mut at = head_len;
    loop {
        let (line_len, size) = match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(AnswerError::Chunk),
        };
        let size = usize::try_from(size).map_err(|_| AnswerError::TooLong)?;
        if size > ANSWER_BYTES_MAX || joined.len() + size > ANSWER_BYTES_MAX {
            return Err(AnswerError::TooLong);
        }
        let from = at + line_len;
        let Some(rest) = bytes.get(from + size..from + size + 2) else { return Ok(None) };
        if rest != b"\r\n" {
            // After the last chunk trailers may follow; no server under test sends them.
            return Err(AnswerError::Chunk);
        }
        at = from + size + 2;
        if size == 0 {
            return Ok(Some((Body::Joined(joined), at)));
        }
        joined.extend_from_slice(&bytes[from..from + size]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const PLAIN: &[u8] =
        b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"id\":\"abc\"}";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n";

    #[allow(clippy::type_complexity, reason = "status, body and length of a whole answer")]
    fn check(bytes: &[u8], expect: Result<Option<(u16, &[u8], usize)>, AnswerError>) {
        let parsed = parse(bytes);
        let seen = parsed
            .as_ref()
            .map_err(Clone::clone)
            .map(|found| found.as_ref().map(|parsed| (parsed.status, parsed.answer(bytes).body.to_vec(), parsed.len)));
        let expect = expect.map(|found| found.map(|(status, body, len)| (status, body.to_vec(), len)));
        assert_eq!(seen, expect, "{:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn whole_answers() {
        check(PLAIN, Ok(Some((201, b"{\"id\":\"abc\"", PLAIN.len() - 1))));
        check(CHUNKED, Ok(Some((200, b"abcdefg", CHUNKED.len()))));
        check(b"HTTP/1.1 204 No Content\r\n\r\n", Ok(Some((204, b"", 27))));
        check(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n", Ok(Some((304, b"", 49))));
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1", Ok(Some((200, b"", 38))));
    }

    #[test]
    fn every_prefix_waits_for_more() {
        for whole in [&PLAIN[..PLAIN.len() - 1], CHUNKED] {
            for end in 0..whole.len() {
                check(&whole[..end], Ok(None));
            }
        }
    }

    #[test]
    fn broken_answers_are_named() {
        check(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Err(AnswerError::Length));
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Err(AnswerError::Length));
        check(b"HTTP/1.1 200 OK\r\n\r\n", Err(AnswerError::NoLength));
        check(b"HTTP/1.1 100 Continue\r\n\r\n", Err(AnswerError::Interim(100)));
        check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Err(AnswerError::Chunk));
        check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc", Err(AnswerError::Chunk));
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", Err(AnswerError::TooLong));
        check(b"nonsense\r\n\r\n", Err(AnswerError::Head(httparse::Error::Version)));
    }

    #[test]
    fn fields_that_matter() {
        let bytes = b"HTTP/1.1 503 x\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let parsed = parse(bytes).unwrap().unwrap();
        assert_eq!((parsed.retry_after, parsed.close), (Some(2), true));
        let dated = b"HTTP/1.1 503 x\r\nretry-after: Tue, 24 Nov 2026 08:00:00 GMT\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(parse(dated).unwrap().unwrap().retry_after, None);
    }
}

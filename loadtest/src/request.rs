//! Requests as bytes, made before the run: sending one is one write. Only the idempotency key
//! changes from one sending to the next, in place, at a fixed width.

use std::ops::Range;

/// Hexadecimal digits of the number in a key.
const NUMBER_DIGITS: usize = 16;

/// A request whose bytes are ready to be written.
#[derive(Debug, Clone)]
pub struct Request {
    bytes: Vec<u8>,
    number_at: Option<Range<usize>>,
}

impl Request {
    /// Starts a request; `path` begins with `/`. It stays on its connection (keep-alive).
    pub fn to(method: &str, host: &str, path: &str) -> RequestBuilder {
        RequestBuilder { head: format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n"), number_at: None }
    }

    /// What to write.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Changes the key's number. Two numbers of one prefix are two keys.
    ///
    /// Changes nothing when the request was made without a key.
    pub fn set_key(&mut self, number: u64) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let Some(range) = self.number_at.clone() else { return };
        let mut left = number;
        for place in self.bytes[range].iter_mut().rev() {
            *place = DIGITS[(left & 15) as usize];
            left >>= 4;
        }
    }

    /// The key's number and prefix as sent, for messages; empty without a key.
    pub fn key(&self) -> String {
        let Some(number_at) = &self.number_at else { return String::new() };
        let start = self.bytes[..number_at.start].iter().rposition(|byte| *byte == b' ').map_or(0, |at| at + 1);
        String::from_utf8_lossy(&self.bytes[start..number_at.end]).into_owned()
    }
}

/// A request in the making.
#[derive(Debug, Clone)]
pub struct RequestBuilder {
    head: String,
    number_at: Option<Range<usize>>,
}

impl RequestBuilder {
    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.head.push_str(part);
        }
        self
    }

    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Adds an `Idempotency-Key` of `prefix`, a hyphen, and a number that [`Request::set_key`] changes.
    #[must_use]
    pub fn numbered_key(mut self, prefix: &str) -> Self {
        let start = self.head.len() + "Idempotency-Key: ".len() + prefix.len() + 1;
        self.number_at = Some(start..start + NUMBER_DIGITS);
        let value = format!("{prefix}-{:0width$x}", 0, width = NUMBER_DIGITS);
        self.header("Idempotency-Key", &value)
    }

    /// The request with a JSON body.
    #[must_use]
    pub fn json(self, body: &str) -> Request {
        let length = body.len().to_string();
        let Self { mut head, number_at } =
            self.header("Content-Type", "application/json").header("Content-Length", &length);
        head.push_str("\r\n");
        head.push_str(body);
        Request { bytes: head.into_bytes(), number_at }
    }

    /// The request without a body.
    #[must_use]
    pub fn empty(mut self) -> Request {
        self.head.push_str("\r\n");
        Request { bytes: self.head.into_bytes(), number_at: self.number_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_in_place() {
        let mut request =
            Request::to("POST", "127.0.0.1:8080", "/v1/orders").bearer("t").numbered_key("run").json("{}");
        let before = request.bytes().len();
        request.set_key(0xab_cdef);
        assert_eq!(request.key(), "run-0000000000abcdef");
        assert_eq!(
            String::from_utf8_lossy(request.bytes()),
            "POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer t\r\n\
             Idempotency-Key: run-0000000000abcdef\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        );
        request.set_key(u64::MAX);
        assert_eq!(request.key(), "run-ffffffffffffffff");
        assert_eq!(request.bytes().len(), before);
    }

    #[test]
    fn a_request_without_a_key_stays_as_it_is() {
        let mut request = Request::to("GET", "h", "/healthz").empty();
        request.set_key(5);
        assert_eq!(request.bytes(), b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(request.key(), "");
    }
}

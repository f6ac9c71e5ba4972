//! Tokens: who calls. JWTs signed with Ed25519 (RFC 8037), nothing else.
//!
//! The algorithm, issuer, audience and key id are ours to say, never the token's. This
//! module must never log a token or a key.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use son7shop_engine::{CustomerId, Requester};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ISSUER: &str = "son7shop";
const AUDIENCE: &str = "son7shop";
/// The longest header that is looked at, in bytes.
const HEADER_MAX: usize = 4096;
/// Verified tokens that each thread remembers: at most this many new ones, and as many
/// that were there before.
const REMEMBERED_MAX: usize = 16_384;
/// Tells verifiers apart: what one verified is nothing to another.
static VERIFIERS: AtomicU64 = AtomicU64::new(0);

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the shop.
    Admin,
    /// Buys.
    Customer,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What they may do.
    pub role: Role,
    /// Who they are.
    pub subject: CustomerId,
    /// The second, since 1970, at which their token is over.
    pub exp: u64,
}

impl Identity {
    /// On whose behalf they ask.
    #[must_use]
    pub fn into_requester(self) -> Requester {
        match self.role {
            Role::Admin => Requester::Admin,
            Role::Customer => Requester::Customer(self.subject),
        }
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no `Authorization: Bearer …` header.
    #[error("send a token as authorization: Bearer TOKEN")]
    Missing,
    /// The token ran out.
    #[error("the token has expired")]
    Expired,
    /// Anything else; a forger learns no more.
    #[error("the token is not one of this shop's")]
    Invalid,
}

/// Why there is no key to sign or verify with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text or file is no Ed25519 private key in PKCS#8.
    #[error("{0} is no Ed25519 private key (PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` makes)")]
    NotAKey(String),
    /// The key file cannot be read or made.
    #[error("the key file {path}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The token cannot be signed.
    #[error("signing the token")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    role: Role,
    iat: u64,
    exp: u64,
}

/// The key that signs tokens, and with it the public one that verifies them.
pub struct SigningKey {
    encoding: EncodingKey,
    public: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

impl SigningKey {
    /// Reads a PKCS#8 PEM; `name` says in errors where it came from.
    pub fn from_pem(pem: &str, name: &str) -> Result<Self, KeyError> {
        let body = pem.trim().strip_prefix("-----BEGIN PRIVATE KEY-----");
        let body = body.and_then(|body| body.strip_suffix("-----END PRIVATE KEY-----"));
        let body: String = body.unwrap_or("").split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError::NotAKey(name.to_owned()))?;
        Self::from_der(&der, name)
    }

    fn from_der(der: &[u8], name: &str) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::NotAKey(name.to_owned()))?;
        Ok(Self { encoding: EncodingKey::from_ed_der(der), public: pair.public_key().as_ref().to_vec() })
    }

    /// The data folder's own key; made, for its owner's eyes only, where there is none.
    pub fn local(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join("keys").join("token.pk8");
        let file_error = |source| KeyError::File { path: path.display().to_string(), source };
        if !path.exists() {
            make_key(&path).map_err(file_error)?;
        }
        let der = std::fs::read(&path).map_err(file_error)?;
        Self::from_der(&der, &path.display().to_string())
    }

    /// Names the key in tokens.
    #[must_use]
    pub fn id(&self) -> String {
        blake3::hash(&self.public).to_hex().chars().take(16).collect()
    }

    /// A token for `subject`, good for `ttl`.
    pub fn sign(&self, role: Role, subject: &CustomerId, ttl: Duration) -> Result<String, KeyError> {
        let now = now();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_string(),
            role,
            iat: now,
            exp: now.saturating_add(ttl.as_secs()),
        };
        let header = Header { kid: Some(self.id()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(KeyError::Signing)
    }
}

/// Makes a key file that is whole or not there; whoever comes second keeps the first's.
fn make_key(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let made = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
        .map_err(|_| io::Error::other("no randomness to make a key of"))?;
    let temporary = folder.join(format!("token.pk8.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(made.as_ref())?;
    file.sync_all()?;
    let linked = match std::fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    std::fs::remove_file(&temporary)?;
    linked
}

/// Verifies tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Verifier>);

struct Verifier {
    number: u64,
    key: DecodingKey,
    id: String,
    validation: Validation,
}

thread_local! {
    /// Verifying costs tens of microseconds, more than an order: each thread remembers
    /// what it verified, with the second at which that expires.
    static VERIFIED: RefCell<Remembered> = RefCell::default();
}

/// Verified tokens in two halves: when the new half is full it becomes the old one, and
/// what is asked for again moves over. So a crowd larger than the room loses only those
/// who do not come back.
#[derive(Default)]
struct Remembered {
    new: Half,
    old: Half,
}

type Half = HashMap<Box<str>, Verified, foldhash::fast::RandomState>;

#[derive(Clone)]
struct Verified {
    identity: Identity,
    verifier: u64,
}

impl Remembered {
    fn find(&mut self, token: &str, verifier: u64, now: u64) -> Option<Identity> {
        let holds = |verified: &Verified| verified.verifier == verifier && now < verified.identity.exp;
        if let Some(verified) = self.new.get(token) {
            return holds(verified).then(|| verified.identity.clone());
        }
        let (token, verified) = self.old.remove_entry(token)?;
        let identity = holds(&verified).then(|| verified.identity.clone())?;
        self.keep(token, verified);
        Some(identity)
    }

    fn keep(&mut self, token: Box<str>, verified: Verified) {
        if self.new.len() >= REMEMBERED_MAX {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(token, verified);
    }
}

impl Tokens {
    /// Verifies what `key` signed.
    pub fn of(key: &SigningKey) -> Result<Self, KeyError> {
        let decoding =
            DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(&key.public)).map_err(KeyError::Signing)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        let number = VERIFIERS.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::new(Verifier { number, key: decoding, id: key.id(), validation })))
    }

    /// Who sent this `Authorization` header.
    pub fn verify(&self, header: Option<&str>) -> Result<Identity, TokenError> {
        let token = header.and_then(bearer).ok_or(TokenError::Missing)?;
        let now = now();
        let verifier = self.0.number;
        if let Some(identity) = VERIFIED.with_borrow_mut(|verified| verified.find(token, verifier, now)) {
            return Ok(identity);
        }
        let identity = self.decode(token)?;
        if identity.exp <= now {
            return Err(TokenError::Expired);
        }
        let verified = Verified { identity: identity.clone(), verifier };
        VERIFIED.with_borrow_mut(|remembered| remembered.keep(token.into(), verified));
        Ok(identity)
    }

    fn decode(&self, token: &str) -> Result<Identity, TokenError> {
        if token.len() > HEADER_MAX {
            return Err(TokenError::Invalid);
        }
        let Verifier { key, id, validation, .. } = &*self.0;
        let decoded = jsonwebtoken::decode::<Claims>(token, key, validation).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
            _ => TokenError::Invalid,
        })?;
        if decoded.header.kid.as_ref() != Some(id) {
            return Err(TokenError::Invalid);
        }
        let subject = CustomerId::parse(&decoded.claims.sub).map_err(|_| TokenError::Invalid)?;
        Ok(Identity { role: decoded.claims.role, subject, exp: decoded.claims.exp })
    }
}

/// The token of a `Bearer` header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::local(folder.path()).unwrap()
    }

    fn claims(exp: u64) -> serde_json::Value {
        serde_json::json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "kim", "role": "customer", "iat": 1, "exp": exp})
    }

    fn header(key: &SigningKey) -> Header {
        Header { kid: Some(key.id()), ..Header::new(Algorithm::EdDSA) }
    }

    fn check(tokens: &Tokens, token: &str, expected: Result<&str, TokenError>) {
        for _ in 0..2 {
            let got = tokens.verify(Some(&format!("Bearer {token}")));
            assert_eq!(got.as_ref().map(|identity| identity.subject.as_str()).map_err(|e| *e), expected);
        }
    }

    #[test]
    fn only_our_own_tokens_are_taken() {
        let (key, other) = (key(), key());
        let tokens = Tokens::of(&key).unwrap();
        let kim = CustomerId::parse("kim").unwrap();
        let hour = Duration::from_hours(1);
        let good = key.sign(Role::Customer, &kim, hour).unwrap();
        check(&tokens, &good, Ok("kim"));
        assert_eq!(tokens.verify(None), Err(TokenError::Missing));
        assert_eq!(tokens.verify(Some(&good)), Err(TokenError::Missing));
        check(&tokens, "", Err(TokenError::Invalid));
        check(&tokens, &"x".repeat(10_000), Err(TokenError::Invalid));
        check(&tokens, &format!("{good}x"), Err(TokenError::Invalid));
        check(&tokens, &other.sign(Role::Admin, &kim, hour).unwrap(), Err(TokenError::Invalid));
        check(&tokens, &key.sign(Role::Customer, &kim, Duration::ZERO).unwrap(), Err(TokenError::Expired));

        let sign =
            |header: &Header, claims: &serde_json::Value| jsonwebtoken::encode(header, claims, &key.encoding).unwrap();
        let later = now() + 3600;
        check(&tokens, &sign(&header(&key), &claims(later)), Ok("kim"));
        check(&tokens, &sign(&Header::new(Algorithm::EdDSA), &claims(later)), Err(TokenError::Invalid));
        for (field, value) in [("iss", "me"), ("aud", "you"), ("role", "owner"), ("sub", "a b"), ("exp", "soon")] {
            let mut claims = claims(later);
            claims[field] = value.into();
            check(&tokens, &sign(&header(&key), &claims), Err(TokenError::Invalid));
        }
        let mut endless = claims(later);
        endless.as_object_mut().unwrap().remove("exp");
        check(&tokens, &sign(&header(&key), &endless), Err(TokenError::Invalid));
    }

    #[test]
    fn what_one_shop_verified_is_nothing_to_another() {
        let key = key();
        let (ours, theirs) = (Tokens::of(&key).unwrap(), Tokens::of(&self::key()).unwrap());
        let token = key.sign(Role::Customer, &CustomerId::parse("kim").unwrap(), Duration::from_hours(1)).unwrap();
        check(&ours, &token, Ok("kim"));
        check(&theirs, &token, Err(TokenError::Invalid));
        check(&ours, &token, Ok("kim"));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ends_when_the_token_does() {
        let identity = Identity { role: Role::Customer, subject: CustomerId::parse("kim").unwrap(), exp: 10 };
        let verified = Verified { identity: identity.clone(), verifier: 7 };
        let mut remembered = Remembered::default();
        remembered.keep("often".into(), verified.clone());
        remembered.keep("once".into(), verified.clone());
        for n in 0..5 * REMEMBERED_MAX {
            remembered.keep(n.to_string().into(), verified.clone());
            assert_eq!(remembered.find("often", 7, 9).as_ref(), Some(&identity));
            assert!(remembered.new.len() <= REMEMBERED_MAX && remembered.old.len() <= REMEMBERED_MAX);
        }
        assert_eq!(remembered.find("once", 7, 9), None);
        assert_eq!(remembered.find("often", 8, 9), None);
        assert_eq!(remembered.find("often", 7, 10), None);
    }

    #[test]
    fn another_algorithm_is_refused() {
        let key = key();
        let tokens = Tokens::of(&key).unwrap();
        // The public key as an HMAC secret: the classic confusion.
        let forged = Header { kid: Some(key.id()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(&key.public);
        let token = jsonwebtoken::encode(&forged, &claims(now() + 3600), &secret).unwrap();
        check(&tokens, &token, Err(TokenError::Invalid));
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), token.split('.').nth(1).unwrap());
        check(&tokens, &none, Err(TokenError::Invalid));
    }

    #[test]
    fn a_key_of_the_operators_own_is_read_from_pem() {
        // `openssl genpkey -algorithm ed25519`
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIOVzRVz/yVrgJuukYQQAQTrw5rKgNFm1tQYFUXnDqy6H\n-----END PRIVATE KEY-----\n";
        let key = SigningKey::from_pem(pem, "here").unwrap();
        let kim = CustomerId::parse("kim").unwrap();
        let token = key.sign(Role::Admin, &kim, Duration::from_mins(1)).unwrap();
        check(&Tokens::of(&key).unwrap(), &token, Ok("kim"));
        for text in ["", "x", &pem.replace("MC4C", "AAAA"), &pem.replace("PRIVATE", "PUBLIC")] {
            assert!(
                matches!(SigningKey::from_pem(text, "here"), Err(KeyError::NotAKey(name)) if name == "here"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_local_key_is_made_once_and_is_nobody_elses() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let made = SigningKey::local(folder.path()).unwrap();
        assert_eq!(SigningKey::local(folder.path()).unwrap().id(), made.id());
        let file = folder.path().join("keys/token.pk8");
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

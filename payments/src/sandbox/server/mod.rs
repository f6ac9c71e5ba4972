//! The sandbox over HTTP: the API, the shopper's pages and the control plane, each on its own
//! address, because that is how the real ones are apart.
//!
//! It listens on this machine only, unless told otherwise, and reaches out to nobody but the
//! shop's own callback addresses, where a fault sends it there. It must never decide what
//! [`super::machine`] decides.
//!
//! | file | what |
//! |---|---|
//! | `api.rs` | the four calls, with their waiting and their closed connections |
//! | `pages.rs` | what a shopper sees and presses |
//! | `plane.rs` | the control plane, in JSON |
//! | `control.rs` | the same verbs for tests in this process |
//! | `shared.rs` | the machine behind its lock, and the clock |
//! | `visits.rs` | arriving at the shop's addresses |
//! | `listen.rs` | accept loops |

mod api;
mod control;
mod listen;
mod pages;
mod plane;
mod shared;
mod visits;

pub use control::{Browser, Control, Sent};

use super::machine::{JOURNAL_ENTRIES_MAX, Machine, MachineSettings, SANDBOX_CID, SANDBOX_SECRET_KEY};
use listen::{Face, serve};
use shared::Shared;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long [`Sandbox::stop`] waits for what is under way.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Any free port of this machine.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What a sandbox is started with.
#[derive(Clone)]
pub struct SandboxSettings {
    /// Where the API listens; port 0 is any free one.
    pub api: SocketAddr,
    /// Where the shopper's pages are.
    pub pages: SocketAddr,
    /// Where the control plane listens. Whoever reaches it may do everything.
    pub control: SocketAddr,
    /// Whether any of them may be reached from other machines, and the shop be on another one.
    pub allow_remote: bool,
    /// Where browsers find the pages, if not at `pages`: `http://host:port`.
    pub pages_url: Option<String>,
    /// The key that calls must bring.
    pub secret_key: String,
    /// The merchant's number that calls must name.
    pub cid: String,
    /// What ids are drawn from; `None`: nobody can foretell them.
    pub seed: Option<u64>,
    /// How many calls the journal keeps.
    pub journal_entries_max: usize,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            api: ANY,
            pages: ANY,
            control: ANY,
            allow_remote: false,
            pages_url: None,
            secret_key: SANDBOX_SECRET_KEY.to_owned(),
            cid: SANDBOX_CID.to_owned(),
            seed: None,
            journal_entries_max: JOURNAL_ENTRIES_MAX,
        }
    }
}

impl fmt::Debug for SandboxSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxSettings")
            .field("api", &self.api)
            .field("pages", &self.pages)
            .field("control", &self.control)
            .field("allow_remote", &self.allow_remote)
            .field("cid", &self.cid)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// An address that other machines can reach, and nobody allowed that.
    #[error(
        "the sandbox's {what} would listen on {address}, which other machines can reach: allow it, or use 127.0.0.1"
    )]
    NotLoopback {
        /// Which of the three.
        what: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Every address of this machine is none that a browser could be sent to.
    #[error("the sandbox's pages listen on {0}: say at which address browsers find them")]
    NoPagesUrl(SocketAddr),
    /// The system refused.
    #[error("the sandbox's {what} cannot listen on {address}")]
    Listen {
        /// Which of the three.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A sandbox at work. It stops when it is dropped; [`Sandbox::stop`] also waits for that.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    api: SocketAddr,
    control: SocketAddr,
    pages_url: String,
}

impl Sandbox {
    /// Listens on all three addresses and serves, on the runtime of whoever calls.
    pub async fn start(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let api = listener("API", settings.api, settings.allow_remote).await?;
        let pages = listener("pages", settings.pages, settings.allow_remote).await?;
        let control = listener("control plane", settings.control, settings.allow_remote).await?;
        let pages_url = match settings.pages_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if pages.1.ip().is_unspecified() => return Err(SandboxError::NoPagesUrl(pages.1)),
            None => format!("http://{}", pages.1),
        };
        let machine = Machine::new(MachineSettings {
            secret_key: settings.secret_key,
            cid: settings.cid,
            seed: settings.seed.unwrap_or_else(rand::random),
            pages_url: pages_url.clone(),
            journal_entries_max: settings.journal_entries_max,
        });
        let shared = Arc::new(Shared::new(machine, settings.allow_remote));
        let addresses = (api.1, control.1);
        let about = plane::About { api_url: format!("http://{}", api.1), pages_url: pages_url.clone() };
        let own_host = (!settings.allow_remote).then_some(control.1);
        serve(api.0, Face::Api, &shared);
        serve(pages.0, Face::Pages, &shared);
        serve(control.0, Face::Control { about: Arc::new(about), own_host }, &shared);
        Ok(Self { shared, api: addresses.0, control: addresses.1, pages_url })
    }

    /// Where the API is, without its path: `http://host:port`.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Where the shopper's pages are.
    #[must_use]
    pub fn pages_url(&self) -> String {
        self.pages_url.clone()
    }

    /// Where the control plane is.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The control plane's verbs, without HTTP.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Takes no more calls, closes the connections of those that wait, and returns when all is
    /// quiet; says whether that came about in ten seconds.
    pub async fn stop(self) -> bool {
        self.shared.stop();
        tokio::time::timeout(STOP_PATIENCE, self.shared.stopped()).await.is_ok()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

async fn listener(
    what: &'static str,
    address: SocketAddr,
    allow_remote: bool,
) -> Result<(TcpListener, SocketAddr), SandboxError> {
    if !allow_remote && !address.ip().is_loopback() {
        return Err(SandboxError::NotLoopback { what, address });
    }
    let fails = |source| SandboxError::Listen { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(fails)?;
    let bound = listener.local_addr().map_err(fails)?;
    Ok((listener, bound))
}

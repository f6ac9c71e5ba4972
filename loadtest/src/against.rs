//! Which shop a command loads: one that it starts itself, or one that runs.

use anyhow::{Context, ensure};
use son7shop_loadtest::contention::Target;
use son7shop_loadtest::program::Program;
use son7shop_loadtest::shop::{Shop, binary_beside_this_one};
use son7shop_loadtest::target::require_loopback;
use std::env::VarError;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an empty shop may take to serve.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// How long it may take to stop.
const STOP_PATIENCE: Duration = Duration::from_mins(1);

/// The key of a shop that does not use its data folder's own.
const TOKEN_KEY: &str = "SON7_TOKEN_KEY";

/// Which shop.
#[derive(Debug, clap::Args)]
pub(crate) struct Against {
    /// The shop's binary to start; by default the one beside this program.
    #[arg(long, conflicts_with = "url")]
    server: Option<PathBuf>,
    /// A shop that runs already, such as http://127.0.0.1:8080. Its tokens come from --data-dir, or
    /// from --admin-token and --customer-tokens.
    #[arg(long)]
    url: Option<String>,
    /// The running shop's data folder, to make tokens with its key; with SON7_TOKEN_KEY, if the shop has one.
    #[arg(long, requires = "url")]
    data_dir: Option<PathBuf>,
    /// An admin's token for the running shop.
    #[arg(long, requires = "customer_tokens")]
    admin_token: Option<String>,
    /// A file of customers' tokens for the running shop, one a line.
    #[arg(long, requires = "admin_token")]
    customer_tokens: Option<PathBuf>,
    /// The running shop may be on another machine: it will feel the load.
    #[arg(long, requires = "url")]
    beyond_loopback: bool,
}

/// A shop that is open for load.
pub(crate) struct Opened {
    /// Where it is, with tokens.
    pub(crate) target: Target,
    own: Option<Own>,
}

/// A shop of our own, on an empty folder, which is removed afterwards.
struct Own {
    program: Program,
    folder: tempfile::TempDir,
}

impl Against {
    /// Starts a shop, or finds the running one.
    pub(crate) fn open(&self, customers: usize) -> anyhow::Result<Opened> {
        let beside = binary_beside_this_one()?;
        if let Some(url) = &self.url {
            let address = address_of(url)?;
            require_loopback(address, self.beyond_loopback)?;
            return Ok(Opened { target: self.running_shop(address, &beside, customers)?, own: None });
        }
        let binary = self.server.clone().unwrap_or(beside);
        ensure!(binary.is_file(), "{} is not there: build it, or name the shop's binary by --server", binary.display());
        let folder = tempfile::tempdir().context("a temporary folder")?;
        // No hold may end while the orders are being compared.
        let shop = Shop::new(&binary, &folder.path().join("data")).set("SON7_HOLD_SECONDS", "86399");
        let program = shop.start(START_PATIENCE)?;
        let target = Target {
            address: program.address(),
            admin_token: shop.admin_token()?,
            customer_tokens: shop.customer_tokens("buyer", customers)?,
        };
        Ok(Opened { target, own: Some(Own { program, folder }) })
    }

    fn running_shop(&self, address: SocketAddr, binary: &Path, customers: usize) -> anyhow::Result<Target> {
        let (admin_token, customer_tokens) = match (&self.data_dir, &self.admin_token, &self.customer_tokens) {
            (_, Some(admin_token), Some(file)) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
                let tokens = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
                (admin_token.clone(), tokens)
            }
            (Some(data_dir), ..) => {
                // A shop with a key of its own has it from the environment; so does this program then.
                let shop = match std::env::var(TOKEN_KEY) {
                    Ok(key) => Shop::new(binary, data_dir).set(TOKEN_KEY, &key),
                    Err(VarError::NotPresent) => Shop::new(binary, data_dir),
                    Err(VarError::NotUnicode(_)) => anyhow::bail!("{TOKEN_KEY} is no text"),
                };
                (shop.admin_token()?, shop.customer_tokens("buyer", customers)?)
            }
            _ => {
                anyhow::bail!(
                    "tokens are needed: --data-dir of the running shop, or --admin-token and --customer-tokens"
                )
            }
        };
        Ok(Target { address, admin_token, customer_tokens })
    }
}

impl Opened {
    /// The process and the data folder of a shop that was started here.
    pub(crate) fn own(&self) -> Option<(u32, PathBuf)> {
        self.own.as_ref().map(|own| (own.program.pid(), own.folder.path().join("data")))
    }

    /// Ends a shop that was started here, which must end well.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        let Some(own) = self.own else { return Ok(()) };
        let status = own.program.stop(STOP_PATIENCE)?;
        ensure!(status.success(), "the shop ended with {status} after SIGTERM");
        Ok(())
    }
}

/// What was found wrong stays the exit code: an error afterwards is then only told.
pub(crate) fn conclude(is_wrong: bool, afterwards: anyhow::Result<()>) -> anyhow::Result<()> {
    match afterwards {
        Err(error) if is_wrong => {
            eprintln!("loadtest: {error:#}");
            Ok(())
        }
        afterwards => afterwards,
    }
}

fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
    let host = rest.trim_end_matches('/');
    host.to_socket_addrs().with_context(|| format!("{host} is no host:port"))?.next().context("the host has no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_afterwards_does_not_hide_what_was_found() {
        assert!(conclude(true, Err(anyhow::anyhow!("it ended badly"))).is_ok());
        assert!(conclude(false, Err(anyhow::anyhow!("it ended badly"))).is_err());
        assert!(conclude(false, Ok(())).is_ok());
    }
}

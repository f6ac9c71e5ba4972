//! How the shop is paid, from its settings: the gateway's client, and the sandbox where there is no real one.

use anyhow::{Context as _, bail};
use son7shop_actors::Payments;
use son7shop_engine::payment::PaymentMethod;
use son7shop_http::settings::{KAKAO_KEY, KakaoProfile, PaidBy, Settings};
use son7shop_payments::kakaopay::{KakaoPay, Key, LIVE_BASE, Profile, Settings as KakaoSettings, TEST_CID};
use son7shop_payments::sandbox::machine::SANDBOX_SECRET_KEY;
use son7shop_payments::sandbox::server::{Sandbox, SandboxError, SandboxSettings};
use std::env::VarError;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// The path of the API in Kakao Pay's and the sandbox's addresses.
const API_PATH: &str = "/online/v1/payment";

/// The key for Kakao Pay, where there is one. One that is no text is an error, as a blank one is later: to go
/// on without it would be to be paid in the sandbox.
pub(crate) fn kakao_key() -> anyhow::Result<Option<Key>> {
    match std::env::var(KAKAO_KEY) {
        Ok(key) => Ok(Some(key).filter(|key| !key.is_empty()).map(|key| Key::new(&key))),
        Err(VarError::NotPresent) => Ok(None),
        // The error itself would show it.
        Err(VarError::NotUnicode(_)) => bail!("{KAKAO_KEY} cannot be used: a key is visible ASCII characters"),
    }
}

/// The gateways of a shop that is served at `address`, and the sandbox if it is paid there.
pub(crate) async fn open(settings: &Settings, address: SocketAddr) -> anyhow::Result<(Payments, Option<Sandbox>)> {
    let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let payments = Payments::new(public_url);
    let (kakao, sandbox) = match settings.payments {
        PaidBy::Off => return Ok((payments, None)),
        PaidBy::Kakaopay => (real(settings)?, None),
        PaidBy::Sandbox => {
            let sandbox = start_sandbox(settings, address).await?;
            let base = format!("{}{API_PATH}", sandbox.api_url());
            let kakao = KakaoSettings::new(&base, Key::new(SANDBOX_SECRET_KEY), TEST_CID, Profile::Test);
            (kakao, Some(sandbox))
        }
    };
    let kakao = KakaoPay::new(&kakao).context("Kakao Pay's settings")?;
    Ok((payments.with(PaymentMethod::KakaoPay, Arc::new(kakao)), sandbox))
}

/// The gateway for `son7shop verify --gateway`. The sandbox that runs inside the shop ends with it, and can
/// no longer be asked.
pub(crate) fn to_verify(settings: &Settings) -> anyhow::Result<Payments> {
    let kakao = KakaoPay::new(&real(settings)?).context("Kakao Pay's settings")?;
    Ok(Payments::new("").with(PaymentMethod::KakaoPay, Arc::new(kakao)))
}

fn real(settings: &Settings) -> anyhow::Result<KakaoSettings> {
    let key = kakao_key()?.with_context(|| format!("Kakao Pay is to be asked, and {KAKAO_KEY} is not set"))?;
    let profile = match settings.kakao_profile.unwrap_or(KakaoProfile::Test) {
        KakaoProfile::Test => Profile::Test,
        KakaoProfile::Live => Profile::Live,
    };
    let base = settings.kakao_url.as_deref().unwrap_or(LIVE_BASE);
    let cid = settings.kakao_cid.as_deref().unwrap_or(TEST_CID);
    Ok(KakaoSettings::new(base, key, cid, profile))
}

async fn start_sandbox(settings: &Settings, address: SocketAddr) -> anyhow::Result<Sandbox> {
    let next = if settings.listen.port() == 0 { 0 } else { address.port().saturating_add(1) };
    let first = settings.sandbox_port.unwrap_or(next);
    match Sandbox::start(on_ports(first)).await {
        // The port after the shop's was nobody's wish: any other does as well.
        Err(SandboxError::Listen { .. }) if settings.sandbox_port.is_none() => {
            tracing::warn!(first, "the ports after the shop's are taken; the sandbox takes any free ones");
            Sandbox::start(on_ports(0)).await
        }
        started => started,
    }
    .context("starting the sandbox")
}

fn on_ports(first: u16) -> SandboxSettings {
    let at = |offset: u16| {
        let port = if first == 0 { 0 } else { first.saturating_add(offset) };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    };
    SandboxSettings { api: at(0), pages: at(1), control: at(2), ..SandboxSettings::default() }
}

/// What `son7shop kakao-sandbox` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct SandboxOptions {
    /// The first of three ports: API, shopper's pages, control plane; 0: any free ones
    #[arg(long, default_value_t = 8091)]
    port: u16,
    /// The address to listen on; other machines may reach it only with --allow-remote
    #[arg(long, default_value_t = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: std::net::IpAddr,
    /// Let other machines in: whoever reaches the control plane may do everything
    #[arg(long)]
    allow_remote: bool,
    /// What ids are drawn from, so that a run can be repeated
    #[arg(long)]
    seed: Option<u64>,
}

/// `son7shop kakao-sandbox`: the sandbox alone, until it is told to stop.
pub(crate) fn run(settings: &Settings, options: &SandboxOptions) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut sandbox = on_ports(options.port);
        for address in [&mut sandbox.api, &mut sandbox.pages, &mut sandbox.control] {
            address.set_ip(options.host);
        }
        sandbox.allow_remote = options.allow_remote;
        sandbox.seed = options.seed;
        let sandbox = Sandbox::start(sandbox).await.context("starting the sandbox")?;
        println!("api {}{API_PATH}", sandbox.api_url());
        println!("pages {}", sandbox.pages_url());
        println!("control {}", sandbox.control_url());
        println!("key {SANDBOX_SECRET_KEY}");
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

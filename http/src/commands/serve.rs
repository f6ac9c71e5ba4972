//! `son7shop serve`: opens the shop, serves it, and stops it in order.

use super::{log_to_stderr, paying, signing_key, storage};
use anyhow::Context as _;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit, setrlimit};
use son7shop_actors::Shop;
use son7shop_http::api::{self, Api};
use son7shop_http::data_plane::Listeners;
use son7shop_http::metrics::Metrics;
use son7shop_http::settings::Settings;
use son7shop_http::token::Tokens;
use son7shop_payments::sandbox::server::Sandbox;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long those who asked while the shop opened may take to read the answer.
const MEANWHILE_ENDS: Duration = Duration::from_secs(1);
/// How often figures are folded.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// Lower than the arbiters': what runs behind the answers gives way to them.
const CONTROL_NICE: i32 = 10;

pub(crate) fn run(settings: &Settings, key: Option<&str>) -> anyhow::Result<ExitCode> {
    log_to_stderr(settings)?;
    settings.check_exposure()?;
    raise_open_files();
    small_pages();
    let metrics = Metrics::install().context("metrics")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("control")
        .on_thread_start(lower_priority)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(settings, key, metrics));
    // A recovery that was broken off, or a sync that hangs, would hold up the end of the
    // process; the journal on disk stands whenever the process ends.
    runtime.shutdown_background();
    ended
}

async fn serve(settings: &Settings, key: Option<&str>, metrics: Metrics) -> anyhow::Result<ExitCode> {
    // Before anything is promised: from here on both signals mean an orderly stop.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listeners = Listeners::bind(settings.listen).with_context(|| format!("listening on {}", settings.listen))?;
    let address = listeners.address();
    let opening = warp::service(api::opening::routes(metrics.clone()));
    let meanwhile = listeners.serve_meanwhile(TowerToHyperService::new(opening)).context("answering while it opens")?;
    tracing::info!(%address, "opening the shop");
    let shop = tokio::select! {
        shop = open(settings, address) => shop?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    let (shop, sandbox) = shop;
    let tokens = Tokens::of(&signing_key(settings, key)?)?;
    let api = Api::new(shop.clone(), tokens, metrics.clone());
    // Nobody is told "not ready" by a shop that is.
    meanwhile.stop(MEANWHILE_ENDS).await;
    let serving = listeners
        .serve(shop.arbiters(), || TowerToHyperService::new(warp::service(api::routes(api.clone()))))
        .with_context(|| format!("listening on {address}"))?;
    tokio::spawn(keep_metrics(metrics));
    // Whoever started it may have closed the pipe: no reason to stop.
    let _ = writeln!(std::io::stdout(), "listening on http://{address}");

    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    tracing::info!("stopping: answering what was accepted");
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::error!("stopped at once, by a second signal");
        std::process::exit(130);
    });
    let by = Instant::now() + Duration::from_secs(settings.stop_seconds.into());
    shop.drain();
    if !serving.stop(by.saturating_duration_since(Instant::now()) / 2).await {
        tracing::warn!("some connections did not end in time");
    }
    shop.close(by.saturating_duration_since(Instant::now())).await;
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn open(settings: &Settings, address: SocketAddr) -> anyhow::Result<(Shop, Option<Sandbox>)> {
    let (payments, sandbox) = paying::open(settings, address).await?;
    if let Some(sandbox) = &sandbox {
        let (pages, control) = (sandbox.pages_url(), sandbox.control_url());
        tracing::warn!(pages, control, "orders are paid in a sandbox: no money moves");
    }
    let shop = Shop::open(son7shop_actors::Settings { payments, ..settings.shop() }, storage()).await?;
    Ok((shop, sandbox))
}

async fn keep_metrics(metrics: Metrics) {
    let mut interval = tokio::time::interval(METRICS_UPKEEP);
    loop {
        interval.tick().await;
        metrics.upkeep();
    }
}

/// As many open files as the system lets us have: each connection is one.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
}

/// Orders fill memory as fast as they come, and on an arbiter the kernel clears a huge page
/// while every shopper waits: 4 ms for each 8,000 orders were measured on a virtual machine.
fn small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "memory comes in huge pages: some answers will be late");
    }
}

fn lower_priority() {
    // On Linux a priority is a thread's. One that stays as it is costs speed, nothing else.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), CONTROL_NICE);
}

//! The program that the product is measured against: warp answering a JSON POST, and nothing else.
//!
//! The accept loop has the product's shape (one single-threaded loop a thread, `SO_REUSEPORT`, the
//! same backlog, `TCP_NODELAY`, the same timers), the request and the answer have the fields and the
//! size of an order's. There is no token, no key, no stock, no disk. It must never do more than that:
//! whatever the product does beyond it is what the comparison shows.

use clap::Parser;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use warp::Filter;
use warp::http::StatusCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections the kernel keeps until they are accepted; the product's.
const LISTEN_BACKLOG: i32 = 4096;

/// A client that sends no whole head in this time is cut off; the product's.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The unit price that every answer names.
const PRICE: i64 = 10_000;

/// Warp answering a JSON POST, and nothing else.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Loops, each on a thread of its own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceOrder {
    lines: Vec<LineRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineRequest {
    sku: String,
    quantity: u32,
}

#[derive(Serialize)]
struct Order {
    id: &'static str,
    customer: &'static str,
    status: &'static str,
    lines: Vec<Line>,
    total: i64,
    currency: &'static str,
    placed_at: &'static str,
    expires_at: &'static str,
}

#[derive(Serialize)]
struct Line {
    sku: String,
    quantity: u32,
    unit_price: i64,
}

/// The answer's fields, at the size that an order's have; nothing is looked up or computed but the lines.
fn answer(request: PlaceOrder) -> impl warp::Reply {
    let lines: Vec<Line> = request
        .lines
        .into_iter()
        .map(|line| Line { sku: line.sku, quantity: line.quantity, unit_price: PRICE })
        .collect();
    let order = Order {
        id: "01938f5e-7b1c-7c3a-9d2e-5f60718293a4",
        customer: "buyer-1000",
        status: "held",
        total: lines.iter().map(|line| PRICE.saturating_mul(line.quantity.into())).sum(),
        lines,
        currency: "KRW",
        placed_at: "2026-11-24T08:00:00.000Z",
        expires_at: "2026-11-24T08:10:00.000Z",
    };
    warp::reply::with_status(warp::reply::json(&order), StatusCode::CREATED)
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    anyhow::ensure!(args.threads >= 1, "at least one thread is needed");
    let first = listen(args.listen)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..args.threads {
        listeners.push(listen(address)?);
    }
    println!("listening on http://{address}");
    let loops: Vec<_> = listeners.into_iter().map(|listener| std::thread::spawn(move || serve(listener))).collect();
    for serving in loops {
        serving.join().map_err(|_| anyhow::anyhow!("a loop panicked"))??;
    }
    Ok(())
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// One loop: accepts and serves on its own thread, for ever.
fn serve(listener: TcpListener) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let route = warp::post().and(warp::path!("v1" / "orders")).and(warp::body::json()).map(answer);
        let service = TowerToHyperService::new(warp::service(route));
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT).writev(false);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // A client that goes away ends its connection with an error; that is no news here.
            tokio::task::spawn_local(async move { drop(connection.await) });
        }
    })
}

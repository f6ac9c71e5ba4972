//! `loadtest lua-server`: what a careful user puts in front of a Lua script in Redis. Warp parses
//! an order as this engine takes it, the script sells, the answer has the fields of ours.
//!
//! The accept loops have the engine's shape (one single-threaded loop a thread, `SO_REUSEPORT`, the
//! same backlog, `TCP_NODELAY`). Requests of a loop share its connections to Redis, which pipeline
//! them: Redis then has much to do between two syncs. There is no token and no idempotency key.
//!
//! It must never answer 201 before Redis has, and never run the script twice for a request.

use anyhow::Context;
use clap::value_parser;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult, Script};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use son7shop_loadtest::lab::backends::http_lua::REDIS_URL;
use son7shop_loadtest::lab::backends::script::{ORDERS, STOCK, TAKE};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use warp::Filter;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::http::{Response, StatusCode};

/// Connections the kernel keeps until they are accepted.
const LISTEN_BACKLOG: i32 = 4096;
/// A client that sends no whole head in this time is cut off.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// An order is far shorter.
const BODY_BYTES_MAX: u64 = 16 << 10;
/// A Redis that does not answer for so long is taken for dead.
const REDIS_TIMEOUT: Duration = Duration::from_secs(30);
/// Commands that may wait to be written to one connection: more than clients can have under way.
const PIPELINE_COMMANDS: usize = 4096;
/// The only product.
const SKU: &str = "air";
/// Its price.
const PRICE: i64 = 1_000;

/// An HTTP server that sells by a Lua script in Redis.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Redis's URL. Better in the environment: anybody on this machine may read arguments.
    #[arg(long, env = REDIS_URL, hide_env_values = true)]
    redis: String,
    /// Loops, each on a thread of its own.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    threads: u16,
    /// Connections to Redis of each loop, which no other loop uses; each pipelines.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    connections_each: u16,
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
struct Order<'a> {
    id: &'a str,
    status: &'static str,
    lines: [Line; 1],
    total: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct Line {
    sku: &'static str,
    quantity: u32,
    unit_price: i64,
}

#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    code: &'a str,
    title: &'a str,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let first = listen(args.listen).with_context(|| format!("listening on {}", args.listen))?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..args.threads {
        listeners.push(listen(address)?);
    }
    let each = usize::from(args.connections_each);
    let client = Client::open(args.redis.as_str())?;
    let (connected, all_connected) = channel();
    let loops: Vec<_> = listeners
        .into_iter()
        .enumerate()
        .map(|(number, listener)| {
            let (client, connected) = (client.clone(), connected.clone());
            std::thread::spawn(move || serve(listener, client, each, number, connected))
        })
        .collect();
    drop(connected);
    for _ in 0..loops.len() {
        all_connected.recv().context("a loop ended at once")?.context("connecting to Redis")?;
    }
    println!("listening on http://{address}");
    for serving in loops {
        serving.join().map_err(|_| anyhow::anyhow!("a loop panicked"))??;
    }
    Ok(ExitCode::SUCCESS)
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
fn serve(
    listener: TcpListener,
    client: Client,
    connections: usize,
    number: usize,
    connected: Sender<RedisResult<()>>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let ways = match connect(&client, connections).await {
            Ok(ways) => ways,
            Err(error) => return Ok(connected.send(Err(error))?),
        };
        connected.send(Ok(()))?;
        drop(connected);
        let shop = Arc::new(Shop { ways, take: Script::new(TAKE), number, orders: AtomicUsize::new(0) });
        let body = warp::body::content_length_limit(BODY_BYTES_MAX).and(warp::body::json());
        let route = warp::post().and(warp::path!("v1" / "orders")).and(body).then(move |request| {
            let shop = Arc::clone(&shop);
            async move { shop.place(&request).await }
        });
        let service = TowerToHyperService::new(warp::service(route));
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT).writev(false);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
            // A client that goes away ends its connection with an error; that is no news here.
            tokio::task::spawn_local(async move { drop(connection.await) });
        }
    })
}

/// Connections that are opened anew after they broke; what was under way on them is lost, and not repeated.
async fn connect(client: &Client, count: usize) -> RedisResult<Vec<ConnectionManager>> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(REDIS_TIMEOUT))
        .set_number_of_retries(1)
        .set_pipeline_buffer_size(PIPELINE_COMMANDS);
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(ConnectionManager::new_with_config(client.clone(), config.clone()).await?);
    }
    Ok(connections)
}

/// What the requests of one loop share.
struct Shop {
    ways: Vec<ConnectionManager>,
    take: Script,
    number: usize,
    orders: AtomicUsize,
}

impl Shop {
    async fn place(&self, request: &PlaceOrder) -> Response<Vec<u8>> {
        let [line] = &request.lines[..] else { return problem(StatusCode::BAD_REQUEST, "invalid", "one line is sold") };
        if line.sku != SKU {
            return problem(StatusCode::NOT_FOUND, "not_found", "there is no such product");
        }
        if line.quantity != 1 {
            return problem(StatusCode::BAD_REQUEST, "invalid", "one unit is sold at a time");
        }
        let order = self.orders.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{order}", self.number);
        let mut redis = self.ways[order % self.ways.len()].clone();
        let taken: RedisResult<i64> = self.take.key(STOCK).key(ORDERS).arg(&id).invoke_async(&mut redis).await;
        match taken {
            Ok(1) => placed(&id),
            Ok(_) => problem(StatusCode::CONFLICT, "sold_out", "nothing is left"),
            Err(error) => {
                eprintln!("redis: {error}");
                problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "redis did not answer")
            }
        }
    }
}

fn placed(id: &str) -> Response<Vec<u8>> {
    let line = Line { sku: SKU, quantity: 1, unit_price: PRICE };
    let order = Order { id, status: "held", lines: [line], total: PRICE, currency: "KRW" };
    answer(StatusCode::CREATED, "application/json", &order)
}

fn problem(status: StatusCode, code: &str, title: &str) -> Response<Vec<u8>> {
    answer(status, "application/problem+json", &Problem { status: status.as_u16(), code, title })
}

fn answer(status: StatusCode, content_type: &'static str, body: &impl Serialize) -> Response<Vec<u8>> {
    // Strings and numbers: writing them cannot fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

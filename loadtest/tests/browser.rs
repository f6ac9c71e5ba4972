//! The lab's page as its reader sees it: a run of the lab, its page opened from disk in a headless
//! Chromium without a network, and every figure on it equal to the run's JSON.
//!
//! Where Node, npm's `playwright-core` or a Chromium cannot be had it says `NOT RUN` and passes,
//! unless `SON7_REQUIRE_BROWSER=1`.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use serde::Deserialize;
use serde_json::{Value, json};
use son7shop_loadtest::page::short;
use son7shop_loadtest::servers::{Browser, browser};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What drives the browser, and the release that `browser/figures.mjs` is written for.
const PACKAGE: &str = "playwright-core";
const VERSION: &str = "1.65.1";
/// The oldest Node that it runs on.
const NODE: u32 = 20;
/// A page with fewer figures than this is not the lab's.
const FIGURES_MORE_THAN: usize = 20;
/// A graph that is smaller, in pixels, is not to be seen.
const GRAPH_PIXELS: f64 = 100.0;
/// The graphs of the closed loop, and what of a point each shows.
const GRAPHS: [(&str, &str); 4] = [
    ("wrong-units", "/wrong_share"),
    ("latency", "/micros/p50/median"),
    ("throughput", "/sold_per_second/median"),
    ("p99", "/micros/p99/median"),
];
/// What stands where nothing was measured.
const ABSENT: &str = "–";

/// What `browser/figures.mjs` says.
#[derive(Debug, Deserialize)]
struct Seen {
    browser: String,
    requests: Vec<String>,
    errors: Vec<String>,
    figures: Vec<Figure>,
    graphs: Vec<Graph>,
    headings: Vec<String>,
    data: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Figure {
    pointer: String,
    scale: Option<String>,
    text: String,
    is_visible: bool,
    width: f64,
    height: f64,
}

#[derive(Debug, Deserialize)]
struct Graph {
    id: String,
    dots: usize,
    width: f64,
    height: f64,
}

/// Runs a command to its end; what it printed.
fn run(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, complained) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        Ok(printed)
    } else {
        Err(format!("{shown} ({}):\n{printed}{complained}", output.status))
    }
}

/// What the page is opened with.
struct Tools {
    browser: Browser,
    /// The folder with `node_modules`.
    modules: PathBuf,
}

impl Tools {
    fn find() -> Result<Self, String> {
        let version = run(Command::new("node").arg("--version"))?;
        let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        if major.is_none_or(|major: u32| major < NODE) {
            return Err(format!("Node {NODE} is needed, this is {version}"));
        }
        let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{PACKAGE}-{VERSION}"));
        if !modules.join("node_modules").join(PACKAGE).join("package.json").is_file() {
            // The package alone: no script of it runs, and no browser comes with it.
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix"]);
            run(npm.arg(&modules).arg(format!("{PACKAGE}@{VERSION}")))?;
        }
        let browser = browser().map_err(|error| error.to_string())?;
        Ok(Self { browser, modules })
    }

    /// Opens a page and says what is on it.
    fn look(&self, page: &Path) -> Seen {
        let text = |text: &OsStr| text.to_str().unwrap().to_owned();
        let command = self.browser.command();
        let environment: BTreeMap<String, String> =
            command.get_envs().map(|(name, value)| (text(name), text(value.unwrap()))).collect();
        let task = json!({
            "modules": self.modules,
            "program": self.browser.program(),
            "environment": environment,
            "page": page,
        });
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/figures.mjs");
        let said = run(Command::new("node").arg(driver).arg(task.to_string())).unwrap_or_else(|why| panic!("{why}"));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

/// A small run of the lab, written to `folder`: the broken lock and what sells from Redis.
fn lab(folder: &Path) {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    lab.args(["lab", "--only", "redis-lua-always", "--threads", "1,20", "--rounds", "2", "--seconds", "0.1"]);
    run(lab.arg("--out").arg(folder)).unwrap_or_else(|why| panic!("{why}"));
}

/// Whether `pointer` leads to nothing in a document that could have something there: a null, or below one.
fn is_absent(document: &Value, pointer: &str) -> bool {
    let ends = pointer.match_indices('/').map(|(at, _)| at).skip(1).chain([pointer.len()]);
    ends.into_iter().any(|end| document.pointer(&pointer[..end]).is_some_and(Value::is_null))
}

/// What the page should show for a figure; an error where the figure leads nowhere.
fn expected(document: &Value, figure: &Figure) -> Result<Vec<String>, String> {
    let scale = figure.scale.as_deref().map(str::parse::<f64>).transpose().map_err(|error| error.to_string())?;
    match document.pointer(&figure.pointer) {
        Some(Value::Number(number)) => {
            let exact = number.as_f64().ok_or("not a number")?;
            let shown = short(exact * scale.unwrap_or(1.0));
            let whole = (scale.is_none() && !number.is_f64()).then(|| number.to_string());
            Ok([Some(shown), whole].into_iter().flatten().collect())
        }
        _ if is_absent(document, &figure.pointer) => Ok(vec![ABSENT.to_owned()]),
        Some(other) => Err(format!("{other} is no number")),
        None => Err("there is nothing there".to_owned()),
    }
}

/// The pointers of all points of the closed loop.
fn closed(document: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let mut pointers = Vec::new();
    for (line, points) in list(&document["lines"]).iter().map(|line| list(&line["points"])).enumerate() {
        let is_closed = |point: &Value| point.pointer("/load/pace/closed").is_some();
        let closed = points.iter().enumerate().filter(|(_, point)| is_closed(point));
        pointers.extend(closed.map(|(point, _)| format!("/lines/{line}/points/{point}")));
    }
    pointers
}

/// How many points a graph of the closed loop has to show.
fn dots(document: &Value, what: &str) -> usize {
    let is_measured = |point: &&String| document.pointer(&format!("{point}{what}")).is_some_and(Value::is_number);
    closed(document).iter().filter(is_measured).count()
}

/// Everything that is wrong with a page; `document` is the JSON of the same run.
fn wrong(seen: &Seen, document: &Value) -> Vec<String> {
    let mut wrong: Vec<String> = seen.requests.iter().map(|url| format!("it asked for {url}")).collect();
    wrong.extend(seen.errors.iter().map(|error| format!("error: {error}")));
    for figure in &seen.figures {
        match expected(document, figure) {
            Ok(any) if any.contains(&figure.text) => {}
            Ok(any) => wrong.push(format!("{} shows {} and is {}", figure.pointer, figure.text, any.join(" or "))),
            Err(why) => wrong.push(format!("{}: {why}", figure.pointer)),
        }
        if !figure.is_visible || figure.width <= 0.0 || figure.height <= 0.0 {
            wrong.push(format!("{} cannot be seen", figure.pointer));
        }
    }
    let measured = |figure: &&Figure| document.pointer(&figure.pointer).is_some_and(Value::is_number);
    let pointers: BTreeSet<&str> = seen.figures.iter().filter(measured).map(|one| one.pointer.as_str()).collect();
    if pointers.len() <= FIGURES_MORE_THAN {
        wrong.push(format!("only {} figures", pointers.len()));
    }
    let is_shown = |pointer: &String| seen.figures.iter().any(|figure| figure.pointer == *pointer);
    // A page that leaves out how much one sold at some number of threads tells another story.
    let sold = closed(document).into_iter().map(|point| format!("{point}/sold_per_second/median"));
    let left_out = sold.filter(|pointer| !is_shown(pointer));
    wrong.extend(left_out.map(|pointer| format!("{pointer} is not on the page")));
    for (id, what) in GRAPHS {
        let Some(Graph { dots: shown, width, height, .. }) = seen.graphs.iter().find(|graph| graph.id == id) else {
            wrong.push(format!("graph {id} is missing"));
            continue;
        };
        let measured = dots(document, what);
        if *shown == 0 || *shown != measured {
            wrong.push(format!("graph {id} shows {shown} of {measured} points"));
        }
        if *width <= GRAPH_PIXELS || *height <= GRAPH_PIXELS {
            wrong.push(format!("graph {id} is {width} × {height} pixels"));
        }
    }
    if seen.headings.iter().all(String::is_empty) {
        wrong.push("no heading".to_owned());
    }
    let data = seen.data.as_deref().and_then(|data| serde_json::from_str::<Value>(data).ok());
    if data.as_ref() != Some(document) {
        wrong.push("the page's own data is not the JSON's".to_owned());
    }
    wrong
}

#[test]
fn the_page_shows_the_figures_of_its_json() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(why) if std::env::var("SON7_REQUIRE_BROWSER").is_ok_and(|set| set == "1") => panic!("{why}"),
        // To the terminal itself: what a passing test prints is not shown.
        Err(why) => {
            use std::io::Write as _;
            _ = writeln!(std::io::stderr(), "NOT RUN: the lab's page in a browser: {why}");
            return;
        }
    };
    println!("{} at {}", tools.browser.version(), tools.browser.program().display());
    let folder = tempfile::tempdir().unwrap();
    lab(folder.path());
    let page = folder.path().join("lab.html");
    let mut document: Value = serde_json::from_slice(&std::fs::read(folder.path().join("lab.json")).unwrap()).unwrap();
    let seen = tools.look(&page);
    println!("{}: {} figures, {:?}", seen.browser, seen.figures.len(), seen.headings);
    let found = wrong(&seen, &document);
    assert!(found.is_empty(), "{}:\n{}", page.display(), found.join("\n"));

    // A test that cannot tell a page that lies would prove nothing.
    let html = std::fs::read_to_string(&page).unwrap();
    let lies = r#"<img src="lie.png"><script>throw new Error("a lie")</script>"#;
    let hidden = "<style>#wrong-units{display:none}[data-figure]{opacity:0}</style>";
    let lie = folder.path().join("lie.html");
    // Axes and legends without a point, that is.
    let empty = html.replace("<circle", "<g");
    std::fs::write(&lie, format!("{empty}{lies}{hidden}")).unwrap();
    let figure = seen.figures.iter().find(|one| document.pointer(&one.pointer).is_some_and(Value::is_f64)).unwrap();
    let exact = document.pointer(&figure.pointer).unwrap().as_f64().unwrap();
    *document.pointer_mut(&figure.pointer).unwrap() = json!(exact * 2.0 + 1.0);
    let points = document.pointer_mut("/lines/0/points").unwrap().as_array_mut().unwrap();
    points.push(points[0].clone());
    let found = wrong(&tools.look(&lie), &document).join("\n");
    let changed = format!("{} shows {} and is ", figure.pointer, figure.text);
    for lie in [
        "it asked for ",
        "a lie",
        "cannot be seen",
        "graph wrong-units is 0",
        "graph wrong-units shows 0 of ",
        "graph latency shows 0 of ",
        "graph throughput shows 0 of ",
        &changed,
        "own data is not",
        "median is not on the page",
    ] {
        assert!(found.contains(lie), "{lie} was not found in:\n{found}");
    }
}

//! The OpenAPI as a check on live answers: what is answered must be documented for its
//! operation, with its content type, its code and its headers.

use super::said::Said;
use serde_json::{Map, Value};

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// The live `/openapi.json`.
#[derive(Debug)]
pub(crate) struct Document(Value);

impl Document {
    pub(crate) fn new(document: Value) -> Self {
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        Self(document)
    }

    fn paths(&self) -> &Map<String, Value> {
        self.0["paths"].as_object().unwrap()
    }

    /// Every operation: its id, its method in lower case, its path.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.paths().iter().flat_map(|(path, item)| {
            METHODS.into_iter().filter_map(move |method| {
                Some((item.get(method)?["operationId"].as_str().unwrap(), method, path.as_str()))
            })
        })
    }

    /// The operation of this id.
    pub(crate) fn operation(&self, id: &str) -> &Value {
        let (_, method, path) = self.operations().find(|(known, _, _)| *known == id).unwrap();
        &self.0["paths"][path][method]
    }

    /// A schema among the components.
    pub(crate) fn schema(&self, name: &str) -> &Value {
        &self.0["components"]["schemas"][name]
    }

    /// The methods that a path takes, as `Allow` must say them.
    pub(crate) fn allowed(&self, path: &str) -> Vec<String> {
        let item = self.paths().iter().find(|(template, _)| fits(template, path)).map(|(_, item)| item);
        let documented = METHODS.iter().filter(|method| item.is_some_and(|item| item.get(**method).is_some()));
        let mut methods: Vec<_> = documented.map(|method| method.to_uppercase()).collect();
        // Looking at these is doing something, or never ends.
        let only_get = ["/events", "/approved", "/cancelled", "/failed"].iter().any(|end| path.ends_with(end));
        if methods.iter().any(|method| method == "GET") && !only_get {
            methods.push("HEAD".to_owned());
        }
        methods.sort_unstable();
        methods
    }

    /// Holds an answer against every answer's promises and against the documented ones; the
    /// operation that gave it, if any did.
    pub(crate) fn check(&self, method: &str, path: &str, said: &Said) -> Result<Option<String>, String> {
        let is_head = method == "HEAD";
        if is_head && !said.body.is_empty() {
            return Err("HEAD is answered without a body".to_owned());
        }
        check_promises(said, is_head)?;
        let path = path.split('?').next().unwrap_or(path);
        let method = if is_head { "get".to_owned() } else { method.to_lowercase() };
        let Some((_, item)) = self.paths().iter().find(|(template, _)| fits(template, path)) else {
            return if said.status == 404 { Ok(None) } else { Err("an undocumented path must be 404".to_owned()) };
        };
        let Some(operation) = item.get(&method) else {
            let mut allow: Vec<_> = said.header("allow").unwrap_or("").split(", ").map(str::to_owned).collect();
            allow.sort_unstable();
            let right = said.status == 405 && allow == self.allowed(path);
            return if right { Ok(None) } else { Err("an undocumented method must be 405 with Allow".to_owned()) };
        };
        check_documented(operation, said, is_head)?;
        Ok(Some(operation["operationId"].as_str().unwrap_or("").to_owned()))
    }
}

/// Whether a path is one of this template's; a parameter is never empty.
fn fits(template: &str, path: &str) -> bool {
    // One slash at the end makes no difference.
    let path = path.strip_suffix('/').unwrap_or(path);
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(part, sent)| part == sent || (part.starts_with('{') && !sent.is_empty()))
}

fn check_promises(said: &Said, is_head: bool) -> Result<(), String> {
    let trace = said.header("trace-id").ok_or("no trace-id")?;
    said.header("server-time").filter(|time| time.ends_with('Z')).ok_or("no server-time")?;
    let promised = match said.status {
        401 => Some("www-authenticate"),
        405 => Some("allow"),
        429 | 503 => Some("retry-after"),
        201 => Some("location"),
        304 => Some("etag"),
        _ => None,
    };
    if let Some(missing) = promised.filter(|name| said.header(name).is_none()) {
        return Err(format!("no {missing}"));
    }
    if said.status < 400 || is_head {
        return Ok(());
    }
    if said.header("content-type") != Some("application/problem+json") {
        return Err("an error must be application/problem+json".to_owned());
    }
    let problem = said.json();
    let text = |name: &str| problem[name].as_str().filter(|text| !text.is_empty()).ok_or(format!("no {name}"));
    text("title")?;
    text("detail")?;
    let right = problem["status"] == said.status
        && text("trace_id")? == trace
        && text("type")? == format!("urn:son7shop:problem:{}", text("code")?);
    if right { Ok(()) } else { Err("status, trace_id or type differ".to_owned()) }
}

fn check_documented(operation: &Value, said: &Said, is_head: bool) -> Result<(), String> {
    let response = operation["responses"].get(said.status.to_string()).ok_or("the status is not documented")?;
    let types: Vec<&String> = response["content"].as_object().map(|types| types.keys().collect()).unwrap_or_default();
    let sent = said.header("content-type");
    let right = match sent {
        Some(sent) => types.iter().any(|documented| *documented == sent),
        None => types.is_empty(),
    };
    if !right {
        return Err(format!("the content type {sent:?} is not documented: {types:?}"));
    }
    if said.status >= 400 && !is_head {
        let code = format!("`{}`", said.json()["code"].as_str().unwrap_or(""));
        if !response["description"].as_str().unwrap_or("").contains(&code) {
            return Err(format!("the code {code} is not documented for this status"));
        }
    }
    let headers = response["headers"].as_object();
    let promised = headers.into_iter().flatten().filter(|(_, header)| header["required"] == true);
    match promised.map(|(name, _)| name).find(|name| said.header(&name.to_lowercase()).is_none()) {
        Some(missing) => Err(format!("{missing} is documented as always there, and is not")),
        None => Ok(()),
    }
}

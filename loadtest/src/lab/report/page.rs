//! The page, for a reader who believes nothing that it cannot show.

use super::figure::Figures;
use super::{Measured, Report, ReportError, closed};
use crate::lab::run::{About, Missing, PLANTED};
use crate::page::{escape, page};
use std::fmt::Write as _;

const HOW_TO_READ: &str = "<h2>How to read it</h2><p>Every backend sells units of one product to the same threads, in \
    turn, and writes an order for each unit. Afterwards the stock is counted.</p><dl>\
    <dt>wrong units<dd>Units that buyers were told are theirs, less units that the stock lost; of the worst round, with \
    its sign. Above zero, units were sold that are still for sale; below, units are gone that nobody was told of (an \
    attempt that failed may explain one). A row that is wrong has a red ground.\
    <dt>oversold<dd>Units sold beyond those that there were; of the worst round.\
    <dt>missing orders<dd>Units that buyers were told are theirs, less orders written; of the worst round, with its sign. \
    Above zero, an order was acknowledged and is not there.\
    <dt>rounds<dd>In so many it was measured: fewer than planned where it broke or could not keep up with a lower rate, \
    or the run did not come to its end.\
    <dt>sold/s<dd>Units sold a second: median of the rounds (smallest–largest). Refusals are no sales: they stand in \
    their own column, and the two are never added up.\
    <dt>p50 … max<dd>Latency of an attempt that sold, in milliseconds: the median of the rounds. In the open loop it \
    counts from when the attempt was due, not from when it could be made.\
    <dt>refused, failed, dropped<dd>Told that nothing is left; ended in an error; due and never made. Over all rounds.\
    <dt>retries a sale<dd>Lost races and refused locks for each unit sold.\
    <dt>CPU µs, syncs, disk flushes<dd>For each unit sold: processor time of the backend's own processes and of the \
    buyers' process, syncs as the backend counts them, flushes of all the machine's disks.\
    <dt>promise<dd>When a sold unit is safe. Compare only what promises the same.\
    <dt>–<dd>Not measured. It is never zero, and in no graph.</dl>";

impl Report {
    /// The page.
    pub fn html(&self) -> Result<String, ReportError> {
        let figures = Figures::of(self)?;
        let mut body = String::new();
        for Missing { name, why } in self.ours_that_broke() {
            let _ = write!(body, "<p class=\"broken\"><b>{} broke</b>: {}</p>", escape(name), escape(why));
        }
        if !self.outcome.is_whole {
            body.push_str(
                "<p class=\"broken\">This run was broken off: what is here was measured, the rest is missing.</p>",
            );
        }
        self.found(&mut body, &figures);
        for (name, svg) in self.graphs()? {
            let _ = write!(body, "<figure id=\"{name}\">{svg}</figure>");
        }
        let _ = write!(
            body,
            "<p>In the graphs of the open loop a point at which more than 0.5 % of the attempts were dropped is left out.</p>\
             <h2>Speed to show</h2><p>Units sold a second at {} threads, ours as a multiple of the other, in each round; \
             median (smallest–largest). Like is judged by like: a database or a Redis with a pool of its best size by ours \
             with a pool, an HTTP server with a connection for each thread by ours with as many.</p>{}\
             <h2>Where ours sells less</h2><p>Backends that were right, at numbers of threads at which they sold more than \
             the best of ours that is reached in the same way, promises the same and was right.</p>{}{HOW_TO_READ}\
             <h2>Contention</h2><p>Every thread buys again as soon as it has an answer.</p>{}\
             <h2>Sell-out</h2><p>Fewer units than the threads want.</p>{}\
             <h2>Open loop</h2><p>Attempts are due at even distances, whatever the backend does. A backend that cannot \
             keep up is not tried at a higher rate.</p>{}",
            figures.show("/ratios/threads"),
            self.ratios_table(&figures),
            self.losses_table(&figures),
            self.contention_table(&figures),
            self.sell_out_table(&figures),
            self.open_table(&figures),
        );
        self.missing(&mut body);
        self.backends(&mut body);
        self.circumstances(&mut body)?;
        Ok(page("Many threads, one product", &body, self)?)
    }

    /// What was found, first of all.
    fn found(&self, body: &mut String, figures: &Figures) {
        let ours = if self.ratios.ours_is_wrong() { " class=\"broken\"" } else { "" };
        let show = |what: &str| figures.show(&format!("/ratios/{what}"));
        body.push_str("<ul>");
        if self.ratios.sold_wrongly_by_ours.is_none() {
            body.push_str("<li class=\"missing\"><b>son7shop was not measured.</b>");
        } else {
            let _ = write!(
                body,
                "<li{ours}><b>son7shop: {} units sold wrongly</b> (wrong units, oversold or missing orders, whichever is most) in {} runs of all its ways, {} units sold, {} attempts of \
             unknown outcome.",
                show("sold_wrongly_by_ours"),
                show("records_of_ours"),
                show("sold_by_ours"),
                show("unknown_of_ours"),
            );
        }
        for (line_at, line) in self.lines.iter().enumerate() {
            let is_planted = line.backend == PLANTED;
            if !is_planted && !line.backend.ends_with("naive") {
                continue;
            }
            let points = line.points.iter().enumerate().filter(|(_, point)| closed(point).is_some());
            let Some((at, _)) = points.max_by(|(_, a), (_, b)| a.wrong_share.total_cmp(&b.wrong_share)) else {
                continue;
            };
            let pointer = |what: &str| format!("/lines/{line_at}/points/{at}/{what}");
            let _ = write!(
                body,
                "<li><b>{}: {} wrong units</b>, {} % of the units sold, with {} threads{}.",
                escape(&line.backend),
                figures.show(&pointer("wrong_units")),
                figures.scaled(&pointer("wrong_share"), 100.0),
                figures.show(&pointer("load/threads")),
                if is_planted {
                    ": a lock that was broken on purpose; a run that does not find it writes no report"
                } else {
                    ""
                },
            );
        }
        body.push_str("</ul>");
    }

    fn missing(&self, body: &mut String) {
        body.push_str("<h2>What was not measured</h2>");
        let mut say = |name: &str, what: &str| {
            let _ = write!(body, "<p class=\"missing\"><b>{}</b> {what}</p>", escape(name));
        };
        for Missing { name, why } in &self.missing {
            say(name, &format!("was not measured: {}", escape(why)));
        }
        let mut is_whole = self.missing.is_empty();
        for About { name, .. } in &self.outcome.backends {
            let Measured { runs, wanted } = self.measured(name);
            let part = format!("{runs} of the {wanted} runs that every backend was to have were measured");
            let broke = self.outcome.broke.iter().find(|one| one.name == *name).map(|one| escape(&one.why));
            match (broke, runs) {
                (None, runs) if runs >= wanted => continue,
                (Some(why), 0) => say(name, &format!("broke before anything was measured: {why}")),
                (Some(why), _) => say(name, &format!("broke midway; {part}, and its figures are of these: {why}")),
                (None, 0) => say(name, "was not measured: the run was broken off before"),
                (None, _) => say(name, &format!("was measured in part: {part}")),
            }
            is_whole = false;
        }
        if is_whole {
            body.push_str("<p>Every backend that was wanted was measured.</p>");
        }
    }

    fn backends(&self, body: &mut String) {
        body.push_str("<h2>Backends</h2><dl>");
        for one in &self.outcome.backends {
            let (name, about) = (escape(&one.name), escape(&one.about));
            let _ = write!(body, "<dt>{name}<dd>{about} <b>Promise:</b> {}.", one.promise.words());
            for (what, is) in &one.settings {
                let _ = write!(body, "<br><small>{}: {}</small>", escape(what), escape(is));
            }
        }
        body.push_str("</dl>");
    }

    fn circumstances(&self, body: &mut String) -> Result<(), ReportError> {
        for (head, list) in [("Machine", &self.machine), ("This run", &self.made)] {
            let _ = write!(body, "<h2>{head}</h2><dl>");
            for (what, is) in list {
                let _ = write!(body, "<dt>{}<dd>{}", escape(what), escape(is));
            }
            body.push_str("</dl>");
        }
        let plan = serde_json::to_string_pretty(&self.plan)?;
        let _ = write!(body, "<details><summary>Plan</summary><pre>{}</pre></details>", escape(&plan));
        Ok(())
    }
}

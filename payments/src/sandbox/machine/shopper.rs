//! The shopper at the payment's page, and where the browser goes from there, with the faults that
//! meet it on its way. It must never open a connection: where to go is the answer.

use super::assumed::may_quit;
use super::faults::{Action, Place};
use super::ids::{Address, PageHash, PgToken, Tid};
use super::words::{Means, Status};
use super::{LIFE_MS, Machine};
use serde::{Deserialize, Serialize};
use son7shop_engine::Time;
use son7shop_engine::Won;

/// Whose page.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// The payment with this name.
    Tid(&'a str),
    /// The payment whose page has this hash in its address.
    Page(&'a str),
}

/// What a shopper does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Opens the page.
    Open,
    /// Chooses what to pay with.
    Choose {
        /// Card or money.
        means: Means,
    },
    /// Enters the right password.
    Pay,
    /// Enters a wrong one.
    WrongPassword,
    /// Leaves.
    Quit,
}

/// What the shopper did, and where the browser goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The payment.
    pub tid: Tid,
    /// Where it stands now.
    pub status: Status,
    /// Its time was over: nothing was done.
    pub expired: bool,
    /// Who arrives at the shop, in this order: one browser, unless a fault says otherwise; none
    /// while the shopper is still at the page.
    pub visits: Vec<Visit>,
}

/// Why the shopper can do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// There is no such payment or page.
    #[error("there is no such payment")]
    NoSuchPage,
    /// Not where it stands now.
    #[error("not possible while it is {0}")]
    NotNow(Status),
    /// The shop allows only other means.
    #[error("the shop does not take {}", .0.as_str())]
    MeansNotTaken(Means),
}

/// Which of the shop's three addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callback {
    /// `approval_url`, with a token.
    Approval,
    /// `cancel_url`.
    Cancel,
    /// `fail_url`.
    Fail,
}

/// When somebody arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// After the visit before it was answered.
    Next,
    /// At the same time as the visit before it.
    Together,
    /// Not before this time.
    At(Time),
}

/// An arrival at one of the shop's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Visit {
    /// Where, whole.
    pub address: Address,
    /// Which address.
    pub to: Callback,
    /// The shop's order whose address it is.
    pub order: String,
    /// When.
    pub arrival: Arrival,
    /// It is not the shopper's browser, or not where Kakao Pay sent it.
    pub forged: bool,
}

impl Visit {
    /// The token that the address carries.
    #[must_use]
    pub fn pg_token(&self) -> Option<&str> {
        let query = self.address.as_str().split_once('?')?.1.split('#').next()?;
        query.split('&').rev().find_map(|pair| pair.strip_prefix("pg_token="))
    }
}

/// A payment as its page and the control plane show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The payment.
    pub tid: Tid,
    /// The page's hash.
    pub page: PageHash,
    /// The shop's order.
    pub order: String,
    /// The shop's customer.
    pub user: String,
    /// What is bought.
    pub item_name: String,
    /// How many.
    pub quantity: i64,
    /// What it costs.
    pub total: Won,
    /// Where it stands.
    pub status: Status,
    /// What the shopper chose.
    pub means: Option<Means>,
    /// What the shop takes only.
    pub only: Option<Means>,
    /// When it was prepared.
    pub created: Time,
    /// When its time is over.
    pub expires: Time,
    /// Whether it is.
    pub expired: bool,
}

impl Machine {
    /// The shopper does one thing. On a page whose time is over everything leads to `fail_url`.
    pub fn act(&mut self, now: Time, whose: Whose<'_>, act: Act) -> Result<Moved, Stuck> {
        self.settle(now);
        let at = self.whose(whose).ok_or(Stuck::NoSuchPage)?;
        let status = self.payments[at].status();
        if !status.is_pending() {
            return Err(Stuck::NotNow(status));
        }
        if self.payments[at].is_expired(now) {
            let visit = self.own_visit(at, Callback::Fail);
            return Ok(self.moved(now, at, Some(visit)));
        }
        let to = self.do_act(now, at, act)?;
        let visit = to.map(|to| self.own_visit(at, to));
        Ok(self.moved(now, at, visit))
    }

    /// All that it takes to pay: the page is opened and the means chosen, where that was not done.
    pub fn pay(&mut self, now: Time, whose: Whose<'_>, means: Means) -> Result<Moved, Stuck> {
        self.choose_and(now, whose, means, Act::Pay)
    }

    /// All that it takes to enter a wrong password.
    pub fn mistype(&mut self, now: Time, whose: Whose<'_>, means: Means) -> Result<Moved, Stuck> {
        self.choose_and(now, whose, means, Act::WrongPassword)
    }

    /// The payment, as it stands now.
    pub fn shown(&mut self, now: Time, whose: Whose<'_>) -> Option<Shown> {
        self.settle(now);
        self.whose(whose).map(|at| self.show(now, at))
    }

    /// The payments, in the order in which they were prepared, from the one at `from` on.
    pub fn all_shown(&mut self, now: Time, from: usize, count: usize) -> Vec<Shown> {
        self.settle(now);
        (from..self.payments.len()).take(count).map(|at| self.show(now, at)).collect()
    }

    fn choose_and(&mut self, now: Time, whose: Whose<'_>, means: Means, act: Act) -> Result<Moved, Stuck> {
        let shown = self.shown(now, whose).ok_or(Stuck::NoSuchPage)?;
        if !shown.expired && shown.status != Status::AuthPassword {
            self.act(now, whose, Act::Open)?;
            self.act(now, whose, Act::Choose { means })?;
        }
        self.act(now, whose, act)
    }

    fn do_act(&mut self, now: Time, at: usize, act: Act) -> Result<Option<Callback>, Stuck> {
        let payment = &mut self.payments[at];
        match (act, payment.status()) {
            (Act::Open, Status::Ready) => payment.to(Status::OpenPayment, now),
            // Opened again: it stands where it stood.
            (Act::Open, _) => {}
            (Act::Choose { means }, Status::OpenPayment | Status::SelectMethod) => {
                if payment.asked.means.is_some_and(|only| only != means) {
                    return Err(Stuck::MeansNotTaken(means));
                }
                payment.means = Some(means);
                if payment.status() != Status::SelectMethod {
                    payment.to(Status::SelectMethod, now);
                }
            }
            (Act::Pay, Status::SelectMethod) => {
                payment.token = Some(self.names.pg_token());
                payment.to(Status::AuthPassword, now);
                return Ok(Some(Callback::Approval));
            }
            (Act::Pay, Status::AuthPassword) => return Ok(Some(Callback::Approval)),
            (Act::WrongPassword, Status::SelectMethod) => {
                payment.to(Status::FailAuthPassword, now);
                return Ok(Some(Callback::Fail));
            }
            (Act::Quit, status) if may_quit(status) => {
                payment.to(Status::QuitPayment, now);
                return Ok(Some(Callback::Cancel));
            }
            (_, status) => return Err(Stuck::NotNow(status)),
        }
        Ok(None)
    }

    fn whose(&self, whose: Whose<'_>) -> Option<usize> {
        match whose {
            Whose::Tid(tid) => self.find(tid),
            Whose::Page(hash) => self.by_page.get(&PageHash::new(hash)).copied(),
        }
    }

    fn show(&self, now: Time, at: usize) -> Shown {
        let payment = &self.payments[at];
        Shown {
            tid: payment.tid.clone(),
            page: payment.page.clone(),
            order: payment.asked.order.clone(),
            user: payment.asked.user.clone(),
            item_name: payment.asked.item_name.clone(),
            quantity: payment.asked.quantity,
            total: payment.asked.total,
            status: payment.status(),
            means: payment.means,
            only: payment.asked.means,
            created: payment.created,
            expires: payment.created.plus_millis(LIFE_MS),
            expired: payment.is_expired(now),
        }
    }

    fn moved(&mut self, now: Time, at: usize, visit: Option<Visit>) -> Moved {
        let expired = self.payments[at].is_expired(now);
        let visits = visit.map(|visit| self.led_astray(at, visit)).unwrap_or_default();
        let payment = &self.payments[at];
        Moved { tid: payment.tid.clone(), status: payment.status(), expired, visits }
    }

    fn own_visit(&self, at: usize, to: Callback) -> Visit {
        self.visit(at, to, self.payments[at].token.as_ref(), false)
    }

    /// A visit at the address `to` of the payment at `at`; `token` goes with it to `approval_url`.
    fn visit(&self, at: usize, to: Callback, token: Option<&PgToken>, forged: bool) -> Visit {
        let asked = &self.payments[at].asked;
        let address = match to {
            Callback::Approval => with_token(&asked.approval_url, token),
            Callback::Cancel => asked.cancel_url.clone(),
            Callback::Fail => asked.fail_url.clone(),
        };
        Visit { address: Address::new(address), to, order: asked.order.clone(), arrival: Arrival::Next, forged }
    }

    /// What the faults make of a visit: first where it leads, then when, how often, who comes
    /// before it, and last whether it takes place at all.
    fn led_astray(&mut self, at: usize, visit: Visit) -> Vec<Visit> {
        let payment = &self.payments[at];
        let met = self.faults.meet(Place::Callback, Some(payment.tid.as_str()), Some(&payment.asked.order));
        if met.is_empty() {
            return vec![visit];
        }
        let (expires, token) = (payment.expires(), payment.token.clone());
        let other = self.other_than(at);
        let mut takes = |action: &Action| self.faults.take(&met, |rule| rule == action).is_some();
        // Where there is nobody to be mistaken for, the fault waits for somebody.
        let swapped = other.filter(|_| takes(&Action::SwappedOrder));
        let late = takes(&Action::AfterExpiry);
        let (twice, at_once) = (takes(&Action::Twice), takes(&Action::Concurrent));
        let (forged_token, forged_cancel) = (takes(&Action::ForgedToken), takes(&Action::ForgedCancel));
        let lost = takes(&Action::Lost);

        let mut own = swapped.map_or(visit.clone(), |other| self.visit(other, visit.to, token.as_ref(), true));
        if late {
            own.arrival = Arrival::At(expires);
        }
        let mut visits = Vec::new();
        if forged_token {
            let token = self.names.pg_token();
            visits.push(self.visit(at, Callback::Approval, Some(&token), true));
        }
        if forged_cancel {
            visits.push(self.visit(at, Callback::Cancel, None, true));
        }
        if !lost {
            visits.push(own.clone());
            if twice {
                visits.push(own.clone());
            }
            if at_once {
                let arrival = if late { own.arrival } else { Arrival::Together };
                visits.push(Visit { arrival, ..own });
            }
        }
        visits
    }

    /// Another payment that can still be paid: the last one that was prepared.
    fn other_than(&self, at: usize) -> Option<usize> {
        let order = &self.payments[at].asked.order;
        (0..self.payments.len()).rev().find(|other| {
            let payment = &self.payments[*other];
            payment.status().is_pending() && payment.asked.order != *order
        })
    }
}

fn with_token(address: &str, token: Option<&PgToken>) -> String {
    let Some(token) = token else { return address.to_owned() };
    let (address, fragment) = address.split_once('#').map_or((address, None), |(before, after)| (before, Some(after)));
    let joint = if address.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{address}{joint}pg_token={}{fragment}", token.as_str())
}

//! How many streams are open: bounded for the shop and for each customer, since a stream holds a connection
//! and a place in memory for as long as its reader likes.

use super::problem::Problem;
use super::status::Code;
use son7shop_engine::CustomerId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Streams that are open at once.
const STREAMS_MAX: usize = 1024;
/// Of them, one customer's: a browser opens one for each page that it shows.
const STREAMS_OF_ONE_MAX: usize = 16;

/// The streams that are open.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Nobody is in it who has none open.
    of: HashMap<CustomerId, usize>,
}

/// A stream's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    streams: Arc<Streams>,
    whose: Option<CustomerId>,
}

impl Streams {
    /// A place for one more stream of this customer's, or of whoever runs the shop.
    pub(super) fn place(self: &Arc<Self>, whose: Option<CustomerId>) -> Result<Place, Problem> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |said, limit| Err(Problem::new(Code::TooManyStreams, said).with("limit", limit));
        if open.all >= STREAMS_MAX {
            return full("the shop has as many streams open as it may", STREAMS_MAX);
        }
        if let Some(customer) = &whose {
            let theirs = open.of.get(customer).copied().unwrap_or(0);
            if theirs >= STREAMS_OF_ONE_MAX {
                return full("a customer may not have more streams open at once", STREAMS_OF_ONE_MAX);
            }
            open.of.insert(customer.clone(), theirs + 1);
        }
        open.all += 1;
        Ok(Place { streams: Arc::clone(self), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        let Some(customer) = &self.whose else { return };
        match open.of.get_mut(customer) {
            Some(theirs) if *theirs > 1 => *theirs -= 1,
            _ => drop(open.of.remove(customer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(number: usize) -> Option<CustomerId> {
        CustomerId::parse(&format!("kim-{number}")).ok()
    }

    #[test]
    fn a_customer_has_a_share_and_the_shop_a_limit_and_both_come_back() {
        let streams = Arc::new(Streams::default());
        let open = |whose| streams.place(whose).map_err(|problem| problem.code());
        let mut places: Vec<_> = (0..STREAMS_OF_ONE_MAX).map(|_| open(customer(0)).unwrap()).collect();
        assert_eq!(open(customer(0)).unwrap_err(), Code::TooManyStreams);
        places.pop();
        places.push(open(customer(0)).unwrap());
        while places.len() < STREAMS_MAX {
            places.push(open(customer(places.len() / STREAMS_OF_ONE_MAX)).unwrap());
        }
        for whose in [None, customer(STREAMS_MAX)] {
            assert_eq!(open(whose).unwrap_err(), Code::TooManyStreams);
        }
        drop(places);
        let left = streams.0.lock().unwrap();
        assert_eq!((left.all, left.of.len()), (0, 0));
    }
}

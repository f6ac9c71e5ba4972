//! Who does it: owners, keepers, supervisors, write-behind.

mod error;
mod settings;
mod shop;

pub use error::{OpenError, ShopError};
pub use settings::Settings;
pub use shop::{Done, NewProduct, OrdersPage, Readiness, Shop};

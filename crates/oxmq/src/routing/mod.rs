//! Routing policies, as small objects that the patterns are put together from.

mod by_identity;
mod fair_queue;
mod fan_out;
mod load_balance;
mod ring;

pub(crate) use by_identity::ByIdentity;
pub(crate) use fair_queue::FairQueue;
pub(crate) use fan_out::FanOut;
pub(crate) use load_balance::LoadBalance;

//! Every recipe does what its page says: served by the real service, run by the real control plane, with a peer for its tools.

mod deliver;
mod kitchen;
mod operate;
mod pages;

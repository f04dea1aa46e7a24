//! Proxies and devices.

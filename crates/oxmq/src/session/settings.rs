//! What the connections of one endpoint share.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use oxmq_zmtp::Config;

use super::receive_buffer::INLINE_BYTES_MAX;
use crate::SocketType;
use crate::option::{self, Options};

/// The options as they were when the endpoint was bound or connected, and what they come to for the
/// protocol.
pub(crate) struct Settings {
    options: Options,
    protocol: OnceLock<Arc<Config>>,
}

impl Settings {
    pub(crate) fn new(options: Options) -> Settings {
        Settings { options, protocol: OnceLock::new() }
    }

    /// What the protocol is told about a socket of the type `kind`.
    pub(super) fn protocol(&self, kind: SocketType) -> Arc<Config> {
        let make = || {
            let mut config = Config::new(kind);
            config.as_server = self.options.as_server;
            config.identity = self.options.routing_id.clone();
            config.metadata = option::properties(&self.options.metadata).unwrap_or_default();
            config.limits.inline_bytes_max = INLINE_BYTES_MAX;
            config.limits.message_bytes_max = u64::try_from(self.options.maxmsgsize).ok();
            Arc::new(config)
        };
        self.protocol.get_or_init(make).clone()
    }
}

impl Deref for Settings {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

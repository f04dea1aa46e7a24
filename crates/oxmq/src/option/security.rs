//! The options that choose a security mechanism.

use std::fmt;
use std::mem;
use std::ops::Deref;

use zeroize::Zeroizing;

use super::{
    CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVERKEY, Opt, OptionSpec, OptionValue, Options,
    PLAIN_PASSWORD, PLAIN_USERNAME, Range,
};

/// A password or a key: wiped when it goes, or another takes its place, and shown to nobody.
#[derive(Clone, Default)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }
}

/// For the application, which asked for it.
impl From<Secret> for Vec<u8> {
    fn from(mut secret: Secret) -> Vec<u8> {
        mem::take(&mut *secret.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What secures a socket's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mechanism {
    Null,
    Plain,
    Curve,
}

impl Mechanism {
    /// libzmq's number.
    const fn number(self) -> i32 {
        match self {
            Mechanism::Null => 0,
            Mechanism::Plain => 1,
            Mechanism::Curve => 2,
        }
    }
}

/// The option of a mechanism's server.
macro_rules! server {
    ($name:ident = $id:expr, $mechanism:expr, $($doc:literal)+) => {
        $(#[doc = $doc])+
        pub const $name: Opt<bool> = Opt {
            spec: &OptionSpec {
                name: stringify!($name),
                id: $id,
                doc: concat!($($doc, "\n",)+),
                range: Range::Bool,
                get: |options| OptionValue::Bool(options.serves($mechanism)),
                put: |options, value| match value {
                    OptionValue::Bool(serves) => {
                        options.as_server = serves;
                        options.mechanism =
                            if serves { $mechanism } else { Mechanism::Null }.number();
                        true
                    }
                    _ => false,
                },
            },
            get: |options| options.serves($mechanism),
        };
    };
}

server! {
    PLAIN_SERVER = 44, Mechanism::Plain,
    " Whether this end is a server of PLAIN: each peer gives a name and a password, and the ZAP handler"
    " says whether it is let in. It makes PLAIN the mechanism; off, there is none."
    ""
    " Default: false. Without a ZAP handler every peer is refused."
}

server! {
    CURVE_SERVER = 47, Mechanism::Curve,
    " Whether this end is a server of CURVE, with the key CURVE_SECRETKEY. It makes CURVE the mechanism;"
    " off, there is none."
    ""
    " Default: false. Without a ZAP handler every peer that knows the public key is let in."
}

impl Options {
    /// The mechanism that the options last set come to.
    pub(crate) fn security(&self) -> Mechanism {
        let all = [Mechanism::Plain, Mechanism::Curve];
        let chosen = all.into_iter().find(|mechanism| mechanism.number() == self.mechanism);
        chosen.unwrap_or(Mechanism::Null)
    }

    pub(crate) fn reset_mechanism(&mut self) {
        self.mechanism = Mechanism::Null.number();
    }

    fn serves(&self, mechanism: Mechanism) -> bool {
        self.as_server && self.security() == mechanism
    }

    /// After an option was set that may be about a mechanism.
    pub(super) fn settle_mechanism(&mut self, set: &OptionSpec) {
        let mechanism = if set == PLAIN_USERNAME.spec || set == PLAIN_PASSWORD.spec {
            let is_username = set == PLAIN_USERNAME.spec;
            let given = if is_username { &self.plain_username[..] } else { &self.plain_password };
            if given.is_empty() {
                Mechanism::Null
            } else {
                self.as_server = false;
                Mechanism::Plain
            }
        } else if set == CURVE_SERVERKEY.spec {
            self.as_server = false;
            Mechanism::Curve
        } else if set == CURVE_PUBLICKEY.spec || set == CURVE_SECRETKEY.spec {
            Mechanism::Curve
        } else {
            return;
        };
        self.mechanism = mechanism.number();
    }
}

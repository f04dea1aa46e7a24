//! Security: who may talk to a socket, and who can read what they say.
//!
//! Each socket has a mechanism, chosen by its options, and talks only to peers with the same one:
//!
//! * NULL, the default: nothing is secured. With a [`ZAP_DOMAIN`] peers are let in by their address.
//! * PLAIN ([RFC 24](https://rfc.zeromq.org/spec/24/)): a client gives a name and a password
//!   ([`PLAIN_USERNAME`], [`PLAIN_PASSWORD`]) to a server ([`PLAIN_SERVER`]). Nothing is encrypted.
//! * CURVE ([RFC 26](https://rfc.zeromq.org/spec/26/)): both ends have keys, the client knows the
//!   server's ([`CURVE_SERVER`], [`CURVE_SERVERKEY`], [`CURVE_PUBLICKEY`], [`CURVE_SECRETKEY`]).
//!   Everything is encrypted and authentic, with keys made for the one connection.
//!
//! It is about connections over tcp and ipc. Within the process nothing is secured.
//!
//! # Who is let in
//!
//! A server asks the ZAP handler ([RFC 27](https://rfc.zeromq.org/spec/27/)): whoever answers at
//! `inproc://zeromq.zap.01` of the same context, a [`Reply`](crate::Reply) or a
//! [`Router`](crate::Router). A request has these parts: the version (`1.0`), a number to be sent back,
//! the [`ZAP_DOMAIN`], the peer's address, the server's ROUTING_ID, the mechanism, and what the peer
//! claims or has shown: with PLAIN its name and password, with CURVE its public key of 32 bytes. A reply
//! has six: the version, the number, a status of three digits, a text for people, the user's name, and
//! metadata. Status 200 lets the peer in. 400 and 500 are told to it: a
//! client of PLAIN or CURVE gives the endpoint up, one of NULL, which has shown nothing that could be
//! refused, tries again after RECONNECT_IVL. 300 is not told, the connection ends, and all try again. The
//! user's name is then in
//! [`Peer::user_id`](crate::Peer::user_id).
//!
//! Without a handler PLAIN lets nobody in, and CURVE everybody who knows the server's key, unless
//! [`ZAP_ENFORCE_DOMAIN`] is set.
//!
//! ```
//! use oxmq::option::{CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVER, CURVE_SERVERKEY};
//! use oxmq::security::KeyPair;
//! use oxmq::{Context, Pull, Push};
//! let (server, client) = (KeyPair::generate()?, KeyPair::generate()?);
//! let context = Context::new();
//! let pull = Pull::new(&context)?;
//! pull.set(CURVE_SERVER, true)?;
//! pull.set(CURVE_SECRETKEY, server.secret().to_vec())?;
//! let endpoint = pull.bind("tcp://127.0.0.1:*")?;
//! let push = Push::new(&context)?;
//! push.set(CURVE_SERVERKEY, server.public().to_vec())?;
//! push.set(CURVE_PUBLICKEY, client.public().to_vec())?;
//! push.set(CURVE_SECRETKEY, client.secret().to_vec())?;
//! push.connect(&endpoint)?;
//! push.send("for your eyes only")?;
//! assert_eq!(&pull.recv()?[..], b"for your eyes only");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`ZAP_DOMAIN`]: crate::option::ZAP_DOMAIN
//! [`ZAP_ENFORCE_DOMAIN`]: crate::option::ZAP_ENFORCE_DOMAIN
//! [`PLAIN_SERVER`]: crate::option::PLAIN_SERVER
//! [`PLAIN_USERNAME`]: crate::option::PLAIN_USERNAME
//! [`PLAIN_PASSWORD`]: crate::option::PLAIN_PASSWORD
//! [`CURVE_SERVER`]: crate::option::CURVE_SERVER
//! [`CURVE_SERVERKEY`]: crate::option::CURVE_SERVERKEY
//! [`CURVE_PUBLICKEY`]: crate::option::CURVE_PUBLICKEY
//! [`CURVE_SECRETKEY`]: crate::option::CURVE_SECRETKEY

use std::fmt;
use std::io;

use oxmq_zmtp::Mechanism;
use oxmq_zmtp::mechanism::{
    CurveClient, CurveClientKeys, CurveServer, Null, PlainClient, PlainServer, curve_public_key,
};
use zeroize::Zeroizing;

use crate::option::{self, Options};
use crate::sys;

/// A long-term key pair of CURVE.
pub struct KeyPair {
    public: [u8; KEY_BYTES],
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

const KEY_BYTES: usize = 32;

impl KeyPair {
    /// A new key pair, of the system's random numbers.
    ///
    /// # Errors
    /// The system has none to give (a sandbox without `getrandom`).
    pub fn generate() -> io::Result<KeyPair> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        sys::fill_random(&mut secret[..])?;
        Ok(KeyPair::from_secret(&secret))
    }

    /// The key pair that a secret key belongs to.
    pub fn from_secret(secret: &[u8; KEY_BYTES]) -> KeyPair {
        KeyPair { public: curve_public_key(secret), secret: Zeroizing::new(*secret) }
    }

    /// The public key, 32 bytes; [`z85::encode`](crate::z85::encode) makes text of it.
    pub fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// The secret key, 32 bytes.
    pub fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// One end of a handshake, as the options ask for it.
pub(crate) fn mechanism(options: &Options) -> io::Result<Box<dyn Mechanism>> {
    let mut failed = Ok(());
    let mut fill = |bytes: &mut [u8]| {
        if let Err(error) = sys::fill_random(bytes) {
            failed = Err(error);
        }
    };
    let mechanism: Box<dyn Mechanism> = match options.security() {
        option::Mechanism::Null if options.zap_domain.is_empty() => Box::new(Null::new()),
        option::Mechanism::Null => Box::new(Null::authenticating()),
        option::Mechanism::Plain if options.as_server => Box::new(PlainServer::new()),
        option::Mechanism::Plain => {
            let (name, password) = (&options.plain_username, &options.plain_password);
            Box::new(PlainClient::new(name.clone(), password.to_vec()))
        }
        option::Mechanism::Curve if options.as_server => {
            let asks = !options.zap_domain.is_empty() || !options.zap_enforce_domain;
            let mut secret = Zeroizing::new([0; KEY_BYTES]);
            copy_key(&options.curve_secretkey, &mut secret);
            Box::new(CurveServer::new(&secret, asks, &mut fill))
        }
        option::Mechanism::Curve => {
            let none = [0; KEY_BYTES];
            let mut keys = CurveClientKeys { server_public: none, public: none, secret: none };
            copy_key(&options.curve_serverkey, &mut keys.server_public);
            copy_key(&options.curve_publickey, &mut keys.public);
            copy_key(&options.curve_secretkey, &mut keys.secret);
            Box::new(CurveClient::new(keys, &mut fill))
        }
    };
    failed.map(|()| mechanism)
}

/// An option's value, which is of this length, where it is wiped when it goes.
fn copy_key(bytes: &[u8], key: &mut [u8; KEY_BYTES]) {
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = *from;
    }
}

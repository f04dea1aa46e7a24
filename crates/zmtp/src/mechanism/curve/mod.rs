//! CURVE: both ends show that they have the keys they claim, and everything behind the handshake is
//! encrypted (RFC 25 and 26).
//!
//! Each end has a long-term key pair, C and S, and makes a transient one for the connection, C' and
//! S'. `Box [X](A->B)` is X, encrypted and authenticated with A's secret key and B's public key.
//!
//! ```text
//!   client                                                         server
//!   HELLO C', Box [zeros](C'->S)                              ->
//!                                     <-    WELCOME Box [S', cookie](S->C')
//!   INITIATE cookie, Box [C, vouch, metadata](C'->S')         ->
//!                                           (a decision on C, if somebody asks for it)
//!                                     <-    READY Box [metadata](S'->C')
//!   MESSAGE Box [flags, body](C'->S')         <->         MESSAGE Box [flags, body](S'->C')
//!
//!   cookie = SecretBox [C', s'](key of the server)      vouch = Box [C', S](C->S')
//! ```
//!
//! Every box but WELCOME, cookie and vouch is numbered with a counter that only grows, so that none
//! is accepted a second time.

mod client;
mod crypto;
mod server;
#[cfg(test)]
mod tests;
mod traffic;

use crypto::SecretKey;

pub use client::{CurveClient, CurveClientKeys};
pub use server::CurveServer;

/// The public key that belongs to a secret key: its multiple of the base point of X25519.
///
/// ```
/// use oxmq_zmtp::mechanism::curve_public_key;
///
/// // The keys of Alice in RFC 7748, section 6.1.
/// let secret = [
///     0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
///     0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
/// ];
/// assert_eq!(curve_public_key(&secret)[..4], [0x85, 0x20, 0xf0, 0x09]);
/// ```
pub fn curve_public_key(secret: &[u8; 32]) -> [u8; 32] {
    SecretKey::new(secret).public()
}

/// Takes random bytes.
fn draw<const N: usize>(fill: &mut dyn FnMut(&mut [u8])) -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

//! Security mechanisms: what two peers say between the greeting and the first message.

mod curve;
mod null;
pub(crate) mod plain;

use std::fmt;

use crate::ProtocolError;
use crate::wire::command::CommandView;
use crate::wire::frame;
use crate::wire::greeting::MechanismName;

pub use curve::{CurveClient, CurveClientKeys, CurveServer, curve_public_key};
pub use null::Null;
pub use plain::{PlainClient, PlainServer};

/// One end of a security handshake, and what it does to frames afterwards.
///
/// The order of calls: [`initial_command`](Self::initial_command) once, when the greetings have
/// been exchanged; [`handle_command`](Self::handle_command) for every command of the peer until
/// [`is_done`](Self::is_done); then, unless [`is_transparent`](Self::is_transparent),
/// [`seal`](Self::seal) and [`open`](Self::open) for every frame.
///
/// Whenever there are [`credentials`](Self::credentials), nothing but [`admit`](Self::admit) is
/// called: the connection waits until somebody has decided on the peer.
///
/// ERROR is not a mechanism's business: the connection handles it.
pub trait Mechanism: fmt::Debug + Send {
    /// The name in the greeting.
    fn name(&self) -> MechanismName;

    /// Whether the ends are a client and a server. Without roles the greeting never says
    /// as-server.
    fn has_roles(&self) -> bool {
        false
    }

    /// Whether peers that know no security, those before ZMTP 3.0, are refused.
    fn is_secured(&self) -> bool {
        true
    }

    /// Appends the first command, as a frame, if it is this end that begins.
    ///
    /// `metadata` is what to tell the peer about this end, ready for the wire.
    fn initial_command(&mut self, metadata: &[u8], out: &mut Vec<u8>);

    /// Takes a command of the peer, and appends the answer, as a frame, if there is one.
    ///
    /// # Errors
    ///
    /// [`UnexpectedCommand`](ProtocolError::UnexpectedCommand) and
    /// [`MalformedCommand`](ProtocolError::MalformedCommand); with CURVE also
    /// [`Unauthentic`](ProtocolError::Unauthentic), [`Replayed`](ProtocolError::Replayed) and
    /// [`KeyExchange`](ProtocolError::KeyExchange).
    fn handle_command(
        &mut self,
        command: CommandView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError>;

    /// What the peer claims or has shown, while this end waits for a decision on it: nothing but an
    /// empty list with NULL, a name and a password with PLAIN, a public key with CURVE.
    fn credentials(&self) -> Option<Vec<Vec<u8>>> {
        None
    }

    /// The peer that [`credentials`](Self::credentials) are of is welcome: appends what was held back
    /// for it.
    fn admit(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Whether this end has shown what the peer may refuse it for: its name and password with PLAIN; its
    /// public key with CURVE, which it shows to none but the server that it means. Never with NULL.
    fn has_shown_credentials(&self) -> bool {
        false
    }

    /// Whether the handshake is over, so that the peer's next frame is traffic.
    fn is_done(&self) -> bool;

    /// Whether frames travel as they are; then [`seal`](Self::seal) and [`open`](Self::open) are
    /// never called.
    fn is_transparent(&self) -> bool {
        true
    }

    /// By how many bytes the body of a protected frame is longer than the body inside.
    fn overhead_bytes(&self) -> u64 {
        0
    }

    /// Appends a frame of traffic, protected; `flags` are MORE and COMMAND of the frame inside.
    fn seal(&mut self, flags: u8, body: &[u8], out: &mut Vec<u8>) {
        frame::append(flags, &[body], out);
    }

    /// Takes the body of a protected frame, appends the body inside and says its flags.
    ///
    /// # Errors
    ///
    /// [`Unauthentic`](ProtocolError::Unauthentic) if it was not made by the peer's `seal`, and
    /// [`Replayed`](ProtocolError::Replayed) if it was, but not behind those before it.
    fn open(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<u8, ProtocolError> {
        let _ = (sealed, out);
        Err(ProtocolError::Unauthentic)
    }
}

/// What a command of the peer brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The handshake goes on.
    Continue,
    /// The peer's metadata, unparsed. Exactly one command of a handshake brings it.
    Metadata(Vec<u8>),
}

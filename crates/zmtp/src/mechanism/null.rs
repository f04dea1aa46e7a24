//! NULL: no authentication, no confidentiality. Each end sends READY and waits for the other's.

use super::{Mechanism, Progress};
use crate::ProtocolError;
use crate::wire::command::{Command, CommandView};
use crate::wire::greeting::MechanismName;

/// The NULL mechanism of RFC 37.
///
/// Neither end waits for the other's READY before it sends its own, as in libzmq; RFC 37 would let
/// the server wait. With [`authenticating`](Self::authenticating) it waits for a decision first.
#[derive(Debug, Default)]
pub struct Null {
    ready_received: bool,
    /// Peers are to be decided on.
    asks: bool,
    /// The metadata of the READY that waits for the decision.
    held: Option<Vec<u8>>,
}

impl Null {
    /// A handshake that has not begun.
    pub fn new() -> Null {
        Null::default()
    }

    /// A handshake in which every peer has to be [admitted](Mechanism::admit), for what is known of
    /// it otherwise: its address. Peers before ZMTP 3.0, which cannot be refused, are not let in.
    pub fn authenticating() -> Null {
        Null { asks: true, ..Null::default() }
    }
}

impl Mechanism for Null {
    fn name(&self) -> MechanismName {
        MechanismName::NULL
    }

    fn is_secured(&self) -> bool {
        self.asks
    }

    fn initial_command(&mut self, metadata: &[u8], out: &mut Vec<u8>) {
        if self.asks {
            self.held = Some(metadata.to_vec());
        } else {
            Command::Ready { metadata }.emit(out);
        }
    }

    fn credentials(&self) -> Option<Vec<Vec<u8>>> {
        self.held.is_some().then(Vec::new)
    }

    fn admit(&mut self, out: &mut Vec<u8>) {
        if let Some(metadata) = self.held.take() {
            Command::Ready { metadata: &metadata }.emit(out);
        }
    }

    fn handle_command(
        &mut self,
        command: CommandView<'_>,
        _out: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError> {
        if command.name != b"READY" || self.ready_received {
            return Err(ProtocolError::UnexpectedCommand {
                name: command.name.to_vec(),
                expected: "READY or ERROR",
            });
        }
        self.ready_received = true;
        Ok(Progress::Metadata(command.data.to_vec()))
    }

    fn is_done(&self) -> bool {
        self.ready_received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_sent_first_and_ends_the_handshake() {
        let mut null = Null::new();
        let mut out = Vec::new();
        null.initial_command(b"data", &mut out);
        assert_eq!(out, b"\x04\x0A\x05READYdata");
        assert!(!null.is_done());
        let ready = CommandView { name: b"READY", data: b"theirs" };
        out.clear();
        assert_eq!(
            null.handle_command(ready, &mut out),
            Ok(Progress::Metadata(b"theirs".to_vec()))
        );
        assert!(null.is_done() && null.is_transparent() && out.is_empty());
        assert!(null.handle_command(ready, &mut out).is_err());
    }

    #[test]
    fn other_commands_are_unexpected() {
        for name in [&b"HELLO"[..], b"ready", b"PING", b"SUBSCRIBE"] {
            let error = Null::new()
                .handle_command(CommandView { name, data: b"" }, &mut Vec::new())
                .unwrap_err();
            let expected = ProtocolError::UnexpectedCommand {
                name: name.to_vec(),
                expected: "READY or ERROR",
            };
            assert_eq!(error, expected);
        }
    }
}

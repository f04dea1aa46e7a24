//! NULL: no authentication, no confidentiality. Each end sends READY and waits for the other's.

use super::{Mechanism, Progress};
use crate::ProtocolError;
use crate::wire::command::{Command, CommandView};
use crate::wire::greeting::MechanismName;

/// The NULL mechanism of RFC 37.
///
/// Neither end waits for the other's READY before it sends its own, as in libzmq; RFC 37 would let
/// the server wait.
#[derive(Debug, Default)]
pub struct Null {
    ready_received: bool,
}

impl Null {
    /// A handshake that has not begun.
    pub fn new() -> Null {
        Null::default()
    }
}

impl Mechanism for Null {
    fn name(&self) -> MechanismName {
        MechanismName::NULL
    }

    fn initial_command(&mut self, metadata: &[u8], out: &mut Vec<u8>) {
        Command::Ready { metadata }.emit(out);
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

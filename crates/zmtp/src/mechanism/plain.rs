//! PLAIN: a client says its name and its password, in the clear; a server judges them.
//!
//! ```text
//!   client                         server
//!   HELLO name, password      ->
//!                                  (a decision on the client)
//!                            <-    WELCOME
//!   INITIATE metadata         ->
//!                            <-    READY metadata
//! ```
//!
//! Nothing is protected: frames travel as they are.

use std::fmt;
use std::mem;

use zeroize::Zeroizing;

use super::{Mechanism, Progress};
use crate::ProtocolError;
use crate::wire::command::CommandView;
use crate::wire::frame;
use crate::wire::greeting::MechanismName;

/// The longest name and the longest password, in bytes: their lengths take one octet.
const CREDENTIAL_BYTES_MAX: usize = u8::MAX as usize;

/// The client of the PLAIN mechanism of RFC 24.
#[derive(Debug)]
pub struct PlainClient {
    state: Client,
}

#[derive(Debug)]
enum Client {
    Start { username: Vec<u8>, password: Password },
    ExpectWelcome { metadata: Vec<u8> },
    ExpectReady,
    Done,
}

impl PlainClient {
    /// A handshake that has not begun. Of the name and the password the first 255 bytes are sent.
    pub fn new(mut username: Vec<u8>, password: Vec<u8>) -> PlainClient {
        let mut password = Password(Zeroizing::new(password));
        username.truncate(CREDENTIAL_BYTES_MAX);
        password.0.truncate(CREDENTIAL_BYTES_MAX);
        PlainClient { state: Client::Start { username, password } }
    }
}

impl Mechanism for PlainClient {
    fn name(&self) -> MechanismName {
        MechanismName::PLAIN
    }

    fn has_roles(&self) -> bool {
        true
    }

    fn initial_command(&mut self, metadata: &[u8], out: &mut Vec<u8>) {
        let next = Client::ExpectWelcome { metadata: metadata.to_vec() };
        if let Client::Start { username, password } = mem::replace(&mut self.state, next) {
            let (name_bytes, password_bytes) = ([username.len() as u8], [password.0.len() as u8]);
            let parts: [&[u8]; 5] =
                [b"\x05HELLO", &name_bytes, &username, &password_bytes, &password.0];
            frame::append(frame::COMMAND, &parts, out);
        }
    }

    fn handle_command(
        &mut self,
        command: CommandView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError> {
        match (&self.state, command.name) {
            (Client::ExpectWelcome { metadata }, b"WELCOME") => {
                if !command.data.is_empty() {
                    let fault = "it carries data";
                    return Err(ProtocolError::MalformedCommand { command: "WELCOME", fault });
                }
                CommandView { name: b"INITIATE", data: metadata }.emit(out);
                self.state = Client::ExpectReady;
                Ok(Progress::Continue)
            }
            (Client::ExpectReady, b"READY") => {
                self.state = Client::Done;
                Ok(Progress::Metadata(command.data.to_vec()))
            }
            (state, name) => {
                let expected = match state {
                    Client::Start { .. } | Client::Done => "none",
                    Client::ExpectWelcome { .. } => "WELCOME or ERROR",
                    Client::ExpectReady => "READY or ERROR",
                };
                Err(ProtocolError::UnexpectedCommand { name: name.to_vec(), expected })
            }
        }
    }

    fn has_shown_credentials(&self) -> bool {
        !matches!(self.state, Client::Start { .. })
    }

    fn is_done(&self) -> bool {
        matches!(self.state, Client::Done)
    }
}

/// The server of the PLAIN mechanism of RFC 24. Every client has to be
/// [admitted](Mechanism::admit): nobody else looks at its name and password.
#[derive(Debug, Default)]
pub struct PlainServer {
    state: Server,
    /// What to tell the client about this end.
    metadata: Vec<u8>,
}

#[derive(Debug, Default)]
enum Server {
    #[default]
    ExpectHello,
    ExpectDecision {
        username: Vec<u8>,
        password: Password,
    },
    ExpectInitiate,
    Done,
}

impl PlainServer {
    /// A handshake that has not begun.
    pub fn new() -> PlainServer {
        PlainServer::default()
    }
}

impl Mechanism for PlainServer {
    fn name(&self) -> MechanismName {
        MechanismName::PLAIN
    }

    fn has_roles(&self) -> bool {
        true
    }

    fn initial_command(&mut self, metadata: &[u8], _out: &mut Vec<u8>) {
        self.metadata = metadata.to_vec();
    }

    fn credentials(&self) -> Option<Vec<Vec<u8>>> {
        match &self.state {
            Server::ExpectDecision { username, password } => {
                Some(vec![username.clone(), password.0.to_vec()])
            }
            _ => None,
        }
    }

    fn admit(&mut self, out: &mut Vec<u8>) {
        if let Server::ExpectDecision { .. } = self.state {
            CommandView { name: b"WELCOME", data: b"" }.emit(out);
            self.state = Server::ExpectInitiate;
        }
    }

    fn handle_command(
        &mut self,
        command: CommandView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError> {
        match (&self.state, command.name) {
            (Server::ExpectHello, b"HELLO") => {
                let (username, password) = parse_hello(command.data)?;
                let password = Password(Zeroizing::new(password.to_vec()));
                self.state = Server::ExpectDecision { username: username.to_vec(), password };
                Ok(Progress::Continue)
            }
            (Server::ExpectInitiate, b"INITIATE") => {
                CommandView { name: b"READY", data: &mem::take(&mut self.metadata) }.emit(out);
                self.state = Server::Done;
                Ok(Progress::Metadata(command.data.to_vec()))
            }
            (state, name) => {
                let expected = match state {
                    Server::ExpectHello => "HELLO",
                    Server::ExpectInitiate => "INITIATE",
                    Server::ExpectDecision { .. } | Server::Done => "none",
                };
                Err(ProtocolError::UnexpectedCommand { name: name.to_vec(), expected })
            }
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.state, Server::Done)
    }
}

/// Not to be seen in a log, and not to be left in memory.
struct Password(Zeroizing<Vec<u8>>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The reason in an ERROR as libzmq's PLAIN servers from 4.3.0 on spell it, at least to 4.3.5: `^RROR`
/// without a length. They do not understand the right one, either, but end the connection all the
/// same; other peers do, so that is what we send.
pub fn misspelt_error(body: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = body.strip_prefix(b"^RROR")?.split_first()?;
    rest.get(..usize::from(length))
}

/// The name and the password of a HELLO.
fn parse_hello(data: &[u8]) -> Result<(&[u8], &[u8]), ProtocolError> {
    let malformed = |fault| ProtocolError::MalformedCommand { command: "HELLO", fault };
    let (username, rest) =
        parse_credential(data).ok_or_else(|| malformed("its user name is cut off"))?;
    let (password, rest) =
        parse_credential(rest).ok_or_else(|| malformed("its password is cut off"))?;
    if !rest.is_empty() {
        return Err(malformed("it goes on behind its password"));
    }
    Ok((username, password))
}

fn parse_credential(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(length))
}

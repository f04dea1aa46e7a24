//! A handshake that waits for a decision on the peer: the ZAP handler is asked whether to let it in.
//!
//! Of the peer nothing is looked at meanwhile but whether it is still there, and nobody waits: the answer
//! has the connection's I/O thread look again.

use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use super::{Failure, Inner, Session};
use crate::option::Mechanism;
use crate::zap::{Answer, Fault, Inquiry, Request, Status};

/// How far the decision is.
pub(super) enum Admission {
    Asking(Inquiry),
    /// The peer is let in, and this is known of it.
    Granted(Answer),
}

/// Has a session looked at by its I/O thread.
struct Decided(Weak<Session>);

impl Wake for Decided {
    fn wake(self: Arc<Self>) {
        if let Some(session) = self.0.upgrade() {
            session.start();
        }
    }
}

impl Session {
    /// Decides on the peer of a handshake that waits for it. False: there is no answer yet.
    pub(super) fn decide(self: &Arc<Self>, inner: &mut Inner) -> Result<bool, Failure> {
        let Some(zmtp) = &mut inner.zmtp else { return Ok(false) };
        let mut inquiry = match inner.admission.take().map(|admission| *admission) {
            Some(Admission::Asking(inquiry)) => inquiry,
            _ => {
                let options = &inner.options;
                let mechanism = zmtp.mechanism().map_or_else(String::new, |name| name.to_string());
                let address = inner.route.peer_address().unwrap_or_default();
                let asked = Inquiry::begin(
                    &self.context,
                    Request {
                        domain: &options.zap_domain,
                        address: &address,
                        // Ours, not the peer's, which is not known yet: as libzmq.
                        routing_id: &options.routing_id,
                        mechanism: mechanism.as_bytes(),
                        credentials: zmtp.credentials().unwrap_or_default(),
                    },
                );
                match asked {
                    Ok(inquiry) => inquiry,
                    Err(Fault::NoHandler) if options.lets_in_unasked() => {
                        zmtp.admit().map_err(Failure::Protocol)?;
                        return Ok(true);
                    }
                    Err(fault) => return Err(Failure::Unasked(fault)),
                }
            }
        };
        let waker = Waker::from(Arc::new(Decided(Arc::downgrade(self))));
        let Some(answer) = inquiry.answer(&waker) else {
            inner.admission = Some(Box::new(Admission::Asking(inquiry)));
            return Ok(false);
        };
        let answer = answer.map_err(Failure::Unasked)?;
        match answer.status {
            Status::Success => {
                inner.admission = Some(Box::new(Admission::Granted(answer)));
                zmtp.admit().map_err(Failure::Protocol)?;
                Ok(true)
            }
            // "The server SHALL NOT send an ERROR": the peer is to try again.
            status @ Status::TemporaryFailure => Err(Failure::Denied(status)),
            status => {
                zmtp.error(status.code().to_string().as_bytes(), &mut inner.control);
                Err(Failure::Denied(status))
            }
        }
    }
}

impl crate::option::Options {
    /// Whether peers are let in where there is nobody to ask.
    fn lets_in_unasked(&self) -> bool {
        self.security() != Mechanism::Plain && !self.zap_enforce_domain
    }
}

//! What the Guide's programs share: an end on a signal, and their arguments.

use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, thread};

use oxmq::{
    BindError, ConnectError, Context, PollError, ProxyError, RecvError, SendError, SendErrorKind,
    SocketError, TermError, WaitError, option::OptionError,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use signal_hook::iterator::Signals;

/// How a program, or a thread of it, ends.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Runs a program until it returns, or until SIGINT or SIGTERM ends it, and terminates its context.
///
/// A thread waits for the signal and shuts the context down, so that every blocking call, in any
/// thread, ends with `Terminated`; the call that the signal happens to meet ends with
/// `Interrupted`. Both go up through the program's `?` and are its regular end. (A flag set by the
/// handler and looked at before each call would miss a signal between the look and the call.) A
/// signal during the end, while messages linger, ends the process at once, with status 1.
///
/// # Errors
/// Those of the program but these two.
pub fn run(program: impl FnOnce(&Context) -> Outcome) -> Outcome {
    let context = Context::new();
    let has_ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, has_ended.clone())?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listening = signals.handle();
    let listener = thread::spawn({
        let context = context.clone();
        move || {
            if signals.forever().next().is_some() {
                context.shutdown();
            }
        }
    });
    let outcome = program(&context);
    has_ended.store(true, Ordering::SeqCst);
    listening.close();
    listener.join().expect("waiting for a signal does not panic");
    while let Err(TermError::Interrupted) = context.term() {}
    match outcome {
        Err(error) if is_regular_end(&*error) => Ok(()),
        outcome => outcome,
    }
}

/// The argument at a position, counted from 1 and without the flags, or its default.
///
/// # Errors
/// What parsing it says.
pub fn argument<T: FromStr>(position: usize, default: &str) -> Result<T, T::Err> {
    let mut arguments = env::args().filter(|argument| !argument.starts_with("--"));
    arguments.nth(position).as_deref().unwrap_or(default).parse()
}

/// Whether a flag (`--name`) is among the arguments.
pub fn flag(name: &str) -> bool {
    env::args().any(|argument| argument == name)
}

fn is_regular_end(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    if let Some(error) = error.downcast_ref() {
        matches!(error, RecvError::Interrupted | RecvError::Terminated)
    } else if let Some(error) = error.downcast_ref::<SendError>() {
        matches!(error.kind(), SendErrorKind::Interrupted | SendErrorKind::Terminated)
    } else if let Some(error) = error.downcast_ref() {
        matches!(error, PollError::Interrupted | PollError::Terminated)
    } else if let Some(error) = error.downcast_ref() {
        matches!(error, WaitError::Interrupted | WaitError::Terminated)
    } else if let Some(error) = error.downcast_ref() {
        matches!(error, ProxyError::Interrupted | ProxyError::Terminated)
    } else {
        // Calls that never wait.
        matches!(error.downcast_ref(), Some(SocketError::Terminated))
            || matches!(error.downcast_ref(), Some(BindError::Terminated))
            || matches!(error.downcast_ref(), Some(ConnectError::Terminated))
            || matches!(error.downcast_ref(), Some(OptionError::Terminated))
    }
}

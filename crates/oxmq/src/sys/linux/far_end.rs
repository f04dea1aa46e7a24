//! What the kernel knows of the far end of a stream.

use super::tuning::{int_option, set_keepalive};
use super::{Fd, check};
use crate::sys::{FarEnd, KeepAlive};
use std::mem;
use std::time::Duration;

/// What is known of the far end of a stream into which `written` bytes were written so far.
pub(crate) fn far_end(fd: &Fd, written: i64) -> FarEnd {
    let taken = written.wrapping_sub(waiting_out(fd));
    let has_ended = has_ended(fd);
    let Some(tcp) = TcpInfo::of(fd) else {
        return FarEnd { taken, last_heard: None, asked_in_vain: 0, has_ended };
    };
    let [last_data_ms, last_ack_ms] = [TcpInfo::LAST_DATA_RECV, TcpInfo::LAST_ACK_RECV]
        .map(|at| Duration::from_millis(tcp.word(at).into()));
    FarEnd {
        taken,
        last_heard: Some(last_data_ms.min(last_ack_ms)),
        asked_in_vain: tcp.byte(TcpInfo::RETRANSMITS).max(tcp.byte(TcpInfo::PROBES)).into(),
        has_ended,
    }
}

/// Has the far end of a tcp connection asked for an answer, every second, while nothing is under way
/// to it. Returns what [`ask_no_more`] needs; `None` where nobody can be asked.
pub(crate) fn ask_far_end(fd: &Fd) -> Option<KeepAlive> {
    let kept = KeepAlive {
        on: int_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE).ok()? != 0,
        probes: int_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT).ok()?,
        idle_s: int_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE).ok()?,
        interval_s: int_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL).ok()?,
    };
    set_keepalive(fd, true, ASK_PROBES, 1, 1);
    Some(kept)
}

/// Sets keep-alive as it was before [`ask_far_end`].
pub(crate) fn ask_no_more(fd: &Fd, kept: &KeepAlive) {
    set_keepalive(fd, kept.on, kept.probes, kept.idle_s, kept.interval_s);
}

/// After so many the kernel itself ends the connection. Arbitrary, and more than anybody waits for.
const ASK_PROBES: i32 = 30;

/// Over tcp the bytes that are not acknowledged; over ipc the memory that holds what is not read.
fn waiting_out(fd: &Fd) -> i64 {
    let mut waiting: libc::c_int = 0;
    // SAFETY: the request fills an int.
    let got = unsafe { libc::ioctl(fd.raw(), libc::TIOCOUTQ, &raw mut waiting) };
    if got == 0 { waiting.into() } else { 0 }
}

fn has_ended(fd: &Fd) -> bool {
    let mut poll = libc::pollfd { fd: fd.raw(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one entry, as said; it does not wait.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1 && poll.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
}

/// The front of the kernel's `struct tcp_info`, as old as that is.
struct TcpInfo([u8; TcpInfo::BYTES]);

impl TcpInfo {
    const RETRANSMITS: usize = 2;
    const PROBES: usize = 3;
    const LAST_DATA_RECV: usize = 52;
    const LAST_ACK_RECV: usize = 56;
    const BYTES: usize = 60;

    /// `None` of a socket that is not one of tcp's.
    fn of(fd: &Fd) -> Option<TcpInfo> {
        let mut info = TcpInfo([0; TcpInfo::BYTES]);
        let mut bytes = mem::size_of_val(&info.0) as libc::socklen_t;
        // SAFETY: the kernel writes at most as many bytes as are said.
        check(unsafe {
            let place = info.0.as_mut_ptr().cast();
            libc::getsockopt(fd.raw(), libc::IPPROTO_TCP, libc::TCP_INFO, place, &mut bytes)
        })
        .ok()?;
        Some(info)
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn word(&self, at: usize) -> u32 {
        let word = self.0.get(at..).and_then(|rest| rest.first_chunk());
        word.map_or(0, |word| u32::from_ne_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    fn fd(stream: impl Into<OwnedFd>) -> Fd {
        Fd(stream.into())
    }

    fn tcp() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    /// Over ipc what a peer reads is taken, over tcp what its kernel has.
    #[test]
    fn what_is_read_is_taken() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let ours = fd(one.try_clone().unwrap());
        let before = far_end(&ours, 0).taken;
        one.write_all(&[7; 1000]).unwrap();
        assert!(far_end(&ours, 1000).taken <= before);
        other.read_exact(&mut [0; 1000]).unwrap();
        assert_eq!(far_end(&ours, 1000).taken, before + 1000);
        assert!(far_end(&ours, 1000).last_heard.is_none());

        let (mut one, mut other) = tcp();
        let ours = fd(one.try_clone().unwrap());
        one.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(more) = one.write(&[7; 4096]) {
            written += more as i64;
        }
        // What the peer's window let through; it does not open again by itself.
        let full = far_end(&ours, written).taken;
        assert!(full > 0 && full < written, "{full} of {written}");
        let mut buffer = vec![0; 1 << 20];
        while far_end(&ours, written).taken < written {
            assert!(other.read(&mut buffer).unwrap() > 0);
        }
        assert!(far_end(&ours, written).last_heard.is_some());
    }

    #[test]
    fn an_end_is_seen_without_reading() {
        let (one, other) = tcp();
        let (pair_one, pair_other) = UnixStream::pair().unwrap();
        let ours = [fd(one), fd(pair_one)];
        for end in &ours {
            assert!(!far_end(end, 0).has_ended);
        }
        (&other).write_all(b"unread").unwrap();
        (&pair_other).write_all(b"unread").unwrap();
        drop((other, pair_other));
        for end in &ours {
            while !far_end(end, 0).has_ended {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn keep_alive_is_left_as_it_was() {
        let (one, _other) = tcp();
        let ours = fd(one);
        let raw = ours.0.as_raw_fd();
        assert!(raw >= 0);
        set_keepalive(&ours, false, 7, 77, 17);
        let kept = ask_far_end(&ours).unwrap();
        assert_eq!(kept, KeepAlive { on: false, probes: 7, idle_s: 77, interval_s: 17 });
        let asking = ask_far_end(&ours).unwrap();
        assert_eq!(asking, KeepAlive { on: true, probes: ASK_PROBES, idle_s: 1, interval_s: 1 });
        ask_no_more(&ours, &kept);
        assert_eq!(ask_far_end(&ours).unwrap(), kept);
        let (pair, _other) = UnixStream::pair().unwrap();
        assert!(ask_far_end(&fd(pair)).is_none());
    }
}

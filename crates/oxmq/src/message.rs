//! One part of a message: at most 64 bytes in place.

#[cfg(not(loom))]
pub mod ffi;

use std::fmt;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::block::{self, copy_short};

/// The longest body that lives inside the [`Message`] itself, in bytes.
pub const INLINE_BYTES_MAX: usize = 56;

/// One part of a message: a body of bytes, and whether more parts follow.
///
/// Bodies up to [`INLINE_BYTES_MAX`] bytes lie in the value itself, longer ones in
/// reference-counted memory, so that [`Clone`] never copies a long body. Foreign memory can be
/// sent without a copy through [`Message::from_owner`] and [`Message::from_foreign`].
///
/// ```
/// use oxmq::Message;
/// let message = Message::from("hello");
/// assert_eq!(&message[..], b"hello");
/// assert!(!message.more());
/// ```
#[repr(C)]
pub struct Message {
    body: Body,
    kind: Kind,
    inline_bytes: u8,
    more: bool,
    /// `connection` is its routing id.
    routed: bool,
    /// Which connection it came by ([`Connection`](crate::Connection) numbers); 0 is none.
    connection: u32,
}

const _: () = assert!(mem::size_of::<Message>() == 64);
const _: () = assert!(mem::offset_of!(Message, kind) + 8 == 64);

/// Where `inline_bytes` lies behind the body.
const INLINE_BYTES_AT: usize =
    mem::offset_of!(Message, inline_bytes) - mem::offset_of!(Message, kind);
const _: () = assert!(mem::align_of::<Owner>() <= block::ALIGN);

#[repr(C)]
union Body {
    inline: [MaybeUninit<u8>; INLINE_BYTES_MAX],
    shared: Shared,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Shared {
    data: *const u8,
    bytes: usize,
    /// `None` for `'static` bodies.
    owner: Option<NonNull<Owner>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    // Neither zero nor a frequent byte: of memory that is no message this is mostly seen.
    Inline = 0xA5,
    Shared = 0xB6,
}

/// Who frees a shared body; `refs` messages point at it.
#[repr(C, align(16))]
struct Owner {
    refs: AtomicUsize,
    free: Free,
}

/// What the end of a body does.
#[derive(Clone, Copy)]
enum Free {
    /// The body follows the `Owner` in the same block.
    Block(block::Class),
    /// The body belongs to this value, a box that was leaked.
    Value(NonNull<dyn Send + Sync>),
}

/// Where no bytes are.
static EMPTY: u8 = 0;

struct Foreign {
    data: *mut u8,
    bytes: usize,
    free: unsafe extern "C" fn(*mut u8, usize, *mut ()),
    hint: *mut (),
}

// SAFETY: the contract of `Message::from_foreign` lets the free function run on any thread.
unsafe impl Send for Foreign {}
// SAFETY: nothing reads the fields before the drop, which is exclusive.
unsafe impl Sync for Foreign {}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: the contract of `Message::from_foreign`; called once, by the last owner.
        unsafe { (self.free)(self.data, self.bytes, self.hint) }
    }
}

// SAFETY: a body is read-only while shared, its owner is `Send + Sync`, the count is atomic.
unsafe impl Send for Message {}
// SAFETY: as above; `&Message` gives only shared reads.
unsafe impl Sync for Message {}

impl Message {
    /// An empty message.
    #[inline]
    pub const fn new() -> Message {
        Message {
            body: Body { inline: [MaybeUninit::uninit(); INLINE_BYTES_MAX] },
            kind: Kind::Inline,
            inline_bytes: 0,
            more: false,
            routed: false,
            connection: 0,
        }
    }

    /// A message over bytes that live for ever; nothing is copied.
    pub const fn from_static(body: &'static [u8]) -> Message {
        Message::shared(Shared { data: body.as_ptr(), bytes: body.len(), owner: None })
    }

    /// A message over the bytes of `owner`, which is dropped when the last copy of the message
    /// is; nothing is copied. The drop runs on whichever thread lets go last, with no lock held.
    ///
    /// ```
    /// let page: std::sync::Arc<[u8]> = vec![7; 100_000].into();
    /// let message = oxmq::Message::from_owner(page.clone());
    /// assert_eq!(message.as_ptr(), page.as_ptr());
    /// ```
    pub fn from_owner<T: AsRef<[u8]> + Send + Sync + 'static>(owner: T) -> Message {
        // The address of the bytes may depend on where the owner lies, and they are reached through
        // it: it is put where it stays first, and is no box, whose move would put an end to that.
        let owner = NonNull::from(Box::leak(Box::new(owner)));
        let mut message = Message::over(&raw const EMPTY, 0, owner);
        // SAFETY: it lives until the message drops it.
        let bytes: &[u8] = unsafe { owner.as_ref() }.as_ref();
        let shared = Shared {
            data: bytes.as_ptr(),
            bytes: bytes.len(),
            // SAFETY: made by `over`.
            owner: unsafe { message.body.shared.owner },
        };
        message.body.shared = shared;
        message
    }

    /// A message over foreign memory, freed by `free(data, bytes, hint)` when the last copy of
    /// the message is dropped (libzmq's `zmq_msg_init_data`).
    ///
    /// # Safety
    /// `data` points at `bytes` readable bytes that nobody writes until `free` is called;
    /// `free` may be called from any thread.
    pub unsafe fn from_foreign(
        data: *mut u8,
        bytes: usize,
        free: unsafe extern "C" fn(*mut u8, usize, *mut ()),
        hint: *mut (),
    ) -> Message {
        Message::owned(data, bytes, Box::new(Foreign { data, bytes, free, hint }))
    }

    /// Whether another part of the same message follows this one.
    #[inline]
    pub fn more(&self) -> bool {
        self.more
    }

    /// The connection that the message came by. `None` for one that was made here, for one that a
    /// socket of this process sent, and for one that has a routing id (SERVER, PEER). Known for as
    /// long as the connection lasts, and until 1,024 others have ended after it. A copy has it; what
    /// is sent on does not take it along.
    ///
    /// ```
    /// use oxmq::{Context, Pull, Push};
    /// let context = Context::new();
    /// let pull = Pull::new(&context)?;
    /// let push = Push::new(&context)?;
    /// push.set(oxmq::option::METADATA, "X-site:north".to_owned())?;
    /// push.connect(&pull.bind("tcp://127.0.0.1:*")?)?;
    /// push.send("hello")?;
    /// let connection = pull.recv()?.connection().unwrap();
    /// assert!(connection.remote.unwrap().starts_with("tcp://127.0.0.1:"));
    /// assert_eq!(connection.peer.unwrap().properties, [("X-site".to_owned(), b"north".to_vec())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(loom))]
    pub fn connection(&self) -> Option<crate::Connection> {
        let (route, descriptor) = crate::connection::registry::find(self.connection_number())?;
        Some(crate::Connection { descriptor: Some(descriptor), ..route.to_connection() })
    }

    /// The number of the connection that it came by; 0 is none.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn connection_number(&self) -> u32 {
        if self.routed { 0 } else { self.connection }
    }

    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn set_connection(&mut self, number: u32) {
        self.connection = number;
    }

    /// As `take`, for a socket of this process: there it comes by no connection.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn take_along(&mut self) -> Message {
        self.set_sender(0);
        self.take()
    }

    #[inline]
    pub(crate) fn set_more(&mut self, more: bool) {
        self.more = more;
    }

    /// Whether dropping the message may free memory or call a free function.
    #[doc(hidden)]
    #[inline]
    pub fn owns_memory(&self) -> bool {
        self.kind == Kind::Shared
    }

    /// SERVER, PEER: the routing id of the peer that sent the message, or that it is for; 0 is none.
    ///
    /// ```
    /// use oxmq::{Context, Message, SocketType};
    /// let context = Context::new();
    /// let server = context.socket(SocketType::Server)?;
    /// let client = context.socket(SocketType::Client)?;
    /// client.connect(&server.bind("tcp://127.0.0.1:*")?)?;
    /// client.send("question")?;
    /// let question = server.recv()?;
    /// let mut answer = Message::from("answer");
    /// answer.set_routing_id(question.routing_id());
    /// server.send(answer)?;
    /// assert_eq!(&client.recv()?[..], b"answer");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn routing_id(&self) -> u32 {
        if self.routed { self.connection } else { 0 }
    }

    /// SERVER, PEER: the peer that the message is for; 0 is none.
    pub fn set_routing_id(&mut self, routing_id: u32) {
        self.set_sender(routing_id);
    }

    #[inline]
    pub(crate) fn set_sender(&mut self, number: u32) {
        self.routed = number != 0;
        self.connection = number;
    }

    /// The body, when no other message shares it.
    pub fn get_mut(&mut self) -> Option<&mut [u8]> {
        match self.kind {
            // SAFETY: the first `inline_bytes` bytes of an inline body are initialised.
            Kind::Inline => Some(unsafe {
                std::slice::from_raw_parts_mut(
                    (&raw mut self.body).cast::<u8>(),
                    self.inline_bytes as usize,
                )
            }),
            Kind::Shared => None,
        }
    }

    /// Takes the message, leaving an empty one (ØMQ's "send empties the message").
    #[inline]
    pub fn take(&mut self) -> Message {
        mem::take(self)
    }

    fn owned(data: *const u8, bytes: usize, owner: Box<dyn Send + Sync>) -> Message {
        Message::over(data, bytes, NonNull::from(Box::leak(owner)))
    }

    /// A message over bytes that belong to `owner`, a box that was leaked.
    fn over(data: *const u8, bytes: usize, owner: NonNull<dyn Send + Sync>) -> Message {
        let free = Free::Value(owner);
        let owner = Box::new(Owner { refs: AtomicUsize::new(1), free });
        Message::shared(Shared { data, bytes, owner: Some(NonNull::from(Box::leak(owner))) })
    }

    const fn shared(shared: Shared) -> Message {
        Message {
            body: Body { shared },
            kind: Kind::Shared,
            inline_bytes: 0,
            more: false,
            routed: false,
            connection: 0,
        }
    }
}

impl Deref for Message {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self.kind {
            // SAFETY: the first `inline_bytes` bytes of an inline body are initialised.
            Kind::Inline => unsafe {
                std::slice::from_raw_parts(
                    (&raw const self.body).cast::<u8>(),
                    self.inline_bytes as usize,
                )
            },
            // SAFETY: a shared body is valid for `bytes` bytes while this message holds its owner.
            Kind::Shared => unsafe {
                let shared = self.body.shared;
                std::slice::from_raw_parts(shared.data, shared.bytes)
            },
        }
    }
}

impl Drop for Message {
    #[inline]
    fn drop(&mut self) {
        if self.kind == Kind::Shared {
            release(self);
        }
    }
}

/// Lets go of a shared body.
#[inline(never)]
fn release(message: &mut Message) {
    // SAFETY: the caller saw `Kind::Shared`.
    let Some(owner) = (unsafe { message.body.shared.owner }) else { return };
    // SAFETY: this message holds one of the references, so the owner is alive.
    let refs = unsafe { &owner.as_ref().refs };
    // Acquire: every use of the body comes before its end. Nobody can add to a single reference but
    // its holder, so that most bodies end without an exchange.
    if refs.load(Ordering::Acquire) == 1 || refs.fetch_sub(1, Ordering::AcqRel) == 1 {
        // SAFETY: the last reference was this message's, so nobody else can reach the owner.
        match unsafe { owner.as_ref() }.free {
            Free::Block(class) => {
                // SAFETY: `copy_long` took the block with this class; nothing in it drops.
                unsafe { block::give(owner.cast(), class) }
            }
            Free::Value(value) => {
                // SAFETY: made by `Box::leak` in `over`.
                drop(unsafe { Box::from_raw(owner.as_ptr()) });
                // SAFETY: leaked for `over`, and freed once, here.
                drop(unsafe { Box::from_raw(value.as_ptr()) });
            }
        }
    }
}

impl Clone for Message {
    /// A second message with the same body: inline bodies are copied, longer ones shared.
    fn clone(&self) -> Message {
        match self.kind {
            Kind::Inline => {
                let mut copy = Message::from(&self[..]);
                copy.more = self.more;
                (copy.routed, copy.connection) = (self.routed, self.connection);
                copy
            }
            Kind::Shared => {
                // SAFETY: `Kind::Shared` was just matched.
                let shared = unsafe { self.body.shared };
                if let Some(owner) = shared.owner {
                    // SAFETY: `self` holds a reference. Relaxed: a new reference is made from
                    // a live one, as in `Arc`.
                    unsafe { owner.as_ref() }.refs.fetch_add(1, Ordering::Relaxed);
                }
                let mut copy = Message::shared(shared);
                copy.more = self.more;
                (copy.routed, copy.connection) = (self.routed, self.connection);
                copy
            }
        }
    }
}

impl Default for Message {
    #[inline]
    fn default() -> Message {
        Message::new()
    }
}

impl From<&[u8]> for Message {
    #[inline]
    fn from(body: &[u8]) -> Message {
        let mut message = Message::new();
        // SAFETY: what is there is empty.
        unsafe { Message::write_to(&mut message, body, 0) };
        message
    }
}

impl Message {
    /// Makes a message of one part, which came by a connection, where it is to lie: one that is moved
    /// while its bytes are still on their way to memory waits for them.
    ///
    /// # Safety
    /// A message may be written at `place`; what is there is not dropped.
    #[inline]
    pub(crate) unsafe fn write_to(place: *mut Message, body: &[u8], connection: u32) {
        // SAFETY: passed on; what is written is a message.
        unsafe {
            if !Message::write_short(place, body, connection) {
                (*place).copy_long(body);
            }
        }
    }

    /// As `write_to`, of what a peer has sent. False: there is no memory for it, and the message is
    /// empty.
    ///
    /// # Safety
    /// As for `write_to`.
    #[inline]
    pub(crate) unsafe fn try_write_to(place: *mut Message, body: &[u8], connection: u32) -> bool {
        // SAFETY: passed on; what is written is a message.
        unsafe { Message::write_short(place, body, connection) || (*place).try_copy_long(body) }
    }

    /// A message of one part that a peer has sent; `None`: there is no memory for it.
    #[inline]
    pub(crate) fn received(body: &[u8]) -> Option<Message> {
        let mut message = Message::new();
        // SAFETY: what is there is empty.
        unsafe { Message::try_write_to(&mut message, body, 0) }.then_some(message)
    }

    /// Writes all of a message but a long body, for which it leaves an empty one. False: it is long.
    ///
    /// # Safety
    /// As for `write_to`.
    #[inline]
    unsafe fn write_short(place: *mut Message, body: &[u8], connection: u32) -> bool {
        // SAFETY: passed on; the inline body holds INLINE_BYTES_MAX bytes.
        unsafe {
            let [a, b, c, d] = connection.to_ne_bytes();
            let mut tail = [Kind::Inline as u8, 0, 0, 0, a, b, c, d];
            if body.len() <= INLINE_BYTES_MAX {
                tail[INLINE_BYTES_AT] = body.len() as u8;
                let inline = (&raw mut (*place).body).cast::<u8>();
                std::ptr::copy_nonoverlapping(body.as_ptr(), inline, body.len());
            }
            // All that follows the body, at once. Aligned as a pointer is, no more: on machines of 32
            // bits that may be less than a u64 asks for.
            (&raw mut (*place).kind).cast::<u64>().write_unaligned(u64::from_ne_bytes(tail));
        }
        body.len() <= INLINE_BYTES_MAX
    }

    /// Makes an empty message one with a long body, behind its owner in one block.
    #[inline(never)]
    fn copy_long(&mut self, body: &[u8]) {
        let Some((block, class)) = block::take(size_of::<Owner>() + body.len()) else {
            let connection = self.connection;
            *self = Message::from_owner(body.to_vec());
            self.connection = connection;
            return;
        };
        self.hold(block, class, body);
    }

    /// As `copy_long`; false: there is no memory for it.
    #[inline(never)]
    fn try_copy_long(&mut self, body: &[u8]) -> bool {
        let taken = block::take_for_peer(size_of::<Owner>() + body.len());
        if let Some((block, class)) = taken {
            self.hold(block, class, body);
        }
        taken.is_some()
    }

    /// Copies a body into a block that was taken for it and its owner.
    #[inline]
    fn hold(&mut self, block: NonNull<u8>, class: block::Class, body: &[u8]) {
        let owner = block.cast::<Owner>();
        // SAFETY: the block is fresh, aligned for `Owner`, and long enough for it and the body.
        unsafe {
            owner.write(Owner { refs: AtomicUsize::new(1), free: Free::Block(class) });
            let data = block.add(size_of::<Owner>()).as_ptr();
            copy_short(body, data);
            self.body.shared = Shared { data, bytes: body.len(), owner: Some(owner) };
        }
        self.kind = Kind::Shared;
    }
}

impl From<Vec<u8>> for Message {
    fn from(body: Vec<u8>) -> Message {
        if body.len() <= INLINE_BYTES_MAX {
            return Message::from(&body[..]);
        }
        Message::from_owner(body)
    }
}

impl From<Box<[u8]>> for Message {
    fn from(body: Box<[u8]>) -> Message {
        Message::from(body.into_vec())
    }
}

impl From<String> for Message {
    fn from(body: String) -> Message {
        Message::from(body.into_bytes())
    }
}

impl From<&str> for Message {
    #[inline]
    fn from(body: &str) -> Message {
        Message::from(body.as_bytes())
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    #[inline]
    fn from(body: &[u8; N]) -> Message {
        Message::from(&body[..])
    }
}

impl From<&Vec<u8>> for Message {
    #[inline]
    fn from(body: &Vec<u8>) -> Message {
        Message::from(&body[..])
    }
}

impl AsRef<[u8]> for Message {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        self[..] == other[..] && self.more == other.more
    }
}

impl Eq for Message {}

impl PartialEq<[u8]> for Message {
    fn eq(&self, other: &[u8]) -> bool {
        self[..] == *other
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes", self.len())?;
        if self.len() <= 32 {
            write!(f, " \"{}\"", self.escape_ascii())?;
        }
        if self.more {
            f.write_str(", more")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn bodies_around_the_inline_limit_read_back() {
        for bytes in [0, 1, INLINE_BYTES_MAX - 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 100_000] {
            let body: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
            let from_slice = Message::from(&body);
            let from_vec = Message::from(body.clone());
            assert_eq!(from_slice, from_vec);
            assert_eq!(&from_slice.clone()[..], &body[..]);
        }
    }

    #[test]
    fn owner_is_dropped_with_the_last_copy() {
        let owner: Arc<Vec<u8>> = Arc::new(vec![1; 1000]);
        struct Bytes(Arc<Vec<u8>>);
        impl AsRef<[u8]> for Bytes {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let message = Message::from_owner(Bytes(owner.clone()));
        let copy = message.clone();
        drop(message);
        assert_eq!(Arc::strong_count(&owner), 2);
        drop(copy);
        assert_eq!(Arc::strong_count(&owner), 1);
    }

    #[test]
    fn foreign_memory_is_freed_once() {
        unsafe extern "C" fn free(data: *mut u8, bytes: usize, hint: *mut ()) {
            // SAFETY: made from a boxed slice of this length below.
            drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, bytes)) });
            // SAFETY: `hint` points at the test's counter, which outlives the messages.
            unsafe { &*hint.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
        }
        let freed = AtomicUsize::new(0);
        let body = Box::leak(vec![3u8; 200].into_boxed_slice());
        let hint = (&raw const freed).cast_mut().cast();
        // SAFETY: the body is leaked above and freed by `free` alone.
        let message = unsafe { Message::from_foreign(body.as_mut_ptr(), 200, free, hint) };
        drop(message.clone());
        assert_eq!(freed.load(Ordering::Relaxed), 0);
        drop(message);
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    }
}

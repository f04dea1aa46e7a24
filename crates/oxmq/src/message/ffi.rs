//! What the C library does with messages that lie in its callers' memory.

use super::*;

/// A longer body has memory of its own, which may be refused.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Whether a message lies at `place`, and not the remains of one that was
/// [closed](without_message), or something else by all appearances.
///
/// # Safety
/// 64 bytes may be read at `place`.
#[inline]
pub unsafe fn is_message(place: *const Message) -> bool {
    // SAFETY: passed on; any byte is read as a byte.
    let kind = unsafe { (&raw const (*place).kind).cast::<u8>().read() };
    kind == Kind::Inline as u8 || kind == Kind::Shared as u8
}

/// Marks the memory of a message that was dropped, for [`is_message`].
///
/// # Safety
/// 64 bytes may be written at `place`.
#[inline]
pub unsafe fn without_message(place: *mut Message) {
    // SAFETY: passed on; nothing takes it for a message afterwards.
    unsafe { (&raw mut (*place).kind).cast::<u8>().write(0) }
}

/// A message of so many bytes, to be written to ([`data_mut`]). `None`: there is no memory for it.
///
/// # Safety
/// The bytes of a long one are not initialised: they hold what lay there before. Whoever makes the
/// message writes all of them before anything reads them, or hands that duty on in so many words.
///
/// ```compile_fail,E0133
/// // What a program without `unsafe` must not see.
/// let message = oxmq::ffi::with_size(80);
/// ```
pub unsafe fn with_size(bytes: usize) -> Option<Message> {
    if bytes <= INLINE_BYTES_MAX {
        let mut message = Message::new();
        // Any bytes are initialised ones; and who forgets to write them reveals nothing.
        message.body.inline = [MaybeUninit::new(0); INLINE_BYTES_MAX];
        message.inline_bytes = bytes as u8;
        return Some(message);
    }
    if bytes < KEPT_BYTES_MAX
        && let Some((block, class)) = block::take(size_of::<Owner>() + bytes)
    {
        let owner = block.cast::<Owner>();
        // SAFETY: the block is fresh, aligned for `Owner`, and long enough for it and the body.
        let data = unsafe {
            owner.write(Owner { refs: AtomicUsize::new(1), free: Free::Block(class) });
            block.add(size_of::<Owner>())
        };
        return Some(Message::shared(Shared { data: data.as_ptr(), bytes, owner: Some(owner) }));
    }
    let mut body = Vec::<u8>::new();
    body.try_reserve_exact(bytes).ok()?;
    let data = body.as_mut_ptr();
    Some(Message::owned(data, bytes, Box::new(body)))
}

/// Makes an empty message one with a copy of `body`, as `From<&[u8]>` does.
#[inline]
pub fn copy_into(body: &[u8], into: &mut Message) {
    debug_assert!(!into.owns_memory());
    // SAFETY: nothing is lost with an empty message.
    unsafe { Message::write_to(into, body, 0) }
}

/// A message over bytes that `owner` keeps where they are until it is dropped.
///
/// # Safety
/// `data` points at `bytes` readable bytes for as long as `owner` lives.
pub unsafe fn adopt(data: *const u8, bytes: usize, owner: Option<Box<dyn Send + Sync>>) -> Message {
    match owner {
        Some(owner) => Message::owned(data, bytes, owner),
        None => Message::shared(Shared { data, bytes, owner: None }),
    }
}

/// Where the body lies, for a caller who may write there, or promises that nobody else reads.
#[inline]
pub fn data_mut(message: &mut Message) -> *mut u8 {
    match message.kind {
        Kind::Inline => (&raw mut message.body).cast(),
        // SAFETY: `Kind::Shared` was just matched.
        Kind::Shared => unsafe { message.body.shared }.data.cast_mut(),
    }
}

/// Whether other messages share the body, or may.
pub fn is_shared(message: &Message) -> bool {
    // SAFETY: `Kind::Shared` was just seen.
    message.kind == Kind::Shared
        && match unsafe { message.body.shared.owner } {
            // SAFETY: `message` holds a reference.
            Some(owner) => unsafe { owner.as_ref() }.refs.load(Ordering::Relaxed) > 1,
            None => true,
        }
}

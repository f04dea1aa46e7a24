//! `zmq_z85_*`: four bytes as five characters that can stand in any program's source (RFC 32).

use std::ffi::CStr;

use libc::c_char;
use oxmq::z85::{decode_word, encode_word};

use crate::boundary;
use crate::errno::{self, Errno};

/// Reads exactly `4 * WORDS` bytes.
pub(crate) fn decode<const WORDS: usize>(text: &[u8]) -> Option<[[u8; 4]; WORDS]> {
    let (words, rest) = text.as_chunks::<5>();
    if words.len() != WORDS || !rest.is_empty() {
        return None;
    }
    let mut bytes = [[0; 4]; WORDS];
    for (word, digits) in bytes.iter_mut().zip(words) {
        *word = decode_word(*digits)?;
    }
    Some(bytes)
}

/// Writes the text of `data`, whose length is a multiple of 4, and the zero byte after it.
///
/// # Safety
/// There is room for it at `dest`; `data` may lie there too.
pub(crate) unsafe fn write(dest: *mut c_char, data: *const [u8; 4], words: usize) {
    // From the end, for the text is longer than the bytes: what is still to be read stays.
    // SAFETY: passed on; the zero byte is the last.
    unsafe {
        let dest = dest.cast::<[u8; 5]>();
        let tail = dest.add(words).cast::<u8>();
        for word in (0..words).rev() {
            dest.add(word).write(encode_word(data.add(word).read()));
        }
        tail.write(0);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_z85_encode(
    dest: *mut c_char,
    data: *const u8,
    size: usize,
) -> *mut c_char {
    boundary::pointer(|| {
        if !size.is_multiple_of(4) {
            return Err(errno::EINVAL);
        }
        if dest.is_null() || (data.is_null() && size > 0) {
            return Err(errno::EFAULT);
        }
        // SAFETY: the caller's word.
        unsafe { write(dest, data.cast(), size / 4) };
        Ok(dest)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_z85_decode(dest: *mut u8, string: *const c_char) -> *mut u8 {
    boundary::pointer(|| {
        // SAFETY: the caller's word.
        let length = unsafe { text(string) }?.len();
        if length == 0 || !length.is_multiple_of(5) {
            return Err(errno::EINVAL);
        }
        let length = if cfg!(oxmq_mutation = "capi_z85_stops_early") { length - 1 } else { length };
        if dest.is_null() {
            return Err(errno::EFAULT);
        }
        for index in 0..length / 5 {
            // SAFETY: within the text; and the caller's word that there is room for four bytes of
            // every five characters. If that is where the text lies, it is where it has been read.
            unsafe {
                let digits = string.cast::<[u8; 5]>().add(index).read();
                let word = decode_word(digits).ok_or(errno::EINVAL)?;
                dest.cast::<[u8; 4]>().add(index).write(word);
            }
        }
        Ok(dest)
    })
}

/// A caller's text, without the zero byte that ends it.
///
/// # Safety
/// It ends with one, and stays as it is while the result lives.
pub(crate) unsafe fn text<'a>(string: *const c_char) -> Result<&'a [u8], Errno> {
    if string.is_null() {
        return Err(errno::EFAULT);
    }
    // SAFETY: passed on.
    Ok(unsafe { CStr::from_ptr(string) }.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use std::ptr;

    /// What RFC 32 gives as the test case.
    const HELLO_WORLD: ([u8; 8], &CStr) =
        ([0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B], c"HelloWorld");

    fn encode(data: &[u8]) -> Option<Vec<u8>> {
        let mut text = vec![0x55; data.len() / 4 * 5 + 1];
        // SAFETY: the text has room.
        let to = unsafe { zmq_z85_encode(text.as_mut_ptr().cast(), data.as_ptr(), data.len()) };
        (!to.is_null()).then_some(text)
    }

    fn decode_text(text: &CStr) -> Option<Vec<u8>> {
        let mut bytes = vec![0x55; text.count_bytes() / 5 * 4];
        // SAFETY: the bytes have room.
        let to = unsafe { zmq_z85_decode(bytes.as_mut_ptr(), text.as_ptr()) };
        (!to.is_null()).then_some(bytes)
    }

    #[test]
    fn the_test_case_of_the_rfc() {
        let (bytes, text) = HELLO_WORLD;
        assert_eq!(encode(&bytes).unwrap(), text.to_bytes_with_nul());
        assert_eq!(decode_text(text).unwrap(), bytes);
    }

    #[test]
    fn text_and_bytes_may_lie_in_the_same_place() {
        let (bytes, text) = HELLO_WORLD;
        let mut place = [0_u8; 11];
        place[..8].copy_from_slice(&bytes);
        let at = place.as_mut_ptr();
        // SAFETY: room for the longer of both.
        unsafe {
            zmq_z85_encode(at.cast(), at, 8);
            assert_eq!(&*ptr::slice_from_raw_parts(at, 11), text.to_bytes_with_nul());
            zmq_z85_decode(at, at.cast());
            assert_eq!(&*ptr::slice_from_raw_parts(at, 8), &bytes);
        }
    }

    #[test]
    fn what_is_not_z85_is_refused() {
        let null: *mut u8 = ptr::null_mut();
        // SAFETY: NULL is allowed, and so is any text.
        unsafe {
            let mut place = [0_u8; 8];
            for text in [c"", c"abcd", c"abcdef", c"\"", c"~~~~~", c"abcd\x80", c"%nSc1", c"#####"]
            {
                errno::set(Errno(0));
                assert!(zmq_z85_decode(place.as_mut_ptr(), text.as_ptr()).is_null(), "{text:?}");
                assert_eq!(errno::get(), libc::EINVAL);
            }
            assert_eq!(decode_text(c"%nSc0").unwrap(), [0xFF; 4]);
            assert!(encode(&[1, 2, 3]).is_none() && errno::get() == libc::EINVAL);
            assert!(zmq_z85_encode(null.cast(), place.as_ptr(), 4).is_null());
            assert!(zmq_z85_encode(place.as_mut_ptr().cast(), ptr::null(), 4).is_null());
            assert!(zmq_z85_decode(null, c"abcde".as_ptr()).is_null());
            assert!(zmq_z85_decode(place.as_mut_ptr(), ptr::null()).is_null());
            assert_eq!(errno::get(), libc::EFAULT);
        }
    }

    #[test]
    fn nothing_is_written_past_what_the_text_holds() {
        let mut place = [0x55_u8; 12];
        // SAFETY: room enough.
        unsafe { zmq_z85_decode(place.as_mut_ptr(), c"HelloWorl~".as_ptr()) };
        assert_eq!(place[4..], [0x55; 8]);
    }

    #[test]
    fn libzmq_writes_and_reads_the_same() {
        type Encode = unsafe extern "C" fn(*mut c_char, *const u8, usize) -> *mut c_char;
        type Decode = unsafe extern "C" fn(*mut u8, *const c_char) -> *mut u8;
        let theirs = reference::library();
        // SAFETY: as zmq.h declares them.
        let (encode_theirs, decode_theirs) = unsafe {
            let encode = theirs.get::<Encode>(b"zmq_z85_encode").unwrap();
            (encode, theirs.get::<Decode>(b"zmq_z85_decode").unwrap())
        };
        let mut state = 1_u64;
        for length in (0..4000).map(|round| round % 40 * 4) {
            let data: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .take(length)
            .collect();
            let mut text = vec![0; length / 4 * 5 + 1];
            // SAFETY: room enough.
            unsafe { encode_theirs(text.as_mut_ptr().cast(), data.as_ptr(), length) };
            assert_eq!(encode(&data).as_ref(), Some(&text));
            // Any text: mostly none of Z85.
            if let Some(at) = text.first_mut() {
                *at = (state >> 32) as u8 | 1;
            }
            if let Ok(text) = CStr::from_bytes_until_nul(&text) {
                let mut bytes = vec![0; text.count_bytes() / 5 * 4];
                // SAFETY: room enough.
                let to = unsafe { decode_theirs(bytes.as_mut_ptr(), text.as_ptr()) };
                assert_eq!(decode_text(text), (!to.is_null()).then_some(bytes), "{text:?}");
            }
        }
    }
}

//! `zmq_curve_*`: keys for CURVE, which are keys of X25519 (RFC 7748) in Z85.

use libc::{c_char, c_int};
use oxmq::security::KeyPair;
use zeroize::Zeroizing;

use crate::boundary;
use crate::errno;
use crate::z85;

/// How many words of four bytes a key has.
const WORDS: usize = 8;

/// Writes a key's text, of 41 bytes with the zero byte behind it.
///
/// # Safety
/// There is room for it at `dest`.
unsafe fn write(dest: *mut c_char, key: &[u8; 4 * WORDS]) {
    // SAFETY: passed on; the key has so many words.
    unsafe { z85::write(dest, key.as_ptr().cast(), WORDS) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_curve_keypair(
    z85_public_key: *mut c_char,
    z85_secret_key: *mut c_char,
) -> c_int {
    boundary::int(|| {
        if z85_public_key.is_null() || z85_secret_key.is_null() {
            return Err(errno::EFAULT);
        }
        let pair = KeyPair::generate().map_err(|_| errno::EIO)?;
        // SAFETY: the caller's word: 41 bytes each.
        unsafe {
            write(z85_public_key, pair.public());
            write(z85_secret_key, pair.secret());
        }
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_curve_public(
    z85_public_key: *mut c_char,
    z85_secret_key: *const c_char,
) -> c_int {
    boundary::int(|| {
        if z85_public_key.is_null() {
            return Err(errno::EFAULT);
        }
        // SAFETY: the caller's word.
        let text = unsafe { z85::text(z85_secret_key) }?;
        let words = Zeroizing::new(z85::decode::<WORDS>(text).ok_or(errno::EINVAL)?);
        let secret = words.as_flattened().try_into().map_err(|_| errno::EINVAL)?;
        // SAFETY: as above: 41 bytes.
        unsafe { write(z85_public_key, KeyPair::from_secret(secret).public()) };
        Ok(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use std::ffi::CStr;
    use std::ptr;

    const TEXT: usize = 41;

    fn keypair() -> ([u8; TEXT], [u8; TEXT]) {
        let (mut public, mut secret) = ([1; TEXT], [1; TEXT]);
        // SAFETY: room enough.
        let code =
            unsafe { zmq_curve_keypair(public.as_mut_ptr().cast(), secret.as_mut_ptr().cast()) };
        assert_eq!(code, 0);
        (public, secret)
    }

    fn public_of(secret: &CStr) -> Result<[u8; TEXT], c_int> {
        let mut public = [1; TEXT];
        // SAFETY: room enough.
        match unsafe { zmq_curve_public(public.as_mut_ptr().cast(), secret.as_ptr()) } {
            0 => Ok(public),
            _ => Err(errno::get()),
        }
    }

    #[test]
    fn every_pair_is_another_and_libzmq_derives_the_same_public_key() {
        type Public = unsafe extern "C" fn(*mut c_char, *const c_char) -> c_int;
        // SAFETY: as zmq.h declares it.
        let theirs = unsafe { reference::library().get::<Public>(b"zmq_curve_public") }.unwrap();
        let mut last = [0; TEXT];
        for _ in 0..50 {
            let (public, secret) = keypair();
            assert_ne!(secret, last);
            last = secret;
            let secret = CStr::from_bytes_with_nul(&secret).unwrap();
            assert_eq!(public_of(secret), Ok(public));
            let mut derived = [1_u8; TEXT];
            // SAFETY: room enough.
            unsafe { theirs(derived.as_mut_ptr().cast(), secret.as_ptr()) };
            assert_eq!(derived, public);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = c"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7rq:rM";
        let wrong = c"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf~";
        for text in [c"", c"abcde", long, wrong] {
            assert_eq!(public_of(text), Err(libc::EINVAL), "{text:?}");
        }
        let null = ptr::null_mut();
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!((zmq_curve_keypair(null, null), errno::get()), (-1, libc::EFAULT));
            assert_eq!((zmq_curve_public(null, null), errno::get()), (-1, libc::EFAULT));
        }
    }
}

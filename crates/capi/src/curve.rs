//! `zmq_curve_*`: keys for CURVE, which are keys of X25519 (RFC 7748) in Z85.

use curve25519_dalek::MontgomeryPoint;
use libc::{c_char, c_int};
use zeroize::Zeroizing;

use crate::boundary;
use crate::errno::{self, Errno};
use crate::z85;

/// How many words of four bytes a key has.
const WORDS: usize = 8;

type Key = [[u8; 4]; WORDS];

/// "Computation of an ephemeral public key": the multiple of the base point.
fn public(secret: &Key) -> Key {
    let mut scalar = Zeroizing::new([0; 4 * WORDS]);
    scalar.copy_from_slice(secret.as_flattened());
    let point = MontgomeryPoint::mul_base_clamped(*scalar).to_bytes();
    let mut public = Key::default();
    public.as_flattened_mut().copy_from_slice(&point);
    public
}

/// Fills a key with random bytes; there is no other source of them than the system.
fn fill(key: &mut Key) -> Result<(), Errno> {
    let bytes = key.as_flattened_mut();
    loop {
        // SAFETY: writes at most these bytes.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        // So few bytes come together or not at all: see getrandom(2).
        match usize::try_from(got) {
            Ok(got) if got == bytes.len() => return Ok(()),
            Err(_) if errno::get() == libc::EINTR => {}
            Ok(_) | Err(_) => return Err(Errno(libc::EIO)),
        }
    }
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
        let mut secret = Zeroizing::new(Key::default());
        fill(&mut secret)?;
        // SAFETY: the caller's word: 41 bytes each.
        unsafe {
            z85::write(z85_public_key, public(&secret).as_ptr(), WORDS);
            z85::write(z85_secret_key, secret.as_ptr(), WORDS);
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
        let secret = Zeroizing::new(z85::decode::<WORDS>(text).ok_or(errno::EINVAL)?);
        // SAFETY: as above: 41 bytes.
        unsafe { z85::write(z85_public_key, public(&secret).as_ptr(), WORDS) };
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
    fn the_test_vector_of_the_rfc() {
        // RFC 7748, 6.1: Alice's keys.
        let alice = [
            0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2,
            0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5,
            0x1d, 0xb9, 0x2c, 0x2a,
        ];
        let expected = [
            0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e,
            0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e,
            0xaa, 0x9b, 0x4e, 0x6a,
        ];
        let mut secret = Key::default();
        secret.as_flattened_mut().copy_from_slice(&alice);
        assert_eq!(public(&secret).as_flattened(), expected);
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

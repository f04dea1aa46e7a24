//! NaCl's `crypto_box` and `crypto_secretbox`, of X25519, HSalsa20, Salsa20 and Poly1305.
//!
//! NaCl puts a box together from a key and a nonce of 24 octets: HSalsa20 makes a key of the first
//! 16 of them, and Salsa20 runs with that and the last 8. Here the two steps are apart, for traffic
//! does the first one once: [`BoxKey::stream`] and [`StreamKey::seal`].

use std::fmt;

use curve25519_dalek::MontgomeryPoint;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use salsa20::Salsa20;
use salsa20::cipher::consts::U10;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Octets in a key, public or secret.
pub const KEY_BYTES: usize = 32;
/// By how many octets a box is longer than what is in it: those of its tag, in front.
pub const TAG_BYTES: usize = 16;

/// A secret of 32 octets: wiped when it is dropped, never printed, compared in constant time. It stays
/// where it is made, on the heap: what moves, from state to state, is a pointer.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Box<Zeroizing<[u8; KEY_BYTES]>>);

        impl $name {
            pub fn new(octets: &[u8; KEY_BYTES]) -> $name {
                $name::filled(|secret| secret.copy_from_slice(octets))
            }

            /// One that `fill` writes.
            pub fn filled(fill: impl FnOnce(&mut [u8])) -> $name {
                let mut secret = Box::new(Zeroizing::new([0; KEY_BYTES]));
                fill(&mut secret[..]);
                $name(secret)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret! {
    /// The secret half of a key pair.
    SecretKey
}

secret! {
    /// What two ends share, by [agreement](SecretKey::agree) or otherwise: the key of boxes.
    BoxKey
}

secret! {
    /// The key of those boxes whose nonces begin alike.
    StreamKey
}

impl SecretKey {
    /// The public half.
    pub fn public(&self) -> [u8; KEY_BYTES] {
        MontgomeryPoint::mul_base_clamped(**self.0).to_bytes()
    }

    /// The key of boxes between this end and the owner of `public`.
    ///
    /// `None` if `public` is one of the few points that make the same of every secret: such a key is
    /// nobody's.
    pub fn agree(&self, public: &[u8; KEY_BYTES]) -> Option<BoxKey> {
        let shared = Zeroizing::new(MontgomeryPoint(*public).mul_clamped(**self.0).to_bytes());
        if bool::from(shared.ct_eq(&[0; KEY_BYTES])) {
            return None;
        }
        Some(BoxKey::new(&hsalsa20(&shared, &[0; 16])))
    }

    pub fn octets(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl BoxKey {
    /// The key of the boxes whose nonces begin with `prefix`.
    pub fn stream(&self, prefix: &[u8; 16]) -> StreamKey {
        StreamKey::new(&hsalsa20(&self.0, prefix))
    }

    /// Makes a box.
    pub fn seal(&self, nonce: &Nonce, plain: &[&[u8]]) -> Vec<u8> {
        let length = TAG_BYTES + plain.iter().map(|part| part.len()).sum::<usize>();
        // Not one reallocation, for it would leave a copy behind.
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&[0; TAG_BYTES]);
        for part in plain {
            out.extend_from_slice(part);
        }
        self.stream(&nonce.prefix).seal(&nonce.rest, &mut out);
        out
    }

    /// What is in a box; `None` if it was not made with this key and this nonce.
    pub fn open(&self, nonce: &Nonce, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(Vec::with_capacity(sealed.len()));
        self.stream(&nonce.prefix).open::<0>(&nonce.rest, sealed, &mut out)?;
        Some(out)
    }
}

/// What makes a box differ from all others of its key.
#[derive(Debug, Clone, Copy)]
pub struct Nonce {
    prefix: [u8; 16],
    rest: [u8; 8],
}

impl Nonce {
    /// A short nonce: a counter, behind the name of a command.
    pub fn short(prefix: &[u8; 16], counter: [u8; 8]) -> Nonce {
        Nonce { prefix: *prefix, rest: counter }
    }

    /// A long nonce: random octets, behind the name of what is in the box.
    pub fn long(name: &[u8; 8], random: &[u8; 16]) -> Nonce {
        let mut nonce = Nonce { prefix: [0; 16], rest: [0; 8] };
        let octets = name.iter().chain(random);
        for (slot, octet) in nonce.prefix.iter_mut().chain(&mut nonce.rest).zip(octets) {
            *slot = *octet;
        }
        nonce
    }
}

impl StreamKey {
    /// Makes a box of `sealed`, in place: the first 16 octets get the tag, those behind them are
    /// encrypted.
    pub fn seal(&self, nonce: &[u8; 8], sealed: &mut [u8]) {
        let Some((tag, text)) = sealed.split_first_chunk_mut::<TAG_BYTES>() else { return };
        let (mut cipher, authenticator) = self.start(nonce);
        cipher.apply_keystream(text);
        *tag = authenticate(authenticator, text);
    }

    /// Takes the first `HEAD` octets of what is in a box, and appends the others; `None`, and nothing
    /// appended, if there are fewer or if the box was not made with this key and this nonce.
    pub fn open<const HEAD: usize>(
        &self,
        nonce: &[u8; 8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<[u8; HEAD]> {
        let (tag, text) = sealed.split_first_chunk::<TAG_BYTES>()?;
        let (head, rest) = text.split_first_chunk::<HEAD>()?;
        let (mut cipher, authenticator) = self.start(nonce);
        if !bool::from(authenticate(authenticator, text).ct_eq(tag)) {
            return None;
        }
        let mut head = *head;
        cipher.apply_keystream(&mut head);
        let start = out.len();
        out.extend_from_slice(rest);
        cipher.apply_keystream(out.get_mut(start..).unwrap_or_default());
        Some(head)
    }

    /// The key stream: its first 32 octets are the authenticator's key, the others are for the text.
    fn start(&self, nonce: &[u8; 8]) -> (Salsa20, Poly1305) {
        let mut cipher = Salsa20::new((&**self.0).into(), nonce.into());
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        cipher.apply_keystream(&mut *key);
        (cipher, Poly1305::new((&*key).into()))
    }
}

fn authenticate(mut authenticator: Poly1305, text: &[u8]) -> [u8; TAG_BYTES] {
    let (blocks, rest) = poly1305::Block::slice_as_chunks(text);
    authenticator.update(blocks);
    authenticator.compute_unpadded(rest).into()
}

fn hsalsa20(key: &[u8; KEY_BYTES], input: &[u8; 16]) -> Zeroizing<[u8; KEY_BYTES]> {
    Zeroizing::new(salsa20::hsalsa::<U10>(key.into(), input.into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of "Cryptography in NaCl" (D. J. Bernstein, 2009), sections 5, 8 and 10.
    mod nacl {
        pub const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
        pub const ALICE_PUBLIC: &str =
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        pub const BOB: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
        pub const BOB_PUBLIC: &str =
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        pub const FIRST_KEY: &str =
            "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389";
        pub const SECOND_KEY: &str =
            "dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4";
        pub const NONCE: &str = "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37";
        pub const MESSAGE: &str = "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc\
            e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31\
            0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde\
            048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864\
            5e0705";
        pub const BOX: &str = "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce\
            48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c972\
            71d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae\
            90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b3\
            7973f622a43d14a6599b1f654cb45a74e355a5";
    }

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        assert_eq!(text.len(), 2 * N);
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    fn nonce() -> Nonce {
        let octets: [u8; 24] = hex(nacl::NONCE);
        Nonce::short(octets.first_chunk().unwrap(), *octets.last_chunk().unwrap())
    }

    #[test]
    fn keys_agree_as_in_nacl() {
        let (alice, bob) = (SecretKey::new(&hex(nacl::ALICE)), SecretKey::new(&hex(nacl::BOB)));
        assert_eq!(alice.public(), hex(nacl::ALICE_PUBLIC));
        assert_eq!(bob.public(), hex(nacl::BOB_PUBLIC));
        for key in [alice.agree(&bob.public()), bob.agree(&alice.public())] {
            let key = key.unwrap();
            assert_eq!(**key.0, hex(nacl::FIRST_KEY));
            assert_eq!(**key.stream(&nonce().prefix).0, hex(nacl::SECOND_KEY));
        }
    }

    #[test]
    fn boxes_are_those_of_nacl() {
        let key = BoxKey::new(&hex(nacl::FIRST_KEY));
        let (message, golden) = (hex::<131>(nacl::MESSAGE), hex::<147>(nacl::BOX));
        let (front, back) = message.split_at(50);
        assert_eq!(key.seal(&nonce(), &[front, back]), golden);
        assert_eq!(*key.open(&nonce(), &golden).unwrap(), message);
        // A long nonce is the same thing, cut elsewhere.
        let octets: [u8; 24] = hex(nacl::NONCE);
        let long = Nonce::long(octets.first_chunk().unwrap(), octets.last_chunk().unwrap());
        assert_eq!(key.seal(&long, &[&message]), golden);
    }

    #[test]
    fn a_box_of_any_length_opens_unless_something_was_changed() {
        let key = BoxKey::new(&[5; KEY_BYTES]);
        let stream = key.stream(&[6; 16]);
        for length in (0..200).chain([255, 256, 257, 1023, 1024, 1025, 5000]) {
            let text: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            let mut sealed = vec![0; TAG_BYTES];
            sealed.extend(&text);
            stream.seal(&[7; 8], &mut sealed);
            let mut out = b"kept".to_vec();
            if length > 0 {
                assert_eq!(stream.open(&[7; 8], &sealed, &mut out), Some([0]), "{length}");
                assert_eq!((&out[..4], &out[4..]), (&b"kept"[..], &text[1..]), "{length}");
            }
            out.truncate(4);
            assert_eq!(stream.open(&[7; 8], &sealed, &mut out), Some([]));
            assert_eq!(out[4..], text);

            out.truncate(4);
            for at in (0..sealed.len()).step_by(1 + length / 50) {
                sealed[at] ^= 1 << (at % 8);
                assert_eq!(stream.open::<0>(&[7; 8], &sealed, &mut out), None, "{length}, {at}");
                sealed[at] ^= 1 << (at % 8);
            }
            for other in [&sealed[1..], &sealed[..sealed.len() - 1], &[&sealed[..], &[0]].concat()]
            {
                assert_eq!(stream.open::<0>(&[7; 8], other, &mut out), None);
            }
            assert_eq!(stream.open::<0>(&[8; 8], &sealed, &mut out), None);
            assert_eq!(key.stream(&[7; 16]).open::<0>(&[7; 8], &sealed, &mut out), None);
            assert_eq!(out, b"kept");
        }
    }

    #[test]
    fn a_box_shorter_than_its_head_does_not_open() {
        let stream = BoxKey::new(&[5; KEY_BYTES]).stream(&[6; 16]);
        let mut sealed = vec![0; TAG_BYTES + 2];
        stream.seal(&[7; 8], &mut sealed);
        let mut out = Vec::new();
        assert_eq!(stream.open::<3>(&[7; 8], &sealed, &mut out), None);
        assert_eq!(stream.open(&[7; 8], &sealed, &mut out), Some([0, 0]));
        for length in 0..TAG_BYTES {
            assert_eq!(stream.open::<0>(&[7; 8], &sealed[..length], &mut out), None);
        }
        assert!(out.is_empty());
    }

    /// The points of small order, as X25519 reads them (RFC 7748, section 6.1: "the all-zero
    /// value"), on the curve and on its twist; some are written in more than one way.
    #[test]
    fn keys_that_are_nobodys_are_refused() {
        let secret = SecretKey::new(&hex(nacl::ALICE));
        let (p_low, p_high) = (0xed_u8, 0x7f_u8);
        let near_p = |offset: i8| {
            let mut octets = [0xff; KEY_BYTES];
            octets[0] = p_low.wrapping_add_signed(offset);
            octets[KEY_BYTES - 1] = p_high;
            octets
        };
        let small = |first: u8| {
            let mut octets = [0; KEY_BYTES];
            octets[0] = first;
            octets
        };
        let of_order_8 = [
            hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        ];
        let mut points = vec![small(0), small(1), near_p(-1), near_p(0), near_p(1)];
        points.extend(of_order_8);
        for mut point in points {
            assert!(secret.agree(&point).is_none(), "{point:x?}");
            // The highest bit is not looked at.
            point[KEY_BYTES - 1] |= 0x80;
            assert!(secret.agree(&point).is_none(), "{point:x?}");
        }
        assert!(secret.agree(&small(9)).is_some());
    }

    #[test]
    fn secrets_are_not_printed() {
        let key = BoxKey::new(&[0xAB; KEY_BYTES]);
        let text =
            format!("{:?} {:?} {:?}", SecretKey::new(&[0xAB; 32]), key, key.stream(&[0; 16]));
        assert_eq!(text, "SecretKey(..) BoxKey(..) StreamKey(..)");
    }
}

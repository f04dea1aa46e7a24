//! Z85: four bytes as five characters that can stand in any program's source ([RFC 32]). Keys of CURVE
//! are written so: 32 bytes as 40 characters.
//!
//! ```
//! use oxmq::z85;
//! let bytes = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B];
//! assert_eq!(z85::encode(&bytes).as_deref(), Some("HelloWorld"));
//! assert_eq!(z85::decode("HelloWorld").as_deref(), Some(&bytes[..]));
//! assert_eq!(z85::decode("Hello"), Some(vec![0x86, 0x4F, 0xD2, 0x6F]));
//! assert_eq!(z85::decode("\"ello"), None);
//! ```
//!
//! [RFC 32]: https://rfc.zeromq.org/spec/32/

/// "The Z85 encoding and decoding alphabet" of RFC 32: a digit's character is at its value.
const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// A character's value, or [`NONE`].
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NONE: u8 = u8::MAX;

/// The text of `bytes`; `None` unless there is a multiple of four of them.
pub fn encode(bytes: &[u8]) -> Option<String> {
    let (words, rest) = bytes.as_chunks::<4>();
    let digits = words.iter().flat_map(|word| encode_word(*word));
    rest.is_empty().then(|| digits.map(char::from).collect())
}

/// The bytes that `text` stands for; `None` if it is no Z85: a length that is no multiple of five, a
/// character that is not of the alphabet, or five that stand for more than four bytes hold.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (words, rest) = text.as_bytes().as_chunks::<5>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(4 * words.len());
    for digits in words {
        bytes.extend(decode_word(*digits)?);
    }
    Some(bytes)
}

/// The text of four bytes.
pub fn encode_word(word: [u8; 4]) -> [u8; 5] {
    let mut rest = u32::from_be_bytes(word);
    let mut digits = [0; 5];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 85) as usize];
        rest /= 85;
    }
    digits
}

/// The four bytes that five characters stand for. `None`: a character is not of the alphabet, or they
/// stand for more than four bytes hold.
pub fn decode_word(digits: [u8; 5]) -> Option<[u8; 4]> {
    let word = digits.iter().try_fold(0_u64, |word, &digit| match VALUES[usize::from(digit)] {
        NONE => None,
        value => Some(word * 85 + u64::from(value)),
    })?;
    Some(u32::try_from(word).ok()?.to_be_bytes())
}

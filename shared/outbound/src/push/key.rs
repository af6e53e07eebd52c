//! P-256 keys, made of chance that is given.

use p256::SecretKey;
use sha2::{Digest as _, Sha256};

/// The private key that these bytes are; or, for the one in 2³² that is none (zero, or not below the curve's order),
/// that their hash is.
pub(crate) fn secret_key(mut random: [u8; 32]) -> SecretKey {
    loop {
        match SecretKey::from_slice(&random) {
            Ok(key) => return key,
            Err(_) => random = Sha256::digest(random).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_key_and_those_that_are_none_are_hashed() {
        assert_eq!(secret_key([7; 32]).to_bytes()[..], [7; 32]);
        // The curve's order, and one less.
        let order = *b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
        let mut below = order;
        below[31] -= 1;
        assert_eq!(secret_key(below).to_bytes()[..], below);
        for none in [[0; 32], [0xff; 32], order] {
            assert_eq!(secret_key(none).to_bytes()[..], Sha256::digest(none)[..]);
        }
    }
}

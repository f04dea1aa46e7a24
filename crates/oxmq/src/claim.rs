//! Saying of a thing that it is in use, for next to nothing.
//!
//! Whoever frees what other threads may be using must know that none does. A count of users costs
//! each use two instructions that wait for memory; a claim is one store, into what is known of the
//! thread ([`asymmetric`]), and the dear side is left to who frees.
//!
//! ```text
//!   user                                who frees
//!   claim = address                     take the thing away (others find nothing any more)
//!   light fence                         heavy fence
//!   still there? then it may be used    does any thread claim the address? then later
//! ```

use crate::asymmetric::{self, ThisThread};
use crate::sync::Ordering;

/// The calling thread's word that it uses something; taken back when dropped.
pub struct Claim {
    thread: &'static ThisThread,
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Claim {
    /// Claims `address`, which is not 0. `None`: the thread claims something already, or cannot
    /// claim at all; then users are to be counted.
    #[inline]
    pub fn new(address: usize) -> Option<Claim> {
        let thread = asymmetric::me()?;
        // Relaxed: only the thread itself writes it.
        if thread.claims.load(Ordering::Relaxed) != 0 {
            return None;
        }
        // Release: pairs with the Acquire of `is_claimed`, which may see that the thread has gone on
        // to claim something else, and so what it did before.
        thread.claims.store(address, Ordering::Release);
        asymmetric::light();
        Some(Claim { thread, _not_send: std::marker::PhantomData })
    }
}

impl Drop for Claim {
    #[inline]
    fn drop(&mut self) {
        // Release: as above.
        self.thread.claims.store(0, Ordering::Release);
        asymmetric::light();
    }
}

/// Whether any thread claims `address`, of which nobody who claims it from now on finds anything.
#[cold]
pub fn is_claimed(address: usize) -> bool {
    asymmetric::heavy();
    asymmetric::threads().any(|thread| thread.claims.load(Ordering::Acquire) == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_lasts_until_it_is_dropped() {
        let (one, other) = (0x1000, 0x2000);
        let claim = Claim::new(one).unwrap();
        assert!(is_claimed(one) && !is_claimed(other));
        assert!(Claim::new(other).is_none(), "one at a time");
        std::thread::spawn(move || {
            assert!(is_claimed(one), "another thread's");
            let _claim = Claim::new(other).unwrap();
            assert!(is_claimed(other));
        })
        .join()
        .unwrap();
        assert!(!is_claimed(other));
        drop(claim);
        assert!(!is_claimed(one));
    }
}

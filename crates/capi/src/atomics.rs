//! `zmq_atomic_counter_*`: counters that threads share.

use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, c_void};

use crate::boundary;
use crate::errno::{self, Errno};
use crate::handle::{self, KIND_MIN, Object};

/// Counts references, like as not: who brings it to zero sees what the others did before.
struct Counter(AtomicI32);

impl Object for Counter {
    const KIND: u32 = KIND_MIN + 5;
    const INVALID: Errno = errno::EFAULT;
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_atomic_counter_new() -> *mut c_void {
    boundary::pointer(|| handle::open(Counter(AtomicI32::new(0))))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_atomic_counter_set(counter: *mut c_void, value: c_int) {
    boundary::or((), || {
        handle::get::<Counter>(counter)?.0.store(value, Ordering::SeqCst);
        Ok(())
    });
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_atomic_counter_inc(counter: *mut c_void) -> c_int {
    boundary::or(0, || Ok(handle::get::<Counter>(counter)?.0.fetch_add(1, Ordering::SeqCst)))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_atomic_counter_dec(counter: *mut c_void) -> c_int {
    boundary::or(0, || {
        let before = handle::get::<Counter>(counter)?.0.fetch_sub(1, Ordering::SeqCst);
        Ok(if cfg!(oxmq_mutation = "capi_dec_says_what_was") {
            before
        } else {
            c_int::from(before != 1)
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_atomic_counter_value(counter: *mut c_void) -> c_int {
    boundary::or(0, || Ok(handle::get::<Counter>(counter)?.0.load(Ordering::SeqCst)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_atomic_counter_destroy(counter_p: *mut *mut c_void) {
    boundary::or((), || {
        // SAFETY: the caller's word, but for NULL.
        let counter = unsafe { boundary::place(counter_p) }?;
        handle::close::<Counter>(*counter)?;
        *counter = std::ptr::null_mut();
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_counts_what_all_threads_do() {
        let mut counter = zmq_atomic_counter_new();
        let word = counter.addr();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        zmq_atomic_counter_inc(std::ptr::without_provenance_mut(word));
                    }
                });
            }
        });
        assert_eq!(zmq_atomic_counter_value(counter), 4000);
        zmq_atomic_counter_set(counter, 2);
        assert_eq!(zmq_atomic_counter_inc(counter), 2);
        let left: Vec<_> = (0..4).map(|_| zmq_atomic_counter_dec(counter)).collect();
        assert_eq!(left, [1, 1, 0, 1]);
        assert_eq!(zmq_atomic_counter_value(counter), -1);
        // SAFETY: a local.
        unsafe { zmq_atomic_counter_destroy(&mut counter) };
        assert!(counter.is_null());
    }

    #[test]
    fn what_is_no_counter_counts_nothing() {
        let mut foreign = [0_u64; 8];
        for handle in [std::ptr::null_mut(), foreign.as_mut_ptr().cast()] {
            zmq_atomic_counter_set(handle, 7);
            assert_eq!((zmq_atomic_counter_inc(handle), errno::get()), (0, libc::EFAULT));
            // SAFETY: a local.
            unsafe { zmq_atomic_counter_destroy(&mut handle.clone()) };
        }
        assert_eq!(foreign, [0; 8]);
    }
}

//! `zmq_timers_*`: handlers called at intervals, when the caller says so.

use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use libc::{c_int, c_long, c_void};

use crate::boundary;
use crate::errno::{self, Errno};
use crate::handle::{self, Held, KIND_MIN, Object};

type Handler = unsafe extern "C" fn(c_int, *mut c_void);

/// A set of timers. Handlers run with no lock held, so that they may do anything with the set.
struct Timers {
    set: Mutex<Set>,
    /// Milliseconds count from here.
    start: Instant,
}

impl Object for Timers {
    const KIND: u32 = KIND_MIN + 4;
    const INVALID: Errno = errno::EFAULT;
}

#[derive(Default)]
struct Set {
    timers: Vec<Timer>,
    last_id: c_int,
    /// Tells apart the times that a timer was set to.
    settings: u64,
}

#[derive(Clone, Copy)]
struct Timer {
    id: c_int,
    interval_ms: u64,
    due_ms: u64,
    /// Of those due at once, what was set first comes first.
    setting: u64,
    handler: Handler,
    arg: *mut c_void,
}

// SAFETY: `arg` is the caller's, who chooses the thread that runs the handler.
unsafe impl Send for Timer {}

impl Timers {
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whole milliseconds, so that whoever sleeps for the timeout finds the timer due.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Calls the handlers of all that are due now, those alone that a handler makes due come later.
    fn execute(&self) {
        let now_ms = self.now_ms();
        let due = self.set().due(now_ms);
        for Timer { id, setting, handler, arg, .. } in due {
            if !self.set().is_set(id, setting) {
                continue;
            }
            // SAFETY: the caller's word.
            unsafe { handler(id, arg) };
            self.set().repeat(id, setting, now_ms);
        }
    }
}

impl Set {
    fn add(&mut self, interval_ms: u64, now_ms: u64, handler: Handler, arg: *mut c_void) -> c_int {
        // Past the last number the first ones have long been cancelled.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let id = self.last_id;
        self.timers.push(Timer { id, interval_ms, due_ms: 0, setting: 0, handler, arg });
        self.restart(id, None, now_ms);
        id
    }

    fn cancel(&mut self, id: c_int) -> Result<(), Errno> {
        let index = self.timers.iter().position(|timer| timer.id == id).ok_or(errno::EINVAL)?;
        self.timers.remove(index);
        Ok(())
    }

    /// Sets a timer to an interval, another or its own, from now on.
    fn restart(&mut self, id: c_int, interval_ms: Option<u64>, now_ms: u64) -> Option<()> {
        self.settings += 1;
        let timer = self.timers.iter_mut().find(|timer| timer.id == id)?;
        timer.interval_ms = interval_ms.unwrap_or(timer.interval_ms);
        timer.due_ms = now_ms.saturating_add(timer.interval_ms);
        timer.setting = self.settings;
        Some(())
    }

    /// Whether nobody has cancelled the timer since, or set it anew.
    fn is_set(&self, id: c_int, setting: u64) -> bool {
        self.timers.iter().any(|timer| timer.id == id && timer.setting == setting)
    }

    fn repeat(&mut self, id: c_int, setting: u64, now_ms: u64) {
        if self.is_set(id, setting) {
            self.restart(id, None, now_ms);
        }
    }

    fn due(&self, now_ms: u64) -> Vec<Timer> {
        let mut due: Vec<_> =
            self.timers.iter().filter(|timer| timer.due_ms <= now_ms).copied().collect();
        if !cfg!(oxmq_mutation = "capi_timers_as_added") {
            due.sort_by_key(|timer| (timer.due_ms, timer.setting));
        }
        due
    }

    fn timeout(&self, now_ms: u64) -> c_long {
        let Some(due_ms) = self.timers.iter().map(|timer| timer.due_ms).min() else { return -1 };
        c_long::try_from(due_ms.saturating_sub(now_ms)).unwrap_or(c_long::MAX)
    }
}

fn get(timers: *mut c_void) -> Result<Held<Timers>, Errno> {
    handle::get(timers)
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_timers_new() -> *mut c_void {
    boundary::pointer(|| handle::open(Timers { set: Mutex::default(), start: Instant::now() }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_timers_destroy(timers_p: *mut *mut c_void) -> c_int {
    boundary::int(|| {
        // SAFETY: the caller's word, but for NULL.
        let timers = unsafe { boundary::place(timers_p) }?;
        // An execute() whose handler this is has no more to call.
        handle::close::<Timers>(*timers)?.set().timers.clear();
        *timers = ptr::null_mut();
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_timers_add(
    timers: *mut c_void,
    interval: usize,
    handler: Option<Handler>,
    arg: *mut c_void,
) -> c_int {
    boundary::int(|| {
        let timers = get(timers)?;
        let handler = handler.ok_or(errno::EFAULT)?;
        let now_ms = timers.now_ms();
        Ok(timers.set().add(interval as u64, now_ms, handler, arg))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_timers_cancel(timers: *mut c_void, timer_id: c_int) -> c_int {
    boundary::int(|| get(timers)?.set().cancel(timer_id).map(|()| 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_timers_set_interval(
    timers: *mut c_void,
    timer_id: c_int,
    interval: usize,
) -> c_int {
    boundary::int(|| restart(timers, timer_id, Some(interval as u64)))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_timers_reset(timers: *mut c_void, timer_id: c_int) -> c_int {
    boundary::int(|| restart(timers, timer_id, None))
}

fn restart(timers: *mut c_void, id: c_int, interval_ms: Option<u64>) -> Result<c_int, Errno> {
    let timers = get(timers)?;
    let now_ms = timers.now_ms();
    timers.set().restart(id, interval_ms, now_ms).ok_or(errno::EINVAL)?;
    Ok(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_timers_timeout(timers: *mut c_void) -> c_long {
    boundary::or(-1, || {
        let timers = get(timers)?;
        let now_ms = timers.now_ms();
        Ok(timers.set().timeout(now_ms))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_timers_execute(timers: *mut c_void) -> c_int {
    boundary::int(|| {
        get(timers)?.execute();
        Ok(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::time::Duration;

    /// What handlers see: the set, what they have done so far, and what the next is to do.
    struct Scene {
        timers: *mut c_void,
        called: RefCell<Vec<c_int>>,
        then: fn(&Scene, c_int),
    }

    impl Scene {
        fn new(then: fn(&Scene, c_int)) -> Box<Scene> {
            Box::new(Scene { timers: zmq_timers_new(), called: RefCell::default(), then })
        }

        fn add(&self, interval: usize) -> c_int {
            let arg = ptr::from_ref(self).cast_mut().cast();
            // SAFETY: `handler` takes a scene, which outlives its timers.
            unsafe { zmq_timers_add(self.timers, interval, Some(handler), arg) }
        }

        /// Executes; which handlers were called.
        fn execute(&self) -> Vec<c_int> {
            zmq_timers_execute(self.timers);
            self.called.take()
        }

        fn is_over(&self) -> bool {
            zmq_timers_timeout(self.timers) == -1
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            // SAFETY: its own handle.
            unsafe { zmq_timers_destroy(&mut self.timers) };
        }
    }

    unsafe extern "C" fn handler(id: c_int, arg: *mut c_void) {
        // SAFETY: `Scene::add` gave it.
        let scene = unsafe { &*arg.cast::<Scene>() };
        scene.called.borrow_mut().push(id);
        (scene.then)(scene, id);
    }

    /// Longer than any test takes.
    const LATER_MS: usize = 3_600_000;

    #[test]
    fn timers_that_are_due_are_called_in_turn_and_repeat() {
        let scene = Scene::new(|_, _| {});
        assert!(scene.is_over());
        let (first, second, late) = (scene.add(0), scene.add(0), scene.add(LATER_MS));
        assert_eq!((first, second, late), (1, 2, 3));
        assert_eq!(zmq_timers_timeout(scene.timers), 0);
        assert_eq!(scene.execute(), [1, 2]);
        assert_eq!(scene.execute(), [1, 2]);
        zmq_timers_set_interval(scene.timers, first, LATER_MS);
        assert_eq!(scene.execute(), [2]);
        assert_eq!(zmq_timers_cancel(scene.timers, second), 0);
        assert_eq!(scene.execute(), []);
        let left = zmq_timers_timeout(scene.timers) as usize;
        assert!(left > LATER_MS / 2 && left <= LATER_MS, "{left}");
    }

    #[test]
    fn who_sleeps_for_the_timeout_finds_the_timer_due() {
        let scene = Scene::new(|_, _| {});
        for _ in 0..20 {
            let id = scene.add(3);
            std::thread::sleep(Duration::from_millis(zmq_timers_timeout(scene.timers) as u64));
            assert_eq!(scene.execute(), [id]);
            zmq_timers_cancel(scene.timers, id);
        }
    }

    #[test]
    fn a_handler_may_cancel_its_timer_and_others() {
        let scene = Scene::new(|scene, id| {
            assert_eq!(zmq_timers_cancel(scene.timers, id), 0);
            zmq_timers_cancel(scene.timers, 2);
        });
        (0..3).for_each(|_| {
            scene.add(0);
        });
        assert_eq!(scene.execute(), [1, 3]);
        assert!(scene.is_over());
    }

    #[test]
    fn what_a_handler_adds_or_sets_anew_is_not_due_in_the_same_turn() {
        let scene = Scene::new(|scene, id| {
            scene.add(0);
            if id == 1 {
                zmq_timers_set_interval(scene.timers, 1, LATER_MS);
                zmq_timers_reset(scene.timers, 2);
            }
        });
        (0..2).for_each(|_| {
            scene.add(0);
        });
        assert_eq!(scene.execute(), [1]);
        assert_eq!(scene.execute(), [3, 2]);
    }

    #[test]
    fn a_handler_may_destroy_the_set() {
        let scene = Scene::new(|scene, _| {
            // SAFETY: a local.
            assert_eq!(unsafe { zmq_timers_destroy(&mut scene.timers.clone()) }, 0);
        });
        (0..2).for_each(|_| {
            scene.add(0);
        });
        assert_eq!(scene.execute(), [1]);
        assert_eq!((zmq_timers_execute(scene.timers), errno::get()), (-1, libc::EFAULT));
    }

    #[test]
    fn errors() {
        let scene = Scene::new(|_, _| {});
        let timers = scene.timers;
        let id = scene.add(usize::MAX);
        assert_eq!(zmq_timers_timeout(timers), c_long::MAX);
        zmq_timers_cancel(timers, id);
        let of = |code| (code, errno::get());
        for unknown in [id, 0, -1, 77] {
            assert_eq!(of(zmq_timers_cancel(timers, unknown)), (-1, libc::EINVAL));
            assert_eq!(of(zmq_timers_reset(timers, unknown)), (-1, libc::EINVAL));
            assert_eq!(of(zmq_timers_set_interval(timers, unknown, 1)), (-1, libc::EINVAL));
        }
        // SAFETY: NULL is allowed everywhere.
        let (add, destroy) = unsafe {
            let null = ptr::null_mut();
            (zmq_timers_add(timers, 1, None, null), zmq_timers_destroy(ptr::null_mut()))
        };
        assert_eq!((add, of(destroy)), (-1, (-1, libc::EFAULT)));
        assert_eq!(of(zmq_timers_execute(ptr::null_mut())), (-1, libc::EFAULT));
        assert_eq!(zmq_timers_timeout(ptr::null_mut()), -1);
    }
}

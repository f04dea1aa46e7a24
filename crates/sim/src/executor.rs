//! Futures of many nodes on one thread. A future is polled only after its waker was called: a
//! forgotten wake-up leaves it asleep, and the run ends with somebody waiting.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Names a task for as long as the executor lives.
pub type TaskId = usize;

/// The tasks of all nodes.
#[derive(Default)]
pub struct Executor {
    tasks: Vec<Option<Task>>,
    timers: Timers,
}

struct Task {
    node: u32,
    name: String,
    /// Whether a run is not over before this task is.
    is_awaited: bool,
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets futures sleep in simulated time.
#[derive(Clone, Default)]
pub struct Timers(Rc<RefCell<Waiting>>);

#[derive(Default)]
struct Waiting {
    by_time: BTreeMap<(u64, u64), Waker>,
    last: u64,
}

impl Executor {
    /// What the futures sleep by.
    pub fn timers(&self) -> Timers {
        self.timers.clone()
    }

    /// Adds a task, which is polled soon.
    pub fn spawn(
        &mut self,
        node: u32,
        name: String,
        is_awaited: bool,
        future: impl Future<Output = ()> + 'static,
    ) -> TaskId {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.tasks.push(Some(Task { node, name, is_awaited, future: Box::pin(future), woken }));
        self.tasks.len() - 1
    }

    /// Those that were woken.
    pub fn woken(&self) -> Vec<TaskId> {
        let is_woken = |task: &Task| task.woken.0.load(Ordering::Relaxed);
        let tasks = self.tasks.iter().enumerate();
        tasks.filter(|(_, task)| task.as_ref().is_some_and(is_woken)).map(|(id, _)| id).collect()
    }

    /// The node of a task that is not over.
    pub fn node(&self, id: TaskId) -> Option<u32> {
        Some(self.tasks.get(id)?.as_ref()?.node)
    }

    /// Polls a task once.
    pub fn poll(&mut self, id: TaskId) {
        let Some(task) = &mut self.tasks[id] else { return };
        task.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.woken.clone());
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks[id] = None;
        }
    }

    /// Cancels a task.
    pub fn cancel(&mut self, id: TaskId) {
        self.tasks[id] = None;
    }

    /// The tasks of a node that are not over.
    pub fn of_node(&self, node: u32) -> Vec<TaskId> {
        (0..self.tasks.len()).filter(|&id| self.node(id) == Some(node)).collect()
    }

    /// The names of the awaited tasks that are not over.
    pub fn awaited(&self) -> Vec<&str> {
        let awaited = self.tasks.iter().flatten().filter(|task| task.is_awaited);
        awaited.map(|task| &task.name[..]).collect()
    }

    /// When the next sleeper wakes.
    pub fn next_timer(&self) -> Option<u64> {
        Some(self.timers.0.borrow().by_time.first_key_value()?.0.0)
    }

    /// Wakes whoever has slept long enough.
    pub fn wake_sleepers(&self, now: u64) {
        let mut waiting = self.timers.0.borrow_mut();
        while let Some(entry) = waiting.by_time.first_entry()
            && entry.key().0 <= now
        {
            entry.remove().wake();
        }
    }
}

impl Timers {
    /// Sleeps for so many nanoseconds of simulated time.
    pub fn sleep(&self, ns: u64) -> Sleep {
        Sleep { timers: self.clone(), until: oxmq::sim::now().saturating_add(ns) }
    }
}

/// Made by [`Timers::sleep`].
pub struct Sleep {
    timers: Timers,
    until: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if oxmq::sim::now() >= self.until {
            return Poll::Ready(());
        }
        // Polled again early, it waits twice; being woken twice is harmless.
        let mut waiting = self.timers.0.borrow_mut();
        waiting.last += 1;
        let key = (self.until, waiting.last);
        waiting.by_time.insert(key, context.waker().clone());
        Poll::Pending
    }
}

/// Gives the others a turn.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The first of the two that is ready: `Some` of the future's value, or `None` if the sleep is
/// over first; then the future is dropped unfinished.
pub async fn with_timeout<T>(sleep: Sleep, future: impl Future<Output = T>) -> Option<T> {
    with_moods(sleep, future, || false).await
}

/// As [`with_timeout`]; but whenever the task is woken and `gives_up`, the future is dropped at
/// once: perhaps after it was told that it could go on, and before it did.
pub async fn with_moods<T>(
    sleep: Sleep,
    future: impl Future<Output = T>,
    mut gives_up: impl FnMut() -> bool,
) -> Option<T> {
    let mut sleep = std::pin::pin!(sleep);
    let mut future = std::pin::pin!(future);
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if !std::mem::take(&mut is_first) && gives_up() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn tasks_run_when_woken_and_only_then() {
        oxmq::sim::new_world(1);
        let mut executor = Executor::default();
        let timers = executor.timers();
        let steps = Rc::new(Cell::new(0));
        let counter = steps.clone();
        let id = executor.spawn(3, "sleeper".into(), true, async move {
            yield_now().await;
            counter.set(1);
            timers.sleep(1000).await;
            counter.set(2);
            assert_eq!(with_timeout(timers.sleep(10), std::future::pending::<()>()).await, None);
            assert_eq!(with_timeout(timers.sleep(10), async { 5 }).await, Some(5));
            counter.set(3);
        });
        assert_eq!((executor.node(id), executor.of_node(3)), (Some(3), vec![id]));
        let mut run = || {
            while let Some(&id) = executor.woken().first() {
                executor.poll(id);
            }
            let at = executor.next_timer();
            if let Some(at) = at {
                oxmq::sim::advance_to(at);
                executor.wake_sleepers(at);
            }
            steps.get()
        };
        assert_eq!([run(), run(), run()], [1, 2, 3]);
        assert!(executor.awaited().is_empty() && executor.node(id).is_none());
    }
}

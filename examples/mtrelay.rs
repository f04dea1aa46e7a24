//! Threads that wait for one another: each step tells the next over a PAIR socket that it is ready.
//!
//! `mtrelay`

use std::thread;

use oxmq::{Context, Pair};
use oxmq_examples::{Outcome, run};

fn main() -> Outcome {
    run(|context| {
        // Bound before the step that connects to it is started.
        let from_step_2 = Pair::new(context)?;
        from_step_2.bind("inproc://step3")?;
        thread::scope(|scope| {
            let step_2 = scope.spawn(|| step_2(context));
            from_step_2.recv()?;
            println!("Step 3: all three are ready");
            step_2.join().expect("step 2 does not panic")
        })
    })
}

fn step_2(context: &Context) -> Outcome {
    let from_step_1 = Pair::new(context)?;
    from_step_1.bind("inproc://step2")?;
    thread::scope(|scope| {
        let step_1 = scope.spawn(|| step_1(context));
        from_step_1.recv()?;
        let to_step_3 = Pair::new(context)?;
        to_step_3.connect("inproc://step3")?;
        println!("Step 2: ready, tells step 3");
        to_step_3.send("READY")?;
        step_1.join().expect("step 1 does not panic")
    })
}

fn step_1(context: &Context) -> Outcome {
    let to_step_2 = Pair::new(context)?;
    to_step_2.connect("inproc://step2")?;
    println!("Step 1: ready, tells step 2");
    to_step_2.send("READY")?;
    Ok(())
}

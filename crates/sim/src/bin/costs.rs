//! Takes one of the paths of `oxmq_sim::costs`, and prints what it took: `costs PATH MESSAGES`.

#[cfg(oxmq_sim)]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, name, messages] = &args[..] else {
        for (name, _) in oxmq_sim::costs::PATHS {
            println!("{name}");
        }
        return;
    };
    let path = oxmq_sim::costs::PATHS.iter().find(|(path, _)| path == name).expect("a path");
    let messages = messages.parse().expect("a number of messages");
    let (messages, calls) = oxmq_sim::costs::pass(path.1, messages);
    println!("{messages} {calls}");
}

#[cfg(not(oxmq_sim))]
fn main() {}

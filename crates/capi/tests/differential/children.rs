//! The libraries run in processes of their own, which may crash or hang without harm.

use crate::api::Api;
use crate::generate;
use crate::replay::Replay;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Names the library, in the environment of a child.
const LIBRARY: &str = "OXMQ_DIFF_LIBRARY";
/// Longer than any call takes that comes back.
const HUNG: Duration = Duration::from_secs(60);

/// What a sequence gave.
pub struct Outcome {
    /// Of each call, and of the end.
    pub results: Vec<String>,
    /// Why that is not all.
    pub broke: Option<String>,
}

/// A library in a process of its own; started again when it has broken.
pub struct Library {
    path: PathBuf,
    is_quiet: bool,
    process: Option<(Child, BufReader<UnixStream>)>,
}

impl Library {
    pub fn new(path: &Path, is_quiet: bool) -> Library {
        Library { path: path.to_owned(), is_quiet, process: None }
    }

    /// Has it run the calls of a sequence that `kept` marks.
    pub fn start(&mut self, seed: u64, patience: u32, kept: &[bool]) {
        let kept: String = kept.iter().map(|&kept| if kept { '1' } else { '0' }).collect();
        let line = format!("{seed} {patience} {kept}\n");
        if self.process.is_none() {
            self.process = Some(self.spawn());
        }
        let (_, stream) = self.process.as_mut().unwrap();
        // That it is gone shows when its results are read.
        let _ = stream.get_mut().write_all(line.as_bytes());
    }

    /// The results of what was started.
    pub fn finish(&mut self) -> Outcome {
        let mut results = Vec::new();
        let (process, stream) = self.process.as_mut().unwrap();
        let broke = loop {
            let mut line = String::new();
            match stream.read_line(&mut line) {
                Ok(1..) if line == "done\n" => return Outcome { results, broke: None },
                Ok(1..) => results.push(line.trim_end_matches('\n').to_owned()),
                Ok(0) => {
                    let status = process.wait().unwrap();
                    break format!("the process ended: {status}");
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break "hung".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        let _ = process.kill();
        let _ = process.wait();
        self.process = None;
        Outcome { results, broke: Some(broke) }
    }

    fn spawn(&self) -> (Child, BufReader<UnixStream>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(HUNG)).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(LIBRARY, &self.path)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            // What libzmq says before it aborts shows in the results.
            .stderr(if self.is_quiet { Stdio::null() } else { Stdio::inherit() })
            .spawn()
            .unwrap();
        (process, BufReader::new(ours))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if let Some((mut process, stream)) = self.process.take() {
            // It reads the end of its commands.
            drop(stream);
            let _ = process.wait();
        }
    }
}

/// In a child: runs what it is told to, until there is nothing more. Elsewhere nothing.
pub fn serve() {
    let Some(path) = std::env::var_os(LIBRARY) else { return };
    let api = Api::load(Path::new(&path));
    // SAFETY: the parent gave this as standard input, which nobody else reads.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    let mut results = stream.try_clone().unwrap();
    let dir = std::env::temp_dir().join(format!("oxmq-{}", std::process::id()));
    // SAFETY: this process has no other thread that would look.
    unsafe { std::env::set_var("TMPDIR", &dir) };
    for (number, line) in BufReader::new(&stream).lines().map_while(Result::ok).enumerate() {
        let mut words = line.split(' ');
        let seed = words.next().unwrap().parse().unwrap();
        let patience = words.next().unwrap().parse().unwrap();
        let kept = words.next().unwrap();
        let dir = dir.join(number.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let mut replay = Replay::new(api, dir.clone(), patience);
        let mut tell =
            |result: String| writeln!(results, "{}", result.replace('\n', "\\n")).is_ok();
        let calls = generate::sequence(seed);
        for (call, _) in calls.iter().zip(kept.bytes()).filter(|(_, kept)| *kept == b'1') {
            if !tell(replay.call(call)) {
                break;
            }
        }
        tell(replay.end());
        tell("done".to_owned());
        let _ = std::fs::remove_dir_all(dir);
    }
    let _ = std::fs::remove_dir_all(dir);
    // Without what a test's end would print and wait for.
    std::process::exit(0);
}

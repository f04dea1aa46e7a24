//! The committed corpora, without libFuzzer: every input keeps its property.

use std::fs;
use std::path::Path;

type Target = fn(&[u8]);

#[test]
fn every_committed_input_passes() {
    let targets: [(&str, Target); 6] = [
        ("greeting", oxmq_fuzz::greeting),
        ("frames", oxmq_fuzz::frames),
        ("commands", oxmq_fuzz::commands),
        ("connection", oxmq_fuzz::connection),
        ("endpoint", oxmq_fuzz::endpoint),
        ("security", oxmq_fuzz::security),
    ];
    for (name, target) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).expect("the corpus is committed") {
            target(&fs::read(entry.expect("a readable folder").path()).expect("a readable file"));
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", folder.display());
    }
}

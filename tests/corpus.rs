//! Replays what the searches of `tests/fuzz` have found, on a stable compiler.

use std::fs;
use std::path::Path;

use wayside_tests::fuzz::TARGETS;

#[test]
fn nothing_ever_found_by_fuzzing_breaks_a_parser() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let files = fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("corpus of {name}: {error}"));
        let mut replayed = 0;
        for file in files {
            let path = file.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "no corpus for {name}");
    }
}

#[test]
fn every_parser_survives_a_thousand_random_payloads() {
    use rand::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for (_, target) in TARGETS {
        for _ in 0..1_000 {
            let mut bytes = vec![0; random.random_range(0..200)];
            random.fill(&mut bytes[..]);
            target(&bytes);
        }
    }
}

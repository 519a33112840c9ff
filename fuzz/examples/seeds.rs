//! Writes the seeds of all corpora and the dictionary, in the places where the fuzzers and the tests read them.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for seed in fuzz::seeds::all() {
        let directory = corpus.join(seed.target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(&seed.name), &seed.data)?;
    }
    fs::write(fuzz::dictionary::path(), fuzz::dictionary::text()?)
}

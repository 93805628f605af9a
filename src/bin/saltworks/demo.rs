/// Generate the embedded default corpus and teacher, and label it.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> anyhow::Result<()> {
    let mut out = std::fs::File::create("/tmp/demo-pt/corpus.jsonl")?;
    let s = saltworks::demo::write_corpus(
        &mut std::io::BufWriter::new(&mut out),
        &saltworks::demo::CorpusSettings {
            seed: 1,
            n_text_bytes: 3_000_000,
        },
    )?;
    println!("{s:?}");
    Ok(())
}

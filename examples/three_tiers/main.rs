//! What happens as one tier after the other is taken away: the same question is asked of an edge that has the service
//! itself, of one whose neighbour has it, whose region has it, whose other region, whose cloud, and at last of one that
//! is alone and remembers.
//!
//! `cargo run --release --example three_tiers` starts an etcd if one is installed (else the registries keep their records
//! in memory, and it says so), two regions, a cloud and an edge, asks, and ends with 0 if each answer came from the tier
//! that it should.

mod engine;
mod question;
mod scene;

use std::error::Error;
use std::process::ExitCode;

use engine::Engine;
use scene::Scene;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match play().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("three_tiers: {wrong} answers did not come from where they should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("three_tiers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays it, and says how many answers came from elsewhere.
#[expect(clippy::print_stdout, reason = "an example talks")]
async fn play() -> Result<usize, Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("wayside-three-tiers-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let engine = Engine::start(&dir).await?;
    println!("{engine}\n");
    let mut scene = Scene::start(&dir, &engine).await?;
    println!("Two regions, a cloud, and an edge at {} whose API is http://{}.", scene.here, scene.edge_api());
    println!("The question, each time: who offers charging within 5 km?\n");
    let mut wrong = 0;
    let mut step = 0;
    loop {
        step += 1;
        let (what, expected) = scene.now();
        println!("{step}. {what}");
        wrong += usize::from(!question::ask_until(scene.edge_api(), expected).await?);
        if !scene.take_away().await {
            break;
        }
    }
    scene.end().await;
    drop(engine);
    // What is left behind is in the system's temporary directory, and small.
    drop(std::fs::remove_dir_all(&dir));
    Ok(wrong)
}

//! `saltworks-train`: trains a model from token files and from labels.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

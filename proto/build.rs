//! Compiles the contract without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "adoptions",
        "alerts",
        "audit",
        "connections",
        "deletions",
        "findings",
        "keys",
        "leaks",
        "process",
        "rotations",
        "system",
        "types",
        "usage",
    ]
    .map(|name| format!("bascule/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=bascule");
    let descriptors = protox::compile(&files, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    // Clients bring their own channel (a Unix socket), and the generated `connect` would clash with
    // the call of that name.
    tonic_prost_build::configure()
        .build_transport(false)
        // What these hold must not get into a log; `src/redacted.rs` has their `Debug`.
        .skip_debug([".bascule.v1.Credentials", ".bascule.v1.OriginalFile"])
        .compile_fds(descriptors)?;
    Ok(())
}

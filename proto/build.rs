//! Compiles the contract without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["connections", "deletions", "findings", "keys", "system", "types"]
        .map(|name| format!("bascule/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=bascule");
    let descriptors = protox::compile(&files, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost_bytes(&descriptors))?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

fn prost_bytes(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}

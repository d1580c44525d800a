//! Compiles the .proto files, without protoc.

use prost::Message;

const FILES: [&str; 3] = ["cyxcloud/node/v1/node.proto", "cyxcloud/gateway/v1/node.proto", "cyxcloud/gateway/v1/object.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=cyxcloud");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // Payloads stay the buffers they arrived in.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}

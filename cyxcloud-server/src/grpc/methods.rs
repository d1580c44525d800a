//! Every method there is, by the descriptors: what metrics may be labelled with, and what tests walk.

use cyxcloud_proto::DESCRIPTORS;
use prost::Message;
use prost_types::FileDescriptorSet;

/// A method of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Method {
    /// Package, e.g. `cyxcloud.node.v1`.
    pub package: String,
    /// Service, e.g. `ChunkService`.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Full name of its request, e.g. `cyxcloud.node.v1.StoreChunkRequest`.
    pub request: String,
}

impl Method {
    /// The path it is called by.
    pub fn path(&self) -> String {
        format!("/{}.{}/{}", self.package, self.service, self.name)
    }
}

/// Every method of every service of `cyxcloud.*`.
pub fn methods() -> Vec<Method> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("the build wrote the descriptors").file;
    let mut found = Vec::new();
    for file in files {
        for service in &file.service {
            found.extend(service.method.iter().map(|method| Method {
                package: file.package().to_owned(),
                service: service.name().to_owned(),
                name: method.name().to_owned(),
                request: method.input_type().trim_start_matches('.').to_owned(),
            }));
        }
    }
    found
}

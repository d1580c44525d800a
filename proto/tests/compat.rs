//! What was published stays as it was: nodes, gateways and clients of different versions talk to each other.
//!
//! The baseline is `proto/baseline.binpb`. Things may be added beside it at any time. To move it on purpose, after a release, run
//! `cargo test -p cyxcloud-proto --test compat -- --ignored move_the_baseline`
//! and commit the file with the reason.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use cyxcloud_proto::DESCRIPTORS;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const BASELINE: &[u8] = include_bytes!("../baseline.binpb");
const HOW: &str = "Old nodes, gateways and clients would misunderstand this. Leave what was published as it was and add something new beside it; \
                   if nobody can have the old one, move the baseline: see proto/tests/compat.rs";

/// Everything somebody can rely on, by its full name: what it is.
type Promises = BTreeMap<String, String>;

fn promises(descriptors: &FileDescriptorSet) -> Promises {
    let mut all = Promises::new();
    for file in &descriptors.file {
        let package = file.package();
        for message in &file.message_type {
            note_message(&mut all, &format!("{package}.{}", message.name()), message);
        }
        for found in &file.enum_type {
            note_enum(&mut all, package, found);
        }
        for service in &file.service {
            all.insert(format!("service {package}.{}", service.name()), String::new());
            for method in &service.method {
                let name = format!("method {package}.{}/{}", service.name(), method.name());
                let stream = |on: bool| if on { "stream " } else { "" };
                let (from, to) = (stream(method.client_streaming()), stream(method.server_streaming()));
                all.insert(name, format!("{from}{} to {to}{}", method.input_type(), method.output_type()));
            }
        }
    }
    all
}

fn note_message(all: &mut Promises, name: &str, message: &DescriptorProto) {
    all.insert(format!("message {name}"), String::new());
    for field in &message.field {
        all.insert(format!("field {name}.{}", field.name()), describe(message, field));
    }
    for nested in &message.nested_type {
        note_message(all, &format!("{name}.{}", nested.name()), nested);
    }
    for nested in &message.enum_type {
        note_enum(all, name, nested);
    }
}

/// Number, type and label, and the choice it belongs to.
fn describe(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let kind = Type::try_from(field.r#type.unwrap()).unwrap().as_str_name();
    let label = Label::try_from(field.label.unwrap()).unwrap().as_str_name();
    let oneof = field.oneof_index.map(|index| message.oneof_decl[index as usize].name());
    let oneof = oneof.map_or(String::new(), |name| format!(", one of {name}"));
    format!("number {}, {kind} {}, {label}{oneof}", field.number(), field.type_name())
}

fn note_enum(all: &mut Promises, parent: &str, found: &EnumDescriptorProto) {
    let name = format!("{parent}.{}", found.name());
    all.insert(format!("enum {name}"), String::new());
    for value in &found.value {
        all.insert(format!("value {name}.{}", value.name()), format!("number {}", value.number()));
    }
}

/// What of the baseline is gone or changed.
fn broken(baseline: &FileDescriptorSet, now: &FileDescriptorSet) -> Vec<String> {
    let now = promises(now);
    let judge = |(name, was): (String, String)| match now.get(&name) {
        None => Some(format!("{name} is gone")),
        Some(is) if *is != was => Some(format!("{name} was {was:?} and is {is:?}")),
        Some(_) => None,
    };
    promises(baseline).into_iter().filter_map(judge).collect()
}

fn read(bytes: &[u8]) -> FileDescriptorSet {
    FileDescriptorSet::decode(bytes).unwrap()
}

#[test]
fn what_was_published_is_unchanged() {
    let broken = broken(&read(BASELINE), &read(DESCRIPTORS));
    assert!(broken.is_empty(), "{}\n{HOW}", broken.join("\n"));
}

#[test]
fn every_change_to_what_was_published_is_noticed() {
    let now = read(DESCRIPTORS);
    let file = now.file.iter().position(|file| file.package() == "cyxcloud.node.v1").unwrap();
    let message = now.file[file].message_type.iter().position(|message| message.name() == "StoreChunkRequest").unwrap();
    type Change = fn(&mut FileDescriptorSet, usize, usize);
    let changes: [(&str, Change); 8] = [
        ("field cyxcloud.node.v1.StoreChunkRequest.key is gone", |set, file, message| {
            drop(set.file[file].message_type[message].field.remove(0));
        }),
        ("field cyxcloud.node.v1.StoreChunkRequest.key was \"number 1", |set, file, message| {
            set.file[file].message_type[message].field[0].number = Some(99);
        }),
        ("TYPE_MESSAGE .cyxcloud.node.v1.ShardKey, LABEL_OPTIONAL\" and is \"number 1, TYPE_STRING", |set, file, message| {
            set.file[file].message_type[message].field[0].r#type = Some(Type::String.into());
        }),
        ("LABEL_REPEATED", |set, file, message| set.file[file].message_type[message].field[0].label = Some(Label::Repeated.into())),
        ("message cyxcloud.node.v1.StoreChunkRequest is gone", |set, file, message| drop(set.file[file].message_type.remove(message))),
        ("method cyxcloud.node.v1.ChunkService/StoreChunk is gone", |set, file, _| drop(set.file[file].service[0].method.remove(0))),
        ("service cyxcloud.node.v1.ChunkService is gone", |set, file, _| drop(set.file[file].service.remove(0))),
        ("value cyxcloud.gateway.v1.NodeState.NODE_STATE_REMOVED", |set, _, _| {
            let states = set.file.iter_mut().flat_map(|file| &mut file.enum_type).find(|found| found.name() == "NodeState").unwrap();
            drop(states.value.pop());
        }),
    ];
    for (says, change) in changes {
        let mut changed = now.clone();
        change(&mut changed, file, message);
        let broken = broken(&now, &changed).join("\n");
        assert!(broken.contains(says), "{says:?} is not in:\n{broken}");
    }
}

#[test]
fn what_is_added_breaks_nothing() {
    let now = read(DESCRIPTORS);
    let mut before = now.clone();
    for file in &mut before.file {
        file.message_type.iter_mut().for_each(|message| drop(message.field.pop()));
        file.service.iter_mut().for_each(|service| drop(service.method.pop()));
        file.enum_type.iter_mut().for_each(|found| drop(found.value.pop()));
    }
    assert!(promises(&before).len() < promises(&now).len());
    assert_eq!(broken(&before, &now), Vec::<String>::new());
}

#[test]
#[ignore = "moves the baseline, on purpose"]
fn move_the_baseline() {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.binpb"), DESCRIPTORS).unwrap();
}

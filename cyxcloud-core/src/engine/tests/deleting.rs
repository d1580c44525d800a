use super::*;
use crate::ErrorKind;

fn delete(world: &World, key: &str) -> bool {
    let key = ObjectKey::new(key).unwrap();
    world.time.run(world.engine.delete_object(BUCKET, &key, Precondition::None)).unwrap()
}

fn restore(world: &World, object: &Object, precondition: Precondition) -> Result<Object> {
    world.time.run(world.engine.restore_object(BUCKET, &object.head.key, object.head.version, precondition))
}

fn purge(world: &World) -> u64 {
    world.time.run(world.engine.purge_trash()).unwrap()
}

/// Collects what is dead once its grace is over.
fn collect(world: &World) -> u64 {
    world.time.advance(policy().gc_grace_ms + 1);
    world.time.run(world.engine.collect_garbage()).unwrap().chunks
}

#[test]
fn without_a_window_a_delete_is_for_good() {
    let world = World::new(14, policy());
    let object = world.put("key", &payload(1, 100_000)).unwrap();
    assert!(delete(&world, "key"));
    assert!(!delete(&world, "key"));
    assert_eq!(restore(&world, &object, Precondition::None).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((collect(&world), world.shards()), (3, 0));
}

#[test]
fn a_deleted_object_comes_back_whole_within_the_window() {
    let world = World::new(14, Policy { trash_window_ms: 86_400_000, ..policy() });
    let object = world.put("key", &payload(1, 100_000)).unwrap();
    assert!(delete(&world, "key"));
    assert_eq!(world.get("key").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((purge(&world), collect(&world)), (0, 0));
    assert_eq!(restore(&world, &object, Precondition::Absent).unwrap(), object);
    assert_eq!(world.get("key").unwrap(), payload(1, 100_000));
}

#[test]
fn what_is_purged_goes_with_the_garbage() {
    let world = World::new(14, Policy { trash_window_ms: 86_400_000, ..small(2, 1) });
    for number in 0..250 {
        let key = format!("inline/{number}");
        world.put(&key, b"few").unwrap();
        assert!(delete(&world, &key));
    }
    world.time.advance(1000);
    let object = world.put("key", &payload(1, 100_000)).unwrap();
    assert!(delete(&world, "key"));
    world.time.advance(86_400_000 - 1000);
    assert_eq!((purge(&world), collect(&world)), (250, 0));
    assert_eq!((purge(&world), world.shards()), (0, 9), "the collection purged it, and its own grace has begun");
    assert_eq!(restore(&world, &object, Precondition::None).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((collect(&world), world.shards()), (3, 0));
}

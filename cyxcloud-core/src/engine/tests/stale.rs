//! Writers whose view of the nodes is an old one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::ErrorKind;
use crate::data::placement::ClusterView;
use crate::port::Members;
use crate::testing::Fault;

/// Members as a client outside the cluster knows them: as they were when it looked last.
struct LastSeen {
    nodes: Arc<MemoryNodes>,
    seen: Mutex<Arc<ClusterView>>,
    looks: AtomicUsize,
}

#[async_trait]
impl Members for LastSeen {
    fn view(&self) -> Arc<ClusterView> {
        self.seen.lock().unwrap().clone()
    }

    async fn refresh(&self) -> Result<()> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        *self.seen.lock().unwrap() = self.nodes.view();
        Ok(())
    }
}

#[test]
fn where_spares_run_out_the_nodes_are_looked_at_again() {
    let (time, nodes) = (VirtualTime::new(1), Arc::new(MemoryNodes::new(12, 1 << 40)));
    let env: Arc<dyn Environment> = Arc::new(time.clone());
    (6..12).for_each(|n| nodes.set(n, Fault::Away));
    let members = Arc::new(LastSeen { nodes: nodes.clone(), seen: Mutex::new(nodes.view()), looks: AtomicUsize::new(0) });
    let meta = Arc::new(MemoryMeta::new(env.clone()));
    let engine = Engine::new(Ports { meta, transport: nodes.clone(), members: members.clone(), env }, small(4, 2)).unwrap();
    let stage = || time.run(engine.stage(stream::iter([Ok::<_, Error>(Bytes::from(payload(1, 40_000)))]), StageKind::Object));
    let _ = stage().unwrap();
    assert_eq!(members.looks.load(Ordering::Relaxed), 0, "as long as there are spares nobody is asked");

    // Others have taken the place of all that it knows.
    (0..6).for_each(|n| nodes.set(n, Fault::Refuses));
    (6..12).for_each(|n| nodes.set(n, Fault::None));
    let staged = stage().unwrap();
    assert!(staged.chunks[0].copies.iter().all(|copy| copy.node.0[0] >= 6), "{:?}", staged.chunks[0].copies);

    (0..12).for_each(|n| nodes.set(n, Fault::Refuses));
    let before = members.looks.load(Ordering::Relaxed);
    assert_eq!(stage().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(members.looks.load(Ordering::Relaxed) - before <= 2, "nobody asks for ever");
}

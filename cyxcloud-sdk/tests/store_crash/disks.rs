//! Real file systems for one test: an ext4 image whose power can be cut, and a tmpfs that fills up. Both need root.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// With this variable set, what cannot be mounted fails instead of being skipped.
const REQUIRE: &str = "CYX_REQUIRE_POWERCUT";

/// Shuts the file system down as a power cut would, without flushing its journal: `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`. In Python,
/// because an ioctl is unsafe Rust.
const SHUTDOWN: &str = r#"
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print("ready", flush=True)
sys.stdin.readline()
fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))
os.close(fd)
print("cut", flush=True)
"#;

/// What `make` makes, or None after saying loudly why this machine cannot.
pub fn or_skip<T>(test: &str, make: impl FnOnce() -> Result<T, String>) -> Option<T> {
    match make() {
        Ok(made) => Some(made),
        Err(why) if std::env::var_os(REQUIRE).is_some() => panic!("{test} cannot run, and {REQUIRE} is set: {why}"),
        Err(why) => {
            // Not eprintln, which the harness would keep to itself.
            let _ = writeln!(std::io::stderr(), "\nSKIPPED: {test} cannot run here: {why}\n");
            None
        }
    }
}

/// A mounted file system, unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    directory: TempDir,
    image: Option<PathBuf>,
}

impl Disk {
    /// An ext4 file system in an image file.
    pub fn ext4(size_mib: u64) -> Result<Self, String> {
        let directory = scratch();
        let image = directory.path().join("image");
        File::create(&image).and_then(|file| file.set_len(size_mib << 20)).map_err(|e| e.to_string())?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", text(&image)])?;
        let disk = Self::new(directory, Some(image));
        disk.mount()?;
        Ok(disk)
    }

    /// A file system in memory.
    pub fn tmpfs(size_kib: u64) -> Result<Self, String> {
        let disk = Self::new(scratch(), None);
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size_kib}k"), "tmpfs", text(&disk.path())])?;
        Ok(disk)
    }

    fn new(directory: TempDir, image: Option<PathBuf>) -> Self {
        std::fs::create_dir(directory.path().join("mounted")).unwrap();
        Self { directory, image }
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// The next start after a cut: the journal is replayed.
    pub fn start_again(&self) -> Result<(), String> {
        run("umount", &[text(&self.path())])?;
        self.mount()
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(self.image.as_ref().unwrap()), text(&self.path())])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a child that is being killed may still hold it.
        let _ = run("umount", &["-l", text(&self.path())]);
    }
}

/// A process that holds the file system open, ready to cut its power without a delay.
pub struct Switch(Child);

impl Switch {
    /// Prepares it.
    pub fn new(disk: &Disk) -> Result<Self, String> {
        let python =
            Command::new("python3").args(["-c", SHUTDOWN, text(&disk.path())]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut switch = Self(python.map_err(|e| format!("python3: {e}"))?);
        switch.expect("ready")?;
        Ok(switch)
    }

    /// Cuts the power. Everything that is not durable on the disk is gone, and everything fails until it starts again.
    pub fn cut(mut self) -> Result<(), String> {
        self.0.stdin.take().unwrap().write_all(b"now\n").map_err(|e| e.to_string())?;
        self.expect("cut")
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let mut line = String::new();
        // A byte at a time would do as well: it says two words in all.
        let said = BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap()).read_line(&mut line);
        if said.is_ok() && line.trim() == wanted { Ok(()) } else { Err(format!("the shutdown ioctl failed: {said:?} {line}")) }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory on the disk of the target directory, which is a real one more often than /tmp.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

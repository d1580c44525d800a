"""What every Python suite shares: settings, payloads, `check()` and comparisons.

Settings come from the environment, set by `run`:
S3C_ENDPOINT, S3C_ACCESS_KEY, S3C_SECRET_KEY, S3C_SECOND_ACCESS_KEY, S3C_SECOND_SECRET_KEY, S3C_REGION, S3C_BIG_MIB, S3C_ATTEMPTS,
S3C_WORK_DIR (payload cache and scratch files) and S3C_BIN (folder of the client programs).
"""

import contextlib
import hashlib
import os
import random
import socket
import subprocess
import sys
import time
import uuid
from urllib.parse import urlsplit

KIB, MIB = 1 << 10, 1 << 20
socket.setdefaulttimeout(120)  # nothing waits forever


def setting(name, default=None):
    value = os.environ.get("S3C_" + name, default)
    if value is None:
        sys.exit(f"S3C_{name} is not set; start the suites through tests/s3-clients/run")
    return value


ENDPOINT = setting("ENDPOINT").rstrip("/")
ACCESS_KEY, SECRET_KEY = setting("ACCESS_KEY"), setting("SECRET_KEY")
ACCESS_KEY_2, SECRET_KEY_2 = setting("SECOND_ACCESS_KEY"), setting("SECOND_SECRET_KEY")
REGION = setting("REGION", "us-east-1")
BIG_MIB = int(setting("BIG_MIB", "1024"))
ATTEMPTS = int(setting("ATTEMPTS", "1"))
WORK_DIR = setting("WORK_DIR")
BIN = setting("BIN", "")
HOST, PORT = urlsplit(ENDPOINT).hostname, urlsplit(ENDPOINT).port or 80

# Sizes around nothing, small-object limits, the 419,456-byte shard of a full 4 MiB chunk, and the chunk itself.
SIZES = [0, 1, 9, 10, 11, 4095, 16 * KIB, 419455, 419456, 419457, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 40 * MIB]


def name_of(size):
    """A readable size: `40 MiB`, `4 MiB - 1`, `4095 B`."""
    for off in (0, -1, 1):
        if size >= MIB and (size - off) % MIB == 0:
            return f"{(size - off) // MIB} MiB" + ("" if off == 0 else " - 1" if off < 0 else " + 1")
    return f"{size // KIB} KiB" if size >= KIB and size % KIB == 0 else f"{size} B"


def blocks(seed, size):
    """Yields `size` bytes in blocks of 1 MiB, always the same for one seed; no two blocks are equal."""
    base = random.Random(seed).randbytes(MIB + 4099)
    for i in range((size + MIB - 1) // MIB):
        at = i * 37 % 4099
        block = i.to_bytes(8, "big") + base[at : at + MIB - 8] if i else base[:MIB]
        yield block[: size - i * MIB]


def payload(seed, size):
    return b"".join(blocks(seed, size))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def ask_again(broken, ask):
    """What `ask` answers; asked again, up to the attempts that clients have, where it ends with `broken`: some clients do not go on where a body broke off."""
    for _ in range(ATTEMPTS - 1):
        try:
            return ask()
        except broken:
            pass
    return ask()


def sha256_stream(stream):
    """SHA-256 and length of a file-like object."""
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(MIB):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def sha256_file(path):
    with open(path, "rb") as f:
        return sha256_stream(f)[0]


def big_file():
    """Path and SHA-256 of the big payload; written once and kept in the work folder."""
    path = os.path.join(WORK_DIR, f"big-{BIG_MIB}-mib.bin")
    with contextlib.suppress(OSError), open(path + ".sha256") as f:
        if os.path.getsize(path) == BIG_MIB * MIB:
            return path, f.read()
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        for block in blocks("big", BIG_MIB * MIB):
            digest.update(block)
            f.write(block)
    with open(path + ".sha256", "w") as f:
        f.write(digest.hexdigest())
    return path, digest.hexdigest()


def scratch(client):
    """An empty folder for one client's files."""
    path = os.path.join(WORK_DIR, "scratch", f"{client}-{uuid.uuid4().hex[:8]}")
    os.makedirs(path)
    return path


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def bucket_name(what):
    return f"s3c-{what}-{uuid.uuid4().hex[:10]}"


def eq(got, want, what="value"):
    assert got == want, f"{what}: got {got!r:.300}, want {want!r:.300}"


def one_of(got, wants, what="value"):
    assert got in wants, f"{what}: got {got!r:.300}, want one of {sorted(map(str, wants))}"


def same(got, want, what="body"):
    """Compares bytes by length and SHA-256, so that a failure prints no megabytes."""
    eq(len(got), len(want), f"length of {what}")
    eq(sha256(got), sha256(want), f"SHA-256 of {what}")


class Suite:
    """Prints one line per check and remembers failures."""

    def __init__(self, client):
        self.client, self.passed, self.failed, self.started = client, 0, 0, time.monotonic()

    @contextlib.contextmanager
    def check(self, title):
        """Runs the block; an exception in it is a failed check and the suite goes on."""
        start = time.monotonic()
        try:
            yield
        except Exception as e:  # one failed check must not hide the others
            self.failed += 1
            reason = " ".join(f"{type(e).__name__}: {e}".split())[:600]
            print(f"FAIL {self.client} {title}: {reason}", flush=True)
        else:
            self.passed += 1
            took = time.monotonic() - start
            print(f"ok  {self.client} {title}" + (f" ({took:.1f} s)" if took >= 1 else ""), flush=True)

    def run(self, *topics):
        """Runs the functions, each with this suite; one that breaks between checks is a failure; then exits."""
        with self.check(f"endpoint {HOST}:{PORT} answers"):
            socket.create_connection((HOST, PORT), 10).close()
        for topic in topics if self.passed else ():
            try:
                topic(self)
            except Exception as e:
                with self.check(f"{topic.__module__}.{topic.__name__} ran to its end"):
                    raise e
        print(f"--  {self.client}: {self.passed} ok, {self.failed} failed, {time.monotonic() - self.started:.0f} s", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def command(*argv, env=None, input=None, fails=False, timeout=300):
    """Runs a client program and returns its standard output as bytes; `fails=True` wants failure and returns standard error."""
    p = subprocess.run(argv, env=env, input=input, capture_output=True, timeout=timeout)
    if fails:
        assert p.returncode != 0, f"{' '.join(argv[:4])} was expected to fail: {p.stdout[-300:]!r}"
        return p.stderr
    assert p.returncode == 0, f"{' '.join(argv[:4])} exited with {p.returncode}: {p.stderr[-500:].decode(errors='replace')}"
    return p.stdout


def tree(root):
    """SHA-256 of every file below `root`, by relative path."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = sha256_file(path)
    return found

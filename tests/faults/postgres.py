"""A throw-away PostgreSQL server that a test starts, crashes and starts again."""

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from cluster import free_port

PATIENCE = 60


class Postgres:
    def __init__(self):
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
        if not versions:
            raise SystemExit("PostgreSQL is not installed; on Debian: apt-get install -y postgresql")
        self.bin = versions[-1].parent
        self.directory = Path(tempfile.mkdtemp(prefix="cyxcloud-postgres-"))
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres")
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.server = None
        atexit.register(self.close)
        self.start()

    @property
    def data(self):
        return self.directory / "data"

    def command(self, program, *args):
        # PostgreSQL refuses to run as root.
        change = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
        return [*change, str(self.bin / program), *map(str, args)]

    def run(self, program, *args):
        done = subprocess.run(self.command(program, *args), capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.server = subprocess.Popen(self.command("postgres", "-D", self.data, "-p", self.port, "-c", "listen_addresses=127.0.0.1", "-c",
                                                        f"unix_socket_directories={self.directory}", "-c", "max_connections=200"), stdout=log, stderr=log, cwd="/")
        begun = time.monotonic()
        while True:
            try:
                return self.psql("SELECT 1")
            except RuntimeError:
                if time.monotonic() > begun + PATIENCE:
                    raise
                time.sleep(0.05)

    def psql(self, sql):
        return self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", sql)

    def crash(self):
        """Ends it at once; the next start recovers from its log."""
        self.run("pg_ctl", "stop", "-D", self.data, "-m", "immediate")
        self.server.wait()

    def close(self):
        if self.server and self.server.poll() is None:
            self.crash()
        shutil.rmtree(self.directory, ignore_errors=True)

"""HAProxy in front of several gateways, as docs/cluster.md has it."""

import atexit
import shutil
import subprocess
import time
import urllib.request

from cluster import free_port

# Bytes pass through as they are: HTTP is between client and gateway, with its signatures. Whoever's gateway dies loses his connections, and tries again.
CONFIG = """
global
  maxconn 1024
defaults
  mode tcp
  option redispatch 1
  option httpchk GET /health
  retries 5
  timeout connect 2s
  timeout client 120s
  timeout server 120s
frontend s3
  bind 127.0.0.1:{port}
  default_backend gateways
backend gateways
  balance leastconn
{servers}
"""


class Balancer:
    def __init__(self, directory, endpoints):
        if not shutil.which("haproxy"):
            raise SystemExit("HAProxy is not installed; on Debian: apt-get install -y haproxy")
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        servers = "\n".join(f"  server g{n} {endpoint.removeprefix('http://')} check inter 200ms fall 1 rise 1" for n, endpoint in enumerate(endpoints))
        config = directory / "haproxy.cfg"
        config.write_text(CONFIG.format(port=port, servers=servers))
        with open(directory / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", config], stdout=log, stderr=log)
        atexit.register(self.process.kill)
        begun = time.monotonic()
        while True:
            try:
                urllib.request.urlopen(self.endpoint + "/health", timeout=2).close()
                return
            except OSError:
                if time.monotonic() > begun + 20:
                    raise
                time.sleep(0.1)

    def close(self):
        self.process.kill()
        self.process.wait()

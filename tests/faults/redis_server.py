"""A throw-away Redis server that a test starts, kills and starts again."""

import atexit
import shutil
import socket
import subprocess
import time

from cluster import free_port

PATIENCE = 30


class Redis:
    def __init__(self):
        if not shutil.which("redis-server"):
            raise SystemExit("Redis is not installed; on Debian: apt-get install -y redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.server = None
        atexit.register(self.kill)
        self.start()

    def start(self):
        """It remembers nothing of before."""
        command = ["redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", str(self.port)]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = time.monotonic()
        while not self.answers():
            if time.monotonic() > begun + PATIENCE:
                raise SystemExit("Redis does not start")
            time.sleep(0.02)

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self):
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()

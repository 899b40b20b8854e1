"""The download of one large file with the real client, from the embedded Hub and from nginx on loopback, alternating.

    python benchmarks/hub_throughput.py [MEGABYTES] [RUNS]

Both serve the same file, each in a process of its own. Each download is a call of `hf_hub_download` with an empty
cache, in a fresh process that measures only the call. nginx is Debian's package or the program in NGINX_PROGRAM,
configured to send the headers that the client needs. Prints the median seconds of both, and the throughput of the Hub
as a share of nginx's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CLIENT = """
import sys, time
from huggingface_hub import hf_hub_download
start = time.perf_counter()
hf_hub_download("org/large", "model.bin", cache_dir=sys.argv[1], token=False)
print(time.perf_counter() - start)
"""
SERVER = """
import pathlib, sys
from modelenv.hub import serve
serve(pathlib.Path(sys.argv[1]), port=int(sys.argv[2]), echo=lambda line: None)
"""
NGINX = """
daemon off;
pid {work}/nginx.pid;
error_log {work}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /org/large/resolve/main/ {{
            alias {models}/org/large/;
            add_header X-Repo-Commit 0123456789012345678901234567890123456789;
        }}
    }}
}}
"""


def main() -> int:
    """Print the throughput of the Hub for a large file, compared with nginx."""
    megabytes, runs = [*(int(argument) for argument in sys.argv[1:]), 500, 5][:2]
    nginx = os.environ.get("NGINX_PROGRAM") or shutil.which("nginx", path=f"{os.defpath}:/usr/sbin")
    if nginx is None:
        print("nginx is not installed: apt-get install nginx-light, or name the program in NGINX_PROGRAM")
        return 1
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        seconds = compare(work, nginx, megabytes, runs)
    medians = {server: statistics.median(values) for server, values in seconds.items()}
    for server, median in medians.items():
        runs_text = " ".join(f"{value:.2f}" for value in seconds[server])
        print(f"{server:6} {megabytes / median:7.0f} MB/s   median {median:.2f} s   ({runs_text})")
    print(f"the Hub has {medians['nginx'] / medians['hub']:.2f} of nginx's throughput")
    return 0


def compare(work: Path, nginx: str, megabytes: int, runs: int) -> dict[str, list[float]]:
    """Return the seconds of each download from each server, after a warm-up download from each."""
    models = work / "models"
    (models / "org" / "large").mkdir(parents=True)
    with (models / "org" / "large" / "model.bin").open("wb") as stream:
        for _ in range(megabytes):
            stream.write(os.urandom(1_000_000))
    seconds: dict[str, list[float]] = {"hub": [], "nginx": []}
    with hub(models) as hub_url, nginx_server(nginx, work, models) as nginx_url:
        for run in range(runs + 1):
            for server, url in (("hub", hub_url), ("nginx", nginx_url)):
                measured = download(url, work / "cache")
                if run:
                    seconds[server].append(measured)
    return seconds


def download(url: str, cache: Path) -> float:
    """Return the seconds of one download."""
    environment = os.environ | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(cache / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
    }
    command = [sys.executable, "-c", CLIENT, str(cache)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)
    shutil.rmtree(cache)
    return float(done.stdout)


@contextlib.contextmanager
def hub(models: Path) -> Iterator[str]:
    """Serve a folder of models from the embedded Hub."""
    port = free_port()
    with running([sys.executable, "-c", SERVER, str(models), str(port)], port) as url:
        yield url


@contextlib.contextmanager
def nginx_server(nginx: str, work: Path, models: Path) -> Iterator[str]:
    """Serve the same folder with nginx."""
    port = free_port()
    configuration = work / "nginx.conf"
    configuration.write_text(NGINX.format(work=work, port=port, models=models))
    for folder in (work, models, models / "org", models / "org" / "large"):
        folder.chmod(0o755)  # its workers may be another user's
    with running([nginx, "-c", str(configuration), "-p", str(work), "-e", str(work / "error.log")], port) as url:
        yield url


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[str]:
    """Run a server until the end of the block. It is ready when it accepts a connection."""
    server = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not answer")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())

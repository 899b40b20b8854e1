"""Run the walkthrough from a fresh clone, with only Python 3.11: `python3.11 examples/quickstart.py`.

Creates `.venv` in the checkout (a complete one is reused), installs modelenv and its test dependencies, and runs
`examples/five_environments.py` in it. Uses only the standard library. Afterwards, `.venv/bin/python -m pytest
--real-models -n 2` runs the repository's tests.
"""

# ruff: noqa: S603, S606, UP036 - runs this checkout's own files, and must start on an older Python to report it

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
COMPLETE = VENV / "modelenv-quickstart.txt"  # written last: a hash of what was installed
PIP_LOG = VENV / "modelenv-quickstart-pip.log"
INSTALL_SECONDS = 900
PROGRESS_EVERY = 10


def main():
    """Set up, then replace this process with the walkthrough. Returns an exit code only on failure."""
    if os.name != "posix":
        return fail("modelenv runs only on Linux and macOS so far.")
    if sys.version_info < (3, 11):
        return fail(f"Python 3.11 or newer is required; this is {sys.version.split()[0]}. Try python3.11.")
    wanted = fingerprint()
    if not is_complete(wanted):
        problem = install()
        if problem:
            return fail(problem)
        COMPLETE.write_text(wanted + "\n")
    else:
        print(f"using {VENV.relative_to(ROOT)}, which is complete", flush=True)
    # Replace this process, so that Ctrl+C and signals reach the walkthrough. It has a deadline for each step.
    return os.execv(PYTHON, [str(PYTHON), str(ROOT / "examples" / "five_environments.py")])


def fail(text):
    """Print the error, and return the exit code."""
    print(f"error: {text}", file=sys.stderr)
    return 1


def fingerprint():
    """Return a hash of everything that the installation depends on."""
    parts = [ROOT / "pyproject.toml", ROOT / "tests" / "constraints.txt"]
    return hashlib.sha256(b"\0".join(part.read_bytes() for part in parts) + sys.version.encode()).hexdigest()


def is_complete(wanted):
    """Whether `.venv` has everything installed, and can be run."""
    if not COMPLETE.is_file() or COMPLETE.read_text().strip() != wanted:
        return False
    probe = [str(PYTHON), "-c", "import modelenv, pytest_modelenv"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


def install():
    """Create `.venv` and install into it. Returns an error message, or None."""
    if not PYTHON.exists():
        print(f"creating {VENV.relative_to(ROOT)}", flush=True)
        made = subprocess.run(
            [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, timeout=120, check=False
        )
        if made.returncode:
            said = (made.stdout + made.stderr).strip()
            return f"{VENV} could not be created; on Debian and Ubuntu, install python3-venv.\n{said}"
    print("installing modelenv, torch, transformers and the test tools", flush=True)
    command = [
        str(PYTHON), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check", "--no-input",
        "-e", ".[dev]", "-c", "tests/constraints.txt",
    ]  # fmt: skip
    started = time.monotonic()
    try:
        code = run_with_progress(command, started)
    except OSError as error:
        return f"{PYTHON} cannot be run ({error}). Delete {VENV} and try again."
    if code:
        tail = "".join(PIP_LOG.read_text(errors="replace").splitlines(keepends=True)[-15:])
        why = "was stopped after" if code == -signal.SIGKILL else "failed after"
        return f"pip {why} {time.monotonic() - started:.0f} s. The end of {PIP_LOG}:\n{tail}"
    # pip compiles what it installs, but not this checkout. Without bytecode, every run would be slower.
    writing = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for command in (["compileall", "-q", "src", "pytest_modelenv"], ["pytest", "--version"]):
        subprocess.run(
            [str(PYTHON), "-m", *command], cwd=ROOT, env=writing, capture_output=True, timeout=60, check=False
        )
    print(f"installed in {time.monotonic() - started:.0f} s", flush=True)
    return None


def run_with_progress(command, started):
    """Run pip with its output in the log, show its progress now and then, and return its exit code."""
    with PIP_LOG.open("w") as log:
        # In a session of its own, so that pip's children end with it, and none of them keeps the pipe open.
        pip = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = threading.Timer(INSTALL_SECONDS, os.killpg, (pip.pid, signal.SIGKILL))
        deadline.start()
        shown = started
        try:
            for line in pip.stdout:
                log.write(line)
                if time.monotonic() - shown > PROGRESS_EVERY and not line.startswith("WARNING"):
                    shown = time.monotonic()
                    print(f"  {shown - started:3.0f} s: {line.strip()[:90]}", flush=True)
        finally:
            deadline.cancel()
            if pip.poll() is None and sys.exc_info()[0] is not None:  # Ctrl+C: end pip, too
                os.killpg(pip.pid, signal.SIGKILL)
            pip.wait(60)
            pip.stdout.close()
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Starts `transcribe serve` and uses it as other programs do.

    python3 tests/clients/check.py [--program target/release/transcribe] [--seconds 120]

- the `openai` package: openai_client.py, once without and once with an API key
- schemathesis: requests of every route made from /openapi.json, for so many seconds
- curl: whisper.cpp's /inference as its README shows it, and a job

Needs the packages of requirements.txt in this Python, and curl; `just serve-clients` makes a virtual environment for it.
Ends with 1 at the first difference.
"""
import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHORT = ROOT / "fixtures/long/short_en.flac"
SAID = "The door is blue."
KEY = "a-key-for-the-clients-0123456789"
MAX_UPLOAD = 4_000_000


@contextlib.contextmanager
def served(program, *options):
    """Starts a server on a port that the system chooses, and gives its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program.resolve(), "serve", "--model", "demo", "--device", "cpu", "--listen", "127.0.0.1:0",
            "--state-dir", f"{folder}/state", "--max-upload", str(MAX_UPLOAD), *options]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            for line in server.stderr:
                if "listening on " in line:
                    yield line.split()[-1]
                    break
            else:
                sys.exit("the server did not start")
            assert server.poll() is None, f"the server ended with {server.returncode}"
        finally:
            server.terminate()
            rest = server.stderr.read()
            assert server.wait(60) in (0, 143, -15), (server.returncode, rest)
            assert "panicked" not in rest and "internal error" not in rest, rest


def curl(*arguments):
    command = ["curl", "--silent", "--show-error", "--fail-with-body", *arguments]
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert ended.returncode == 0, (arguments, ended)
    return ended.stdout


def check_curl(url):
    # As in the README of whisper.cpp's server.
    plain = json.loads(curl(f"{url}/inference", "-H", "Content-Type: multipart/form-data", "-F", f"file=@{SHORT}",
        "-F", "temperature=0.0", "-F", "temperature_inc=0.2", "-F", "response_format=json"))
    assert SAID in plain["text"], plain
    text = curl(f"{url}/inference", "-F", f"file=@{SHORT}", "-F", "response_format=text")
    assert text == plain["text"], (text, plain)
    assert curl(f"{url}/inference", "-F", f"file=@{SHORT}", "-F", "response_format=srt").startswith("1\n00:00:")
    assert curl(f"{url}/inference", "-F", f"file=@{SHORT}", "-F", "response_format=vtt").startswith("WEBVTT\n")
    verbose = json.loads(curl(f"{url}/inference", "-F", f"file=@{SHORT}", "-F", "response_format=verbose_json"))
    assert verbose["segments"], verbose
    print("curl, whisper.cpp's /inference: as expected")

    job = json.loads(curl(f"{url}/v1/jobs", "-F", f"file=@{SHORT}", "-F", "outputs=srt"))
    events = curl("-N", f"{url}{job['links']['events']}")
    assert '"state":"completed"' in events.splitlines()[-2], events
    assert SAID in curl(f"{url}{job['links']['self']}/transcript.srt")
    curl("-X", "DELETE", f"{url}{job['links']['self']}")
    print("curl, a job: as expected")


def run(*command, folder=None):
    code = subprocess.run([str(word) for word in command], cwd=folder).returncode
    if code:
        sys.exit(f"{command[1]} ended with {code}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/transcribe", help="the program to start")
    parser.add_argument("--seconds", type=int, default=120)
    args = parser.parse_args()
    schemathesis = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or sys.exit("schemathesis is missing")
    client = [sys.executable, HERE / "openai_client.py"]
    with served(args.program) as url, tempfile.TemporaryDirectory() as folder:
        run(*client, url, "--max-upload", MAX_UPLOAD)
        check_curl(url)
        # Without `positive_data_acceptance`: what is made up is no recording, and is rightly refused. `ignored_auth`
        # has nothing to check, as the document names no keys; the second server below asks for one.
        run(schemathesis, "run", f"{url}/openapi.json", "--checks", "all", "--exclude-checks",
            "positive_data_acceptance,ignored_auth", "--max-time", args.seconds, "--request-timeout", 60,
            "--continue-on-failure", "--no-color", folder=folder)
    with tempfile.NamedTemporaryFile("w") as keys:
        keys.write(f"clients submit,read,admin {KEY}\n")
        keys.flush()
        with served(args.program, "--api-keys", keys.name) as url:
            run(*client, url, "--key", KEY)
    print("every client: as expected")


if __name__ == "__main__":
    main()

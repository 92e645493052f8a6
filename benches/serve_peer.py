#!/usr/bin/env python3
"""`transcribe serve` beside a server of faster-whisper (FastAPI, as people run it), on the same weights and recordings.

    python3 benches/serve_peer.py WEIGHTS RECORDING... [--clients 8] [--seconds 30] [--count 32]

WEIGHTS is a folder of faster-whisper, which both read. Pieces of RECORDINGs of so many seconds are sent to
/v1/audio/transcriptions by so many clients, to one server after the other. The peer transcribes one request at a time with all
cores, sequentially and with its batched pipeline, which decodes the windows of one request together. Needs faster-whisper,
fastapi, uvicorn, python-multipart and ffmpeg.
"""
import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import ROOT, machine, table

PROGRAM = ROOT / "target/release/transcribe"
BOUNDARY = "a-boundary-that-no-recording-has"


def serve(weights, port, batched, threads):
    """The peer; runs in a process of its own."""
    import uvicorn
    from fastapi import FastAPI, UploadFile
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(weights, device="cpu", compute_type="float32", cpu_threads=threads)
    transcribe = BatchedInferencePipeline(model).transcribe if batched else model.transcribe
    options = {"batch_size": 8} if batched else {}
    lock, app = threading.Lock(), FastAPI()

    @app.post("/v1/audio/transcriptions")
    def transcriptions(file: UploadFile):
        with lock:
            segments, _ = transcribe(file.file, language="en", beam_size=1, **options)
            return {"text": "".join(segment.text for segment in segments)}

    @app.get("/ready")
    def ready():
        return {}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def wait_until_ready(port, process):
    while process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the server ended")


def form(path):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
    return head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def send_all(port, bodies, clients):
    """Sends all forms; returns the seconds that it took, those of each request, and the texts."""
    todo, times, texts, lock = list(enumerate(bodies)), [], [None] * len(bodies), threading.Lock()

    def client():
        while True:
            with lock:
                if not todo:
                    return
                nth, body = todo.pop(0)
            begin = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
            kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            connection.request("POST", "/v1/audio/transcriptions", body, kind)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                sys.exit(f"{answer.status}: {content[:500]}")
            with lock:
                times.append(time.monotonic() - begin)
                texts[nth] = json.loads(content)["text"]

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begin = time.monotonic()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return time.monotonic() - begin, sorted(times), texts


def peak_memory(process):
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def pieces(folder, recordings, seconds, count):
    """Pieces of the recordings, one after the other, as files."""
    joined = folder / "joined.wav"
    inputs = [part for path in recordings for part in ("-i", path)]
    concat = f"concat=n={len(recordings)}:v=0:a=1"
    command = ["ffmpeg", "-v", "error", *inputs, "-filter_complex", concat, "-ac", "1", "-ar", "16000", joined]
    subprocess.run(command, check=True)
    split = ["ffmpeg", "-v", "error", "-i", joined, "-f", "segment", "-segment_time", str(seconds), folder / "piece%03d.flac"]
    subprocess.run(split, check=True)
    found = sorted(folder.glob("piece*.flac"))[:count]
    if len(found) < count:
        sys.exit(f"the recordings have only {len(found)} pieces of {seconds} seconds")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--peer", nargs=2, metavar=("PORT", "KIND"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    if args.peer:
        return serve(str(args.weights), int(args.peer[0]), args.peer[1] == "batched", cores)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = pieces(folder, args.recordings, args.seconds, args.count)
        bodies = [form(path) for path in files]
        for name in ("transcribe", "faster-whisper", "faster-whisper, batched"):
            port = free_port()
            if name == "transcribe":
                command = [args.program, "serve", "--model", args.weights, "--device", "cpu", "--dtype", "f32", "--language", "en",
                    "--listen", str(port), "--state-dir", folder / "state"]
            else:
                kind = "batched" if "batched" in name else "sequential"
                command = [sys.executable, __file__, args.weights, "-", "--peer", str(port), kind]
            process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
            try:
                wait_until_ready(port, process)
                # Loads the model.
                send_all(port, bodies[:1], 1)
                seconds, times, texts = send_all(port, bodies, args.clients)
                words = sum(len(text.split()) for text in texts)
                at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
                rows.append([name, f"{seconds:.1f}", f"{args.count * args.seconds / seconds:.1f}", f"{at(0.5):.1f}", f"{at(0.95):.1f}",
                    words, f"{peak_memory(process):.0f}"])
            finally:
                process.terminate()
                process.wait()
    print(machine())
    print(f"{args.count} pieces of {args.seconds} s, {args.clients} clients, f32, greedy, {cores} cores\n")
    table(["server", "seconds", "times real time", "p50 s", "p95 s", "words", "peak MB"], rows)


if __name__ == "__main__":
    main()

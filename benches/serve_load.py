#!/usr/bin/env python3
"""`transcribe serve` under load: many clients, one client beside many, and death at any moment.

    python3 benches/serve_load.py load [--clients 64] [--seconds 600]
        Clients that send recordings of ten seconds to two minutes, half of them as jobs, half as requests that wait for
        their text. Prints the times of requests and of jobs, how much audio was transcribed, what was refused, and the
        memory, descriptors and threads of the server. Ends with 1 unless every accepted job was completed.
    python3 benches/serve_load.py compare [--clients 32] [--count 96]
        The same recordings by one client, one after the other, and by many at the same time.
    python3 benches/serve_load.py kills [--kills 30]
        Kills the server with SIGKILL at random moments while clients submit jobs, and starts it again. Ends with 1 unless
        every accepted job was completed with the bytes of a server that was not killed.

Starts a server of its own; --model takes another model than the demo. Needs nothing but Python, and /proc for the memory.
"""
import argparse
import collections
import http.client
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import ROOT, machine, table

PROGRAM = ROOT / "target/release/transcribe"
# Each with how often it is sent.
RECORDINGS = {"short_en": 6, "short_es": 4, "long_en": 1, "long_de": 1, "long_es": 1}
SHORT = ["short_en", "short_es"]
ENDED = ("completed", "failed", "cancelled")
PATIENCE = 600


class Unreachable(Exception):
    """The server is gone, or went away while it answered."""


class Server:
    def __init__(self, args, folder, *options):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        self.command = [str(args.program), "serve", "--model", args.model, "--device", "cpu", "--listen", f"127.0.0.1:{self.port}",
            "--state-dir", str(folder / "state"), *options]
        self.log = (folder / "stderr").open("ab")

    def start(self):
        started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=self.log)
        while time.monotonic() - started < 60:
            if self.process.poll() is not None:
                break
            try:
                if self.ask("GET", "/health")[0] == 200:
                    return time.monotonic() - started
            except Unreachable:
                time.sleep(0.02)
        sys.exit(f"the server did not start: {(self.folder / 'stderr').read_text()[-2000:]}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def ask(self, method, path, body=None, kind=None, timeout=PATIENCE):
        """Gives the status, the headers and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(str(error)) from error
        finally:
            connection.close()

    def send(self, path, name, **fields):
        body, kind = form(name, fields)
        return self.ask("POST", path, body, kind)

    def state(self, job):
        status, _, body = self.ask("GET", f"/v1/jobs/{job}")
        return json.loads(body)["state"] if status == 200 else f"status {status}"


def form(name, fields):
    edge = "edge-of-the-form-7c1f"
    parts = [f'--{edge}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode() for field, value in fields.items()]
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}.flac"\r\n\r\n'.encode()
    return b"".join([*parts, head, recording(name), f"\r\n--{edge}--\r\n".encode()]), f"multipart/form-data; boundary={edge}"


contents = {}


def recording(name):
    if name not in contents:
        contents[name] = (ROOT / f"fixtures/long/{name}.flac").read_bytes()
    return contents[name]


def seconds_of(name):
    return json.loads((ROOT / f"fixtures/long/{name}.json").read_text())["seconds"]


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def times(title, values):
    if not values:
        return [title, 0, "–", "–", "–"]
    return [title, len(values), *(f"{value:.3f}" for value in (quantile(values, 0.5), quantile(values, 0.95), max(values)))]


class Watch(threading.Thread):
    """Notes the memory, descriptors and threads of a process once a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.rows, self.ends, self.start_time = pid, [], threading.Event(), time.monotonic()

    def run(self):
        while not self.ends.wait(1):
            try:
                status = Path(f"/proc/{self.pid}/status").read_text()
                size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
                counts = [len(os.listdir(f"/proc/{self.pid}/{kind}")) for kind in ("fd", "task")]
            except (OSError, StopIteration):
                return
            self.rows.append((time.monotonic() - self.start_time, size / 1024, *counts))

    def show(self, points=10):
        step = max(1, len(self.rows) // points)
        chosen = self.rows[step - 1 :: step]
        table(["seconds", "memory, MB", "descriptors", "threads"], [[f"{at:.0f}", f"{size:.0f}", files, threads] for at, size, files, threads in chosen])


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(nth,)) for nth in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def start_line(title, args):
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    print(f"{title}: model {args.model}, {machine()}{load}\n", flush=True)


def load(args, folder):
    server = Server(args, folder)
    server.start()
    start_line(f"{args.clients} clients for {args.seconds} s", args)
    watch = Watch(server.process.pid)
    watch.start()
    lock, requests, jobs, waits = threading.Lock(), collections.defaultdict(list), {}, []
    refused, audio, problems = collections.Counter(), [0.0], []
    until = time.monotonic() + args.seconds
    names = [name for name, weight in RECORDINGS.items() for _ in range(weight)]

    def timed(title, action):
        started = time.monotonic()
        answer = action()
        with lock:
            requests[title].append(time.monotonic() - started)
            if answer[0] >= 400:
                refused[answer[0]] += 1
        return answer

    def client(nth):
        chance = random.Random(nth)
        while time.monotonic() < until:
            name = chance.choice(names)
            try:
                if chance.random() < 0.5:
                    status, headers, body = timed("POST /v1/audio/transcriptions", lambda: server.send("/v1/audio/transcriptions", name))
                    if status == 200:
                        with lock:
                            audio[0] += seconds_of(name)
                else:
                    started = time.monotonic()
                    status, headers, body = timed("POST /v1/jobs", lambda: server.send("/v1/jobs", name, outputs="srt"))
                    if status == 202:
                        job = json.loads(body)["id"]
                        with lock:
                            jobs[job] = "accepted"
                        server.ask("GET", f"/v1/jobs/{job}/events")
                        status, _, body = timed("GET /v1/jobs/{id}", lambda: server.ask("GET", f"/v1/jobs/{job}"))
                        jobs[job] = json.loads(body)["state"]
                        if jobs[job] == "completed":
                            with lock:
                                waits.append(time.monotonic() - started)
                                audio[0] += seconds_of(name)
                            status, headers, body = timed("GET /v1/jobs/{id}/transcript.srt", lambda: server.ask("GET", f"/v1/jobs/{job}/transcript.srt"))
                            if b" --> " not in body:
                                problems.append(f"{job}: {status}, {body[:200]}")
                if status in (429, 503, 507):
                    time.sleep(min(float(headers.get("Retry-After", 1)), max(0, until - time.monotonic())))
                elif status >= 400:
                    problems.append(f"{status}: {body[:300]}")
            except Unreachable as error:
                problems.append(f"unreachable: {error}")

    started = time.monotonic()
    in_threads(args.clients, client)
    spent = time.monotonic() - started
    watch.ends.set()
    watch.join()
    unfinished = {job: server.state(job) for job in jobs if jobs[job] != "completed"}
    server.stop()
    table(["", "count", "p50, s", "p95, s", "most, s"], [*(times(title, values) for title, values in sorted(requests.items())), times("a job, until it is completed", waits)])
    print(f"\n{audio[0]:.0f} s of audio in {spent:.0f} s: {audio[0] / spent:.1f} s per second")
    print(f"{len(jobs)} jobs accepted, {len(jobs) - len(unfinished)} completed; refused: {dict(refused) or 'nothing'}\n")
    watch.show()
    for problem in problems[:10] + [f"{job}: {state}" for job, state in list(unfinished.items())[:10]]:
        print(f"problem: {problem}")
    return not problems and not unfinished


def compare(args, folder):
    server = Server(args, folder, "--max-queue", str(args.count + 1))
    server.start()
    start_line(f"1 client beside {args.clients}, {args.count} recordings", args)
    names = [SHORT[nth % len(SHORT)] for nth in range(args.count)]
    audio = sum(map(seconds_of, names))
    server.send("/v1/audio/transcriptions", names[0])
    rows, texts = [], {}
    for clients in (1, args.clients, 1, args.clients):
        queue, lock, waits = list(enumerate(names)), threading.Lock(), []

        def client(_):
            while True:
                with lock:
                    if not queue:
                        return
                    nth, name = queue.pop()
                started = time.monotonic()
                status, _, body = server.send("/v1/audio/transcriptions", name)
                assert status == 200, body
                with lock:
                    waits.append(time.monotonic() - started)
                    assert texts.setdefault(nth, body) == body, "another text"

        cpu = lambda: sum(map(int, Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
        used, started = cpu(), time.monotonic()
        in_threads(clients, client)
        spent = time.monotonic() - started
        rows.append((clients, spent, audio / spent, cpu() - used, *(quantile(waits, share) for share in (0.5, 0.95))))
    server.stop()
    table(["clients", "seconds", "audio per second", "CPU seconds", "p50, s", "p95, s"],
        [[clients, f"{spent:.2f}", f"{rate:.1f}", f"{used:.1f}", f"{p50:.3f}", f"{p95:.3f}"] for clients, spent, rate, used, p50, p95 in rows])
    ratio = statistics.mean(row[2] for row in rows[1::2]) / statistics.mean(row[2] for row in rows[::2])
    print(f"\n{args.clients} clients get {ratio:.2f} times the audio per second of 1; every text is the same")
    return True


def kills(args, folder):
    start_line(f"{args.kills} kills, {args.clients} clients", args)
    chance = random.Random(args.seed)
    whole = folder / "whole"
    whole.mkdir()
    server = Server(args, whole)
    server.start()
    expected = {}
    for name in RECORDINGS:
        job = json.loads(server.send("/v1/jobs", name, outputs="srt")[2])["id"]
        server.ask("GET", f"/v1/jobs/{job}/events")
        expected[name] = [server.ask("GET", f"/v1/jobs/{job}/transcript.{form}") for form in ("json", "srt")]
    server.stop()

    server = Server(args, folder)
    server.start()
    lock, accepted, ends, cut = threading.Lock(), {}, threading.Event(), [0]
    names = [name for name, weight in RECORDINGS.items() for _ in range(weight)]

    def client(nth):
        own = random.Random(f"{args.seed} {nth}")
        while not ends.is_set():
            name = own.choice(names)
            try:
                status, headers, body = server.send("/v1/jobs", name, outputs="srt")
                if status == 202:
                    with lock:
                        accepted[json.loads(body)["id"]] = name
                    ends.wait(own.uniform(0, args.pause))
                else:
                    ends.wait(float(headers.get("Retry-After", 0.2)))
            except Unreachable:
                with lock:
                    cut[0] += 1
                ends.wait(0.05)

    threads = [threading.Thread(target=client, args=(nth,)) for nth in range(args.clients)]
    for thread in threads:
        thread.start()
    starts, states = [], collections.Counter()
    for _ in range(args.kills):
        time.sleep(chance.uniform(0.05, args.between))
        try:
            states.update(job["state"] for job in json.loads(server.ask("GET", "/v1/jobs?limit=1000")[2])["data"] if job["state"] not in ENDED)
        except Unreachable:
            pass
        server.kill()
        starts.append(server.start())
    ends.set()
    for thread in threads:
        thread.join()
    until = time.monotonic() + PATIENCE
    outcomes, different = collections.Counter(), []
    for job, name in accepted.items():
        while (state := server.state(job)) not in ENDED and not state.startswith("status") and time.monotonic() < until:
            time.sleep(0.1)
        outcomes[state] += 1
        if state == "completed":
            for form, (_, _, body) in zip(("json", "srt"), expected[name]):
                if server.ask("GET", f"/v1/jobs/{job}/transcript.{form}")[2] != body:
                    different.append(f"{job}: {name}.{form}")
    listed = len(json.loads(server.ask("GET", "/v1/jobs?limit=1000")[2])["data"])
    server.stop()
    left = sorted(path.name for path in (folder / "state").iterdir())
    table(["", ""], [
        ["kills", args.kills], ["jobs accepted", len(accepted)], *([f"of these {state}", count] for state, count in outcomes.items()),
        ["transcripts compared, JSON and SRT", 2 * outcomes["completed"]], ["of these different", len(different)],
        ["waiting or running jobs met by the kills", sum(states.values())], ["requests that a kill broke off, or that met no server", cut[0]],
        ["jobs listed, with those whose answer a kill broke off", listed],
        ["seconds until the server answers again, median and most", f"{statistics.median(starts):.2f}, {max(starts):.2f}"],
        ["entries of the state folder", ", ".join(left)],
    ])
    print("\n".join(f"problem: {one}" for one in different[:10]))
    return not different and outcomes["completed"] == len(accepted) > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["load", "compare", "kills"])
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--clients", type=int)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--pause", type=float, default=2, help="most seconds between two jobs of a client, with kills")
    parser.add_argument("--between", type=float, default=4, help="most seconds between two kills")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.clients = args.clients or {"load": 64, "compare": 32, "kills": 3}[args.mode]
    with tempfile.TemporaryDirectory() as folder:
        is_fine = {"load": load, "compare": compare, "kills": kills}[args.mode](args, Path(folder))
        log = (Path(folder) / "stderr").read_text(errors="replace")
        for line in log.splitlines():
            if "panicked" in line or "internal error" in line:
                print(f"problem: {line}")
                is_fine = False
        if not is_fine:
            shutil.copy(Path(folder) / "stderr", "serve_load.stderr")
    sys.exit(0 if is_fine else 1)


if __name__ == "__main__":
    main()

"""Trains the demo model from scratch, or refines one with `--start`: `python train.py --data FOLDER --out FOLDER`.

Two single-threaded processes share every step. The schedule counts steps, and each step's data depend on the seed, the
step and the process alone, so a run may be slowed, paused, or stopped and started again (`--out` keeps its state).
"""

import argparse
import dataclasses
import datetime
import itertools
import math
import os
import pathlib
import time

import numpy as np
import torch
import torch.distributed as dist

import checkpoint
import compose
import losses
import model
import targets

MUON_RATE, ADAM_RATE, LAST_RATE, WARM_UP = 4e-3, 2e-3, 0.003, 100
HELP_UNTIL = 0.6


@dataclasses.dataclass(frozen=True)
class Stage:
    """`steps` batches of windows; `share` is the part of the whole schedule they stand for."""

    steps: int
    share: float
    lengths: tuple  # (seconds, windows per process), drawn with equal chances
    prompted: float  # share of the steps in which each window is decoded a second time, after a prompt
    prompts: tuple  # ranges of prompt lengths, drawn with equal chances
    unstamped: float  # share of sequences without timestamps


STAGES = (
    Stage(560, 0.12, ((5, 16),), 0.15, ((3, 40),), 0.08),
    Stage(700, 0.22, ((12, 8), (12, 8), (12, 8), (5, 16)), 0.4, ((3, 30), (20, 100), (100, 223)), 0.12),
    Stage(400, 0.25, ((30, 4), (30, 4), (12, 8)), 0.7, ((3, 100), (30, 150), (150, 223), (150, 223)), 0.15),
    Stage(
        800, 0.41, ((30, 4), (30, 4), (30, 4), (30, 4), (12, 8)), 1.0,
        ((3, 40), (30, 150), (150, 223), (150, 223), (223, 223)), 0.15,
    ),
)


_HARD = (
    ((30, 4), (30, 4), (30, 4), (12, 8)), 1.0, ((3, 40), (30, 150), (150, 223), (150, 223), (223, 223)), 0.15,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    stages: tuple
    peak: float  # part of the two peak rates
    flat_until: float  # progress at which the rate begins to fall
    labels: bool = True  # whether the frame labels help
    wide: bool = False  # whether voices are varied beyond what synth.py makes

    def steps(self, scale):
        """[(stage, progress from 0 to 1)] of every step."""
        steps, done = [], 0.0
        for stage in self.stages:
            count = max(2, round(stage.steps * scale))
            steps += [(stage, done + stage.share * i / count) for i in range(count)]
            done += stage.share
        return steps

    def rate(self, step, progress):
        """The part of its peak at which each optimiser's rate stands."""
        if step < WARM_UP:
            return self.peak * (step + 1) / WARM_UP
        if progress < self.flat_until:
            return self.peak
        part = (progress - self.flat_until) / (1 - self.flat_until)
        return self.peak * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * part)))


PLANS = {
    "scratch": Plan(STAGES, 1.0, 0.4),
    # Two for a model that can already do it: the hard windows, and then more kinds of voices.
    "hard": Plan((Stage(500, 1.0, *_HARD),), 0.35, 0.2, labels=False),
    "wide": Plan((Stage(360, 1.0, *_HARD),), 0.5, 0.2, wide=True),
}


class Stats:
    """Sums of counted averages, for the log."""

    def __init__(self):
        self.sums = {}

    def add(self, name, value, count=1):
        old = self.sums.get(name, (0.0, 0.0))
        self.sums[name] = (old[0] + float(value), old[1] + float(count))

    def line(self):
        return {name: total / max(count, 1e-9) for name, (total, count) in self.sums.items()}


class Trainer:
    def __init__(self, args, rank):
        self.args, self.rank = args, rank
        self.plan = PLANS[args.plan]
        self.vocabulary = targets.Vocabulary()
        self.stamps = losses.Timestamps()
        self.pool, self.noise = compose.Pool(args.data, "train"), compose.Noise()
        self.labels = targets.FrameLabels(self.pool)
        self.model = model.Whisper(self.vocabulary, args.seed)
        if args.start:
            self.model.load_state_dict(checkpoint.load_ours(args.start, self.model, self.vocabulary))
        self.helpers = losses.Helpers(self.model.dims.state, self.labels.sizes)
        self.parameters = [*self.model.parameters(), *self.helpers.parameters()]
        self.optimisers = self.make_optimisers()
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.step = 0
        self.state_path = args.out / "state.pt"
        if self.state_path.exists():
            self.restore()

    def make_optimisers(self):
        """Muon for the matrices inside the layers, AdamW for the rest."""
        inner = [
            p for name, p in self.model.named_parameters() if p.ndim == 2 and ".blocks." in name
        ]
        taken = {id(p) for p in inner}
        tables = {id(self.model.decoder.tokens), id(self.model.decoder.positions)}
        rest = [p for p in self.parameters if id(p) not in taken]
        decayed = [p for p in rest if p.ndim > 1 and id(p) not in tables]
        others = [p for p in rest if p.ndim < 2 or id(p) in tables]
        return [
            torch.optim.Muon(inner, lr=MUON_RATE, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(
                [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
                lr=ADAM_RATE, betas=(0.9, 0.98), eps=1e-8, foreach=True,
            ),
        ]

    def restore(self):
        state = torch.load(self.state_path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.helpers.load_state_dict(state["helpers"])
        for optimiser, its in zip(self.optimisers, state["optimisers"]):
            optimiser.load_state_dict(its)
        self.average = state["average"]
        self.step = state["step"]

    def save(self):
        state = {
            "model": self.model.state_dict(), "helpers": self.helpers.state_dict(), "step": self.step,
            "optimisers": [o.state_dict() for o in self.optimisers], "average": self.average,
        }
        partial = self.state_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.rename(self.state_path)

    def compose(self, stage):
        """Windows of one length with a first decoding and perhaps a second one after a prompt."""
        # Both processes draw the same length and the same prompt length: they wait for each other.
        shared = np.random.default_rng([self.args.seed, self.step])
        own = np.random.default_rng([self.args.seed, self.step, 1 + self.rank])
        seconds, count = stage.lengths[shared.integers(len(stage.lengths))]
        windows = [
            compose.compose_window(own, self.pool, self.noise, seconds, wide=self.plan.wide) for _ in range(count)
        ]
        lengths = [0]
        if shared.random() < stage.prompted:
            low, high = stage.prompts[shared.integers(len(stage.prompts))]
            lengths.append(int(shared.integers(low, high + 1)))
        batches = []
        for length in lengths:
            made = [
                targets.sequence(own, self.vocabulary, self.pool, window, length, stage.unstamped)
                for window in windows
            ]
            batches.append(targets.collate(self.vocabulary, made))
        return windows, batches

    def loss(self, windows, batches, help_factor, stats):
        framed = [self.labels.of(window) for window in windows]
        labels = {
            name: torch.from_numpy(np.stack([of[name] for of, _ in framed])) for name in self.labels.sizes
        }
        offsets = torch.tensor([window.offset for window in windows])
        sound, first_layer, looks = self.model.encoder(compose.log_mel(windows), offsets)
        parts = {}
        if self.plan.labels:
            # New heads on a trained encoder must learn before they may teach.
            waiting = self.args.start and self.step < WARM_UP
            seen = (sound.detach(), first_layer.detach()) if waiting else (sound, first_layer)
            parts = losses.frame_losses(self.helpers, *seen, labels, stats)
        generator = torch.Generator().manual_seed(self.step * 2 + self.rank)
        parts["nav"] = losses.navigation(generator, looks, [onsets for _, onsets in framed])
        cross = self.model.decoder.cross(sound)
        total, weight = 0.0, 0.0
        for batch in batches:
            logits, queries = self.model.decoder(torch.from_numpy(batch.tokens), cross, batch.prompt)
            one, one_weight = losses.token_loss(
                self.vocabulary, self.stamps, logits, torch.from_numpy(batch.targets), stats
            )
            total, weight = total + one, weight + one_weight
            current, following = torch.from_numpy(batch.current), torch.from_numpy(batch.following)
            guides = {
                "next": losses.guided(queries[1], cross[1][0], 0, following),
                "next_early": losses.guided(queries[0], cross[0][0], 0, following),
                "current": losses.guided(queries[0], cross[0][0], 1, current),
            }
            for name, value in guides.items():
                parts[name] = parts.get(name, 0.0) + value / len(batches)
        for name in ("nav", "current", "next"):
            stats.add(name, parts[name].detach())
        return total / weight + help_factor * sum(losses.WEIGHTS[name] * value for name, value in parts.items())

    def update(self, stage, progress, stats):
        started = time.monotonic()
        windows, batches = self.compose(stage)
        composed = time.monotonic()
        loss = self.loss(windows, batches, 1.0 if progress < HELP_UNTIL else 0.5, stats)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        gradients = torch.cat([
            (p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in self.parameters
        ])
        dist.all_reduce(gradients)
        gradients /= dist.get_world_size()
        norm = float(gradients.norm())
        gradients *= min(1.0, 1.0 / (norm + 1e-6))
        for p, part in zip(self.parameters, gradients.split([p.numel() for p in self.parameters])):
            p.grad = part.view_as(p)
        rate = self.plan.rate(self.step, progress)
        for optimiser, peak in zip(self.optimisers, (MUON_RATE, ADAM_RATE)):
            for group in optimiser.param_groups:
                group["lr"] = rate * peak
            optimiser.step()
        self.step += 1
        keep = min(0.99, self.step / (self.step + 20))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.model.parameters()], 1 - keep)
        stats.add("windows", len(windows) * dist.get_world_size(), 0)
        stats.add("compose", composed - started)
        stats.add("step_s", time.monotonic() - started)
        stats.add("norm", norm)
        return rate

    def run(self):
        steps = self.plan.steps(self.args.scale)
        stats, started, logged, saved = Stats(), time.monotonic(), time.monotonic(), time.monotonic()
        first = self.step
        for stage, progress in itertools.islice(steps, first, self.args.until or len(steps)):
            rate = self.update(stage, progress, stats)
            now = time.monotonic()
            if self.rank == 0 and (now - logged > 30 or self.step == len(steps)):
                self.log(stats, (now - started) / 60, self.plan.stages.index(stage), rate, now - logged)
                stats, logged = Stats(), now
            elif self.rank and now - logged > 30:
                stats, logged = Stats(), now
            if self.rank == 0 and now - saved > 120:
                self.save()
                saved = now
        if self.rank == 0:
            self.save()
            torch.save(self.averaged(), self.args.out / "average.pt")

    def averaged(self):
        """The averaged weights, the run's result."""
        names = [name for name, _ in self.model.named_parameters()]
        return dict(zip(names, self.average))

    def log(self, stats, minutes, stage, rate, seconds):
        line = stats.line()
        windows = stats.sums["windows"][0]
        columns = " ".join(f"{name} {line.get(name, 0):.3f}" for name in ("CE", "word", "hard", "ts3", "nav", "current", "next"))
        text = (
            f"minute {minutes:.1f} stage {stage} step {self.step} {columns} norm {line['norm']:.2f} rate {rate:.3f} "
            f"windows/s {windows / seconds:.1f} step {line['step_s']:.2f} s composing {line['compose'] / line['step_s']:.0%}"
        )
        with open(self.args.out / "progress.log", "a", encoding="utf-8") as file:
            file.write(text + "\n")


def process(rank, args):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{args.out.resolve()}/meeting", rank=rank, world_size=args.processes,
        timeout=datetime.timedelta(hours=24),
    )
    Trainer(args, rank).run()
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder that synth.py filled")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="state, log and result")
    parser.add_argument("--start", type=pathlib.Path, help="checkpoint folder to refine instead of beginning from scratch")
    parser.add_argument("--plan", choices=PLANS, default="scratch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="length of the schedule")
    parser.add_argument("--until", type=int, help="stop after this step (for a look at the beginning)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "meeting").unlink(missing_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.multiprocessing.spawn(process, (args,), nprocs=args.processes)


if __name__ == "__main__":
    main()

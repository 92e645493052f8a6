"""Writes the results of the check: a report to read, figures for programs, tables and curves."""

import csv
import json

from harness import markdown

import plot

MET = {True: "met", False: "NOT met", None: "not measured"}


def write(check, about, results):
    """Rewrites all files. Called after every part, so that a killed run leaves its results so far."""
    (check.out / "report.md").write_text("\n".join(page(check, about, results)) + "\n")
    (check.out / "figures.json").write_text(json.dumps(figures(check, about, results), indent=1) + "\n")
    if "memory" in check.tables:
        head, rows = check.tables["memory"]
        table(check.out / "memory.csv", head, rows)
    if check.curves.get("memory"):
        plot.curves(check.out / "memory.svg", check.curves["memory"], "finished chunks; memory held in MB")
    rows = speeds(results)
    if rows:
        table(check.out / "speed.csv", list(rows[0]), [list(row.values()) for row in rows])
    if check.curves.get("speed"):
        plot.curves(check.out / "speed.svg", check.curves["speed"], "windows side by side; times real time, from file to text")


def table(path, head, rows):
    with path.open("w", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(head)
        lines.writerows(rows)


def speeds(results):
    """Returns a row for each run of the program and of transformers."""
    head = ["size", "numbers", "batch", "audio_seconds", "seconds", "times_real_time", "encoder_ms", "encoder_of_peak", "step_ms",
            "rows_per_step", "tokens_per_second", "step_bytes", "of_bandwidth", "floor_times_real_time", "load_seconds"]  # fmt: skip
    found = {result.name: result.figures for result in results}
    rows = [{"program": "transcribe", **{name: one.get(name) for name in head}} for one in found.get("speed", {}).get("runs", [])]
    for one in found.get("peer", {}).get("peer", []):
        if "seconds" in one:
            row = {"numbers": one["dtype"], "audio_seconds": one["windows"] * 30, **one}
            rows.append({"program": one["variant"], **{name: row.get(name) for name in head}})
    return rows


def figures(check, about, results):
    return {
        "about": about,
        "goals": {name: vars(goal) for name, goal in check.goals.items()},
        "parts": {result.name: {"status": result.status, "seconds": round(result.seconds, 1), "requirements": result.requirements,
                                "figures": result.figures} for result in results},
    }  # fmt: skip


def page(check, about, results):
    lines = [f"# The check of a GPU, {about['date']}", ""]
    lines += [f"- {name}: {about[name]}" for name in ("device", "machine", "program", "note") if about.get(name)]
    lines += ["", "## Goals", ""]
    lines += markdown(["goal", "", "measured"], [[goal.what, MET[goal.is_met], goal.figure] for goal in check.goals.values()])
    lines += ["", "## Parts", ""]
    lines += markdown(["part", "", "seconds", "requirements met"], [
        [result.title, result.status, f"{result.seconds:.0f}",
         f"{sum(one['met'] for one in result.requirements)} of {len(result.requirements)}"] for result in results])  # fmt: skip
    for result in results:
        if result.text or result.requirements:
            lines += ["", f"## {result.title}: {result.status}", "", *result.text]
            lines += [f"- {'met' if one['met'] else 'NOT MET'}: {one['what']}" for one in result.requirements]
    return lines

#!/usr/bin/env python3
"""Draws docs/images/speed.svg from benches/results/speed.csv; needs nothing but Python.

    python3 benches/charts.py            write the chart
    python3 benches/charts.py --check    fail unless the committed chart is what the figures give

Every figure names the table it comes from: the row `| shape | row | seconds |` of a file in benches/results. Both modes fail
if that table says otherwise.
"""

import argparse
import csv
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benches" / "results"
FIGURES = RESULTS / "speed.csv"
CHART = ROOT / "docs" / "images" / "speed.svg"

PANELS = {
    "avx512-tiny": "tiny on two cores with AVX-512: 10 minutes of speech, 64 tokens a window, random weights",
    "avx512-base": "base on the same machine, the same work",
    "avx2-tiny": "tiny.en on one core with AVX2 only: 4.4 minutes of human speech, processor time",
}
OURS = "transcribe"

# The card has a background of its own, so that it is legible on light and dark pages.
WIDTH, MARGIN, LABELS, VALUES = 860, 24, 220, 64
ROW, BAR, TITLE, GAP = 22, 14, 30, 18
BACKGROUND, BORDER, TEXT, FAINT, ACCENT, PEER = "#ffffff", "#d0d7de", "#1f2328", "#59636e", "#1b7f5c", "#9aa4af"


def read_figures() -> dict[str, list[dict[str, str]]]:
    """The rows of the CSV by panel, each checked against its source."""
    panels: dict[str, list[dict[str, str]]] = {name: [] for name in PANELS}
    with FIGURES.open(newline="") as file:
        for row in csv.DictReader(file):
            cells = f"| {row['shape']} | {row['row']} | {row['seconds']} |"
            lines = (RESULTS / row["source"]).read_text().splitlines()
            if not any(line.startswith(cells) for line in lines):
                sys.exit(f"error: {row['source']} has no row `{cells}`")
            panels[row["panel"]].append(row)
    return panels


def text(x: float, y: float, content: str, size: int = 12, colour: str = TEXT, extra: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{extra}>{escape(content)}</text>'


def draw(panels: dict[str, list[dict[str, str]]]) -> str:
    parts, y = [], MARGIN + 16
    parts.append(text(MARGIN, y, "Speed in multiples of real time: longer is better", 16, extra=' font-weight="bold"'))
    y += 10
    across = WIDTH - 2 * MARGIN - LABELS - VALUES
    for panel, title in PANELS.items():
        y += TITLE
        parts.append(text(MARGIN, y - 8, title, 13))
        speeds = [float(row["audio_seconds"]) / float(row["seconds"]) for row in panels[panel]]
        order = sorted(zip(speeds, panels[panel]), key=lambda pair: -pair[0])
        for speed, row in order:
            is_ours = row["program"] == OURS
            weight = ' font-weight="bold"' if is_ours else ""
            length = across * speed / max(speeds)
            label = f"{row['program']}, {row['setting']}"
            parts.append(text(MARGIN + LABELS - 8, y + BAR - 2, label, 12, extra=f' text-anchor="end"{weight}'))
            parts.append(f'<rect x="{MARGIN + LABELS}" y="{y:g}" width="{length:.1f}" height="{BAR}" rx="2" '
                         f'fill="{ACCENT if is_ours else PEER}"/>')  # fmt: skip
            parts.append(text(round(MARGIN + LABELS + length + 6, 1), y + BAR - 2, f"{speed:.0f}x" if speed >= 20 else f"{speed:.1f}x", 12, extra=weight))
            y += ROW
        y += GAP
    parts.append(text(MARGIN, y, "CPUs only: nothing has been measured on a GPU yet. Figures and sources: benches/results/speed.csv", 11, FAINT))
    height = y + MARGIN
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
            f'font-family="system-ui, sans-serif" role="img" aria-label="Speed of transcribe beside other programs">')  # fmt: skip
    card = (f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8" fill="{BACKGROUND}" '
            f'stroke="{BORDER}"/>')  # fmt: skip
    return "\n".join([head, card, *parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the committed chart is out of date")
    check = parser.parse_args().check
    chart = draw(read_figures())
    if not check:
        CHART.parent.mkdir(parents=True, exist_ok=True)
        CHART.write_text(chart)
    elif not CHART.is_file() or CHART.read_text() != chart:
        sys.exit(f"error: {CHART.relative_to(ROOT)} is out of date: run python3 benches/charts.py")


if __name__ == "__main__":
    main()

"""Curves as SVG, with nothing but Python."""

from pathlib import Path

COLOURS = ["#1b7f5c", "#b3402f", "#3563b8", "#8a5bb0", "#b8860b", "#4a4a4a"]


def curves(path: Path, series: dict[str, list[tuple[float, float]]], caption: str, colours=None) -> None:
    """Each series is points; both axes begin at zero."""
    width, height, left, top = 900, 360, 70, 30
    points = [point for one in series.values() for point in one]
    most = max((y for _, y in points), default=0) * 1.1 or 1
    longest = max((x for x, _ in points), default=0) or 1
    across = lambda x: left + x / longest * (width - left - 20)
    down = lambda y: height - 40 - y / most * (height - 40 - top)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']  # fmt: skip
    for step in range(6):
        value = most * step / 5
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{down(value):.1f}" y2="{down(value):.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 6}" y="{down(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>'
                     f'<text x="{across(longest * step / 5):.1f}" y="{height - 26}" text-anchor="middle">{longest * step / 5:.4g}</text>')  # fmt: skip
    place = left + 10
    for nth, (name, one) in enumerate(series.items()):
        colour = (colours or {}).get(name, COLOURS[nth % len(COLOURS)])
        line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in one)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(one) < 20:
            parts += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>' for x, y in one]
        parts.append(f'<text x="{place}" y="18" fill="{colour}">{name}</text>')
        place += 30 + 7 * len(name)
    parts.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">{caption}</text></svg>')
    path.write_text("\n".join(parts) + "\n")

"""The report as one HTML file that needs nothing else: no script, no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ruska.image import Image, LazyArray
from ruska.io.names import check_free
from ruska.plain_text import copyable, one_line
from ruska.report.beside import Beside, place
from ruska.report.judging import judge_images, listed
from ruska.report.pictures import Explained, Shown, choose_shown, draw
from ruska.report.verdict import Verdict

_BADGE = {"good": "✓ No objection found", "caution": "! Look closely", "warning": "✗ Check before you trust"}


@dataclass(frozen=True)
class ReportPaths:
    """Where a report was written."""

    html: Path
    png: Path


def write_report(
    target: Path, before: Image, after: Image, record: Mapping[str, Any], *,
    explained: Explained | None = None, drawn: Sequence[Image] = (), overwrite: bool = False,
    names: Beside | None = None, noisiest: Mapping[str, int] | None = None, mended: LazyArray | None = None,
    verdict: Verdict | None = None,
) -> ReportPaths:  # fmt: skip
    """Write ``<stem>.report.html`` and ``<stem>.report.png`` beside ``target``, which need not exist yet.

    before, after : the input and the result; only what is shown is read. Their grids may differ.
    record : the run record; every key is optional.
    explained : what the instrument would make of a plane of the result, to be compared with the input.
    drawn : standard deviation of the result, and samples, on its grid.
    names : what the files are called; by the stem of ``target`` when None.
    noisiest : where the plane with the strongest noise is, an index for each axis before Y, where planes differ.
    mended : True where a pixel of ``before`` was mended, of its shape; None where none was.
    verdict : on this result (see `judge_images`); judged here when None.

    Raises OutputError when a report exists (without ``overwrite``) or cannot be written.
    """
    paths = ReportPaths(*(names or Beside(Path(target))).reports)
    check_free((paths.html, paths.png), overwrite=overwrite)
    shown = choose_shown(before, after, explained, drawn, noisiest, mended)
    picture = draw(shown, f"{before.name} → {Path(target).name}")
    verdict = verdict or judge_images(before, after, record, explained, noisiest).verdict
    page = page_html(Path(target).name, before, shown, verdict, picture, record)
    place(paths.png, picture)
    place(paths.html, page.encode("utf-8"))
    return paths


def page_html(
    name: str, before: Image, shown: Shown, verdict: Verdict, picture: bytes, record: Mapping[str, Any]
) -> str:
    """The page as text; every string that comes from a user or a file goes through `_safe`."""
    lines = "\n".join(f"<li>{_safe(line)}</li>" for line in verdict.lines)
    rows = "\n".join(_rows(record)) or "<tr><td>No record was kept.</td></tr>"
    command = record.get("command")
    repeat = f"<h2>To repeat this run</h2>\n<pre><code>{_safe(copyable(str(command)))}</code></pre>" if command else ""
    reason = record.get("method_reason")
    why = f"<p>Method: <strong>{_safe(record['method'])}</strong>" if record.get("method") else ""
    why += (f" — {_safe(reason)}" if reason else "") + "</p>" if why else ""
    image = base64.b64encode(picture).decode("ascii")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ruska report: {_safe(name)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="kind">Ruska report</p>
<h1>{_safe(name)}</h1>
<p class="from">from {_safe(before.name)}. {_safe(shown.caption)}.</p>
<section class="verdict {verdict.level}" aria-label="Verdict">
<p class="badge">{_BADGE[verdict.level]}</p>
<h2>{_safe(verdict.headline)}</h2>
<ul>
{lines}
</ul>
</section>
{why}
<figure>
<img src="data:image/png;base64,{image}" alt="{_safe(_alt(shown, verdict))}">
<figcaption>Before and after have the same grey window (0.3 to 99.7 % of the result). In the residual, red is what
was brighter before, blue what was darker; it should look like noise, without outlines of the specimen. The yellow
frame is the most structured part, shown enlarged below.</figcaption>
</figure>
{_doubt(shown)}
{_spread(record)}
{repeat}
<h2>Record of the run</h2>
<div class="wide"><table>
{rows}
</table></div>
</main>
</body>
</html>
"""


def _safe(text: object) -> str:
    """Text for a page: markup and quotes escaped, control characters made visible."""
    return html.escape(one_line(text))


def _doubt(shown: Shown) -> str:
    """What the standard deviation says, and what it does not; nothing where there is none."""
    if shown.std is None:
        return ""
    middle, most = (float(np.quantile(shown.std, share)) for share in (0.5, 0.95))
    return f"""<p>Standard deviation: {middle:.3g} grey levels at the median pixel shown, {most:.3g} or less at 95 % of
them. It says how far images differ that explain the measurement equally well and are equally usual among micrographs.
It does not know what the model does not know: another blur, a specimen unlike any in the training data, noise other
than what was measured. Detail in a single sample is an example of what may be there: do not measure on it.</p>"""


def _spread(record: Mapping[str, Any]) -> str:
    """How the noise differs between channels and slices; nothing where there is one channel of slices alike."""
    channels = [c for c in listed(record.get("noise_spread")) if isinstance(c, Mapping)]
    rows = []
    for channel in channels:
        slices = channel.get("slices") or {}
        if len(channels) == 1 and not slices.get("differ"):
            return ""
        std = channel.get("std")
        cells = [channel.get("channel"), "—" if std is None else f"{std:.4g}"]
        if slices.get("differ"):
            cells += [f"{slices['lowest']:.4g} to {slices['highest']:.4g}",
                      f"{slices['unlike_the_median']} of {slices['of']}", slices["noisiest"] + 1]  # fmt: skip
        else:
            cells += ["alike" if slices else "one slice", "—", "—"]
        rows.append("".join(f"<td>{_safe(cell)}</td>" for cell in cells))
    if not rows:
        return ""
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"""<h2>Noise by channel and slice</h2>
<p>Standard deviation in grey levels. Every channel was restored with its own noise level,
and so was every slice that differs from the rest.
</p>
<div class="wide"><table>
<tr><th>channel</th><th>typical slice</th><th>slices</th><th>unlike the usual</th><th>noisiest slice</th></tr>
{body}
</table></div>"""


def _alt(shown: Shown, verdict: Verdict) -> str:
    h, w = shown.before.shape
    residual = "residual map, " if shown.residual is not None else ""
    return (
        f"Figure with the image before and after restoration ({w} by {h} pixels), {residual}an enlarged detail, power "
        f"spectra and histograms. In words: {verdict.headline}"
    )


def _rows(record: Mapping[str, Any]) -> Iterator[str]:
    for group, value in record.items():
        if group in ("command", "noise_spread", "parts", "verdict") or value in (None, "", [], (), {}):
            continue
        title = _safe(str(group).replace("_", " "))
        if isinstance(value, Mapping):
            yield f'<tr><th colspan="2" scope="colgroup">{title}</th></tr>'
            for name, text in _flat(value):
                yield f'<tr><th scope="row" class="inner">{_safe(name)}</th><td>{_safe(text)}</td></tr>'
        else:
            yield f'<tr><th scope="row">{title}</th><td>{_safe(_text(group, value))}</td></tr>'


def _flat(mapping: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        name = f"{above}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} › ")
        else:
            yield name, _text(str(key), value)


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None:
        return "—"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, int | np.integer) and key.endswith("bytes"):
        return f"{value / 2**20:.1f} MiB"
    if isinstance(value, list | tuple):
        return (" x " if key in ("shape", "extent", "halo") else ", ").join(_text("", item) for item in value)
    return str(value)


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --soft: #5b636d; --ground: #ffffff; --line: #d9dde2;
  --panel: #f4f5f7; --good: #1f7a4d; --caution: #96650a; --warning: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #a2aab4; --ground: #16181b; --line: #363b41;
  --panel: #1f2226; --good: #63c795; --caution: #e0ae4f; --warning: #f08a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.7rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
.kind { margin: 0; color: var(--soft); letter-spacing: .04em; font-size: .85rem; }
.from { margin: .2rem 0 1.4rem; color: var(--soft); overflow-wrap: anywhere; }
.verdict { background: var(--panel); border-left: 5px solid var(--mark); border-radius: 6px; padding: 1rem 1.2rem; }
.verdict.good { --mark: var(--good); } .verdict.caution { --mark: var(--caution); }
.verdict.warning { --mark: var(--warning); }
.verdict h2 { margin: .1rem 0 .5rem; font-size: 1.25rem; }
.verdict ul { margin: 0; padding-left: 1.2rem; } .verdict li { margin: .45rem 0; overflow-wrap: anywhere; }
.badge { margin: 0; color: var(--mark); font-weight: 600; }
figure { margin: 1.5rem 0; }
img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; }
pre { background: var(--panel); padding: .8rem 1rem; border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { font-weight: 600; white-space: nowrap; } th.inner { font-weight: 400; color: var(--soft); padding-left: 1.6rem; }
td { overflow-wrap: anywhere; }
@media (max-width: 600px) { th { white-space: normal; } th.inner { padding-left: .9rem; } }
"""

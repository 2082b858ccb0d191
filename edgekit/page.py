"""One self-contained HTML page: nothing is fetched, it can be mailed and still be read in ten years.

    write_text(path, render("cart", "what came of it", [Section("Accuracy", [Text("..."), Grid(columns, rows)])]))

Light and dark follow the reader's system, print is light, and a phone gets tables and plots that scroll by themselves.
All text is escaped here, and here alone: blocks hold plain words, whatever they were read from. Only `Plot.svg` is
markup, and `edgekit.svg` escapes what goes into it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

_LIGHT = (
    "--ink:#37352f;--soft:#6f6e69;--line:#e3e2e0;--paper:#fff;--tint:#f7f6f3;--pass:#35724f;--fail:#c4382f;"
    "--inconclusive:#96690f;--hue0:#0b6e99;--hue1:#c2620a;--hue2:#35724f;--hue3:#7d52a0;--hue4:#b03d78;--hue5:#7d5c06;"
    "--hue6:#5a6b7b;--hue7:#c4382f"
)
_DARK = (
    "--ink:#e6e4df;--soft:#a3a19b;--line:#3a3937;--paper:#191919;--tint:#232322;--pass:#6cc495;--fail:#f0857d;"
    "--inconclusive:#e2b45c;--hue0:#5bb3db;--hue1:#f0a05a;--hue2:#6cc495;--hue3:#b991dc;--hue4:#e887b9;--hue5:#d3b05a;"
    "--hue6:#9fb0c0;--hue7:#f0857d"
)
_VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "VALID", "INVALID")
_CSS = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:940px;margin:40px auto;
padding:0 20px;overflow-wrap:anywhere}}
h1{{font-size:28px;line-height:1.25;margin-bottom:4px}} h2{{font-size:20px;margin:44px 0 8px}}
h3{{font-size:14px;margin:18px 0 4px}} p{{margin:8px 0}} .lead,nav,.note{{color:var(--soft)}}
nav{{font-size:13.5px;margin:14px 0}} nav a{{color:inherit;margin-right:14px;white-space:nowrap}}
.wide{{overflow-x:auto;margin:12px 0}}
table{{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13.5px;overflow-wrap:normal}}
th,td{{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}}
th{{color:var(--soft);font-weight:600}} th:first-child,td:first-child,.words{{text-align:left}}
td:last-child,th:last-child{{padding-right:0}}
td{{white-space:nowrap}} td.words{{white-space:normal;min-width:180px}}
td:first-child,th:first-child{{position:sticky;left:0;background:var(--paper)}}
img{{max-width:100%;border-radius:6px;display:block}} figure{{margin:14px 0;overflow-x:auto}}
figcaption{{color:var(--soft);font-size:13px;line-height:1.4;margin-top:4px}}
svg{{color:var(--ink);font:12px system-ui,sans-serif;max-width:100%;height:auto;display:block}}
svg text{{fill:currentColor}}
.soft{{color:var(--soft)}} .line{{color:var(--line)}}
{"".join(f".hue{i}{{color:var(--hue{i})}}" for i in range(8))}
.PASS,.VALID{{color:var(--pass)}} .FAIL,.INVALID{{color:var(--fail)}} .INCONCLUSIVE{{color:var(--inconclusive)}}
.tiles{{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:18px 0}}
.tiles div{{background:var(--tint);border-radius:8px;padding:10px 14px}} .tiles b{{display:block;font-size:21px}}
.tiles span{{color:var(--soft);font-size:13px;display:block;line-height:1.4}}
.grid{{display:grid;gap:14px}} .grid figure{{margin:0}} ul{{padding-left:20px;margin:8px 0}}
summary{{cursor:pointer;color:var(--soft);font-size:13.5px;margin:8px 0}}
@media (max-width:600px){{body{{margin:20px auto;padding:0 16px}} svg.fixed{{max-width:none}}}}
@media print{{body{{margin:0;max-width:none;font-size:12px}} nav{{display:none}} .wide,figure{{overflow:visible}}
table{{font-size:10px}} th,td{{padding:3px 8px 3px 0;white-space:normal}}
.grid.plots{{grid-template-columns:1fr 1fr!important}}
figure,tr,.tiles div,.card{{break-inside:avoid}} h2,h3{{break-after:avoid}}
details::details-content{{content-visibility:visible;display:block;block-size:auto}}}}
"""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Lines:
    """A list of sentences; where one begins with a verdict, such as PASS or INVALID, that word is coloured."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Tiles:
    """The few figures to see first: each a name, its value, and a line below it."""

    tiles: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Grid:
    """A table: text on the left, figures to the right of it; verdicts are coloured.

    `words`: the columns, by place, that hold sentences and not figures.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = ()


@dataclass(frozen=True)
class Plot:
    """An SVG with what it shows in words."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Plots:
    """Plots side by side, below each other on a phone."""

    plots: Sequence[Plot]


@dataclass(frozen=True)
class Pictures:
    """JPEG files side by side, each with its caption, `width` pixels wide at the least, below a title."""

    jpegs: Sequence[tuple[bytes, str]]
    title: str = ""
    width: int = 380


@dataclass(frozen=True)
class Folded:
    """Blocks that open when asked for, and are all there on paper."""

    summary: str
    blocks: Sequence[Text | Lines | Grid | Plot | Plots | Pictures]


Block: TypeAlias = Text | Lines | Tiles | Grid | Plot | Plots | Pictures | Folded


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as text; from four sections on they are listed at the top."""
    body = "".join(_section(number, each) for number, each in enumerate(sections, 1))
    links = "".join(f'<a href="#s{number}">{escape(each.title)}</a>' for number, each in enumerate(sections, 1))
    contents = f"<nav>{links}</nav>" if len(sections) > 3 else ""
    view = '<meta name="viewport" content="width=device-width,initial-scale=1">'
    head = f'<meta charset="utf-8">{view}<title>{escape(title)}</title><style>{_CSS}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(lead)}</p>{contents}{body}</body></html>\n'
    )


def _section(number: int, section: Section) -> str:
    return f'<h2 id="s{number}">{escape(section.title)}</h2>{"".join(map(_block, section.blocks))}'


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Lines):
        return f"<ul>{''.join(map(_line, block.lines))}</ul>"
    if isinstance(block, Tiles):
        return f'<div class="tiles">{"".join(_tile(*each) for each in block.tiles)}</div>'
    if isinstance(block, Grid):
        return _table(block)
    if isinstance(block, Plot):
        return f"<figure>{block.svg}<figcaption>{escape(block.caption)}</figcaption></figure>"
    if isinstance(block, Plots):
        return _side_by_side("".join(map(_block, block.plots)), 340, "plots")
    if isinstance(block, Pictures):
        title = f"<h3>{escape(block.title)}</h3>" if block.title else ""
        pictures = _side_by_side("".join(_picture(*each) for each in block.jpegs), block.width, "pictures")
        return f'<div class="card">{title}{pictures}</div>'
    return f"<details><summary>{escape(block.summary)}</summary>{''.join(map(_block, block.blocks))}</details>"


def _side_by_side(figures: str, width: int, kind: str) -> str:
    columns = f"grid-template-columns:repeat(auto-fill,minmax(min({width}px,100%),1fr))"
    return f'<div class="grid {kind}" style="{columns}">{figures}</div>'


def _table(grid: Grid) -> str:
    head = "".join(f"<th{_words(place, grid)}>{escape(column)}</th>" for place, column in enumerate(grid.columns))
    rows = "".join(
        f"<tr>{''.join(_cell(text, place, grid) for place, text in enumerate(row))}</tr>" for row in grid.rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(text: str, place: int, grid: Grid) -> str:
    verdict = _verdict(text)
    marked = f' class="{verdict}"' if verdict else _words(place, grid)
    return f"<td{marked}>{escape(text)}</td>"


def _words(place: int, grid: Grid) -> str:
    return ' class="words"' if place in grid.words else ""


def _line(text: str) -> str:
    verdict = _verdict(text)
    if not verdict:
        return f"<li>{escape(text)}</li>"
    return f'<li><span class="{verdict}">{verdict}</span>{escape(text[len(verdict) :])}</li>'


def _verdict(text: str) -> str:
    """The verdict that a text begins with, or nothing."""
    first = text.replace(":", " ").partition(" ")[0]
    return first if first in _VERDICTS else ""


def _tile(name: str, value: str, below: str) -> str:
    verdict = _verdict(value)
    marked = f' class="{verdict}"' if verdict else ""
    return f"<div><span>{escape(name)}</span><b{marked}>{escape(value)}</b><span>{escape(below)}</span></div>"


def _picture(jpeg: bytes, caption: str) -> str:
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    name = escape(caption)
    return f'<figure><img alt="{name}" src="{source}"><figcaption>{name}</figcaption></figure>'

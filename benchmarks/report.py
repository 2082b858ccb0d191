"""One self-contained HTML page: nothing is fetched, it can be mailed and still be read in ten years."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

_CSS = """
body{font:15px/1.55 system-ui,sans-serif;color:#37352f;max-width:860px;margin:40px auto;padding:0 20px}
h1{font-size:28px;margin-bottom:4px} h2{font-size:20px;margin-top:38px} p{margin:8px 0} .lead{color:#73726e}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13.5px}
th,td{padding:5px 10px 5px 0;border-bottom:1px solid #e9e9e7;text-align:right} th{color:#73726e;font-weight:600}
th:first-child,td:first-child{text-align:left} img{max-width:100%;border-radius:6px} figure{margin:14px 0}
figcaption{color:#73726e;font-size:13px} .PASS{color:#448361}.FAIL{color:#d44c47}.INCONCLUSIVE{color:#c29343}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(380px,1fr));gap:14px}
"""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table: text on the left, figures to the right of it; PASS, FAIL and INCONCLUSIVE are coloured."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """An SVG with what it shows in words."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """JPEG files side by side, each with its caption."""

    jpegs: Sequence[tuple[bytes, str]]


Block: TypeAlias = Text | Grid | Plot | Pictures


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as text."""
    body = "".join(f"<h2>{escape(each.title)}</h2>{''.join(map(_block, each.blocks))}" for each in sections)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_CSS}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(lead)}</p>{body}</body></html>\n'
    )


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Plot):
        return f"<figure>{block.svg}<figcaption>{escape(block.caption)}</figcaption></figure>"
    if isinstance(block, Grid):
        head = "".join(f"<th>{escape(column)}</th>" for column in block.columns)
        return f"<table><tr>{head}</tr>{''.join(map(_row, block.rows))}</table>"
    return f'<div class="grid">{"".join(_picture(*each) for each in block.jpegs)}</div>'


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(map(_cell, cells))}</tr>"


def _cell(text: str) -> str:
    verdict = text.partition(" ")[0]
    marked = f' class="{verdict}"' if verdict in ("PASS", "FAIL", "INCONCLUSIVE") else ""
    return f"<td{marked}>{escape(text)}</td>"


def _picture(jpeg: bytes, caption: str) -> str:
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    name = escape(caption)
    return f'<figure><img alt="{name}" src="{source}"><figcaption>{name}</figcaption></figure>'

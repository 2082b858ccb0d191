"""What a measurement looks like to somebody who was not there: one HTML page, a Markdown table, and its plots.

write_text("cart.html", page(Result.read("cart.json"), bundle))
"""

from edgekit.benchmarks.report.markdown import markdown
from edgekit.benchmarks.report.page import page, sections

__all__ = ["markdown", "page", "sections"]

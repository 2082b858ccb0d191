"""The page about a build: what was traded for what, whether it may be shipped, and on which pictures it shows.

`report_of` works every figure out of what a build found and holds it as plain values; `to_html` only writes it down.
"""

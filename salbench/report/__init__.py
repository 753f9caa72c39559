"""A static site from result files, maps and data: leaderboards, comparisons, images, ablations and studies.

Pages are Jinja templates in `templates`, with one style and a few scripts in `assets`. They open from disk and ask no
network. All numbers are those of `salbench.tables`, `salbench.matrix` and `salbench.stats`. Text from files of others
is escaped; names of files are made harmless.
"""

from salbench.report.build import Content, build
from salbench.report.site import ReportProblem

__all__ = ["Content", "ReportProblem", "build"]

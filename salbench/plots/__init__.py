"""Figures for papers: a ranking, a scatter plot, a matrix, examples of maps, the effects of an ablation, comparisons.

Each function returns a matplotlib figure in the style of `salbench.figure`, whose `save` writes it. The numbers are
those of the result files; only the maps of `examples` are predicted anew.
"""

from salbench.plots.ablation import ablation
from salbench.plots.comparisons import comparisons
from salbench.plots.examples import examples
from salbench.plots.matrix import matrix
from salbench.plots.ranking import ranking
from salbench.plots.scatter import scatter

__all__ = ["ablation", "comparisons", "examples", "matrix", "ranking", "scatter"]

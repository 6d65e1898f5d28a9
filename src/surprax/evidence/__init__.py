"""Data as a vector: evidence that adds, subtracts and scales."""

from surprax.evidence.base import Evidence
from surprax.evidence.extremes import Extremes
from surprax.evidence.layout import Carrier, Gap, Layout
from surprax.evidence.moments import Moments
from surprax.evidence.tally import Tally

__all__ = ["Carrier", "Evidence", "Extremes", "Gap", "Layout", "Moments", "Tally"]

from .certificate import Certificate as Certificate
from .compressed import Compressed as Compressed
from .planner import CompressionWarning as CompressionWarning
from .planner import compress as compress
from .planner import plan as plan
from .explanation import Plan as Plan
from .explanation import SitePlan as SitePlan

__all__ = ["Certificate", "Compressed", "CompressionWarning", "Plan", "SitePlan", "compress", "plan"]

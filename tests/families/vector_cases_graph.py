"""Settings of the Ising model on a graph."""

from tests.families.cases import Case

from surprax.families.ising import Ising

PATH = Ising.on([(0, 1), (1, 2)])
CASES = [
    Case(lambda: PATH([0.3, -0.2, 0.1], [0.5, -0.4]), label="Ising path"),
    Case(lambda: PATH([0.0, 0.6, -0.3], [-0.2, 0.3]), label="Ising path, other"),
]

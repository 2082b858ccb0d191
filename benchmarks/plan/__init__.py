"""`edgekit plan`: which variant of a bundle runs best on this host, in which engine, with how many threads.

    with Bundle.open("cart.ekb") as bundle:
        outcome = plan(bundle, profile=DeviceProfile.load("generic"))
    for each in outcome.host_plans():
        Plans.usual().keep(each)

Everything is measured while cameras deliver frames (load.py), and a stage beside the other one of its cascade. There
are too many ways to run a bundle (candidates.py) to measure each of them well, so they become fewer in three steps
(stage.py), the last of which has the rule that chooses (trials.py).
"""

from edgekit.benchmarks.plan.cascade import plan
from edgekit.benchmarks.plan.load import Load
from edgekit.benchmarks.plan.outcome import Outcome, StageOutcome, Tried

__all__ = ["Load", "Outcome", "StageOutcome", "Tried", "plan"]

"""Our advantages beside those of CoMLRL's own code, of the same rewards and values.

The numbers are CoMLRL's: ``benchmarks/peers/comlrl_advantages.py`` ran its trainers and wrote them.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from neuromas.core.parts import ALGORITHMS, ESTIMATORS
from neuromas.learning.values import gae, normalised
from neuromas.training.algorithms.actor_critic import Decision, _Judged

THEIRS = json.loads(
    (Path(__file__).parents[4] / "benchmarks/results/comlrl_advantages.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", THEIRS["critic"], ids=lambda c: f"{c['discount']}-{c['normalised']}")
def test_the_central_critics_advantages(case):
    algorithm = ALGORITHMS.get("collm-cc")(gamma=case["discount"])
    advantages, targets = [], []
    for episode in case["episodes"]:
        gained, wanted = gae(episode["rewards"], episode["values"], algorithm.gamma, algorithm.lam)
        advantages += gained
        targets += wanted
    if case["normalised"]:
        advantages = by_turn(algorithm, advantages, len(case["episodes"]))
    assert targets == pytest.approx(case["targets"], abs=1e-6)
    assert advantages == pytest.approx(case["advantages"], abs=1e-5)


def by_turn(algorithm, advantages, episodes):
    """Normalised as actors have them: a turn is a layer of one node."""
    turns = len(advantages) // episodes
    decisions = [Decision((), 0, (turn,), 0.0) for _ in range(episodes) for turn in range(turns)]
    numbers = [episode for episode in range(episodes) for _ in range(turns)]
    judged = _Judged(decisions, numbers, None, [], advantages, [], 0)
    network = SimpleNamespace(topology=SimpleNamespace(nodes=range(turns)))
    table = algorithm._by_node(SimpleNamespace(network=network), judged, episodes)
    return [table[turn][episode] for episode in range(episodes) for turn in range(turns)]


OURS = {"raw": "none", "mean": "batch_mean", "rloo": "rloo"}


@pytest.mark.parametrize("case", THEIRS["groups"], ids=lambda c: f"{c['mode']}-{c['normalised']}")
def test_the_groups_advantages(case):
    estimator = ESTIMATORS.get(OURS[case["mode"]])()
    found = list(estimator.advantages([case["rewards"]], estimator.init())[0][0])
    if case["normalised"]:
        found = normalised(found)
    assert found == pytest.approx(case["advantages"], abs=1e-5)

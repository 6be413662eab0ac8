"""MASS-lite: prompts and topology of a workflow, found on validation problems (arXiv:2502.02533)."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

from neuromas.core.episode import Episode, Turn
from neuromas.core.seeds import derive
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import first_problems
from neuromas.methods.base import Bench, Search
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_temperature, check_whole
from neuromas.methods.mass_words import BLOCKS, POOL, Words
from neuromas.methods.searching import Searching, earned, example, searched, tried

SHARPNESS = 0.05  # t in softmax(influence / t)
_FIRST = Words(*(POOL[block][0] for block in Words._fields))
_EXAMPLES = 3  # the most shown to a predictor
_TRIES = 100  # draws for every topology that is wanted


@dataclass(frozen=True, slots=True)
class Shape:
    """How many predictors are aggregated (1: none), rounds of reflection, and rounds of debate."""

    aggregate: int = 1
    reflect: int = 0
    debate: int = 0

    @property
    def chains(self) -> int:
        """Predictors side by side: a debate takes two."""
        return max(self.aggregate, 2 if self.debate else 1)

    @property
    def blocks(self) -> list[str]:
        """Those that it has beside the predictor."""
        return [block for block in BLOCKS if getattr(self, block) != getattr(Shape(), block)]

    @property
    def calls(self) -> int:
        """Messages. Without an aggregator, a debate's last round is one debater's, who has the last word."""
        before = self.chains * (1 + self.reflect + self.debate)
        if self.aggregate > 1:
            return before + 1
        return before - (self.chains - 1 if self.debate else 0)


MINIMAL = {"aggregate": Shape(aggregate=3), "reflect": Shape(reflect=1), "debate": Shape(debate=1)}


@dataclass(frozen=True)
class Workflow(Dialogue):
    """Predict, reflect, debate, aggregate, in this order."""

    shape: Shape = Shape()
    words: Words = _FIRST
    temperature: float = 0.7

    costs = "1 to agents"
    source = "arXiv:2502.02533"

    def calls(self, bench: Bench) -> int:
        """Those of its shape."""
        return self.shape.calls

    def talk(self, problem: Problem, read: Read) -> Talk:
        """A round a block; all chains of a round at once."""
        shape, words = self.shape, self.words
        turns = yield [Ask((), words.predict, k) for k in range(shape.chains)]
        for _ in range(shape.reflect):
            turns = yield [Ask((_own(turn),), words.reflect, k) for k, turn in enumerate(turns)]
        for left in reversed(range(shape.debate)):
            speakers = 1 if left == 0 and shape.aggregate == 1 else shape.chains
            turns = yield [Ask(_all(turns, k), words.debate, k) for k in range(speakers)]
        if shape.aggregate > 1:
            turns = yield [Ask(_all(turns), words.aggregate, shape.chains)]
        return turns[0].text

    def about(self, bench: Bench) -> dict[str, Any]:
        """The shape and what its agents are told."""
        return {"nodes": self.shape.calls, "topology": asdict(self.shape), "words": self.words._asdict()}


def _own(turn: Turn) -> str:
    """What an agent is shown of its own last message."""
    return f"Your answer: {turn.text}"


def _all(turns: Sequence[Turn], own: int | None = None) -> tuple[str, ...]:
    """All chains' last messages, a line each."""
    return tuple(_own(turn) if k == own else f"Agent {k + 1}: {turn.text}" for k, turn in enumerate(turns))


@dataclass(frozen=True)
class Mass(Searching):
    """Three searches on the first ``items`` validation problems, each keeping what earns most.

    1. Words of the predictor alone, then of each block in its smallest workflow (3 predictors and an
       aggregator, a predictor and a reflection, 2 predictors and a debater): ``trials`` of each. The
       influence of block i is I_i = E(workflow with it) / E(predictor), E the mean reward.
    2. ``topologies`` shapes: block i stays with probability softmax(I / 0.05)_i, its count is drawn evenly
       (3, 5, 7 or 9 predictors, 1 to 4 rounds), more than ``agents`` messages are drawn again.
    3. Words of all agents of the shape that earned most: ``trials``.

    The original: 10 instructions in 10 rounds of MIPRO, 10 shapes in 3 ``runs`` each, at most 10 agents,
    temperature 0.7.
    """

    agents: int = 10
    items: int = 16
    trials: int = 4
    topologies: int = 8
    runs: int = 1
    temperature: float = 0.7

    costs = "1 to agents"
    source = "arXiv:2502.02533"
    differs = (
        "MASS-lite: words from a pool of our own paraphrases, and up to 3 worked examples of the predictor "
        "from its right answers to training problems, by random search instead of MIPRO; no summarising, no "
        "tools; the predictor alone is always among the shapes, of equals the smallest is taken, and a mean "
        "reward of 0 counts as half an item in influences; by default 4 trials, 8 shapes, one run and 16 "
        "items, where the original takes about 10, 10 and 3; in the plain style a message is one line"
    )

    def __post_init__(self) -> None:
        check_whole("mass", "agents", self.agents, 1, 100)
        check_whole("mass", "items", self.items, 1, 100_000)
        check_whole("mass", "trials", self.trials, 1, len(POOL["predict"]))
        check_whole("mass", "topologies", self.topologies, 0, 1000)
        check_whole("mass", "runs", self.runs, 1, 100)
        check_temperature("mass", self.temperature)

    def calls(self, bench: Bench) -> int:
        """The most of any shape that may be drawn; where fewer calls are allowed, no larger one is."""
        return min(self.agents, bench.allowance.calls or self.agents)

    def prepare(self, bench: Bench) -> Search:
        """See ``Method.prepare``. ``found``: words and influence of blocks, shapes, what was chosen."""
        trial = _Trial(bench, self, first_problems(bench.task, "validation", self.items))
        found: dict[str, Any] = {}
        examples = trial.examples(first_problems(bench.task, "train", self.items))
        predictors = trial.predictors(examples)
        alone, base = _best(predictors, trial.earn(predictors))
        found["predictor"] = {"words": alone.words.predict, "reward": base}
        words, found["blocks"] = trial.blocks(alone, base)
        chances = {block: about["probability"] for block, about in found["blocks"].items()}
        shapes = trial.shapes(chances, self.calls(bench))
        drawn = [replace(alone, shape=shape, words=words) for shape in shapes]
        rewards = trial.earn(drawn)
        found["topologies"] = [
            asdict(shape) | {"calls": shape.calls, "reward": reward}
            for shape, reward in zip(shapes, rewards, strict=True)
        ]
        chosen, reward = _best(drawn, rewards)
        others = trial.reworded(chosen, examples)
        chosen, reward = _best([chosen, *others], [reward, *trial.earn(others)])
        found["chosen"] = asdict(chosen.shape) | {"words": chosen.words._asdict(), "reward": reward}
        return searched(chosen, found, trial.played)


@dataclass(slots=True)
class _Trial:
    """What workflows earn on the validation problems; ``played`` keeps every episode for the bill."""

    bench: Bench
    mass: Mass
    problems: Sequence[Problem]
    played: list[Episode] = field(default_factory=list)

    def earn(self, workflows: Sequence[Workflow]) -> list[float]:
        """Mean reward of each, all in step and with the same draws."""
        runs = range(self.mass.runs)
        episodes = self.play(
            [(one, problem, k) for one in workflows for problem in self.problems for k in runs]
        )
        each = len(self.problems) * self.mass.runs
        return [earned(episodes[start : start + each]) for start in range(0, len(episodes), each)]

    def play(self, talks: Sequence[tuple[Dialogue, Problem, int]]) -> list[Episode]:
        """Episodes, kept."""
        episodes = tried(self.bench, talks)
        self.played += episodes
        return episodes

    def examples(self, problems: Sequence[Problem]) -> list[str]:
        """Right answers of the predictor to training problems, as text to be shown."""
        alone = Workflow(temperature=self.mass.temperature)
        return [
            example(one.problem.question, one.answer)
            for one in self.play([(alone, problem, 0) for problem in problems])
            if one.score is not None and one.score.accuracy == 1.0
        ]

    def ways(self, block: str) -> list[str]:
        """``trials`` different ways to say a block's duty, the first of the pool first."""
        first, *rest = POOL[block]
        rng = random.Random(derive(self.bench.seed, "mass", "ways", block))
        return [first, *rng.sample(rest, self.mass.trials - 1)]

    def predictors(self, examples: Sequence[str]) -> list[Workflow]:
        """``trials`` predictors: the first as it is, the others with 0 to 3 examples."""
        rng = random.Random(derive(self.bench.seed, "mass", "predictors"))
        told = [_with_some(way, examples, trial, rng) for trial, way in enumerate(self.ways("predict"))]
        return [
            Workflow(words=_FIRST._replace(predict=one), temperature=self.mass.temperature) for one in told
        ]

    def reworded(self, workflow: Workflow, examples: Sequence[str]) -> list[Workflow]:
        """``trials`` - 1 workflows of this shape whose agents' words are all drawn anew."""
        made = []
        for trial in range(1, self.mass.trials):
            rng = random.Random(derive(self.bench.seed, "mass", "whole", trial))
            drawn = {block: rng.choice(POOL[block]) for block in ("predict", *workflow.shape.blocks)}
            drawn["predict"] = _with_some(drawn["predict"], examples, trial, rng)
            made.append(replace(workflow, words=workflow.words._replace(**drawn)))
        return made

    def blocks(self, alone: Workflow, base: float) -> tuple[Words, dict[str, dict[str, Any]]]:
        """The best words of every block in its smallest workflow, and its influence and probability."""
        tried = [
            replace(alone, shape=MINIMAL[block], words=alone.words._replace(**{block: text}))
            for block in BLOCKS
            for text in self.ways(block)
        ]
        rewards, size = self.earn(tried), self.mass.trials
        best = {
            block: _best(tried[i * size : (i + 1) * size], rewards[i * size : (i + 1) * size])
            for i, block in enumerate(BLOCKS)
        }
        influence = {block: self.influence(reward, base) for block, (_, reward) in best.items()}
        chance = softmax(influence)
        words = alone.words._replace(**{block: getattr(one.words, block) for block, (one, _) in best.items()})
        about = {
            block: {
                "words": getattr(words, block),
                "reward": best[block][1],
                "influence": influence[block],
                "probability": chance[block],
            }
            for block in sorted(BLOCKS, key=lambda block: -influence[block])
        }
        return words, about

    def influence(self, reward: float, base: float) -> float:
        """reward / base, where 0 counts as half an item."""
        least = 0.5 / len(self.problems)
        return max(reward, least) / max(base, least)

    def shapes(self, chances: Mapping[str, float], most: int) -> list[Shape]:
        """The predictor alone, and up to ``topologies`` different shapes of at most ``most`` messages."""
        shapes = {Shape()}
        rng = random.Random(derive(self.bench.seed, "mass", "shapes"))
        for _ in range(_TRIES * self.mass.topologies):
            if len(shapes) > self.mass.topologies:
                break
            shape = draw_shape(rng, chances)
            shapes |= {shape} if shape.calls <= most else set()
        return sorted(shapes, key=lambda shape: (shape.calls, astuple(shape)))


def _with_some(words: str, examples: Sequence[str], trial: int, rng: random.Random) -> str:
    """The words, and of the examples none, 1, 2, 3, none, ... at trials 0, 1, ..., if there are any."""
    count = min(trial % (_EXAMPLES + 1), len(examples))
    return "\n".join([words, *rng.sample(examples, count)])


def draw_shape(rng: random.Random, chances: Mapping[str, float]) -> Shape:
    """A shape whose blocks stay with these probabilities, with counts drawn evenly."""
    counts = {"aggregate": (3, 5, 7, 9), "reflect": (1, 2, 3, 4), "debate": (1, 2, 3, 4)}
    stays = {block: rng.random() <= chances[block] for block in BLOCKS}
    return Shape(**{block: rng.choice(counts[block]) for block in BLOCKS if stays[block]})


def softmax(influence: Mapping[str, float]) -> dict[str, float]:
    """exp(I_i / t) / sum of exp(I_j / t), with t = 0.05."""
    most = max(influence.values())
    weights = {block: math.exp((one - most) / SHARPNESS) for block, one in influence.items()}
    return {block: weight / sum(weights.values()) for block, weight in weights.items()}


def _best(workflows: Sequence[Workflow], rewards: Sequence[float]) -> tuple[Workflow, float]:
    """The workflow that earned most, of equals the first, and what it earned."""
    place = rewards.index(max(rewards))
    return workflows[place], rewards[place]

"""Where a model stands before training: what it does greedily, and what its samples would earn.

Reinforcement learning starts where some samples are right and some are wrong: only such problems have a
gradient under leave-one-out. So beside accuracy the shares of problems with any right sample and with both
kinds are counted: of the whole question, its parts and its steps (``asks``), with worked examples or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from neuromas.core.episode import Episode
from neuromas.core.errors import PromptError, one_line
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task
from neuromas.engines.base import Request
from neuromas.evaluation.asks import WHOLE, Ask, Group, local_levels, parts_and_steps, tree_of, whole
from neuromas.prompts.build import build_prompt, check_fits
from neuromas.prompts.template import ended_text
from neuromas.statistics import bootstrap_mean, wilson
from neuromas.system.network import Network
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.scoring import scored
from neuromas.tasks.cheats import best_constant

EXAMPLES = (0, 1, 2, 4)
_BATCH = 256  # messages of one call of the engine, between two reports
_DRAWS = 200  # training problems among whose pieces worked examples are sought


@dataclass(frozen=True, slots=True)
class Draws:
    """How much is asked: samples of every question, their temperature, and the seed of the draws."""

    samples: int = 8
    temperature: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model answers questions of one kind with so many worked examples.

    ``greedy`` is a share of ``items``, ``reward`` the mean of all samples; ``any`` and ``mixed`` are shares
    of items with a right sample, and with right and wrong ones (graded: with different rewards). ``low`` are
    the lower ends of 95 % intervals of greedy and reward, ``constant`` what the best constant answer
    earns. ``failure`` says why nothing could be asked; then the numbers are 0.
    """

    kind: str
    level: int
    form: str
    examples: int
    items: int
    greedy: float = 0.0
    reward: float = 0.0
    any: float = 0.0
    mixed: float = 0.0
    low: tuple[float, float] = (0.0, 0.0)
    constant: float = 0.0
    constant_text: str = ""
    said: str = ""
    failure: str | None = None

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


Tell = Callable[[int, int, str], None]  # done, of, what comes next


def probe(
    network: Network,
    task: Task,
    problems: Sequence[Problem],
    draws: Draws,
    *,
    examples: Sequence[int] = EXAMPLES,
    tell: Tell = lambda done, of, what: None,
) -> Iterator[Standing]:
    """Ask a network of one node the whole, its parts and steps; readers' prompts with the same adapter.

    With several nodes the whole is asked of the network as it is, and parts and steps of its own nodes, with
    its own worked examples alone. What could not be asked is a Standing with its cause.
    One after the other, so that an interrupted probe has what it found.
    """
    trained = len(network.topology.nodes) > 1
    one, tree = (None, network.topology) if trained else (network.topology, tree_of(problems[0]))
    counts = (len(network.examples),) if trained else examples
    shown = not trained and any(counts)
    drawn = _training(task, problems) if shown or local_levels(problems[0]) else []
    groups = [whole(network.topology, problems, drawn), *parts_and_steps(one, tree, problems, drawn)]
    jobs = [(group, count) for group in groups for count in counts]
    for number, (group, count) in enumerate(jobs):
        tell(number, len(jobs), f"{title(group.kind, group.level, group.form)}, {count} examples")
        base = Standing(group.kind, group.level, group.form, count, len(group.asks))
        try:
            asker = _Asker(network, task, None if trained else group.pool[: 4 * max(counts)], count)
            both = [asker.answers(group, how) for how in (Draws(1, 0.0, draws.seed), draws)]
        except PromptError as error:
            yield replace(base, failure=one_line(error))
            continue
        yield _counted(base, task, [ask.own for ask in group.asks], both, draws.samples)
    tell(len(jobs), len(jobs), "")


def title(kind: str, level: int, form: str) -> str:
    """What a group is called: ``the whole question``, ``parts: What is # + #?``, ``step 1: …``."""
    if kind == WHOLE:
        return "the whole question"
    return f"{'parts' if kind == 'part' else f'step {level}'}: {form}"


def _training(task: Task, problems: Sequence[Problem]) -> list[Problem]:
    """Training problems for worked examples and for telling kinds apart; none of them is asked."""
    size = task.size("train")
    asked = {problem.question for problem in problems}
    drawn = [task.problem("train", place) for place in range(_DRAWS if size is None else min(_DRAWS, size))]
    return [one for one in drawn if one.question not in asked]


def _counted(
    base: Standing,
    task: Task,
    owns: Sequence[Problem],
    episodes: Sequence[Sequence[Episode]],
    samples: int,
) -> Standing:
    """The figures of answers: one greedy and ``samples`` drawn ones a problem, problem-major."""
    greedy = [_of(one, accuracy=True) for one in episodes[0]]
    drawn = [_of(one, accuracy=False) for one in episodes[1]]
    rows = [drawn[start : start + samples] for start in range(0, len(drawn), samples)]
    right = [_of(one, accuracy=True) > 0.0 for one in episodes[1]]
    means = [sum(row) / len(row) for row in rows]
    items = len(rows)
    interval = bootstrap_mean(means)
    constant = best_constant(task, owns)
    wrong = next((one.answer for one, value in zip(episodes[0], greedy, strict=True) if value < 1.0), "")
    return replace(
        base,
        greedy=sum(greedy) / items,
        reward=sum(means) / items,
        any=sum(any(right[start : start + samples]) for start in range(0, len(right), samples)) / items,
        mixed=sum(max(row) > min(row) for row in rows) / items,
        low=(
            wilson(sum(value == 1.0 for value in greedy), items).low,
            min(means) if interval is None else interval.low,
        ),
        constant=constant.earned,
        constant_text=constant.text if constant.name == "constant" else f"({constant.name})",
        said=wrong,
    )


def _of(episode: Episode, *, accuracy: bool) -> float:
    """What an answer is worth; 0 where there is no score."""
    if episode.score is None:
        return 0.0
    return episode.score.accuracy if accuracy else episode.score.value


@dataclass(frozen=True, slots=True)
class _Asker:
    """A network with ``count`` worked examples out of ``pool``; with its own where there is no pool."""

    network: Network
    task: Task
    pool: tuple[Problem, ...] | None
    count: int

    def answers(self, group: Group, draws: Draws) -> list[Episode]:
        """``draws.samples`` scored answers to every question, in their order. Raises PromptError."""
        network, first = self.network, group.asks[0]
        if group.kind == WHOLE and self.pool is None:
            how = Sampling(draws.temperature, draws.seed)
            return rollout(network, self.task, [ask.own for ask in group.asks], draws.samples, how)
        node = first.node if first.topology is network.topology else network.topology.sink
        stop, ends = network.stop(node), network.ends(node)
        asked = [
            (ask, sample, self._request(ask, derive(draws.seed, "probe", ask.own.id, self.count, sample)))
            for ask in group.asks
            for sample in range(draws.samples)
        ]
        found = []
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            spoken = network.engine.generate([one for _, _, one in batch], draws.temperature, ends)
            for (ask, sample, _), out in zip(batch, spoken, strict=True):
                if out.failure is not None:  # a figure over what happened to be answered would be another one
                    raise PromptError(out.failure)
                text = network.engine.codec.decode(out.ids)
                said = ended_text(text, stop) if out.ended else text
                found.append(scored(self.task, Episode(ask.own, sample, (), None, elected=said)))
        return found

    def _request(self, ask: Ask, seed: int) -> Request:
        """What the node is asked, with the right messages. Raises PromptError if it does not fit."""
        network, codec = self.network, self.network.engine.codec
        wording = network.wording(self.task.answer_format)
        if self.pool is not None:
            same = ask.own.question if not ask.messages else None  # a step's words are always the same
            others = [one for one in self.pool if one.question != same]
            if len(others) < self.count:
                raise PromptError(f"{_few(len(others))} of this kind to show as worked examples")
            examples = tuple(_readable(ask, one) for one in others[: self.count])
            wording = replace(wording, examples=examples, template=replace(wording.template, shown=("all",)))
        prompt = build_prompt(ask.topology, ask.node, ask.shown, ask.messages, codec, wording=wording)
        at_home = ask.topology is network.topology
        budget = network.budget(ask.node) if at_home else network.answer_tokens
        check_fits(ask.topology, ask.node, prompt, budget, network.engine.context)
        row = network.assignment[ask.node if at_home else 0]
        return Request(row, prompt.prefix, prompt.suffix, budget, seed)


def _few(count: int) -> str:
    return f"only {count} training question{'s' if count > 1 else ''}" if count else "no training questions"


def _readable(ask: Ask, example: Problem) -> Problem:
    """A worked example whose question this node reads whole, whatever it sees of a question."""
    _, _, of = ask.topology.nodes[ask.node].question.partition("/")
    parts = (example.question,) * int(of) if of else ()
    reads_all = ask.topology.nodes[ask.node].question == "all"
    asked = example.question if reads_all else example.id  # equal words would hide it as the question itself
    return replace(example, question=asked, stem=example.question, parts=parts, alone=True)

"""What a probe asks: the whole question, every part, and every step above the parts with right messages.

A part that is a question of its own is asked of one node, as a first stage would; any other part of the
leaf that would read it in a tree. A step is asked of a reader in a tree (of a chain, the next node) through
its own prompt, with the right local answers in the place of the messages it would read.

Questions of one level that ask the same of other numbers or other words are of one kind. Which words are
asked about is told from training problems and questions together, so that both are of the same kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from neuromas.core.errors import PromptError, TopologyError
from neuromas.core.task import Problem
from neuromas.evaluation.local import Levels, place_of
from neuromas.prompts.build import question_for
from neuromas.tasks.formulas import as_fraction
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology

WHOLE, PART, STEP = "whole", "part", "step"
_FORMS = 6  # of one level that are told apart
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_WORD = re.compile(r"(\w+)")


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to one node: ``shown`` and ``messages`` make its prompt, ``own`` has its right answer."""

    topology: Topology
    node: int
    shown: Problem
    own: Problem
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of one kind: the whole, or one form of one level (0: the parts).

    ``form`` has numbers as ``#`` and the words that are asked about as ``…``; where there are many forms it
    is ``such as`` the first question. ``pool`` has training problems of the same kind.
    """

    kind: str
    level: int
    form: str
    asks: tuple[Ask, ...]
    pool: tuple[Problem, ...] = ()


def form_of(question: str) -> str:
    """The question without its numbers: ``What is # + #?``."""
    return _NUMBER.sub("#", question)


def forms_of(questions: Sequence[str]) -> tuple[str, ...]:
    """The form of each of these questions: ``What is the later of … and …?``; "" for all if they have many.

    A place with many different words holds what is asked about; one with few tells forms apart (later,
    earlier). Many are more than a few, or so many that most questions have their own.
    """
    shapes = [_WORD.split(form_of(question)) for question in questions]  # words at odd places
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, shape in enumerate(shapes):
        alike.setdefault(tuple(shape[::2]), []).append(number)
    for numbers in alike.values():
        for place in range(1, len(shapes[numbers[0]]), 2):
            words = len({shapes[number][place] for number in numbers})
            if words > _FORMS or 1 < words > len(numbers) / 2:
                for number in numbers:
                    shapes[number][place] = "…"
    forms = tuple("".join(shape) for shape in shapes)
    many = len(set(forms))
    return ("",) * len(forms) if many > _FORMS or 1 < many > len(forms) / 2 else forms


def local_levels(problem: Problem) -> Levels:
    """The right local answers by level; nothing where the task does not know them."""
    found = problem.meta.get("local") or ()
    return tuple(tuple(str(one) for one in level) for level in found) if problem.parts else ()


def tree_of(problem: Problem) -> Topology | None:
    """The network whose nodes stand for the parts and steps of a problem; None where no shape has them."""
    levels = local_levels(problem)
    if not levels:
        return None
    parts = len(problem.parts)
    if _is_chain(problem, levels):
        return load_topology("-".join("1" * parts), "layers")
    widths = [len(level) for level in levels]
    if widths[0] != parts or widths[-1] != 1:
        return None
    wide = parts // widths[1] if len(widths) > 1 and widths[1] else 0
    if any(below != wide * above for below, above in pairwise(widths)) or wide < 2:
        return None
    try:
        return load_topology(f"tree:{wide},{len(widths) - 1}", "split")
    except TopologyError:
        return None


def _is_chain(problem: Problem, levels: Levels) -> bool:
    """Whether each part reads the answer to the one before: no steps above them, the last is the answer."""
    return (
        problem.alone
        and not problem.stems
        and len(levels) == 2
        and len(levels[0]) == len(problem.parts)
        and levels[0][-1] == problem.answer
    )


def whole(topology: Topology, problems: Sequence[Problem], training: Sequence[Problem] = ()) -> Group:
    """The whole questions, asked of the output node of a network of one."""
    asks = tuple(Ask(topology, 0, problem, problem) for problem in problems)
    return Group(WHOLE, -1, "", asks, tuple(training))


def parts_and_steps(
    one: Topology | None,
    tree: Topology | None,
    problems: Sequence[Problem],
    training: Sequence[Problem] = (),
) -> list[Group]:
    """The distinct parts and steps of these problems, from the parts up; at most as many a group.

    ``one`` is a network of one node, for parts that are questions (None: they are asked of leaves, too);
    ``tree`` one whose nodes stand for parts and steps. Nothing where local answers are not known. Pieces of
    the problems for ``training`` are the pools.
    """
    found, drawn = _distinct(one, tree, problems), _distinct(one, tree, training)
    groups = []
    for at, asks in sorted(found.items(), key=lambda item: item[0][1]):
        groups += _groups(*at, asks, drawn.get(at, []), len(problems))
    return groups


def _distinct(
    one: Topology | None, tree: Topology | None, problems: Sequence[Problem]
) -> dict[tuple[str, int], list[Ask]]:
    """The parts and steps of these problems by kind and level, each once."""
    found: dict[tuple[str, int], dict[tuple[str, tuple[str, ...]], Ask]] = {}
    for problem in problems:
        for kind, level, ask in _asks(one, tree, problem):
            found.setdefault((kind, level), {}).setdefault((ask.own.question, ask.messages), ask)
    return {at: list(asks.values()) for at, asks in found.items()}


def _asks(one: Topology | None, tree: Topology | None, problem: Problem) -> Iterator[tuple[str, int, Ask]]:
    """Kind, level and question of every node that stands for a part or a step of the problem."""
    levels = local_levels(problem)
    single = one is not None and problem.alone and bool(levels) and not _is_chain(problem, levels)
    if one is not None and single:
        for entry, (part, gold) in enumerate(zip(problem.parts, levels[0], strict=False)):
            own = _alone(problem, f"part-{entry + 1}", part, gold)
            yield PART, 0, Ask(one, 0, own, own)
    if tree is None or not levels:
        return
    for node in range(len(tree.nodes)):
        sources = [edge.source for edge in tree.incoming(node)]
        places = [place_of(tree, row, levels) for row in (node, *sources)]
        answers = [levels[place[0]][place[1]] for place in places if place is not None]
        known = len(answers) == len(places)  # an inner reader of parts in letters reads more than its own
        if not known or (not sources and single) or (sources and not problem.alone and node != tree.sink):
            continue
        try:
            text = question_for(tree, node, problem) or ""
        except PromptError:
            continue
        own = _alone(problem, f"node-{node + 1}", text, answers[0])
        kind = STEP if sources else PART
        yield kind, tree.nodes[node].layer - 1, Ask(tree, node, problem, own, tuple(answers[1:]))


def _alone(problem: Problem, name: str, question: str, gold: str) -> Problem:
    """A piece of a problem as a problem, by which its answer is scored.

    Its kind may be another: a part that does not hold the number asked for is answered with a word.
    """
    worded = problem.kind == "number" and as_fraction(gold) is None
    return replace(
        problem,
        kind="text" if worded else problem.kind,
        id=f"{problem.id}/{name}",
        question=question,
        answer=gold,
        parts=(),
        stem="",
        stems=(),
        choices=(),
        alone=False,
    )


def _groups(kind: str, level: int, asks: Sequence[Ask], training: Sequence[Ask], most: int) -> list[Group]:
    """One group a form where there are few forms, else one group; of each the first ``most``."""
    forms = forms_of([ask.own.question for ask in (*asks, *training)])
    asked: dict[str, list[Ask]] = {}
    for form, ask in zip(forms, asks, strict=False):
        asked.setdefault(form, []).append(ask)
    pools: dict[str, list[Problem]] = {}
    for form, ask in zip(forms[len(asks) :], training, strict=True):
        pools.setdefault(form, []).append(ask.own)
    letters = 60
    while len({cut_form(form, letters) for form in asked}) < len(asked):  # else two kinds have one name
        letters *= 2
    return [
        Group(
            kind,
            level,
            cut_form(form, letters) or f"such as {cut_form(found[0].own.question)}",
            tuple(found[:most]),
            tuple(pools.get(form, ())),
        )
        for form, found in asked.items()
    ]


def cut_form(text: str, most: int = 60) -> str:
    """A question's end, where it asks, of at most so many letters."""
    return text if len(text) <= most else "…" + text[-most + 1 :]

"""Worked examples: training problems with their gold answers, the same for all draws of a run.

They are drawn from the training split alone, never from problems that are held out, and kept with the
network, so that it can be asked without its data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from neuromas.core.errors import TaskError, shown
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Split, Task
from neuromas.prompts.boundary import one_line

MOST = 64
_PLACES = 2**31  # of an endless split, as in training
_SEARCHED = 10_000  # problems of a held-out split that are compared, and tries to find an example


def draw_examples(task: Task, count: int, seed: int, held_out: Mapping[Split, int]) -> tuple[Problem, ...]:
    """``count`` different training problems that are none of the ``held_out`` (split: problems used of it).

    A held-out split that ends is compared whole. Raises TaskError if there are not so many.
    """
    if not count:
        return ()
    kept_from = {_text(problem) for split, used in held_out.items() for problem in _first(task, split, used)}
    found: dict[str, Problem] = {}
    for place in _places(task, seed, count):
        problem = task.problem("train", place)
        if _text(problem) not in kept_from:
            found.setdefault(_text(problem), problem)
        if len(found) == count:
            return tuple(found.values())
    raise TaskError(
        f"network.examples = {count}: only {len(found)} different training problems of task {task.name!r} "
        "were found that are not held out for validation or test"
    )


def _text(problem: Problem) -> str:
    """What a question is told apart by: neither case nor blanks."""
    return one_line(problem.question).casefold()


def _first(task: Task, split: Split, used: int) -> Iterator[Problem]:
    """The problems of a split that may be asked."""
    size = task.size(split)
    for place in range(used if size is None else min(size, max(used, _SEARCHED))):
        yield task.problem(split, place)


def _places(task: Task, seed: int, count: int) -> Iterator[int]:
    """Where to look for examples, by hashed draws; of a split that ends, each place once."""
    size = task.size("train")
    seen: set[int] = set()
    for number in range(_SEARCHED if size is None else 20 * min(size, _SEARCHED) + count):
        place = derive(seed, "example", number) % (_PLACES if size is None else max(1, size))
        if place not in seen and size != 0:
            seen.add(place)
            yield place


_Level = Annotated[tuple[str, ...], Field(strict=False, max_length=10_000)]


class _Kept(BaseModel):
    """An example in a network's manifest."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str = Field(max_length=1000)
    question: str = Field(max_length=100_000)
    answer: str = Field(max_length=10_000)
    parts: tuple[str, ...] = Field((), strict=False, max_length=10_000)
    stem: str = Field("", max_length=100_000)
    alone: bool = False
    stems: tuple[_Level, ...] = Field((), strict=False, max_length=100)


_LIST = TypeAdapter(list[_Kept])


def to_list(examples: Sequence[Problem]) -> list[dict[str, Any]]:
    """Plain data for a manifest."""
    return [
        {
            "id": one.id,
            "question": one.question,
            "answer": one.answer,
            "parts": list(one.parts),
            "stem": one.stem,
            "alone": one.alone,
        }
        | ({"stems": [list(level) for level in one.stems]} if one.stems else {})
        for one in examples
    ]


def from_list(data: Any) -> tuple[Problem, ...]:
    """Read ``to_list``'s form. Raises ValueError naming the key that is wrong."""
    try:
        kept = _LIST.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["examples", *map(str, first["loc"])])
        raise ValueError(f"{where} = {shown(first['input'], 60)}: {first['msg'].lower()}") from None
    if len(kept) > MOST:
        raise ValueError(f"examples has {len(kept)} problems, at most {MOST}")
    return tuple(Problem(**one.model_dump()) for one in kept)

"""What a probe says in plain words: with which stage training may begin. Rules of thumb, with figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from neuromas.core.errors import NeuromasError
from neuromas.core.task import Task
from neuromas.evaluation.asks import PART, STEP, WHOLE, forms_of
from neuromas.evaluation.probe import Standing, title
from neuromas.tasks import make_task

MIXED = 0.1  # share of problems with right and wrong samples that a stage needs to begin
_DEEP = ("depth", "H", "hops", "n")  # options that say how large a question is
_LOOKED = 60  # questions by which two tasks are told to ask the same


def starts(one: Standing) -> bool:
    """Whether training could begin here: surely better than the best constant, and enough to compare.

    A model that is no better than a constant learns the constant: its samples earn, and lead there.
    """
    return one.failure is None and max(one.low) > one.constant and one.mixed >= MIXED


def done(one: Standing) -> bool:
    """Whether there is nothing left to learn: right, and sampled right, in nine of ten."""
    return one.failure is None and one.greedy >= 0.9 and one.reward >= 0.9


def advise(found: Sequence[Standing], first: Mapping[str, Any] | None) -> list[str]:
    """The stage to begin with, and what is known of those after it.

    ``first`` are options under which the task asks the parts alone (``options_of_parts``), None if there
    are none.
    """
    at = {one.kind: [each for each in found if each.kind == one.kind] for one in found}
    whole = [one for one in at.get(WHOLE, []) if starts(one) or done(one)]
    plain = [one for one in whole if not one.examples]
    if plain:
        what = "is already answered" if done(plain[0]) else "can be trained as it is: begin with it"
        return [f"the whole question {what} ({_figures(plain[0])})"]
    lines = [f"the whole question gives training nothing to begin with ({_figures(_best(at[WHOLE]))})"]
    if whole:
        best = _fewest(whole)
        lines = [
            f"the whole question begins with {_examples(best.examples)} ({_figures(best)}): {_shown(best)}"
        ]
    if PART not in at:
        return [*lines, "parts with known answers, of which one could begin, this task does not hand out"]
    for form in dict.fromkeys(one.form for one in at[PART]):
        lines.append(_of_part([one for one in at[PART] if one.form == form], first))
    for key in dict.fromkeys((one.level, one.form) for one in at.get(STEP, [])):
        lines.append(_of_step([one for one in at[STEP] if (one.level, one.form) == key]))
    return lines


def _of_part(mine: Sequence[Standing], first: Mapping[str, Any] | None) -> str:
    """One form of the parts."""
    able = [one for one in mine if starts(one) or done(one)]
    name = title(PART, 0, mine[0].form)
    if not able:
        barred = next((each for each in mine if each.examples and each.failure is not None), None)
        more = "use more worked examples, easier" if barred is None else "use easier"
        easier = "numbers" if "#" in mine[0].form else "questions"
        why = "" if barred is None else f" ({_examples(barred.examples)} not shown: {barred.failure})"
        return (
            f"{name}: never well enough to begin ({_figures(_best(mine))}): {more} {easier} or a larger "
            f"backbone, or leave this family out{why}"
        )
    one = _fewest(able)
    stage = '[[stages]] shape = "1"' + (f", task = {_toml(first)}" if first is not None else "")
    ask = "" if first is not None else ", on a task that asks the parts alone"
    if done(one) and not one.examples:
        return f"{name}: already done ({_figures(one)}); no stage of its own is needed"
    if not one.examples:
        return f"begin with one node on the parts, {mine[0].form} ({_figures(one)}): `{stage}`{ask}"
    return (
        f"begin with one node on the parts, {mine[0].form}, with {_examples(one.examples)} "
        f"({_figures(one)}): `{stage}`{ask}, {_shown(one)}"
    )


def _of_step(mine: Sequence[Standing]) -> str:
    """One step above the parts."""
    able = [one for one in mine if starts(one) or done(one)]
    name = title(STEP, mine[0].level, mine[0].form)
    if not able:
        return (
            f"{name}: not done with right messages either ({_figures(_best(mine))}): its node should begin "
            'as a copy of one that has learned a step (`init = "copy"`)'
        )
    one = _fewest(able)
    with_ = f" with {_examples(one.examples)}" if one.examples else ""
    return f"{name}: with right messages its node can begin{with_} ({_figures(one)})"


def options_of_parts(
    name: str, options: Mapping[str, Any], standings: Sequence[Standing]
) -> dict[str, Any] | None:
    """Options of the same task under which it asks what the parts ask; None if none are found.

    Found by trying smaller sizes and comparing the questions' forms, so that it can be believed.
    """
    wanted = {one.form for one in standings if one.kind == PART}
    if not wanted:
        return None
    for key in _DEEP:
        for size in range(1, 65):
            for parts in ({}, {"parts": 2}, {"parts": 1}):
                forms = _forms(name, {**options, key: size, **parts})
                if forms is None:
                    continue
                if forms == wanted:
                    return {key: size, **parts}
                break
    return None


def _forms(name: str, options: Mapping[str, Any]) -> set[str] | None:
    """Forms of a task's questions; None if there is no such task."""
    try:
        task: Task = make_task(name, options)
        return set(forms_of([task.problem("train", place).question for place in range(_LOOKED)]))
    except (NeuromasError, IndexError):
        return None


def _best(mine: Sequence[Standing]) -> Standing:
    return max(mine, key=lambda one: (one.failure is None, one.mixed, one.greedy))


def _fewest(able: Sequence[Standing]) -> Standing:
    return min(able, key=lambda one: one.examples)


def _examples(count: int) -> str:
    return f"{count} worked example{'s' if count > 1 else ''}"


def _shown(one: Standing) -> str:
    return f'`network.examples = {one.examples}` (and `view = ["all+examples", "all"]` to lift them away)'


def _figures(one: Standing) -> str:
    """``40 % greedy, sampled 0.31, 62 % of questions with right and wrong samples``."""
    if one.failure is not None:
        return one.failure
    return (
        f"{100 * one.greedy:.0f} % greedy, sampled {one.reward:.2f}, {100 * one.mixed:.0f} % of questions "
        f"with right and wrong samples; best constant {100 * one.constant:.0f} %"
    )


def _toml(options: Mapping[str, Any]) -> str:
    """An inline table; JSON writes numbers, booleans and plain strings as TOML does."""
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items()) + " }"

"""``verifiers/NAME``: single-turn environments of PrimeIntellect's verifiers (from 0.4, ``verifiers.v1``).

An environment's tasks become problems, its rewards the score of one answer; its own agents, tools and
sandboxes are not run, so what needs them is refused. Needs the optional package ``verifiers``.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from neuromas.core.errors import TaskError, one_line, shown
from neuromas.core.task import Problem, Score, Split, Task
from neuromas.tasks.options import Option, read_options
from neuromas.tasks.own import own
from neuromas.tasks.rows import MAX_TEXT
from neuromas.tasks.stored import StoredTask
from neuromas.tasks.tables import MAX_ROWS, assemble

NAME = "verifiers"
PREFIX = f"{NAME}/"
OPTIONS = (
    Option("env", "", "id of the installed environment; or name the task verifiers/ID"),
    Option("gold", "answer", "field of its task data that holds the gold answer; empty or missing = none"),
    Option("limit", 0, "tasks that are read at most; 0 = all", 0, MAX_ROWS),
    Option("validation_share", 0.1, "share of the questions that becomes validation", 0.0, 0.9),
    Option("test_share", 0.1, "share of the questions that becomes test", 0.0, 0.9),
    Option("overlap", "drop", "what to do if splits share questions", allowed=("error", "drop")),
    Option("answer_format", "a short answer", "what the output node is told about the form of its answer"),
)


def build(name: str, given: Mapping[str, Any]) -> Task:
    """The task over an environment; options that are none of ``OPTIONS`` go to its own configuration.

    Raises:
        TaskError: verifiers or the environment is missing, or it is not single-turn (one line says why).
    """
    known = {option.name for option in OPTIONS}
    options = read_options(name, OPTIONS, {key: value for key, value in given.items() if key in known})
    env = name.removeprefix(PREFIX) if name.startswith(PREFIX) else options["env"]
    if not env:
        raise TaskError("task 'verifiers': give task.options.env, or name it verifiers/ID")
    vf = _library()
    rest = {key: value for key, value in given.items() if key not in known}
    try:
        settings = vf.taskset_config_type(env)(id=env, **rest)
        taskset = vf.load_taskset(settings)
        tasks = list(_read(taskset, options["limit"]))
        unfit = _unfit(vf, env, taskset, tasks)
    except TaskError:
        raise
    except Exception as error:  # a foreign package: whatever it raises, it cannot be used
        raise TaskError(f"task {name!r}: the environment cannot be loaded ({one_line(error)})") from error
    if unfit:
        raise TaskError(
            f"task {name!r} is not single-turn: it has {unfit}; only question and answer are run here"
        )
    problems = [_problem(env, place, task, options["gold"]) for place, task in enumerate(tasks)]
    stored = assemble(f"{PREFIX}{env}", {"all": problems}, {**options, "strict": False})
    return own(EnvironmentTask(stored, options["answer_format"], tuple(tasks), vf), repr(name))


@dataclass(frozen=True)
class EnvironmentTask:
    """Problems of an environment; a problem's ``meta["place"]`` is its place among ``tasks``."""

    stored: StoredTask
    answer_format: str
    tasks: tuple[Any, ...] = field(repr=False)
    library: Any = field(repr=False)

    @property
    def name(self) -> str:
        """``verifiers/ID``."""
        return self.stored.name

    def size(self, split: Split) -> int | None:
        """Number of problems in the split."""
        return self.stored.size(split)

    def problem(self, split: Split, index: int) -> Problem:
        """The problem at ``index`` of ``split``. Raises TaskError beyond the last."""
        return self.stored.problem(split, index)

    def score(self, problem: Problem, text: str) -> Score:
        """The mean of the environment's rewards by their weights, each as it stands; empty text earns 0.

        The environment adds weighted rewards up; divided by the sum of the weights, they lie in [0, 1] where
        each does. Raises what its functions raise.
        """
        if not text.strip():
            return Score(0.0, None)
        rewards = _in_a_loop_of_its_own(self.library, self.tasks[problem.meta["place"]], text)
        total = math.fsum(one.weight for one in rewards.values())
        return Score(math.fsum(one.score * one.weight for one in rewards.values()) / total, text.strip())


def _library() -> Any:
    try:
        import verifiers.v1 as vf
    except ImportError as error:
        raise TaskError("task 'verifiers' needs verifiers 0.4: pip install 'neuromas[verifiers]'") from error
    return vf


def _read(taskset: Any, limit: int) -> Iterator[Any]:
    """Its tasks, at most ``limit``. Raises TaskError where they never end."""
    if not (limit or taskset.bounded):
        raise TaskError("the environment makes tasks without end; set task.options.limit")
    yield from itertools.islice(iter(taskset), limit or MAX_ROWS)


def _unfit(vf: Any, env: str, taskset: Any, tasks: list[Any]) -> str:
    """What of an environment cannot be run as question and answer; empty if all can."""
    if not tasks:
        raise TaskError(f"environment {shown(env)} has no tasks")
    kind, first = type(tasks[0]), tasks[0]
    if vf.environment_class(env) is not vf.SingleAgentEnv:
        return "an Env of its own"
    if vf.default_harness_id(env) == env:
        return "a harness of its own"
    if type(taskset).toolsets(taskset.config) or kind.toolsets(first.config):
        return "tools"
    if kind.NEEDS_CONTAINER or any(task.data.image for task in tasks):
        return "a container"
    changed = [hook for hook in ("setup", "finalize") if getattr(kind, hook) is not getattr(vf.Task, hook)]
    if changed:
        return f"{' and '.join(changed)} in a sandbox"
    if first.plugged_judges():
        return "a judge model"
    rewards = first.hooks("reward")
    for reward in rewards:
        runtime = inspect.signature(reward).parameters.get("runtime")
        if runtime is not None and runtime.default is inspect.Parameter.empty:
            return f"the reward {reward.__name__}, which needs a sandbox"
    if math.fsum(getattr(reward, "_vf_weight", 1.0) for reward in rewards) <= 0:
        return "no reward"
    return ""


def _problem(env: str, place: int, task: Any, gold: str) -> Problem:
    """A task's data as a problem: system prompt and user prompt are the question."""
    data = task.data
    where = f"environment {env!r} task {place}"
    prompt = data.prompt
    if prompt is None:
        raise TaskError(f"{where} has no prompt: its user opens the conversation, which is not run here")
    if not isinstance(prompt, str):
        roles = [message.role for message in prompt]
        texts = all(isinstance(message.content, str) for message in prompt)
        if [role for role in roles if role != "system"] != ["user"] or not texts:
            raise TaskError(
                f"{where} has messages of {', '.join(roles)}; only one text of a user can be asked"
            )
    question = "\n\n".join(text for text in (data.system_prompt, data.prompt_text) if text).strip()
    if not 1 <= len(question) <= MAX_TEXT:
        raise TaskError(f"{where} has a question of {len(question)} characters, 1 to {MAX_TEXT} are allowed")
    answer = getattr(data, gold, None) if gold else None
    return Problem(f"{env}-{place}", question, "" if answer is None else str(answer), meta={"place": place})


def _in_a_loop_of_its_own(vf: Any, task: Any, text: str) -> dict[str, Any]:
    """The rewards of an answer, by name. In a thread: a notebook's thread has a loop that is running."""

    async def scored() -> dict[str, Any]:
        data = vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
        asked = vf.MessageNode(message=vf.UserMessage(content=task.data.prompt_text))
        said = vf.MessageNode(message=vf.AssistantMessage(content=text), parent=0, sampled=True)
        agent = vf.AgentInfo(config=vf.AgentConfig(), name="neuromas")
        trace = vf.Trace(task=data, agent=agent, nodes=[asked, said], is_completed=True, ok=True)
        await task.score(trace)
        return {name: reward for name, reward in trace.rewards.items() if reward is not None}

    with ThreadPoolExecutor(max_workers=1) as alone:
        return alone.submit(asyncio.run, scored()).result()

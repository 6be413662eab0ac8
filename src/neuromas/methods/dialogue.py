"""Methods that talk with the frozen model, written for one problem and played for all of them in step.

``Dialogue.talk`` is a generator: it yields what is to be written next and is sent the turns. All problems'
requests of a round are one batch of the engine, whatever each of them asks.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

from neuromas.core.episode import Episode, EpisodeGroup, Turn, grouped
from neuromas.core.errors import ContractError, PromptError, one_line
from neuromas.core.seeds import derive
from neuromas.core.task import Problem
from neuromas.engines.base import Generation, Request
from neuromas.methods.base import Bench, Method
from neuromas.prompts.boundary import one_line as as_one_line
from neuromas.prompts.boundary import quote, structure
from neuromas.prompts.codec import Codec
from neuromas.system.scoring import WRONG, scored, understood
from neuromas.tasks.around import foresee

Read = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Ask:
    """One message of the frozen model about the problem's question.

    ``shown`` are lines made of what was written before, each is made one line; ``instruction`` is what
    the method itself has to say. ``speaker`` is the turn's ``node``. ``final`` says that the message may
    become the answer: then its form is asked for, and it may be as long as an answer; else ``form`` is
    what the plain style asks for. ``tokens`` and ``temperature`` are for this message alone; without them
    it has those of its kind and of the method.
    """

    shown: tuple[str, ...] = ()
    instruction: str = ""
    speaker: int = 0
    final: bool = True
    tokens: int = 0
    temperature: float | None = None
    form: str = "one line"


Talk = Generator[Sequence[Ask], Sequence[Turn], str]
Start = Callable[[Problem, Read], Talk]


class Dialogue(Method):
    """A method whose messages are all the frozen model's, each at ``temperature`` (0: greedy)."""

    temperature: float = 0.0

    @abstractmethod
    def talk(self, problem: Problem, read: Read) -> Talk:
        """Yield the next messages to be written, take their turns, return the answer's text.

        ``problem`` comes without its gold answer. ``read(text)`` is the answer that the task understands in a
        text, None if it understands none.
        """

    def at(self, temperature: float) -> Dialogue:
        """See ``Method.at``. Messages with a temperature of their own keep it."""
        other = copy(self)
        object.__setattr__(other, "temperature", temperature)
        return other

    def answer(self, bench: Bench, problems: Sequence[Problem], samples: int = 1) -> list[EpisodeGroup]:
        """See ``Method.answer``."""
        talks = [(one, sample, self.talk) for one in problems for sample in range(samples)]
        said = play(bench, talks, self.temperature)
        foresee(bench.task, [(one.problem, one.answer) for one in said if one.failure is None])
        return grouped([valued(bench, one) for one in said], samples)


def play(
    bench: Bench, talks: Sequence[tuple[Problem, int, Start]], temperature: float, path: str = "method"
) -> list[Episode]:
    """An episode for every talk (problem, sample, how it begins), not scored yet.

    What all of them wait for is one batch. Draws derive from ``bench.seed``, ``path``, the problem's id, the
    sample and how many were drawn before.
    """
    passes = [_Pass(bench, temperature, path, *one) for one in talks]
    while waiting := [one for one in passes if one.requests]:
        spoken = iter(_spoken(bench, waiting))
        for one in waiting:
            one.hear([next(spoken) for _ in one.requests])
    return [one.finish() for one in passes]


def valued(bench: Bench, episode: Episode) -> Episode:
    """With its score. What failed is wrong, unless the question alone is more than can be asked.

    So a method does not raise its mean by prompts of its own that are too long for long questions.
    """
    if episode.failure is None:
        return scored(bench.task, episode)
    if episode.missing:
        return episode
    return replace(episode, score=WRONG if episode.turns or _askable(bench, episode.problem) else None)


def _askable(bench: Bench, problem: Problem) -> bool:
    """Whether the model can be asked the question with nothing beside it."""
    try:
        _request(bench, problem, Ask(), 0)
    except PromptError:
        return False
    return True


def _spoken(bench: Bench, waiting: Sequence[_Pass]) -> list[Generation]:
    """What is written for all that wait, in their order: one batch for every temperature there is."""
    asked = [(one.heat(ask), request) for one in waiting for ask, request in one.asked()]
    found: dict[int, Generation] = {}
    for heat in dict.fromkeys(heat for heat, _ in asked):
        rows = [row for row, (own, _) in enumerate(asked) if own == heat]
        batch = bench.network.engine.generate([asked[row][1] for row in rows], heat, _ends(bench))
        found.update(zip(rows, batch, strict=True))
    return [found[row] for row in range(len(asked))]


def _ends(bench: Bench) -> frozenset[int]:
    """Tokens that end a message: of the turn, in the plain style also of the line."""
    codec = bench.network.engine.codec
    return codec.line_end_ids if bench.network.style == "plain" else codec.end_ids


@dataclass(slots=True)
class _Pass:
    """One answer under way; ``requests`` are what it waits for."""

    bench: Bench
    temperature: float
    path: str
    problem: Problem
    sample: int
    start: Start
    asks: list[Ask] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    said: str | None = None
    failure: str | None = None
    missing: bool = False
    talk: Talk = field(init=False)

    def __post_init__(self) -> None:
        self.talk = self.start(replace(self.problem, answer="", meta={}), self._read)
        self._go_on(None)

    def asked(self) -> list[tuple[Ask, Request]]:
        """What it waits for."""
        return list(zip(self.asks, self.requests, strict=True))

    def heat(self, ask: Ask) -> float:
        """The temperature of a message."""
        return self.temperature if ask.temperature is None else ask.temperature

    def hear(self, spoken: Sequence[Generation]) -> None:
        """Note what was written and let the method go on; without one of its messages it cannot."""
        both = list(zip(self.asked(), spoken, strict=True))
        turns = [self._turn(*one, out) for one, out in both if out.failure is None]
        self.turns += turns
        if failures := [out.failure for out in spoken if out.failure is not None]:
            self.asks, self.requests = [], []
            self.failure, self.missing = failures[0], True
            self.talk.close()
            return
        self._go_on(turns)

    def finish(self) -> Episode:
        """The episode, not scored."""
        answered = self.failure is None
        turns = tuple(self.turns)
        episode = Episode(self.problem, self.sample, turns, None, self.failure, answered)
        return replace(episode, elected=self.said, missing=self.missing)

    def _go_on(self, turns: Sequence[Turn] | None) -> None:
        """Ask the method for its next messages, or its answer."""
        self.asks, self.requests = [], []
        try:
            self.asks = list(next(self.talk) if turns is None else self.talk.send(turns))
            if not self.asks:
                raise ValueError("it asks for nothing and does not answer")
            self.requests = [
                _request(self.bench, self.problem, ask, self._seed(place))
                for place, ask in enumerate(self.asks)
            ]
        except StopIteration as end:
            self.said = str(end.value)
        except PromptError as error:
            self.failure = one_line(error)
        except ContractError:  # the task's fault, not the method's: see ``scoring.scored``
            raise
        except Exception as error:  # what a method makes of an odd text must not end the others' answers
            self.failure = f"method: {type(error).__name__}: {one_line(error)}"

    def _read(self, text: str) -> str | None:
        """The answer the task understands in a text."""
        return understood(self.bench.task, self.problem, text)

    def _seed(self, place: int) -> int:
        """Of the draws of the message at this place of the round."""
        drawn = len(self.turns) + place
        return derive(self.bench.seed, self.path, self.problem.id, self.sample, drawn)

    def _turn(self, ask: Ask, request: Request, out: Generation) -> Turn:
        """The record of one message."""
        engine = self.bench.network.engine
        text = engine.codec.decode(out.ids)
        if out.ended and self.bench.network.style == "plain":
            text = re.split(r"[\r\n]", text, maxsplit=1)[0]
        return Turn(
            node=ask.speaker,
            prefix_ids=request.prefix,
            suffix_ids=request.suffix,
            ids=out.ids,
            logprobs=out.logprobs,
            text=text,
            ended=out.ended,
            temperature=self.heat(ask),
            adapter=request.adapter,
            version=engine.version(request.adapter),
            receipt=out.receipt,
        )


def _request(bench: Bench, problem: Problem, ask: Ask, seed: int) -> Request:
    """The ask as tokens. Raises PromptError if they do not fit the model."""
    engine, allowance = bench.network.engine, bench.allowance
    prefix, suffix = _prompt(bench, problem, ask)
    new = ask.tokens or (allowance.answer_tokens if ask.final else allowance.message_tokens)
    size = len(prefix) + len(suffix)
    if size + new > engine.context:
        raise PromptError(f"a prompt of {size} and a message of {new} tokens exceed {engine.context}")
    return Request(bench.frozen, prefix, suffix, new, seed)


def _prompt(bench: Bench, problem: Problem, ask: Ask) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the model reads, cut where samples of a problem begin to differ.

    In the plain style the form of every message stands last, beside the cue: told first, or told none, a
    small model ends the line at once, and empty messages are what a method then works with.
    """
    codec = bench.network.engine.codec
    form = as_one_line(bench.task.answer_format)
    shown = "".join(f"{as_one_line(line)}\n" for line in ask.shown)
    if bench.network.style == "plain":
        question = f"Question: {quote(problem.question, structure())}\n"
        head = f"{ask.instruction}\n" if ask.instruction else ""
        cue = f"Answer ({form if ask.final else ask.form}):"
        return codec.start_ids + codec.encode(head + question), codec.encode(shown + cue)
    wanted = [f"Reply with the final answer and nothing else: {form}."] if ask.final else []
    frame = codec.chat(" ".join([*filter(None, [ask.instruction]), *wanted]))
    question = f"Question: {quote(problem.question, structure(_text(codec, frame)))}\n"
    cue = "Write the answer." if ask.final else "Write your message."
    return frame[0] + codec.encode(question), codec.encode(shown + cue) + frame[1]


def _text(codec: Codec, frame: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    """What the chat template puts around a text."""
    return "\n".join(map(codec.decode, frame))

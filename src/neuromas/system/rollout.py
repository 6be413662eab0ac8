"""Rollouts: problems through the network, layer by layer, each layer as one batch."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from neuromas.core.choices import MESSAGES
from neuromas.core.episode import Episode, Turn
from neuromas.core.errors import ConfigError, PromptError, SandboxError, one_line, unknown
from neuromas.core.seeds import derive
from neuromas.core.task import Problem, Task
from neuromas.engines.base import Generation, Request
from neuromas.prompts.build import Prompt, build_prompt, check_fits
from neuromas.prompts.template import ended_text
from neuromas.system.dealing import deal_out
from neuromas.system.listening import LEFT, Listener, write
from neuromas.system.network import Network
from neuromas.system.scoring import UNJUDGED, WRONG, scored
from neuromas.system.tools import shown_with
from neuromas.tasks.around import foresee
from neuromas.topology.graph import Edge


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw: temperature (0 is greedy), a seed for every draw, and a test of the messages.

    ``intervention`` changes what readers are shown of every message: ``blank`` nothing, ``shuffle``
    the message the same node wrote for another problem. ``altered`` are the rows of the nodes whose messages
    it changes; None: all.
    """

    temperature: float
    seed: int
    intervention: str = "none"
    altered: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if self.intervention not in MESSAGES:
            raise ConfigError(unknown("intervention", self.intervention, MESSAGES))


class Shown(NamedTuple):
    """A message for its readers: text, tokens, and what its program printed, None where none was run."""

    text: str
    ids: tuple[int, ...]
    output: str | None = None


@dataclass(slots=True)
class Pass:
    """One episode under way. ``shown[node]`` is what readers see of its message.

    ``read`` holds the (source, target) rows of the edges that showed their message, ``wrote`` the rows of
    the nodes that were asked. ``askable`` is False if the question alone, with empty messages, is more than
    a node can read; ``missing`` is True if the engine gave no message for a cause of its own.

    A pass that goes over an earlier episode (see ``system.replay``) has turns ``kept`` from it, by row: a
    node says its own again if nothing it reads has changed. ``altered`` is the row of the node whose
    message is another one though it was not asked; ``hidden`` the row of one whose message no reader is
    shown, as if its gates were closed. ``path`` names the draws apart from those of the first pass.

    ``listener`` hears the messages while they are written; ``most`` caps the tokens of the output node.
    """

    problem: Problem
    sample: int
    turns: list[Turn] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    read: list[tuple[int, int]] = field(default_factory=list)
    failure: str | None = None
    askable: bool = True
    missing: bool = False
    wrote: list[int] = field(default_factory=list)
    kept: Mapping[int, Turn] = field(default_factory=dict)
    altered: int | None = None
    hidden: int | None = None
    path: tuple[int, ...] = ()
    listener: Listener | None = None
    most: int | None = None

    def fork(self, branch: int) -> Pass:
        """The same pass so far, whose next draws are those of this branch."""
        return replace(
            self,
            turns=[*self.turns],
            shown=[*self.shown],
            read=[*self.read],
            wrote=[*self.wrote],
            path=(*self.path, branch),
        )

    def budget(self, network: Network, node: int) -> int:
        """Most tokens the node may write in this pass, its end token included."""
        own = network.budget(node)
        return own if self.most is None or node != network.topology.sink else min(own, self.most)

    def view(self, network: Network, node: int, seed: int) -> Network:
        """The network as the node reads it in this episode, see ``Network.earlier``."""
        if network.earlier is None or network.reads_last(node, self.problem.id, self.sample, seed):
            return network
        return network.earlier


def check_prompt(network: Network, task: Task, problem: Problem, node: int) -> None:
    """Raises PromptError if the node could not be asked even with nothing but empty messages to read."""
    topology, codec = network.topology, network.engine.codec
    empty = [""] * len(topology.incoming(node))
    prompt = build_prompt(topology, node, problem, empty, codec, wording=network.wording(task.answer_format))
    check_fits(topology, node, prompt, network.budget(node), network.engine.context)


def rollout(
    network: Network, task: Task, problems: Sequence[Problem], samples: int, sampling: Sampling
) -> list[Episode]:
    """``samples`` episodes of every problem, problem-major.

    A problem that cannot be prompted or scored yields episodes that carry the cause. If no problem
    at all can be asked, the PromptError is raised.
    """
    seen: Counter[str] = Counter()
    passes = []
    for problem in problems:  # a problem met again goes on counting, so that its draws are new
        first = samples * seen[problem.id]
        passes += [Pass(problem, first + k) for k in range(samples)]
        seen[problem.id] += 1
    episodes = play(network, task, passes, sampling)
    if passes and all(one.failure is not None and not (one.turns and one.askable) for one in passes):
        raise PromptError(str(passes[0].failure))
    return episodes


def play(
    network: Network, task: Task, passes: Sequence[Pass], sampling: Sampling, branches: int = 1
) -> list[Episode]:
    """Take passes through all layers, each as one batch, and score what comes out.

    With several ``branches`` every pass forks into so many before each layer, one after another. Where the
    network belongs to several processes, passes are dealt out among them.
    """

    def piece(some: Sequence[Pass]) -> list[Episode]:
        return _play(network, task, some, sampling, branches)

    return deal_out(network.ranks, passes, piece, whole=sampling.intervention == "shuffle")


def _play(
    network: Network, task: Task, passes: Sequence[Pass], sampling: Sampling, branches: int
) -> list[Episode]:
    """``play`` in this process alone."""
    for layer in network.topology.layers():
        if branches > 1:
            passes = [one.fork(branch) for one in passes for branch in range(branches)]
        _speak(network, task, passes, layer, sampling)
        _intervene([one for one in passes if one.failure is None], layer, sampling)
    foresee(task, [(one.problem, one.turns[-1].text) for one in passes if one.failure is None])
    episodes = [_finish(network, task, one) for one in passes]
    if episodes and all((one.failure or "").startswith(UNJUDGED) for one in episodes):
        raise SandboxError(str(episodes[0].failure))
    return episodes


def _speak(
    network: Network, task: Task, passes: Sequence[Pass], layer: Sequence[int], sampling: Sampling
) -> None:
    """Let every node of a layer that has something new to say write in every living pass, in one batch."""
    asked: list[tuple[Pass, list[tuple[int, list[Prompt], int]]]] = []
    for one in passes:
        if one.failure is None and one.listener is not None and one.listener.gone:
            one.failure, one.missing = LEFT, True
        if one.failure is None:
            writers = [node for node in layer if not _repeats(network, one, node, sampling.seed)]
            try:
                asked.append(
                    (one, [(node, *_prompt(network, task, one, node, sampling.seed)) for node in writers])
                )
            except PromptError as error:
                one.failure = one_line(error)
                seen = [(one.view(network, node, sampling.seed), node) for node in layer]
                one.askable = all(_askable(view, task, one.problem, node) for view, node in seen)
    batch = [(one, *entry) for one, entries in asked for entry in entries]
    requests = [
        Request(
            adapter=network.assignment[node],
            prefix=prompts[0].prefix,
            suffix=prompts[0].suffix,
            max_new=one.budget(network, node),
            seed=derive(sampling.seed, "draw", one.problem.id, one.sample, node, *one.path),
        )
        for one, node, prompts, _ in batch
    ]
    spoken = write(network, [(node, one.listener) for one, node, *_ in batch], requests, sampling.temperature)
    written: dict[tuple[int, int], Turn] = {}
    for (one, node, prompts, cut), request, out in zip(batch, requests, spoken, strict=True):
        if out.failure is not None:
            one.failure, one.missing = one.failure or out.failure, True
            continue
        turn = _turn(network, node, (request, out), sampling.temperature, cut)
        if network.earlier is not None:
            later = [(prompt.prefix, prompt.suffix) for prompt in prompts[1:]]
            lifted = one.view(network, node, sampling.seed) is network
            turn = replace(turn, lifted=lifted, later=later[0] if later else None)
        written[id(one), node] = turn
        one.wrote.append(node)
    for one, _ in asked:
        if not one.missing:  # turns are those of whole layers
            one.turns += [written[id(one), node] if node in one.wrote else one.kept[node] for node in layer]
    whole = [one for one, _ in asked if not one.missing]
    _use_tool(network, whole, len(layer))
    for one in whole:
        for turn in one.turns[-len(layer) :]:
            one.shown.append(Shown(turn.text, turn.ids[:-1] if turn.ended else turn.ids, turn.output))
            if one.listener is not None:
                one.listener.said(turn)


def _use_tool(network: Network, passes: Sequence[Pass], last: int) -> None:
    """Run what the ``last`` messages of these passes hold of programs; the answer is not a message.

    A pass over which the sandbox broke has no score: that is nobody's doing in it.
    """
    if network.tool is None:
        return
    places = [(one, place) for one in passes for place in range(len(one.turns) - last, len(one.turns))]
    places = [(one, place) for one, place in places if one.turns[place].node != network.topology.sink]
    used = network.tool.use([one.turns[place] for one, place in places], network.engine.codec)
    for (one, place), turn in zip(places, used, strict=True):
        if isinstance(turn, Turn):
            one.turns[place] = turn
        else:
            one.failure, one.askable = f"{UNJUDGED}{one_line(turn)}", False


def _repeats(network: Network, one: Pass, node: int, seed: int) -> bool:
    """Whether the node says again what it said in an earlier episode, having read the same.

    What it reads is then noted here, as ``_prompt`` notes it of a node that writes.
    """
    if node not in one.kept:
        return False
    edges = network.topology.incoming(node)
    opened = _open(edges, one, seed, None)
    sources = [edge.source for edge, is_open in zip(edges, opened, strict=True) if is_open]
    if any(source == one.altered or source in one.wrote for source in sources):
        return False
    one.read += [(source, node) for source in sources]
    return True


def _askable(network: Network, task: Task, problem: Problem, node: int) -> bool:
    """Whether the question alone fits, so that a prompt too long is the doing of what other nodes wrote."""
    try:
        check_prompt(network, task, problem, node)
    except PromptError:
        return False
    return True


def _turn(
    network: Network, node: int, spoken: tuple[Request, Generation], temperature: float, cut: int
) -> Turn:
    """The record of one message. Text that an end token carries before its line break is kept."""
    request, out = spoken
    text = network.engine.codec.decode(out.ids)
    if out.ended:
        text = ended_text(text, network.stop(node))  # only at what ended it: other breaks are text
    return Turn(
        node=node,
        prefix_ids=request.prefix,
        suffix_ids=request.suffix,
        ids=out.ids,
        logprobs=out.logprobs,
        text=text,
        ended=out.ended,
        temperature=temperature,
        adapter=request.adapter,
        version=network.engine.version(request.adapter),
        cut_inputs=cut,
        receipt=out.receipt,
    )


def _open(edges: Sequence[Edge], one: Pass, seed: int, hidden: int | None) -> list[bool]:
    """Which of a node's incoming ``edges`` show their message in this episode; those of ``hidden`` do not.

    One number for each source and episode decides all its gates, so that a message is not shown to a
    reader of a lower gate only.
    """
    drawn = [
        edge.source != hidden
        and (
            edge.gate == 1.0
            or derive(seed, "gate", one.problem.id, one.sample, edge.source) < edge.gate * 2.0**63
        )
        for edge in edges
    ]
    both = list(zip(edges, drawn, strict=True))
    passed = any(is_open and edge.gate < 1.0 and not edge.fallback for edge, is_open in both)
    return [is_open and not (passed and edge.fallback) for edge, is_open in both]


def _prompt(network: Network, task: Task, one: Pass, node: int, seed: int) -> tuple[list[Prompt], int]:
    """The node's prompt, with that of the last view where it is taught, and how many messages were cut."""
    codec, edges = network.engine.codec, network.topology.incoming(node)
    cut = 0
    messages: list[str | None] = []
    for edge, open_ in zip(edges, _open(edges, one, seed, one.hidden), strict=True):
        if not open_:
            messages.append(None)
            continue
        one.read.append((edge.source, node))
        text, ids, output = one.shown[edge.source]
        if edge.budget is not None and len(ids) > edge.budget:
            cut += 1
            text = codec.decode(ids[: edge.budget])
        messages.append(shown_with(text, output))
    seen = one.view(network, node, seed)
    prompts: list[Prompt] = []
    for view in [seen, network] if network.taught and seen is not network else [seen]:
        wording = view.wording(task.answer_format)
        prompt = build_prompt(view.topology, node, one.problem, messages, codec, wording=wording)
        try:
            check_fits(network.topology, node, prompt, network.budget(node), network.engine.context)
        except PromptError:
            if not prompts:
                raise
            break  # what does not fit under the last view is not taught; the episode goes on
        prompts.append(prompt)
    return prompts, cut


def _intervene(passes: Sequence[Pass], layer: Sequence[int], sampling: Sampling) -> None:
    """Replace what readers will see of this layer's messages."""
    changed = [node for node in layer if sampling.altered is None or node in sampling.altered]
    if sampling.intervention == "none" or not passes or not changed:
        return
    donors: Sequence[Pass | None] = [None] * len(passes)
    if sampling.intervention == "shuffle":
        donors = _others(passes, sampling.seed)
    for node in changed:
        shown = [Shown("", ()) if donor is None else donor.shown[node] for donor in donors]
        for one, replacement in zip(passes, shown, strict=True):
            one.shown[node] = replacement


def _others(passes: Sequence[Pass], seed: int) -> list[Pass]:
    """For every pass one of another problem: a random ring over the problems, fixed by the seed.

    Samples that failed have left, so the donor is the same sample only where it is still there.
    """
    living: dict[str, list[Pass]] = {}
    for one in passes:
        living.setdefault(one.problem.id, []).append(one)
    ring = list(living)
    if len(ring) < 2:
        raise PromptError("messages can be shuffled between at least two problems, not one")
    random.Random(derive(seed, "shuffle")).shuffle(ring)
    after = dict(zip(ring, ring[1:] + ring[:1], strict=True))
    donors = [living[after[one.problem.id]] for one in passes]
    return [group[one.sample % len(group)] for one, group in zip(passes, donors, strict=True)]


def _heard(one: Pass, sink: int) -> set[int]:
    """Nodes whose message could reach the outcome, the output itself included.

    The outcome of a pass that failed on its way is the failure: every message that was read had a part in it.
    """
    if not one.turns or one.turns[-1].node != sink:
        return {source for source, _ in one.read}
    heard = {sink}
    for source, target in reversed(one.read):  # targets come in topological order
        if target in heard:
            heard.add(source)
    return heard


def _finish(network: Network, task: Task, one: Pass) -> Episode:
    """Score the output. What the network made fail by what it wrote is wrong, and its cause is kept."""
    sink = network.topology.sink
    heard = _heard(one, sink)
    turns = tuple(replace(turn, heard=turn.node in heard) for turn in one.turns)
    episode = Episode(one.problem, one.sample, turns, None)
    if one.failure is None:
        return scored(task, episode, len(network.topology.nodes))
    wrong = WRONG if turns and one.askable and not one.missing else None
    answered = bool(turns) and turns[-1].node == sink
    return replace(episode, score=wrong, failure=one.failure, answered=answered, missing=one.missing)

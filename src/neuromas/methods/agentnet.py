"""AgentNet: agents that hand tasks on, and learn from what came of it (arXiv:2504.00587)."""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from neuromas.core.episode import Episode, Turn
from neuromas.core.seeds import derive
from neuromas.core.task import Problem
from neuromas.evaluation.heldout import first_problems
from neuromas.methods.base import Bench, Search
from neuromas.methods.dialogue import Ask, Dialogue, Read, Talk
from neuromas.methods.limits import check_temperature, check_whole
from neuromas.methods.retrieval import nearest
from neuromas.methods.searching import Searching, earned, example, searched, tried

EXECUTIONS, FORWARDS = 5, 3  # the most of one question
ABILITY, LEARNED, MOST_ABILITY = 0.6, 0.1, 2.0
LINK, STRONGER, WEAKER, PRUNED, WEAKEST, STRONGEST = 1.0, 1.1, 0.9, 0.3, 0.1, 2.0
_RECALLED = 3  # memories shown, of routers to routers before a part was done, of executors with answers
_LONGEST = 200  # characters of a memory that are shown

_ROUTE = (
    "Decide who does the task. Write EXECUTE to do it yourself, FORWARD and an agent's number to hand it on, "
    "or SPLIT to do a part of it and hand over the rest."
)
_GO_ON = (
    "Decide how to go on. Write DONE if the task is solved, or NEXT and the number of who is to continue."
)
_FORMS = {_ROUTE: "EXECUTE, FORWARD or SPLIT", _GO_ON: "DONE or NEXT"}
_THINK = "Think about how to do the task."
_PART = "Do the part of the task that you can do."
_ANSWER = "Do the task."
_DECISION = re.compile(
    r"\b(execute|forward|split|done|next)\b\W*(?:to\W+|agent\W+){0,2}(\d{1,9})?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Memory:
    """A question that was answered right, and what was written on the way."""

    question: str
    text: str


@dataclass(frozen=True, slots=True)
class Agent:
    """What an agent is known to be able to do, and what it remembers as a router and as an executor."""

    ability: float = ABILITY
    tried: int = 0
    solved: int = 0
    routed: tuple[Memory, ...] = ()
    executed: tuple[Memory, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a router settled on; ``target``: who is next; ``fallback``: its text named nothing possible."""

    agent: int
    word: str
    target: int | None = None
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Solved:
    """How a question went: the answer, all decisions, and what executors wrote, as (agent, text)."""

    answer: str
    decisions: tuple[Decision, ...]
    parts: tuple[tuple[int, str], ...]


def decide(agent: int, text: str, others: Sequence[int], begun: bool = False) -> Decision:
    """What a router's text says: its first decision word and the number after it (agents count from 1).

    Before a part was done that is execute, forward or split; then (``begun``) done or next. What cannot be
    (no such word, nobody left, a number of nobody in ``others``) falls back on execute, or on done.
    """
    stays, hands = ("done", "next") if begun else ("execute", "forward")
    match = _DECISION.search(text)
    word = match[1].lower() if match else ""
    target = int(match[2]) - 1 if match and match[2] else None
    if word == stays or (word == "split" and others and not begun):
        return Decision(agent, word)
    if word == hands and target in others:
        return Decision(agent, word, target)
    return Decision(agent, stays, fallback=True)


@dataclass(frozen=True)
class Society(Dialogue):
    """Agents with memories, and how strongly each is linked to each (0: the link was pruned)."""

    agents: tuple[Agent, ...]
    links: tuple[tuple[float, ...], ...]
    temperature: float = 0.0
    seed: int = 0

    costs = "3 and more"
    source = "arXiv:2504.00587"

    def calls(self, bench: Bench) -> int:
        """See ``most_calls``."""
        return most_calls(len(self.agents))

    def talk(self, problem: Problem, read: Read) -> Talk:
        """See ``solve``."""
        return (yield from self.solve(problem)).answer

    def solve(self, problem: Problem) -> Generator[Sequence[Ask], Sequence[Turn], Solved]:
        """From agent to agent until one does the task, or says after its part that it is done."""
        decisions, parts = list[Decision](), list[tuple[int, str]]()
        at, met = self.first(problem), list[int]()
        while True:
            met.append(at)
            forwards = sum(one.word == "forward" for one in decisions)
            others = [] if len(parts) >= EXECUTIONS - 1 else self.neighbours(at, met)
            (turn,) = yield [self._route(problem, at, others, parts, _ROUTE)]
            decision = decide(at, turn.text, others)
            if decision.word == "forward" and forwards >= FORWARDS:
                decision = Decision(at, "execute", fallback=True)
            decisions.append(decision)
            if decision.word == "execute":
                break
            if decision.word == "split":
                told = _told(_PART, problem, self.agents[at].executed)
                (turn,) = yield [Ask(_progress(parts), told, at)]
                parts.append((at, turn.text))
                (turn,) = yield [self._route(problem, at, others, parts, _GO_ON)]
                decisions.append(decide(at, turn.text, others, begun=True))
                decision = decisions[-1]
            if decision.target is None:
                return Solved(parts[-1][1], tuple(decisions), tuple(parts))
            at = decision.target
        (thought,) = yield [Ask(_progress(parts), _THINK, at, final=False)]
        told = _told(_ANSWER, problem, self.agents[at].executed)
        (turn,) = yield [Ask((*_progress(parts), f"Thought: {thought.text}"), told, at)]
        return Solved(turn.text, tuple(decisions), (*parts, (at, turn.text)))

    def first(self, problem: Problem) -> int:
        """Who begins: the ablest, of equals one by lot."""
        best = max(agent.ability for agent in self.agents)
        ablest = [place for place, agent in enumerate(self.agents) if agent.ability == best]
        return random.Random(derive(self.seed, "agentnet", problem.id)).choice(ablest)

    def neighbours(self, agent: int, met: Sequence[int]) -> list[int]:
        """To whom it may hand on: linked, and not met before."""
        return [place for place, link in enumerate(self.links[agent]) if link > 0.0 and place not in met]

    def learned(self, problem: Problem, solved: Solved, right: bool, capacity: int) -> Society:
        """After a question: memories and ability where it was right, links stronger or weaker.

        Every agent that wrote a part is an executor, and keeps its last ``capacity`` memories of that.
        """
        agents, links = list(self.agents), [list(row) for row in self.links]
        for who in dict.fromkeys(who for who, _ in solved.parts):
            one = agents[who]
            agents[who] = replace(one, tried=one.tried + 1, solved=one.solved + right)
            if right:
                mine = [Memory(problem.question, text) for by, text in solved.parts if by == who]
                agents[who] = replace(
                    agents[who],
                    ability=min(MOST_ABILITY, one.ability + LEARNED),
                    executed=(*one.executed, *mine)[-capacity:],
                )
        for decision in solved.decisions:
            who, target = decision.agent, decision.target
            if right and decision.word in ("execute", "forward", "split"):
                kept = Memory(problem.question, _written(decision))
                agents[who] = replace(agents[who], routed=(*agents[who].routed, kept))
            if target is not None:
                links[who][target] = moved(links[who][target], right)
        return replace(self, agents=tuple(agents), links=tuple(map(tuple, links)))

    def about(self, bench: Bench) -> dict[str, Any]:
        """What agents are able to do and how they are linked."""
        abilities = [agent.ability for agent in self.agents]
        return {
            "nodes": self.calls(bench),
            "abilities": abilities,
            "links": [list(row) for row in self.links],
        }

    def _route(
        self,
        problem: Problem,
        at: int,
        others: Sequence[int],
        parts: Sequence[tuple[int, str]],
        instruction: str,
    ) -> Ask:
        """A router's message: it knows itself, its neighbours, its past decisions and how far the task is."""
        one = self.agents[at]
        lines = [f"You are agent {at + 1}. {_card(one)}"]
        lines += [f"Agent {j + 1}: {_card(self.agents[j])} Link {self.links[at][j]:.2f}." for j in others]
        told = _told(instruction, problem, one.routed if instruction == _ROUTE else ())
        return Ask((*lines, *_progress(parts)), told, at, final=False, form=_FORMS[instruction])


def most_calls(agents: int) -> int:
    """If as many as may do a part each (3 calls), others forward (1), and the last does the rest (3)."""
    parts = min(agents - 1, EXECUTIONS - 1)
    return 3 * parts + min(agents - 1 - parts, FORWARDS) + 3


def moved(link: float, right: bool) -> float:
    """A link after a question it took part in; 0 if that prunes it, see ``AgentNet``."""
    after = min(STRONGEST, max(WEAKEST, link * (STRONGER if right else WEAKER)))
    return after if after > PRUNED else 0.0


def _card(agent: Agent) -> str:
    """What others are told of an agent."""
    return f"Ability {agent.ability:.1f}, {agent.solved} of {agent.tried} tasks solved."


def _told(instruction: str, problem: Problem, memories: Sequence[Memory]) -> str:
    """The instruction and the memories nearest to the question, as examples before it, the nearest last.

    After the question a small model takes a memory's answer for its own.
    """
    near = nearest(problem.question, [memory.question for memory in memories], _RECALLED)
    shown = [example(memories[i].question[:_LONGEST], memories[i].text[:_LONGEST]) for i in reversed(near)]
    return "\n".join([instruction, *shown])


def _progress(parts: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    """What has been written for the task."""
    return tuple(f"Agent {who + 1} wrote: {text}" for who, text in parts)


def _written(decision: Decision) -> str:
    """A decision as routers are told to write it."""
    return decision.word.upper() + ("" if decision.target is None else f" {decision.target + 1}")


def replayed(society: Society, episode: Episode) -> Solved | None:
    """How a question went, read from what was written; None if it ended before an answer."""
    talk, left = society.solve(episode.problem), list(episode.turns)
    try:
        asks = next(talk)
        while left:
            turns, left = left[: len(asks)], left[len(asks) :]
            asks = talk.send(turns)
    except StopIteration as end:
        solved: Solved = end.value
        return solved
    return None


@dataclass(frozen=True)
class AgentNet(Searching):
    """Agents route a task among each other by what they did well before; each remembers its successes.

    A question begins with the ablest agent. Its router (one call) has it executed (a thought, an answer),
    forwarded to a linked agent not met yet, or split: it does a part (one call) and then says whether that is
    all or who goes on (one call). On the first ``items`` training problems, ``batch`` at a time, a right
    answer is remembered by its routers and executors, each executor's ability (0.6 at first) rises by 0.1 up
    to 2, and the link w (1 at first) of every handing over becomes

        w <- clip(w * (1.1 if right else 0.9), 0.1, 2), and is removed at w <= 0.3.

    The original takes one problem at a time, 3 agents, temperature 0 and up to 40 executor memories.
    """

    agents: int = 3
    items: int = 32
    batch: int = 4
    capacity: int = 40
    temperature: float = 0.0

    costs = "3 and more"
    source = "arXiv:2504.00587"
    differs = (
        "memories by TF-IDF cosine of questions, not of embeddings; the oldest goes, not one that the model "
        "picks; no factor of time in links; one ability an agent, for one kind of task; a router's text that "
        "names no possible decision means execute (counted in found); a message in plain style is one line"
    )

    def __post_init__(self) -> None:
        check_whole("agentnet", "agents", self.agents, 1, 20)
        check_whole("agentnet", "items", self.items, 1, 100_000)
        check_whole("agentnet", "batch", self.batch, 1, 1000)
        check_whole("agentnet", "capacity", self.capacity, 1, 10_000)
        check_temperature("agentnet", self.temperature)

    def calls(self, bench: Bench) -> int:
        """See ``most_calls``."""
        return most_calls(self.agents)

    def society(self, seed: int) -> Society:
        """Before the first problem: all alike, each linked to all others."""
        places = range(self.agents)
        links = tuple(tuple(LINK if i != j else 0.0 for j in places) for i in places)
        return Society((Agent(),) * self.agents, links, self.temperature, seed)

    def prepare(self, bench: Bench) -> Search:
        """See ``Method.prepare``. ``found``: agents with their memories, links, decisions, rewards."""
        society, played = self.society(bench.seed), list[Episode]()
        decisions, rewards = list[Decision](), list[float]()
        problems = first_problems(bench.task, "train", self.items)
        for start in range(0, len(problems), self.batch):
            now = society
            episodes = tried(bench, [(now, one, 0) for one in problems[start : start + self.batch]])
            for episode in episodes:
                solved = replayed(now, episode)
                if solved is None or episode.score is None:
                    continue
                decisions += solved.decisions
                right = episode.score.accuracy == 1.0  # whatever is paid: it becomes an example
                society = society.learned(episode.problem, solved, right, self.capacity)
            played += episodes
            rewards.append(earned(episodes))
        words = [one.word for one in decisions]
        found = {
            "agents": [asdict(agent) for agent in society.agents],
            "links": [list(row) for row in society.links],
            "decisions": {word: words.count(word) for word in sorted(set(words))},
            "fallbacks": sum(one.fallback for one in decisions),
            "rewards": rewards,
        }
        return searched(society, found, played)

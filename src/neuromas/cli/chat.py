"""``neuromas chat``: a trained network in the terminal, its messages shown while they are written."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from neuromas.cli.network import RUN, add_trust, there
from neuromas.cli.options import file_to_write, temperature
from neuromas.core.errors import NeuromasError, RunError, one_line, shown, unknown
from neuromas.core.interrupt import Interrupt
from neuromas.report.terminal import block, visible

if TYPE_CHECKING:
    from rich.console import Console

    from neuromas.core.episode import Episode, Turn
    from neuromas.serving.playing import Player

COMMANDS = MappingProxyType(
    {
        "/help": "this list",
        "/trace": "who read and wrote what for the last answer",
        "/seed N": "the seed of what is drawn; a greedy answer draws nothing",
        "/temperature T": "0 is greedy, up to 10",
        "/save FILE": "write all questions, messages and answers as JSON",
        "/quit": "end; so does Ctrl-D, while Ctrl-C ends an answer",
    }
)
_ALONE = "Every question stands alone: the network reads none of what was said before."


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("path", metavar="RUN", help=RUN)
    parser.add_argument("--temperature", type=temperature, default=0.0, help="0 is greedy (0)")
    add_trust(parser, model=True)


def run(args: argparse.Namespace) -> int:
    """Answer until the input ends."""
    there(args.path)
    from neuromas.api import load
    from neuromas.serving.playing import Player

    trained = load(args.path, args.device, args.backbone, args.trust)
    if isinstance(sys.stdin, io.TextIOWrapper):  # bytes that are no text make no traceback
        sys.stdin.reconfigure(errors="replace")
    live = sys.stdin.isatty() and sys.stdout.isatty()
    chat = Chat(Player(trained.assembly), live, temperature=args.temperature)
    if live:
        print(visible(f"{trained.topology} of {args.path}; /help says what else can be typed"))
        if trained.topology.shares:
            print("the question goes to the nodes in parts: what is asked | part 1 | part 2")
    while (line := chat.read()) is not None:
        try:
            chat.take(line)
        except (NeuromasError, OSError) as error:
            print(visible(one_line(error)))
    return 0


@dataclass(slots=True)
class Chat:
    """A conversation: how it is drawn, and what was said so far."""

    player: Player
    live: bool
    seed: int = 0
    temperature: float = 0.0
    said: list[tuple[int, float, Episode]] = field(default_factory=list)
    ended: bool = False

    def read(self) -> str | None:
        """The next line; None at the end. Ctrl-C while typing drops the line."""
        while not self.ended:
            try:
                if self.live:
                    import readline  # noqa: F401  (arrow keys and a history of this session)
                return input("> " if self.live else "")
            except EOFError:
                if self.live:
                    print()
                return None
            except KeyboardInterrupt:
                if not self.live:
                    raise
                print()
        return None

    def take(self, line: str) -> None:
        """A command or a question. Raises NeuromasError, OSError."""
        word, _, rest = line.strip().partition(" ")
        if not word:
            return
        if not word.startswith("/"):
            self._ask(line)
            return
        todo: dict[str, Callable[[str], None]] = {
            "/help": self._help,
            "/trace": self._trace,
            "/seed": self._seed,
            "/temperature": self._temperature,
            "/save": self._save,
            "/quit": self._quit,
        }
        if word not in todo:
            raise RunError(unknown("command", word, todo))
        todo[word](rest.strip())

    def _ask(self, question: str) -> None:
        from neuromas.serving.playing import Ask

        ask = Ask(self.player.problem([question]), self.temperature, self.seed)
        with Interrupt() as stop, _shown(self.player, self.live, lambda: stop.asked) as screen:
            episode = self.player.play([(ask, screen)])[0]
        if stop.asked:
            print("(ended)")
        elif not episode.answered or episode.failure:
            print(visible(f"no answer: {episode.failure}"))
        else:
            self.said.append((self.seed, self.temperature, episode))

    def _help(self, rest: str) -> None:
        for command, text in COMMANDS.items():
            print(f"{command:15} {text}")
        print(_ALONE)

    def _trace(self, rest: str) -> None:
        from neuromas.report.trace import trace_text

        if not self.said:
            raise RunError("nothing was answered yet")
        print(trace_text(self.player.topology, self.said[-1][2], _width()))

    def _seed(self, rest: str) -> None:
        if not (rest.isascii() and rest.isdecimal() and len(rest) < 19):
            raise RunError(f"/seed {shown(rest)}: give a whole number from 0 on, of up to 18 digits")
        self.seed = int(rest)
        if self.temperature == 0.0:
            print("noted; a greedy answer draws nothing: /temperature 1")

    def _temperature(self, rest: str) -> None:
        try:
            self.temperature = temperature(rest)
        except argparse.ArgumentTypeError as error:
            raise RunError(f"/temperature: {error}") from None

    def _save(self, rest: str) -> None:
        from neuromas.storage import write_atomic

        if not rest:
            raise RunError("/save: name a file")
        file = file_to_write("/save", rest)
        if file.exists():
            raise RunError(f"/save {shown(rest)}: exists; name another file")
        entries = [_entry(self.player, *one) for one in self.said]
        write_atomic(file, json.dumps(entries, indent=1) + "\n")
        print(visible(f"wrote {len(entries)} answers to {rest}"))

    def _quit(self, rest: str) -> None:
        self.ended = True


def _entry(player: Player, seed: int, drawn: float, episode: Episode) -> dict[str, Any]:
    """One answer for ``/save``."""
    from neuromas.serving.playing import told

    return {
        "question": episode.problem.question,
        "seed": seed,
        "temperature": drawn,
        "messages": [told(player.topology, turn) for turn in episode.turns],
        "answer": episode.answer.strip(),
    }


def _width() -> int:
    return max(60, shutil.get_terminal_size((100, 24)).columns)


class Lines:
    """A ``Listener`` that prints every message when it is whole, one line each."""

    def __init__(self, player: Player, stopped: Callable[[], bool]) -> None:
        """``stopped`` says whether the answer is to end."""
        self._player, self._stopped = player, stopped

    @property
    def gone(self) -> bool:
        """See ``Listener``."""
        return self._stopped()

    def token(self, node: int, token: int) -> bool:
        """See ``Listener``."""
        return not self._stopped()

    def said(self, turn: Turn) -> None:
        """See ``Listener``: the node's name and what it wrote."""
        if not self._stopped():
            print(visible(f"{_label(self._player, turn.node)}: {turn.text.strip()}"), flush=True)


class Screen(Lines):
    """The same on a terminal: what is being written is drawn as it grows."""

    def __init__(self, player: Player, stopped: Callable[[], bool], console: Console) -> None:
        super().__init__(player, stopped)
        self._console = console
        self._drafts = {node: player.draft(node) for node in range(len(player.topology.nodes))}
        self._growing: dict[int, str] = {}

    def token(self, node: int, token: int) -> bool:
        """See ``Listener``."""
        self._drafts[node].add(token)
        self._growing[node] = self._drafts[node].sent
        return not self._stopped()

    def said(self, turn: Turn) -> None:
        """See ``Listener``: a whole message stays on the screen above those still being written."""
        self._growing.pop(turn.node, None)
        if not self._stopped():
            for line in self._lines(turn.node, turn.text.strip()):
                self._console.print(line)

    def __rich__(self) -> Any:
        """The messages under way."""
        from rich.console import Group

        grown = sorted(self._growing.items())
        return Group(*(line for node, text in grown for line in self._lines(node, text)))

    def _lines(self, node: int, text: str) -> list[Any]:
        from rich.text import Text

        style = "bold" if node == self._player.topology.sink else "dim"
        gutter = f"{_label(self._player, node)} │ "
        # as Text: what is written has no markup, and ``block`` shows what would not be seen
        return [Text(line, style) for line in block(text, gutter, self._console.width - 1)]


@contextmanager
def _shown(player: Player, live: bool, stopped: Callable[[], bool]) -> Iterator[Lines]:
    """Where messages are shown while one question is answered."""
    if not live:
        yield Lines(player, stopped)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, emoji=False)
    screen = Screen(player, stopped, console)
    with Live(screen, console=console, transient=True, refresh_per_second=12):
        yield screen


def _label(player: Player, node: int) -> str:
    """A node for people: its name, and that it answers."""
    name = visible(player.topology.nodes[node].name)
    return f"{name} answers" if node == player.topology.sink else name

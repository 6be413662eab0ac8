"""What a network costs before it is run: calls, tokens, operations, memory. No torch, no weights.

Everything is an upper bound by budgets under these assumptions: a question of Q tokens is given (cut
into a stem and parts of equal length where nodes see shares), every node writes its whole budget, every
message learns, samples of a problem share the prompt up to the messages and nothing after it.

Operations are floating-point ones, a multiply-add counting 2, by Kaplan et al. 2020 (arXiv:2001.08361,
section 2.1): a token costs 2 for each weight that multiplies it, and attention 4 d_attn for each key it
sees in each layer (summed over the causal half this is their 2 n_ctx d_attn). Embedding is free, logits
(2 d V) are formed only where a token is sampled. Their backward costs twice the forward; here the weights
are frozen, so the body and the head are passed backward once, adapters and attention twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from neuromas.core.errors import ModelError
from neuromas.core.task import Problem
from neuromas.models.dims import TINY, Dims
from neuromas.prompts.build import Wording, build_prompt
from neuromas.prompts.codec import ByteCodec, Codec
from neuromas.prompts.template import Template, built_in
from neuromas.topology.graph import Topology

BYTES = {"bfloat16": 2, "float32": 4}
ADAPTER_BYTES = 4 * 4  # fp32 parameter, gradient and two AdamW moments
_MOST = 10**9  # tokens of one message; a budget may be written without end
_PROCESS = 0.40e9  # bytes of interpreter, torch and transformers before anything is loaded (Linux, CPU)
_ROW = 320  # longest row of several sequences in training (``prefix_tree.HARD_LENGTH``)
# a word with the space before it, a digit, a space before a digit, a mark, or a line break
_PIECE = re.compile(r"[^\W\d_]+|\d| (?=\d)|[^\w\s]|_|\n")


@dataclass(frozen=True, slots=True)
class Load:
    """How the network is used. Tokens per question and message; ``rows`` and ``tokens`` as ``Backbone``'s.

    ``template`` has the texts of the prompts, ``examples`` worked examples are shown to whom it says;
    ``tool_tokens`` are most tokens of what a message's program prints, 0 where none is run. In the style
    "chat" the marks of a chat template are not counted, about ten tokens a call.
    """

    question_tokens: int = 32
    message_tokens: int = 16
    answer_tokens: int = 16
    problems: int = 16
    samples: int = 8
    rows: int = 256
    tokens: int = 2048
    template: Template = field(default_factory=built_in)
    examples: int = 0
    tool_tokens: int = 0
    style: str = "plain"


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens of one call: prompt shared by the samples of a problem, prompt of its own, most new ones."""

    prefix: int
    suffix: int
    new: int

    @property
    def prompt(self) -> int:
        """Tokens of the whole prompt."""
        return self.prefix + self.suffix


@dataclass(frozen=True, slots=True)
class Cost:
    """Figures of one network. Tokens and ``answer_flops`` are per question, ``step_flops`` per training step.

    ``longest`` is the longest prompt with its message in tokens; ``peak_bytes`` that of training.
    """

    calls: int
    depth: int
    prompt_tokens: int
    new_tokens: int
    longest: int
    trainable: int
    answer_flops: float
    step_flops: float
    peak_bytes: float


class _Pieces(ByteCodec):
    """Counts words, digits and marks, about the tokens that byte-pair tokenizers make of plain English."""

    def encode(self, text: str) -> tuple[int, ...]:
        """One id for every piece; which one does not matter."""
        return (0,) * pieces(text)


def pieces(text: str) -> int:
    """About the tokens of a text in English, see ``readings``."""
    return len(_PIECE.findall(text))


def readings(topology: Topology, load: Load, dims: Dims | None = None) -> list[Reading]:
    """Tokens of every node's call, by counting the pieces of its real prompt.

    The backbone "tiny" counts bytes. Word by word the count is within 4 % of SmolLM2's tokenizer on the
    prompts of our tasks.
    """
    codec: Codec = ByteCodec() if dims == TINY else _Pieces()
    # one token stands for the question and one for every message; how long they are is added below
    problem = Problem(id="cost", question="x", answer="", parts=("",) * topology.shares, stem="x")
    example = Problem(id="example", question="y", answer="y", parts=problem.parts, stem="y")
    wording = Wording(load.style, "the answer", load.template, (example,) * load.examples)
    last = topology.sink
    budgets = [min(topology.message_budget(node, load.message_tokens), _MOST) for node in range(last)]
    found = []
    for node, spec in enumerate(topology.nodes):
        edges = topology.incoming(node)
        told = ["x"] * len(edges)
        prompt = build_prompt(topology, node, problem, told, codec, wording=wording)
        asked = _asked(spec.question, load.question_tokens, topology.shares)
        heard = sum(min(budgets[edge.source], edge.budget or _MOST) + load.tool_tokens for edge in edges)
        new = load.answer_tokens if node == last else budgets[node]
        more = max(0, asked - 1)
        if load.template.shows_examples(topology, node) and spec.question != "none":
            more += load.examples * (max(0, asked - 1) + load.answer_tokens - 1)
        found.append(Reading(len(prompt.prefix) + more, len(prompt.suffix) + heard - len(edges), new))
    return found


def _asked(question: str, tokens: int, shares: int) -> int:
    """Tokens of the question that a node sees, of a stem and ``shares`` parts of equal length."""
    part = tokens // (shares + 1)
    if question in ("all", "hints", "none"):
        return {"all": tokens, "hints": 2 * tokens, "none": 0}[question]
    share, _, of = question.partition("/")
    own = int(share) * shares // int(of) - (int(share) - 1) * shares // int(of) if of else 0
    return tokens - shares * part + own * part


def estimate(
    topology: Topology,
    dims: Dims,
    *,
    assignment: Sequence[int],
    ranks: Sequence[int],
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj"),
    load: Load = Load(),
    dtype: str = "bfloat16",
) -> Cost:
    """The cost of a network over a backbone of these measures.

    ``assignment[node]`` is the adapter of a node and ``ranks[adapter]`` its rank. ``peak_bytes`` is the
    process, the weights (in bf16 twice, as a CPU packs them), every adapter with gradient and AdamW's
    moments (fp32), and the larger of a sampled layer's cache and a micro-batch's activations: what must be
    held, not what the allocator keeps besides. Measured peaks of whole steps (``memory`` in
    benchmarks/results/cpu.json) lie above it, by 14 % for one node and by 12 % for a chain of seven.
    Raises ModelError when assignment and ranks do not belong together or for an unknown target.
    """
    if len(ranks) != max(assignment) + 1 or len(assignment) != len(topology.nodes):
        raise ModelError(
            f"{len(ranks)} ranks for {max(assignment) + 1} adapters, "
            f"{len(assignment)} assignments for {len(topology.nodes)} nodes"
        )
    each = dims.per_rank(targets)
    calls = readings(topology, load, dims)
    answer = step = 0.0
    for call, adapter in zip(calls, assignment, strict=True):
        own = each * ranks[adapter]
        body, low, seen, head = _forward(dims, own, call, 1)
        answer += body + low + seen + head
        body, low, seen, head = _forward(dims, own, call, load.samples)
        # sampled once, and scored once more; then backward
        step += load.problems * (2 * (body + low + seen + head) + body + 2 * low + 2 * seen + head)
    trainable = each * sum(ranks)
    # on a CPU in bf16 every product's weight is there twice (``models.packed``)
    packed = dims.body + dims.vocabulary * dims.hidden if dtype == "bfloat16" else 0
    weights = dims.weights + packed
    kept = max(_cache(topology, dims, calls, load), _activations(dims, calls, load, (targets, max(ranks))))
    return Cost(
        calls=len(calls),
        depth=topology.depth,
        prompt_tokens=sum(call.prompt for call in calls),
        new_tokens=sum(call.new for call in calls),
        longest=max(call.prompt + call.new for call in calls),
        trainable=trainable,
        answer_flops=answer,
        step_flops=step,
        peak_bytes=_PROCESS + ADAPTER_BYTES * trainable + BYTES[dtype] * (weights + kept),
    )


def _forward(dims: Dims, adapter: int, call: Reading, samples: int) -> tuple[float, float, float, float]:
    """Operations of body, adapter, attention and head for ``samples`` messages that share a prefix.

    A message's last token is sampled and not read.
    """
    own = call.suffix + call.new - 1
    tokens = call.prefix + samples * own
    pairs = _pairs(call.prefix) + samples * (_pairs(call.prefix + own) - _pairs(call.prefix))
    attention = 4.0 * dims.layers * dims.heads * dims.head_dim * pairs
    head = 2.0 * dims.hidden * dims.vocabulary * samples * call.new
    return 2.0 * dims.body * tokens, 2.0 * adapter * tokens, attention, head


def _pairs(tokens: int) -> int:
    """Pairs of a query and a key that it sees."""
    return tokens * (tokens + 1) // 2


def _cache(topology: Topology, dims: Dims, calls: Sequence[Reading], load: Load) -> float:
    """Most numbers held while a layer is sampled: keys, values and one row of logits for each request.

    Prompts are held as they were read, and gathered once more for the groups of samples.
    """
    token = 2 * dims.layers * dims.kv_heads * dims.head_dim
    most = 0.0
    for node, call in zip(topology.nodes, calls, strict=True):
        rows = min(load.rows, node.width * load.problems * load.samples)
        groups = max(1.0, rows / load.samples)
        tokens = 2 * groups * call.prefix + rows * (2 * call.suffix + call.new)
        most = max(most, tokens * token + rows * dims.vocabulary)
    return most


def _activations(
    dims: Dims, calls: Sequence[Reading], load: Load, adapters: tuple[tuple[str, ...], int]
) -> float:
    """Most numbers kept for backward passes over ``tokens // 2`` tokens at once.

    That is one micro-batch on a GPU; on a CPU a micro-batch has half as many and every thread has one, so
    this counts two.
    In each layer: the inputs of both norms, of adapted maps and of the gate's product (3 f), queries, keys,
    values, attention weights and the adapters' inner values; at the end logits and their gradient.
    """
    targets, rank = adapters
    d, f, q = dims.hidden, dims.intermediate, dims.heads * dims.head_dim
    # q, k and v read one tensor, gate and up another
    inputs = ((d, "q_proj k_proj v_proj"), (d, "gate_proj up_proj"), (q, "o_proj"), (f, "down_proj"))
    adapted = sum(width for width, names in inputs if set(names.split()) & set(targets))
    most = 0.0
    for call in calls:
        own = call.suffix + call.new - 1
        forwarded = call.prefix + load.samples * own
        tokens = min(max(load.tokens // 2, call.prefix + own), load.problems * len(calls) * forwarded)
        row = max(call.prefix + own, min(_ROW, forwarded))
        layer = 2 * d + adapted + q + 2 * dims.kv_heads * dims.head_dim + dims.heads * row + 3 * f
        logits = 2 * dims.vocabulary * load.samples * call.new / forwarded
        most = max(most, tokens * (dims.layers * (layer + rank * len(targets)) + logits))
    return most

"""Untrusted text never becomes a control token, and ordinary text comes back as it was."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuromas.core.task import Problem
from neuromas.prompts.build import Wording, build_prompt
from neuromas.prompts.codec import ByteCodec, Codec, TokenizerCodec, neutralise
from neuromas.topology.graph import Topology

ORDINARY = [
    "What is 17 + 25?",
    "  two  spaces,\ttab\nand newline \n\n",
    "naïve café — “quotes” 東京 🙂 a<b && c|d > e",
    "< im_end |> <|not_a_token|> <im_end>",
    "1,234.56 \\frac{1}{2} $x^2$",
    "",
]


@cache
def byte_codec():
    return ByteCodec()


@cache
def smollm2():
    """The embedded backbone's codec, opened as ``load_backbone`` opens it, without the weights."""
    from transformers import AutoTokenizer

    from neuromas.models.embedded import embedded_folder

    tokenizer = AutoTokenizer.from_pretrained(embedded_folder(), local_files_only=True)
    return TokenizerCodec(tokenizer, [tokenizer.eos_token_id])


@cache
def wordy():
    """A small tokenizer in the manner of Gemma: spaces are '▁', and the run of two is an added token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    letters = [chr(i) for i in range(33, 127)]
    vocabulary = ["<eos>", "<bos>", "<turn>", "▁", "▁▁", "\n", *letters]
    model = models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[("▁", "▁")])
    inner = Tokenizer(model)
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Replace("▁", " ")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>")
    tokenizer.add_tokens(
        [AddedToken(text, normalized=False) for text in ("▁▁", "\n", "<turn>", "<a b>", "| ")]
    )
    return TokenizerCodec(tokenizer, [0], [1])


CODECS = [
    pytest.param(byte_codec, id="bytes"),
    pytest.param(wordy, id="wordy"),
    pytest.param(smollm2, id="smollm2", marks=pytest.mark.real),
]


def control_ids(codec):
    """All ids that mean more than text, told by the tokenizer itself."""
    if isinstance(codec, ByteCodec):
        return {ByteCodec.END}
    tokenizer = codec._tokenizer
    added = {i: str(t) for i, t in tokenizer.added_tokens_decoder.items()}
    return {*tokenizer.all_special_ids, *(i for i, text in added.items() if text.strip(" \t\n▁"))}


def hostile(token):
    """A control token alone, nested, repeated, at both boundaries, and hidden in space and case."""
    half = len(token) // 2
    nested = token[:half] + token + token[half:]
    return [
        token,
        token * 3,
        nested,
        token[:half] + nested + token[half:],
        token[:1] + token + token[1:],
        token[:-1] + token + token[-1:],
        f"{token}text",
        f"text{token}",
        f"text {token} text",
        f"\n{token}\n",
        f"a\u200b{token}\u200bb",
        f"{token[:half]} {token[half:]}",
        " ".join(token),
    ]


@pytest.mark.parametrize("make", CODECS)
def test_is_a_codec_that_knows_its_control_tokens(make):
    codec = make()
    assert isinstance(codec, Codec)
    assert codec.end_ids <= codec.line_end_ids
    assert codec.end_ids <= control_ids(codec)
    assert isinstance(codec, ByteCodec) or len(codec.control_tokens) == len(control_ids(codec)) >= 5


@pytest.mark.parametrize("make", CODECS)
def test_no_control_token_comes_through(make):
    codec = make()
    forbidden = control_ids(codec)
    tokens = codec.control_tokens or ("<|end|>", "<eos>")
    for token in tokens:
        for text in hostile(token):
            assert forbidden.isdisjoint(codec.encode(text)), text
    for first in tokens:
        for second in tokens:
            assert forbidden.isdisjoint(codec.encode(first[:-1] + second + first[-1:])), (first, second)
            assert forbidden.isdisjoint(codec.encode(first + second))


@pytest.mark.parametrize("make", CODECS)
@settings(max_examples=150)
@given(data=st.data())
def test_no_mixture_of_fragments_comes_through(make, data):
    codec = make()
    tokens = codec.control_tokens or ("<|end|>",)
    pieces = sorted({t[i:j] for t in tokens for i, j in ((0, None), (0, 2), (0, -1), (1, None), (-2, None))})
    text = "".join(data.draw(st.lists(st.sampled_from([*pieces, " ", "\n", "a"]), max_size=12)))
    assert control_ids(codec).isdisjoint(codec.encode(text))


@pytest.mark.parametrize("make", CODECS)
def test_a_question_or_message_cannot_act_as_a_turn(make):
    """In the full prompt the control tokens are those of the template, whatever node and question say."""
    codec = make()
    topology, forbidden = Topology.parse("2-1"), control_ids(codec)
    styles = ["plain"] if make is wordy else ["plain", "chat"]  # wordy has no chat template

    def frame(style, question, message):
        problem = Problem("p", question, "a")
        prompt = build_prompt(topology, 2, problem, (message, "m"), codec, wording=Wording(style, "one word"))
        return [i for i in prompt.prefix + prompt.suffix if i in forbidden]

    for style in styles:
        honest = frame(style, "q", "m")
        for token in codec.control_tokens or ("<|end|>",):
            for text in hostile(token):
                assert frame(style, text, "m") == honest
                assert frame(style, "q", text) == honest
                assert frame(style, f"q{token[:2]}", f"{token[2:]}") == honest


@pytest.mark.parametrize("make", CODECS)
def test_ordinary_text_comes_back(make):
    codec = make()
    known = {*" \n", *map(chr, range(33, 127))}  # all that the small vocabulary of wordy spells
    for ordinary in ORDINARY:
        text = "".join(c for c in ordinary if c in known) if make is wordy else ordinary
        assert codec.decode(codec.encode(text)) == text


@pytest.mark.parametrize("make", [CODECS[0], CODECS[2]])
# some control characters and the unassigned planes are not in SmolLM2's vocabulary
@given(text=st.text(st.characters(exclude_categories=("Cc", "Cs"), max_codepoint=0x3FFFF)))
@example(text="a\u0301 \ufeff\u202e\n\t")
def test_any_harmless_text_comes_back(make, text):
    codec = make()
    if neutralise(text, codec.control_tokens) == text:
        assert codec.decode(codec.encode(text)) == text


@pytest.mark.parametrize("make", CODECS)
def test_half_a_surrogate_pair_is_replaced(make):
    codec = make()
    assert codec.decode(codec.encode("a\ud800b")) == "a?b"


@pytest.mark.parametrize("make", CODECS)
def test_decoding_leaves_control_tokens_out(make):
    codec = make()
    mixed = [i for c in sorted(control_ids(codec)) for i in (c, *codec.encode("x"))]
    assert codec.decode(mixed) == "x" * len(control_ids(codec))
    assert codec.decode([]) == ""


@pytest.mark.parametrize("make", CODECS)
def test_line_ends(make):
    codec = make()
    assert set(codec.encode("\n")) <= codec.line_end_ids
    assert codec.line_end_ids.isdisjoint(codec.encode("word"))


@pytest.mark.real
def test_every_token_with_a_break_ends_a_line():
    codec = smollm2()
    for i in range(len(codec._tokenizer)):
        text = codec._tokenizer.decode([i])
        assert (i in codec.line_end_ids) == ("\n" in text or "\r" in text or i in codec.end_ids)


@pytest.mark.real
def test_chat_template_is_placed_once():
    codec = smollm2()
    before, after = codec.chat("SYSTEM")
    text = codec._tokenizer.decode(before + codec.encode("USER") + after)
    assert text == (
        "<|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\nUSER<|im_end|>\n<|im_start|>assistant\n"
    )


def test_byte_chat_frames_the_text():
    codec = ByteCodec()
    before, after = codec.chat("SYSTEM")
    assert codec.decode(before + codec.encode("x") + after) == "SYSTEM\nUser: x\nReply:"


@given(
    st.text(alphabet="<|ab >", max_size=12),
    st.lists(st.text(alphabet="<|ab >", min_size=1, max_size=4), max_size=4),
)
def test_neutralising_ends_and_keeps_all_but_spaces(text, tokens):
    clean = neutralise(text, tokens)
    assert clean.replace(" ", "") == text.replace(" ", "")
    breakable = [t for t in tokens if len(t) > 1 and " " not in t]
    assert not any(token in clean for token in breakable)
    if not any(token in text for token in tokens):
        assert clean == text


def test_neutralising_a_nested_token():
    tokens = ("<|im_end|>", "<|im_start|>")
    assert neutralise("<|im_<|im_end|>end|>", tokens) == "<|im_< |im_end|>end|>"
    assert neutralise("abc", ("ab", "bc")) == "a b c"  # breaking one shows the next
    assert neutralise("a<|im_end|><|im_start|>", tokens) == "a< |im_end|>< |im_start|>"

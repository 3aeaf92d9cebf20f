"""A hub's model, copied into the hub's own cache: what loading it reads and nothing else."""

from dataclasses import dataclass
from pathlib import Path

_READ = ("*.json", "*.jinja", "*.txt", "*.model")  # configuration, chat template and tokenizer
_OTHER_FORMATS = ("original/*", "onnx/*", "consolidated*")


@dataclass(frozen=True, slots=True)
class HubCopy:
    folder: Path
    num_bytes: int

    @property
    def revision(self) -> str:
        """The commit that was resolved."""
        return self.folder.name


def download(hub_id: str, *, revision: str | None) -> HubCopy:
    """Raises ValueError, in one line, where it is not to be had. What the cache holds already is not sent again."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    def snapshot(*weights: str) -> Path:
        patterns = [*_READ, *weights]
        return Path(
            snapshot_download(hub_id, revision=revision, allow_patterns=patterns, ignore_patterns=list(_OTHER_FORMATS))
        )

    try:
        folder = snapshot("*.safetensors")
        if not any(folder.glob("*.safetensors")):
            folder = snapshot("*.bin")
    except GatedRepoError:
        raise ValueError(
            f"model.path={hub_id} is gated: accept its licence on its page, and set HF_TOKEN to a token of that account"
        ) from None
    except (OSError, ValueError, HfHubHTTPError) as error:
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"model.path={hub_id} cannot be downloaded ({said}); check the name and the network") from None
    if not any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir()):
        raise ValueError(f"model.path={hub_id} holds no weights (*.safetensors, *.bin): give another model")
    return HubCopy(folder, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))

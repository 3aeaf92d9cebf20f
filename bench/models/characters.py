"""What samplers of texts without a tokenizer share: one id per character, so that counts are honest characters."""


class CharacterSampler:
    """The part of `Sampler` that is about ids."""

    token_unit = "characters"

    @property
    def description(self) -> dict[str, str]:
        return {"kind": "characters"}

    def prompt_ids(self, prompt: str) -> tuple[int, ...]:
        return tuple(map(ord, prompt))

    def bridge(self, text: str, *, turn_ended: bool) -> tuple[int, ...]:  # noqa: ARG002  a chat template needs it
        return tuple(map(ord, text))
